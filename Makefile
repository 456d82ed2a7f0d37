# make bench   set up, run methods on the embedded phantom pairs, leaderboard in the terminal and a page on disk
# make test    set up and run the quick tests
# make promises  what the README promises: nothing lost, nothing hung, a page that works (minutes)
# make test-slow  all tests, those too that need time or the real pairs
# make lint    formatting, lint, types
# make audit   look the pinned packages up among known vulnerabilities (needs the network)
# make site    the documentation as a site in build/site, its tutorials executed (QUICK=--quick: not executed)
# make check   recompute the locked scores, fail when they drift
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CORE := $(VENV)/.core
SITE := $(VENV)/.site
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile -c constraints.txt
BENCH := runs/bench
WORKERS ?= 2
# Where torch is taken from: without an NVIDIA driver its CPU wheels, which leave out 5 GB of CUDA. `make TORCH_INDEX= bench` takes
# whatever the default index has; so does a machine that cannot reach this one.
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi),,https://download.pytorch.org/whl/cpu)
# Methods that take seconds a pair are left out of the five-minute tour; `fusionbench run -m all` has them.
METHODS := average maximum source-a source-b pca laplacian dwt dtcwt guided-filter cbf gtf mgff dmfnet
# And can the findings be made in their images? A small study; docs/observers.md has the large one.
FINDINGS := ct-mri --subjects 20

.PHONY: bench test promises test-slow lint check site benchmark audit clean
.DELETE_ON_ERROR:
# Python keeps its compiled files: the many processes of a run would each compile torch anew (three seconds each).
unexport PYTHONDONTWRITEBYTECODE

$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --retries 1 --timeout 15 --no-deps --index-url $(TORCH_INDEX) torch torchvision || \
	    echo "torch not found at $(TORCH_INDEX): taking the default index's")
	touch $@

$(CORE): $(VENV)/.torch pyproject.toml
	$(PIP) -e .
	touch $@

$(STAMP): $(VENV)/.torch pyproject.toml
	$(PIP) -e ".[dev]"
	touch $(CORE) $@

$(SITE): $(VENV)/.torch pyproject.toml
	$(PIP) -e ".[docs]"
	touch $(CORE) $@

bench: $(CORE)
	$(BIN)/fusionbench run $(addprefix -m ,$(METHODS)) -t all --dataset phantom --limit 6 --results $(BENCH)
	$(BIN)/fusionbench observe $(addprefix -m ,$(METHODS)) -t $(FINDINGS) --observer cho --results $(BENCH) --engine local:2
	$(BIN)/fusionbench report --results $(BENCH)
	@echo "Open $(BENCH)/leaderboard/index.html"

# A worker each core: more threads only wait for each other.
test promises test-slow: export OMP_NUM_THREADS = 1

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not gpu" -n $(WORKERS) --dist loadgroup

promises: $(STAMP)
	$(BIN)/python -m pytest -m "promise and not gpu" -n $(WORKERS) --dist loadgroup

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: $(CORE)
	$(BIN)/fusionbench check

site: $(SITE)
	$(BIN)/python tools/make_site.py $(QUICK)
	$(BIN)/python -m mkdocs build --strict

benchmark: $(STAMP)
	$(PIP) -e ".[benchmark]"
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/methods.py

audit: $(STAMP)
	$(PIP) pip-audit
	$(BIN)/pip-audit --no-deps --disable-pip -r constraints.txt

clean:
	rm -rf $(VENV) runs build *.egg-info
