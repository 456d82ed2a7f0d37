"""The site: formulas of all metrics, links that lead somewhere, tutorials that run, and pages that mkdocs takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from fusionbench.metrics import METRICS
from fusionbench.scores import Column

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))


def test_every_metric_has_a_formula_and_every_formula_a_metric() -> None:
    formulas = tomllib.loads((DOCS / "metrics" / "formulas.toml").read_text(encoding="utf-8"))
    names = {Column.parse(name).name for name in METRICS}
    assert not [name for name in METRICS if name not in formulas and Column.parse(name).name not in formulas]
    assert set(formulas) <= names | set(METRICS)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    # A tutorial is a script here, and a page on the site.
    made = [re.sub(r"(tutorials/[^/]+)\.md$", r"\1.py", target) for target in local]
    assert not [target for target in made if not (page.parent / target).exists()]


def test_the_site_names_pages_that_there_are() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = re.findall(r"[\w/-]+\.md", nav)
    assert len(pages) > 20
    sources = [re.sub(r"^(tutorials/.*)\.md$", r"\1.py", page) for page in pages]
    made = ("index.md", "methods/index.md", "methods/gallery.md")
    assert not [name for name in sources if name not in made and name[:4] != "api/" and not (DOCS / name).exists()]
    assert {f"tutorials/{path.name}" for path in TUTORIALS} <= set(sources)


@pytest.mark.slow  # the site's workflow executes them too, at every pull request
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(tutorial: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tutorial)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, ("mkdocs", "material", "jupytext"))), reason="needs pip install -e .[docs]")
def test_mkdocs_finds_no_dead_link(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SITE_DOCS": str(tmp_path / "docs")}
    mkdocs = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    for command in (["tools/make_site.py", "--quick"], mkdocs):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    page = (tmp_path / "site" / "metrics" / "ids" / "ssim" / "index.html").read_text(encoding="utf-8")
    assert "<math" in page
    assert "id-ssim-l2" in page
    assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)=\"https?:", page)
