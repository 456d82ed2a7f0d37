"""Where a method stands on the public board: its file in the package, the standing in words, ``fusionbench compare``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fusionbench.audit.entry import OWN_RUN
from fusionbench.metrics import METRICS, PROFILES
from fusionbench.report.boards import Board
from fusionbench.report.choice import make_boards
from fusionbench.report.standing import ordinal, sentences, standing
from fusionbench.scores import Key, Table, find_tables, read_metric_facts, read_table
from fusionbench.scores.public import PublicBoard, pack, read_public, rounded, unpack
from tests.conftest import METHOD, Cli, refused_in_a_line, save, slices, tree, write_plugin

RESULTS = Path(__file__).parents[1] / "results"
PHANTOM = Key("phantom", "pet-mri")
LIMIT = ["-t", "ct-mri", "--dataset", "phantom", "--limit", "1"]


@pytest.fixture(scope="module")
def public() -> PublicBoard:
    return read_public()


def named(table: Table, name: str, **facts: Any) -> Table:
    """The same scores under another name, as images that somebody made elsewhere."""
    about = {**table.about, "method": {"name": name, "title": name, "foreign": True, **facts}}
    return dataclasses.replace(table, key=dataclasses.replace(table.key, method=name), about=about)


def boards(public: PublicBoard, *own: Table) -> list[Board]:
    return make_boards([*own, *public.at(PHANTOM)], read_metric_facts(RESULTS))


def test_the_board_of_the_package_says_what_the_results_say(public: PublicBoard) -> None:
    """As tools/board.py --check does, for a few methods of each task; columns and versions are today's."""
    for name in ("dmfnet", "CDDFuse", "source-a"):
        for key in (Key(p.dataset, p.task, name) for p in public.places):
            if not key.json(RESULTS).exists():
                continue
            table = rounded(read_table(RESULTS, key), public.columns)
            (packed,) = [t for t in public.at(key) if t.key == key]
            assert {p: r["scores"] for p, r in packed.pairs.items()} == {p: r["scores"] for p, r in table.pairs.items()}
            assert {p: (r["case"], r["pair"]) for p, r in packed.pairs.items()} == {
                p: (r["case"], r["pair"]) for p, r in table.pairs.items()
            }
            assert packed.about["method"].items() <= table.about["method"].items()
            assert str(packed.exposure) == str(table.exposure)
    held = [key for key in find_tables(RESULTS) if key.dataset in ("harvard", "phantom")]
    assert sorted(table.key for table in public.tables) == held
    assert public.columns == [*PROFILES["dmfnet"].core, "ssim@l2"]
    assert public.versions == {name: str(METRICS[name].facts.version) for name in public.columns}


def test_rounding_moves_no_rank(public: PublicBoard) -> None:
    tables = [read_table(RESULTS, table.key) for table in public.at(PHANTOM)]
    exact = make_boards(tables, read_metric_facts(RESULTS), profiles=["dmfnet"])[0]
    board = boards(public)[0]
    assert board.profile == "dmfnet"
    assert board.order == exact.order
    assert board.mean_rank.equals(exact.mean_rank)


def test_a_packed_board_is_read_back_and_a_damaged_one_is_told(public: PublicBoard) -> None:
    table = named(public.at(PHANTOM)[0], "mine", trained_on=["harvard:16"])
    del table.pairs[min(table.pairs)]  # a method that lacks a pair
    content = pack([table, *public.at(PHANTOM)[:2]], public.columns, public.made)
    again = {t.key.method: t for t in unpack(content).tables}
    assert again["mine"].pairs == table.pairs
    assert again["mine"].about["method"]["trained_on"] == ["harvard:16"]
    for wrong in (b"", content[:-100], b"PK" + content[2:500]):
        with pytest.raises(ValueError, match="damaged, or no public board"):
            unpack(wrong)


def test_a_method_with_the_images_of_another_ties_with_it(public: PublicBoard) -> None:
    (dwt,) = [t for t in public.at(PHANTOM) if t.key.method == "dwt"]
    board, sibling = boards(public, named(dwt, "mine"))
    found = standing(board, "mine")
    (twin,) = [rival for rival in found.rivals if rival.method == "dwt"]
    assert (twin.place, twin.mean_rank, twin.difference, twin.verdict) == (
        found.place,
        found.mean_rank,
        0,
        "equivalent",
    )
    assert not isinstance(found.interval, str)
    assert found.interval[0] <= found.mean_rank <= found.interval[1]
    first, last = found.rivals[0], found.rivals[-1]
    assert first.method == board.order[0]
    assert (first.verdict, first.difference > 0, first.agree) == ("worse", True, 1.0)
    assert last.verdict == "better"
    text = " ".join(sentences(found, board, [sibling]))
    assert f"mine is {ordinal(found.place)} of {len(board.order)} ranked methods under profile dmfnet" in text
    assert f"on {found.pairs} pairs of {found.patients} patients" in text
    assert f"Against {first.title}, 1st at {first.mean_rank:.2f}: worse" in text
    assert "Whether mine has seen these patients in training is not known." in text
    assert "Unknown counts as having seen them all" in text
    assert "under cddfuse" in text
    assert json.loads(json.dumps(found.as_dict()))["exposure"] == "unknown"


