"""Images that something else fused: what is said of the method, and how its files are named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fusionbench.bench import run
from fusionbench.cli.facts import bibtex_fields
from fusionbench.scores import Key, read_table
from tests.conftest import Cli, doc_commands, folder_options, make_folders, save, slices

DOC = Path(__file__).parents[1] / "docs" / "foreign.md"


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", DOC.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found
    return found[1]


@pytest.mark.promise
@pytest.mark.slow
def test_the_commands_of_the_docs(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(["average"], ["phantom/pet-mri"], tmp_path / "other", limit=2, metrics=["en"])
    (tmp_path / "theirs").mkdir()
    for path in (tmp_path / "other/fused/phantom/pet-mri/average").glob("*.png"):
        path.replace(tmp_path / "theirs" / f"{path.stem}_fused.png")
    (tmp_path / "mynet.toml").write_text(block("toml"))
    (tmp_path / "mynet.bib").write_text(block("bibtex"))
    commands = doc_commands("foreign.md")
    assert len(commands) == 3
    for arguments in commands:
        cli(*arguments, *(["--images", "none"] if arguments[0] == "report" else []))
    facts = read_table(tmp_path / "results", Key("phantom", "pet-mri", "MyNet")).about["method"]
    wanted = {
        "title": "MyNet (TMI 2026)",
        "year": 2026,
        "doi": "10.1000/mynet.2026",
        "reference": "Doe et al., MyNet: one more fusion network, IEEE Transactions on Medical Imaging, 2026",
        "origin": "authors' release",
        "trained_on": ["harvard:16,20"],
        "trained_for": ["ssim", "vif"],
        "code": "https://example.org/mynet",
    }
    assert wanted.items() <= facts.items()
    again = read_table(tmp_path / "results", Key("phantom", "pet-mri", "MyNet-again")).about["method"]
    assert again["trained_on"] == ["NYU-D2"]
    out = tmp_path / "results/leaderboard"
    table = (out / "phantom/pet-mri/dmfnet.md").read_text()
    assert "| DOI | Code |" in table
    assert "| 10.1000/mynet.2026 | https://example.org/mynet |" in table
    assert block("bibtex").strip() in (out / "references.bib").read_text()
    assert r"\cite{mynet2026}" in (out / "phantom/pet-mri/dmfnet.tex").read_text()
    assert "https://example.org/mynet" in (out / "index.html").read_text()
    score_file = tmp_path / "results/scores/phantom/pet-mri/MyNet.json"
    assert "the same bytes" in cli("reproduce", str(score_file)).stdout


@pytest.fixture
def theirs(tmp_path: Path) -> tuple[list[str], Path]:
    """Options of a task with the pairs p0, p1, p2, and a folder with p0-x.png, p1-x.png, p2-x.png, notes.png."""
    options = [*folder_options(make_folders(tmp_path / "data")), "--metric", "en", "--results", str(tmp_path / "r")]
    for name in ("p0-x", "p1-x", "p2-x", "notes"):
        save(tmp_path / "theirs" / f"{name}.png", slices(1)[0])
    return options, tmp_path / "theirs"


@pytest.mark.parametrize("pattern", ["{id}-x", "{id}-x.png"])
def test_names_with_a_suffix(cli: Cli, theirs: tuple[list[str], Path], tmp_path: Path, pattern: str) -> None:
    options, folder = theirs
    cli("score", folder, "--name", "Net", "--pattern", pattern, *options)
    table = read_table(tmp_path / "r", Key("folders-data", "pet-mri", "Net"))
    assert [Path(table.pairs[pair]["path"]).name for pair in ("p0", "p1", "p2")] == ["p0-x.png", "p1-x.png", "p2-x.png"]


def test_what_matches_nothing_is_shown(cli: Cli, theirs: tuple[list[str], Path], tmp_path: Path) -> None:
    options, folder = theirs
    told = cli("score", folder, "--name", "Net", *options, code=2).stderr
    assert "no image for 3 of 3 pairs (p0, p1, p2); files of no pair: notes.png, p0-x.png, p1-x.png, p2-x.png" in told
    assert "--pattern '{id}_fused.png'" in told
    (folder / "p1-x.png").unlink()
    told = cli("score", folder, "--name", "Net", "--pattern", "{id}-x.png", *options, code=2).stderr
    assert "no image for 1 of 3 pairs (p1); files of no pair: notes.png" in told
    assert "they are not named {id}-x.png" in told
    for wrong in ("fused", "{id}{id}", "../{id}"):
        assert "{id} once in it" in cli("score", folder, "--name", "Net", "--pattern", wrong, *options, code=2).stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "name the method: --name NAME"),
        ({"--doi": "TMM 2025"}, "a DOI looks like"),
        ({"--code": "my page"}, "begins with http"),
        ({"--year": "25"}, "year 25"),
        ({"--facts": ("f.toml", "year = '2025'")}, "year = '2025' has the wrong type; give a whole number"),
        ({"--facts": ("f.toml", "trained_on = 'harvard'")}, "give a list of texts"),
        ({"--facts": ("f.toml", "colour = 'red'")}, "unknown field 'colour'; there are: year, name, title"),
        ({"--facts": ("f.json", "[1]")}, "unknown field 'the whole'"),
        ({"--facts": ("f.json", "{")}, "not readable as TOML"),
        ({"--facts": ("nosuch.toml", None)}, "no such file"),
        ({"--bibtex": ("a.bib", "no entry")}, "not one BibTeX entry"),
        ({"--bibtex": ("a.bib", "@a{x,\n year=1}\n@b{y,\n year=2}\n")}, "not one BibTeX entry"),
    ],
)
def test_what_cannot_be_right_is_told(
    cli: Cli, theirs: tuple[list[str], Path], tmp_path: Path, said: dict[str, Any], told: str
) -> None:
    options, folder = theirs
    arguments = ["--name", "Net"] if said else []
    for option, value in said.items():
        if isinstance(value, tuple):
            if value[1] is not None:
                (tmp_path / value[0]).write_text(value[1])
            value = str(tmp_path / value[0])
        arguments += [option, value]
    assert told in cli("score", folder, *arguments, "--pattern", "{id}-x", *options, code=2).stderr
    assert not (tmp_path / "r").exists()


def test_fields_of_an_entry() -> None:
    text = '@article{key,\n title = {A {B}, C}, author="Doe, J. and Roe, R.",\n year=2024, note = {x = y},\n pages = {1--2}}'
    assert bibtex_fields(text) == {
        "title": "A B, C",
        "author": "Doe, J. and Roe, R.",
        "year": "2024",
        "note": "x = y",
        "pages": "1--2",
    }
    assert json.dumps(bibtex_fields("@misc{key}")) == "{}"
