# make bench   set up, run methods on the embedded phantom pairs, leaderboard in the terminal and a page on disk
# make test    set up and run the tests (make test-slow: those too that need time or the real pairs)
# make lint    formatting, lint, types
# make audit   look the pinned packages up among known vulnerabilities (needs the network)
# make check   recompute the locked scores, fail when they drift
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := runs/bench
WORKERS ?= 2
# Methods that take seconds a pair are left out of the five-minute tour; `fusionbench run -m all` has them.
METHODS := average maximum source-a source-b pca laplacian dwt dtcwt guided-filter cbf gtf mgff dmfnet

.PHONY: bench test test-slow lint check benchmark audit clean
.DELETE_ON_ERROR:

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

bench: $(STAMP)
	$(BIN)/fusionbench run $(addprefix -m ,$(METHODS)) -t all --dataset phantom --limit 6 --results $(BENCH)
	$(BIN)/fusionbench report --results $(BENCH)
	@echo "Open $(BENCH)/leaderboard/index.html"

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not gpu" -n $(WORKERS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: $(STAMP)
	$(BIN)/fusionbench check

benchmark: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torchmetrics
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/methods.py

audit: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --no-deps --disable-pip -r constraints.txt

clean:
	rm -rf $(VENV) runs build *.egg-info