def test_the_best_is_told_as_such(public: PublicBoard) -> None:
    (dwt,) = [t for t in public.at(PHANTOM) if t.key.method == "dwt"]
    pairs: dict[str, Any] = {
        pair: {**record, "scores": {name: 9 * value for name, value in record["scores"].items()}}
        for pair, record in dwt.pairs.items()
    }
    board = boards(public, dataclasses.replace(named(dwt, "mine", trained_on=[]), pairs=pairs))[0]
    found = standing(board, "mine")
    assert (found.place, found.mean_rank, found.among_best) == (1, 1.0, True)
    assert {rival.verdict for rival in found.rivals} == {"better"}
    text = " ".join(sentences(found, board))
    assert "It is in the 95 % confidence set of the best" in text
    assert "mine has seen none of these patients in training" in text
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th",
    ]  # fmt: skip


def test_one_command_places_a_method_and_writes_its_scores_alone(cli: Cli, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path / "placed.py", METHOD.format(name="placed", body="return a.maximum(b)", version=1))
    results = tmp_path / "results"
    said = ["-m", plugin, *LIMIT, "--results", results]
    (row,) = json.loads(cli("compare", *said, "--json").stdout)
    assert (row["dataset"], row["task"], row["method"], row["pairs"]) == ("phantom", "ct-mri", "placed", 1)
    assert row["exposure"] == "unknown"  # a stranger's method that does not say
    assert row["undecidable"].startswith("1 patient cannot decide it")
    assert row["ranked"] == len(row["rivals"]) + 1
    scores = [name for name in tree(results / "scores") if name != "metrics.json"]
    assert sorted(scores) == ["phantom/ct-mri/placed.csv", "phantom/ct-mri/placed.json"]
    told = cli("compare", *said, "--trained-on", "nothing", "--top", "2")
    assert "placed has seen none of these patients in training" in told.stdout
    assert "> " in told.stdout
    assert "a first look: the board has more pairs than these 1" in told.stderr
    about = read_table(results, Key("phantom", "ct-mri", "placed")).about
    assert "foreign" not in about["method"]  # in the user's own results it stays what it is
    assert OWN_RUN not in json.dumps(about)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name what is to be placed: -m METHOD"),
        (["-m", "dwt", "--fused", ".", "--name", "x", *LIMIT], "name what is to be placed"),
        (["-m", "dwt", "--dataset", "phantom"], "name a task of the board: -t pet-mri"),
        (["-m", "dwt", "--name", "x", *LIMIT], "--name and --pattern go with --fused"),
        (["-m", "all", *LIMIT], "stands for several methods"),
        (["-m", "nosuch", *LIMIT], "unknown method 'nosuch'"),
        (["--fused", ".", *LIMIT], "name the method: --name NAME"),
        (["--fused", ".", "--name", "dwt", *LIMIT], "is a method of the suite"),
        (["--fused", ".", "--name", "x", *LIMIT], ".: holds no image"),
        (
            ["-m", "dwt", *LIMIT, "--split", "train"],
            "phantom@train/ct-mri has no public board; there are: harvard/ct-mri",
        ),
        (["-m", "dwt", *LIMIT, "--doi", "x"], "a DOI looks like"),
    ],
)
def test_what_cannot_be_placed_is_told_in_a_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in refused_in_a_line(cli, tmp_path, "compare", *arguments)


def test_of_several_tasks_all_images_are_looked_at_first(cli: Cli, tmp_path: Path) -> None:
    said = ["--fused", tmp_path / "theirs", "--name", "x", *LIMIT, "-t", "pet-mri", "--results", tmp_path / "r"]
    save(tmp_path / "theirs/ct-mri/test-00000.png", slices(1, 256)[0])
    assert "theirs/pet-mri: no such folder" in cli("compare", *said, code=2).stderr
    save(tmp_path / "theirs/pet-mri/test-00000.png", slices(1, 64)[0])
    assert "score images at the size of their pair" in cli("compare", *said, code=2).stderr
    assert not (tmp_path / "r").exists()


def test_other_images_under_the_boards_names_are_refused(cli: Cli, tmp_path: Path) -> None:
    for n, name in enumerate(("25015", "25022")):
        save(tmp_path / "atlas/PET-MRI/test/MRI" / f"{name}.png", slices(1, 64, n)[0])
        save(tmp_path / "atlas/PET-MRI/test/PET" / f"{name}.png", slices(1, 64, n + 5)[0])
    said = ["-m", "dwt", "-t", "pet-mri", "--data", tmp_path / "atlas", "--results", tmp_path / "r"]
    assert "these are not the pairs of the public board" in cli("compare", *said, code=2).stderr
    assert "pair 25015 is another image on the public board" in cli("compare", *said, "--limit", 1, code=2).stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_images_that_are_on_the_board_come_out_where_they_are(cli: Cli, tmp_path: Path, shared: Path) -> None:
    """CDDFuse's released images, scored as somebody else's: the same rank as CDDFuse, by the last digit."""
    said = ["--fused", shared / "published/CDDFuse/PET-MRI", "--name", "again", "-t", "pet-mri"]
    where = ["--data", shared / "harvard", "--results", tmp_path / "r", "--trained-on", "harvard:25"]
    (row,) = json.loads(cli("compare", *said, *where, "--json").stdout)
    (twin,) = [rival for rival in row["rivals"] if rival["method"] == "CDDFuse"]
    assert (twin["place"], twin["mean_rank"], twin["difference"]) == (row["place"], row["mean_rank"], 0)
    assert twin["verdict"] == "not decidable"  # three patients
    assert row["patients"] == 3
