"""Data sets of the user's own: each has a name, and one never stands for another."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from fusionbench.bench import run
from fusionbench.report import figures
from fusionbench.scores import Key, read_table, write_table
from tests.conftest import Cli, folder_options, make_folders, save, slices

EN = ("-m", "average", "--metric", "en")


def own(folders: tuple[Path, Path]) -> list[str]:
    return ["-t", "pet-mri", "--dataset", "folders", "--data", str(folders[0]), "--data", str(folders[1])]


def rows(path: Path) -> list[str]:
    with path.open() as file:
        return [row["pair"] for row in csv.DictReader(file)]


def test_two_data_sets_are_two_tables(cli: Cli, tmp_path: Path) -> None:
    for n, name in enumerate(("A", "B")):
        for side, seed in (("mri", 1), ("pet", 2)):
            for i, image in enumerate(slices(3, 32, seed + 10 * n)):
                save(tmp_path / name / side / f"{'p' if n == 0 else 'q'}{i}.png", image)
        result = cli(
            "run", *EN, *own((tmp_path / name / "mri", tmp_path / name / "pet")), "--results", tmp_path / "two"
        )
        assert f"this data set is called folders:{name}; --as NAME names it otherwise" in result.stderr
    assert rows(tmp_path / "two/scores/folders-A/pet-mri/average.csv") == ["p0", "p1", "p2"]
    assert rows(tmp_path / "two/scores/folders-B/pet-mri/average.csv") == ["q0", "q1", "q2"]


@pytest.mark.parametrize("name", [["--dataset", "folders:mine"], ["--as", "mine"]])
def test_another_set_of_that_name_is_refused(cli: Cli, tmp_path: Path, name: list[str]) -> None:
    first, second = make_folders(tmp_path / "one", side=32), make_folders(tmp_path / "two" / "deep", side=48)
    results = tmp_path / "results"
    cli("run", *EN, *own(first), *name, "--results", results)
    table = results / "scores/folders-mine/pet-mri/average.csv"
    before = table.read_bytes()
    refused = cli("run", *EN, *own(second), *name, "--results", results, code=2)
    assert "holds scores on other images under the name folders-mine/pet-mri" in refused.stderr
    assert str(first[0]) in refused.stderr
    assert table.read_bytes() == before
    refused = cli("score", second[0], "--name", "theirs", *own(second), *name, "--results", results, code=2)
    assert "other images" in refused.stderr
    shutil.move(tmp_path / "one", tmp_path / "moved")  # the same images elsewhere are the same set
    again = cli("run", *EN, *own((tmp_path / "moved/mri", tmp_path / "moved/pet")), *name, "--results", results)
    assert "0 images fused, 0 scored" in again.stdout


def test_results_of_a_version_without_names(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "save", lambda figure, stem: [])
    options = {"metrics": ["en"], "data": folders, "device": "cpu"}
    run(["average"], ["folders/pet-mri"], tmp_path / "r", **options)  # type: ignore[arg-type]
    told = "made before sources were recorded"
    assert told not in cli("run", *EN, *own(folders), "--results", tmp_path / "r").stderr
    table = read_table(tmp_path / "r", Key("folders", "pet-mri", "average"))
    del table.about["data"]  # as 0.1.0 wrote it
    write_table(tmp_path / "r", table)
    result = cli("run", *EN, *own(folders), "--results", tmp_path / "r")
    assert f"folders/pet-mri: {told}; kept apart from folders-data/pet-mri" in result.stderr
    shown = cli("report", "--results", tmp_path / "r", "--images", "none").stderr
    assert f"folders/pet-mri: {told}: its pairs may be of several data sets" in shown
    assert f"folders-data/pet-mri: {told}" not in shown


def test_one_edited_image_is_no_other_set(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    results = tmp_path / "results"
    cli("run", *EN, *own(folders), "--results", results)
    save(folders[0] / "p1.png", slices(1, seed=9)[0])
    assert "1 images fused, 1 scored" in cli("run", *EN, *own(folders), "--results", results).stdout


def test_folders_in_the_wrong_order_are_told(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    result = cli("run", *EN, *own((folders[1], folders[0])), "--results", tmp_path / "r")
    assert "was given first, as the structural images (MRI), and holds coloured ones" in result.stderr
    assert "coloured" not in cli("run", *EN, *own(folders), "--results", tmp_path / "s").stderr


@pytest.mark.parametrize(("dataset", "words"), [("folders:a b", "letters, digits"), ("phantom:mine", "takes no name")])
def test_names_that_cannot_be(cli: Cli, tmp_path: Path, folders: tuple[Path, Path], dataset: str, words: str) -> None:
    options = [*folder_options(folders), "--dataset", dataset]
    assert words in cli("run", *EN, *options, "--results", tmp_path / "r", code=2).stderr


def test_a_named_set_is_reported_and_reproduced(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    results = tmp_path / "results"
    cli("run", *EN, "-m", "maximum", *own(folders), "--as", "ward-7", "--results", results)
    data = ["--data", folders[0], "--data", folders[1]]
    cli("report", "--results", results, *data)
    assert list((results / "leaderboard").rglob("grid.png"))
    table = results / "scores/folders-ward-7/pet-mri/average.json"
    assert "the same bytes" in cli("reproduce", table, *data).stdout
