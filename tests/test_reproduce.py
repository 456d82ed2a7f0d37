"""Reproducing a score file: the same bytes, a change that is told, and what cannot be done again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fusionbench.audit.reproduction import reproduce
from fusionbench.bench import run, score_folders
from fusionbench.cli import main
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.scores import Key, read_table, write_table
from tests.conftest import Write

TASK = "folders/pet-mri"


def test_what_was_done_comes_out_again(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    flaw = "blur:sigma=1"
    run(["laplacian:levels=2"], [TASK], tmp_path, data=folders, metrics=["en", "mi"], device="cpu", corrupt=[flaw])
    path = Key("folders+blur,sigma=1", "pet-mri", "laplacian@levels=2").json(tmp_path)
    found = reproduce(path, data=folders)
    assert found.same_csv
    assert found.images == (3, 3)
    assert found.values == (6, 6)
    assert found.suspects == []


def test_every_row_can_be_traced(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    run(["average"], [TASK], tmp_path, data=folders, metrics=["en"], device="cpu")
    table = read_table(tmp_path, Key("folders", "pet-mri", "average"))
    for record in table.pairs.values():
        made = table.about["makings"][record["made_by"]]
        assert made == table.about["makings"][record["scored_by"]]
        assert made["versions"]["torch"]
        assert made["device"] == "cpu"
        assert len(record["pair"]) == 64
        assert len(record["image"]) == 64
    for name in ("spec", "settings", "weights", "seed", "split", "metric_versions", "commit", "device_name"):
        assert name in table.about


def test_a_difference_is_told_with_its_suspects(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    run(["average"], [TASK], tmp_path, data=folders, metrics=["en"], device="cpu")
    key = Key("folders", "pet-mri", "average")
    table = read_table(tmp_path, key)
    table.pairs["p1"]["scores"]["en"] += 0.5
    table.about["versions"]["torch"] = "0.1"
    write_table(tmp_path, table)
    found = reproduce(key.json(tmp_path), data=folders)
    assert not found.same_csv
    assert found.images == (3, 3)
    assert found.values == (2, 3)
    assert found.worst[1] == "en of p1"
    assert any("versions torch: 0.1, now" in suspect for suspect in found.suspects)
    result = CliRunner().invoke(
        main, ["reproduce", str(key.json(tmp_path)), "--data", str(folders[0]), "--data", str(folders[1])]
    )
    assert result.exit_code == 1
    assert "DIFFERS" in result.output


def test_images_fused_elsewhere(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    theirs, path = tmp_path / "theirs", Key("folders", "pet-mri", "Theirs").json(tmp_path)
    shutil.copytree(folders[0], theirs)
    score_folders([(theirs, {"name": "Theirs"})], TASK, tmp_path, data=folders, metrics=["en"], device="cpu")
    assert reproduce(path, data=folders).same_csv  # they are where they were
    shutil.rmtree(theirs)
    with pytest.raises(InputError, match="--images"):
        reproduce(path, data=folders)
    assert reproduce(path, data=folders, images=folders[0]).same_csv


def test_an_edited_method_is_a_suspect(tmp_path: Path, folders: tuple[Path, Path], method_file: Write) -> None:
    def loaded(body: str) -> None:
        METHODS.load(str(method_file("suspect", body)))

    loaded("return a.maximum(b)")
    run(["suspect"], [TASK], tmp_path, data=folders, metrics=["en"], device="cpu")
    key = Key("folders", "pet-mri", "suspect")
    assert reproduce(key.json(tmp_path), data=folders).suspects == []
    loaded("return a.minimum(b)")
    found = reproduce(key.json(tmp_path), data=folders)
    assert not found.same_csv
    assert found.suspects == ["suspect.py: changed"]
    table = read_table(tmp_path, key)
    del table.about["sources"]
    write_table(tmp_path, table)
    assert reproduce(key.json(tmp_path), data=folders).suspects == [
        "the method's files: made before sources were recorded"
    ]


def test_places_that_are_no_score_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    for path in (tmp_path / "x.json", tmp_path / "scores" / "d" / "t" / "m.json"):
        with pytest.raises(InputError, match=r"METHOD\.json"):
            reproduce(path)
