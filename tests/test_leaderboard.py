"""tools/leaderboard.py on small stand-ins for the atlas: the same bytes twice, no picture of it written, verification."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import click.testing
import pytest

from fusionbench.report import overall, write_report
from fusionbench.report.boards import Board
from fusionbench.report.choice import make_boards
from fusionbench.scores import Key, find_tables, read_metric_facts, read_table, write_table
from tests.conftest import save, slices, tree

RESULTS = Path(__file__).parents[1] / "results"

pytestmark = pytest.mark.xdist_group("leaderboard")  # one worker makes the leaderboard, once
TOOL = Path(__file__).resolve().parents[1] / "tools" / "leaderboard.py"
KEY = Key("harvard", "pet-mri", "laplacian")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leaderboard", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(tool: ModuleType, root: Path, *arguments: str) -> click.testing.Result:
    options = [
        "--data",
        str(root / "atlas"),
        "--published",
        str(root / "published"),
        "--results",
        str(root / "results"),
    ]
    if "--verify" not in arguments:  # which takes the methods and metrics that are there
        options += ["--profile", "dmfnet", "--method", "average", "--method", "laplacian", "--no-phantom"]
    return click.testing.CliRunner().invoke(tool.main, [*options, "--engine", "serial", *arguments])


@pytest.fixture(scope="module")
def made(tool: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs a task in the atlas's layout, one third-party method that lacks two tasks, and their leaderboard."""
    root = tmp_path_factory.mktemp("public")
    for n, other in enumerate(("CT", "PET", "SPECT")):
        for i, (a, b) in enumerate(zip(slices(2, 64, n), slices(2, 64, n + 10), strict=True)):
            save(root / "atlas" / f"{other}-MRI" / "test" / "MRI" / f"{4 * n + 2}00{i}.png", a)
            save(root / "atlas" / f"{other}-MRI" / "test" / other / f"{4 * n + 2}00{i}.png", b)
            if other == "PET":
                save(root / "published" / "CDDFuse" / "PET-MRI" / f"{4 * n + 2}00{i}.png", a // 2 + b // 2)
    result = call(tool, root, "--no-costs")
    assert result.exit_code == 0, result.output
    return root


def test_committed_files_hold_nothing_of_the_run(made: Path) -> None:
    about = read_table(made / "results", KEY).about
    records = read_table(made / "results", KEY).pairs.values()
    assert not {"versions", "commit", "device", "device_name", "makings"} & about.keys()
    assert not any({"seconds", "made_by", "scored_by"} & record.keys() for record in records)
    assert about["method"]["name"] == "laplacian"
    foreign = read_table(made / "results", Key("harvard", "pet-mri", "CDDFuse")).about["method"]
    assert (foreign["foreign"], foreign["year"]) == (True, 2023)
    assert foreign["origin"] == "third-party run"


@pytest.mark.slow
def test_verification_computes_anew_and_tells_what_differs(tool: ModuleType, made: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(made, root)
    for task in ("ct-mri", "pet-mri", "spect-mri"):
        table = read_table(root / "results", Key("harvard", task, "laplacian"))
        table.about["profile_stats"] = {"seconds": 0.25, "device_name": "a machine"}  # taken over, not measured anew
        write_table(root / "results", table)
    write_report(root / "results", images="public")
    good = call(tool, root, "--verify", "--work", str(tmp_path / "work"))
    assert good.exit_code == 0, good.output
    assert "0 differ" in good.output
    assert {name.partition("/")[0] for name in tool.files(root / "results")} == {"leaderboard", "scores"}
    csv = KEY.csv(root / "results")
    csv.write_text(re.sub(r"(\d)\.(\d)", r"\1.9\2", csv.read_text(), count=1))
    (root / "results" / "leaderboard" / "references.bib").unlink()
    bad = tool.differences(root / "results", tmp_path / "work")
    assert [line.partition(":")[0] for line in bad] == [
        "leaderboard/references.bib",
        "scores/harvard/pet-mri/laplacian.csv",
    ]
    assert "differs in 1 of " in bad[1]


def test_what_is_made_when_wanted_is_not_committed(tool: ModuleType) -> None:
    """.gitignore and the tool agree on it: of what is tracked nothing is derived, and all of it is compared."""
    root = TOOL.parents[1]
    if not (root / ".git").exists():
        pytest.skip("needs the repository's history, which is not there")
    listed = subprocess.run(["git", "ls-files", "results/leaderboard"], cwd=root, capture_output=True, check=True)
    tracked = [Path(name).relative_to("results") for name in listed.stdout.decode().split()]
    assert len(tracked) > 100
    assert [name for name in tracked if tool.derived(name)] == []
    made = ["index.html", "patients/x.js", "images/x.webp", "tables.tex", "harvard/ct-mri/dmfnet.tex"]
    made += ["figures/harvard/ct-mri/boxes.pdf", "harvard/ct-mri/dmfnet-pairwise.csv"]
    assert all(tool.derived(Path("leaderboard") / name) for name in made)
    names = [f"results/leaderboard/{name}" for name in made]
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=root, capture_output=True, check=True)
    assert ignored.stdout.decode().split() == names


def test_a_second_run_does_nothing_and_changes_nothing(tool: ModuleType, made: Path) -> None:
    before = tree(made / "results")
    facts = made / "results" / "scores" / "metrics.json"
    facts.write_text(
        facts.read_text().replace('"en": {', '"gone": {}, "en": {', 1)
    )  # of an older version: written anew
    again = call(tool, made, "--no-costs")
    assert "0 images fused or scored" in again.output
    assert tree(made / "results") == before


def test_no_picture_of_the_atlas_is_written(made: Path, tmp_path: Path) -> None:
    def pictures(folder: Path) -> tuple[list[str], int]:
        grids = sorted(path.name for path in folder.rglob("grid.*"))
        return grids, len(list((folder / "images").rglob("*.webp")))

    assert pictures(made / "results" / "leaderboard") == ([], 0)
    write_report(made / "results", tmp_path, data=[made / "atlas"], images="all")  # on request they are found
    grids, embedded = pictures(tmp_path)
    assert len(grids) == 12  # of three tasks in two splits, each as PNG and PDF
    assert embedded > 10


def _committed(*ours: str) -> list[Board]:
    """Boards of the released images, the controls and some of our own methods, under profile dmfnet."""
    keys = [key for key in find_tables(RESULTS) if key.dataset == "harvard"]
    tables = [read_table(RESULTS, key) for key in keys]
    kept = [t for t in tables if t.control or t.about["method"].get("foreign") or t.key.method in ours]
    return make_boards(kept, read_metric_facts(RESULTS), profiles=["dmfnet"])


def test_the_docs_quote_what_the_scores_say() -> None:
    """Every rank, share and count of docs/leaderboard.md under "What the table shows", task by task and over all."""
    text = " ".join((RESULTS.parent / "docs" / "leaderboard.md").read_text(encoding="utf-8").split())
    for board in _committed():
        first, among = board.order[0], [m for m in board.tests.among_best if m != board.order[0]]
        maximum = f"{board.mean_rank['maximum']:.2f}"
        (row,) = re.findall(rf"\| {board.task_title} \| ([^|]*)\| ([^|]*)\| (\d+) \| ([^|]*)\|", text)
        assert row[0].strip() == f"{board.name(first)} {board.mean_rank[first]:.2f}, of {len(board.order)}"
        assert int(row[2]) == board.tests.number
        assert row[3].startswith(maximum), maximum
        if board.tests.undecidable:
            assert "not decidable (smallest possible p 0.25)" in row[1]
        else:
            assert all(board.name(m) in row[1] for m in among), among
            assert row[1].count(",") == len(among) - 1 + row[1].count(", equivalent to it")
    (found,) = overall.overall(_committed("dmfnet"))
    means = {found.name(m): f"{found.mean[m]:.2f}" for m in found.pool}
    assert f"CDDFuse is first at {means['CDDFuse']} and DM-FNet second at {means['DM-FNet (compact)']}" in text
    assert f"Both are ahead of Diff-IF ({means['Diff-IF']})" in text
    assert not isinstance(found.tests.places, str)
    share = {found.name(m): f"{100 * float(str(found.tests.places.at[m, 1])):.0f} %" for m in found.pool}
    assert f"{share['DM-FNet (compact)']} put DM-FNet first and {share['CDDFuse']} CDDFuse" in text
    assert f"one pool with the {len(found.pool) - 1} published methods" in text
    assert f"({found.tests.number} persons" in text
