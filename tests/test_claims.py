"""Boards over all tasks, and claims: on score files, on a CSV, on a line of a paper; what is refused."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fusionbench import stats
from fusionbench.report import overall
from fusionbench.report.choice import make_boards
from fusionbench.scores import read_metric_facts, read_results, write_metric_facts
from tests.conftest import Cli
from tests.test_report import METRICS, PROFILES, add

TASKS = ("ct-mri", "pet-mri")


@pytest.fixture
def two_tasks(tmp_path: Path) -> Path:
    """Four methods on two tasks of 8 and 6 patients (c0 to c5 are in both), a fifth on one task alone, and a control."""
    random = np.random.default_rng(0)
    for task, pairs in (("ct-mri", 8), ("pet-mri", 6)):
        base = random.normal(size=pairs)
        for name, by in (("a", 2.0), ("b", 1.9), ("c", 0.0), ("d", -2.0)):
            noise = random.normal(size=(2, pairs)) * 0.3
            add(tmp_path, name, {"gain": tuple(base + by + noise[0]), "loss": tuple(base - by + noise[1])}, task=task)
        add(tmp_path, "top", {"gain": (9.0,) * pairs, "loss": (-9.0,) * pairs}, task=task, control=True)
    add(tmp_path, "alone", {"gain": (1.95,) * 8, "loss": (-1.0,) * 8}, task="ct-mri")
    return tmp_path


def of(results: Path) -> overall.Overall:
    (found,) = overall.overall(make_boards(read_results(results), read_metric_facts(results)))
    return found


def test_each_task_is_ranked_within_one_pool(two_tasks: Path) -> None:
    found = of(two_tasks)
    assert sorted(found.pool) == list("abcd")
    assert found.left_out == {"alone": ["pet-mri"]}
    for task, board in found.boards.items():
        ranks = [stats.rank(board.means.loc[list("abcd"), m], board.better[m]) for m in ("gain", "loss")]
        expected = (ranks[0] + ranks[1]) / 2
        assert found.ranks[task].to_dict() == expected.to_dict()
    assert found.mean.to_dict() == found.ranks.mean(axis=1).to_dict()
    assert found.pool[-2:] == ["c", "d"]
    assert (found.place_of("c"), found.place_of("d")) == (3, 4)


def test_persons_are_units_over_all_tasks(two_tasks: Path) -> None:
    """Eight persons, six of them in both tasks; their weighted mean is the mean over tasks of the means over patients."""
    found = of(two_tasks)
    persons = overall.by_person(found)
    assert len(persons) == found.tests.number == 8
    means = [
        stats.by_patient(overall.blocks(board, found.pool), board.patients).mean() for board in found.boards.values()
    ]
    assert persons.mean().to_dict() == pytest.approx(((means[0] + means[1]) / 2).to_dict())
    lines = found.tests.pairwise
    assert set(lines.loc[lines["second"] == "d", "verdict"]) == {"better"}
    assert not isinstance(found.tests.places, str)
    assert found.tests.places.sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert found.tests.places.loc["d", 4] == 1.0


def test_win_rate_is_the_share_of_rivals_beaten(two_tasks: Path) -> None:
    found = of(two_tasks)
    shares = []
    for board in found.boards.values():
        own = []
        for metric in ("gain", "loss"):
            values = board.scores[metric][list("abcd")] * (1 if metric == "gain" else -1)
            own.append(np.mean([[(values["b"] > values[other]).mean()] for other in "acd"]))
        shares.append(np.mean(own))
    assert found.tests.wins["b"] == pytest.approx(np.mean(shares))
    assert not isinstance(found.tests.wins_low, str)
    assert not isinstance(found.tests.wins_high, str)
    assert found.tests.wins_low["b"] <= found.tests.wins["b"] <= found.tests.wins_high["b"]


def test_places_that_hang_on_another_method_are_told(tmp_path: Path) -> None:
    """a beats b on one metric; c stands between them on the other, which turns the mean."""
    for task in TASKS:
        add(tmp_path, "a", {"gain": (3.0,) * 6, "loss": (4.0,) * 6}, task=task)
        add(tmp_path, "b", {"gain": (2.0,) * 6, "loss": (1.0,) * 6}, task=task)
        add(tmp_path, "c", {"gain": (1.0,) * 6, "loss": (2.0,) * 6}, task=task)
    found = of(tmp_path)
    assert found.pool[0] == "b"
    assert found.tests.without["c"].dropna().to_dict() == {"a": 1.5, "b": 1.5}
    assert "Without C, the first would be B and A: a rank depends on who else is there." in overall.verdict(found)


def test_the_report_writes_the_board_over_all_tasks(two_tasks: Path, cli: Cli) -> None:
    cli("report", "--results", two_tasks)
    text = (two_tasks / "leaderboard" / "README.md").read_text()
    assert "### All tasks · made · profile dmfnet" in text
    assert "Not ranked in all tasks, and left out: ALONE." in text
    stored = (two_tasks / "leaderboard/made/overall/dmfnet.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(stored)))
    found = of(two_tasks)
    assert [row["method"] for row in rows] == found.pool
    assert [float(row["mean_rank"]) for row in rows] == found.mean.tolist()
    assert float(rows[0]["without:d"]) == found.tests.without["d"][found.pool[0]]


def test_the_overall_verdict_names_exposure_and_conflict(tmp_path: Path) -> None:
    for task in TASKS:
        own: dict[str, Any] = {"trained": True, "trained_on": ["made:c0,c1"], "trained_for": ["gain"]}
        add(tmp_path, "a", {"gain": (3.0,) * 6, "loss": (1.0,) * 6}, task=task, **own)
        add(tmp_path, "b", {"gain": (2.0,) * 6, "loss": (2.0,) * 6}, task=task)
    said = overall.verdict(of(tmp_path))
    assert "A has seen in training 2 of 6 patients in CT–MRI and 2 of 6 patients in PET–MRI." in said
    assert "A was made for G, by which this board ranks." in said


def test_few_persons_have_no_interval_and_no_verdict(tmp_path: Path) -> None:
    for task in TASKS:
        for n, name in enumerate("abc"):
            add(tmp_path, name, {"gain": (n * 1.0,) * 3, "loss": (-n * 1.0,) * 3}, task=task)
    found = of(tmp_path)
    said = " ".join(overall.verdict(found))
    assert "3 patients cannot decide it (smallest possible p = 0.25)" in said
    assert "interval" not in said
    assert "| 1 | C | 1.00 | – | – |" in overall.markdown(found)
    assert ",,," in overall.csv_text(found)


def test_a_claim_on_score_files(two_tasks: Path, cli: Cli) -> None:
    held = cli("claim", "a", "D", "-t", "ct-mri", "--results", two_tasks)
    assert held.stdout.startswith("A is better than D.\n")
    assert "8 pairs, by patient" in held.stdout
    lost = cli("claim", "d", "a", "-t", "ct-mri", "--results", two_tasks, code=1)
    assert lost.stdout.startswith("D is worse than A.\n")
    close = cli("claim", "a", "b", "--results", two_tasks, "--json", code=1)
    told = json.loads(close.stdout)
    found = of(two_tasks)
    persons = overall.by_person(found)
    assert told["verdict"] == "not separable"
    assert told["effect"] == pytest.approx((persons["b"] - persons["a"]).mean())
    assert told["p"] == stats.sign_flip(persons["b"] - persons["a"])
    assert (told["patients"], told["margin"], told["congruence"]) == (8, None, None)
    by_metric = json.loads(
        cli("claim", "a", "c", "-t", "pet-mri", "--metric", "loss", "--results", two_tasks, "--json").stdout
    )
    frame = found.boards["pet-mri"].scores["loss"]
    assert by_metric["effect"] == pytest.approx((frame["c"] - frame["a"]).mean())
    assert by_metric["congruence"] == pytest.approx(np.corrcoef(frame["a"], frame["c"])[0, 1])


def test_a_claim_within_the_margin_is_equivalence(two_tasks: Path, cli: Cli) -> None:
    wide = cli("claim", "a", "b", "--results", two_tasks, "--margin", "3", code=1)
    assert wide.stdout.startswith("A and B are equivalent: their difference lies within 3.\n")
    write_metric_facts(two_tasks, {m: f | {"margin": 2.0} for m, f in METRICS.items()}, PROFILES)
    told = json.loads(cli("claim", "a", "b", "-t", "ct-mri", "--results", two_tasks, "--json", code=1).stdout)
    assert told["margin"] > 0
    by_metric = cli("claim", "a", "b", "-t", "ct-mri", "--metric", "gain", "--results", two_tasks, "--json", code=1)
    assert json.loads(by_metric.stdout)["margin"] == 2.0


def test_a_claim_names_exposure_and_conflict(tmp_path: Path, cli: Cli) -> None:
    up, down = tuple(range(8)), tuple(range(8, 0, -1))
    add(tmp_path, "a", {"gain": up, "loss": down}, trained=True, trained_on=["made:c0"], trained_for=["gain"])
    add(tmp_path, "b", {"gain": down, "loss": up}, foreign=True)
    said = cli("claim", "a", "b", "--results", tmp_path, code=1).stdout
    assert "A has seen patients of these in training." in said
    assert "A was made for G." in said
    assert "Whether B has seen these patients in training is not known." in said


def long_and_wide(folder: Path) -> tuple[Path, Path, pd.DataFrame]:
    random = np.random.default_rng(1)
    rows = [(f"p{n}", f"{n // 2:03d}") for n in range(20)]
    wide = pd.DataFrame(rows, columns=["pair", "who"])
    base = random.normal(size=20)
    wide["mine"], wide["theirs"] = base + 0.5 + random.normal(size=20) * 0.1, base
    long = wide.melt(["pair", "who"], var_name="method", value_name="value").assign(metric="ssim")
    other = long.assign(metric="mse", value=-long["value"])
    long = pd.concat([long, other])
    wide.to_csv(folder / "wide.csv", index=False)
    long.to_csv(folder / "long.csv", index=False)
    return folder / "wide.csv", folder / "long.csv", wide


def test_a_claim_on_anybodys_csv(tmp_path: Path, cli: Cli) -> None:
    wide, long, frame = long_and_wide(tmp_path)
    d = (frame["mine"] - frame["theirs"]).groupby(frame["who"]).mean()
    for options in ((wide,), (long, "--metric", "ssim"), (long, "--metric", "mse", "--lower")):
        done = cli("claim", "mine", "theirs", "--csv", *options, "--patient", "who", "--json")
        told = json.loads(done.stdout)
        assert (told["verdict"], told["patients"], told["p"]) == ("better", 10, stats.sign_flip(d))
        assert told["effect"] == pytest.approx(d.mean())
    frame.loc[3, "mine"] = np.nan
    frame.to_csv(wide, index=False)
    told = json.loads(cli("claim", "mine", "theirs", "--csv", wide, "--patient", "who", "--json").stdout)
    assert told["patients"] == 9
    assert told["notes"] == ["1 pairs lack a value of either; their patients are left out."]


def test_a_line_of_a_paper(cli: Cli) -> None:
    line = ("claim", "--means", "0.61", "--sd", "0.05", "--means", "0.59", "--sd", "0.06", "-n", "24")
    text = cli(*line, code=1).stdout
    assert text.startswith("The claim does not hold: the probability that it is false is 11.1% at congruence 0, 4.6%")
    told = json.loads(cli(*line, "--congruence", "0.9", "--json").stdout)
    assert told["holds"] is True
    expected = stats.probability_false((0.61, 0.59), (0.05, 0.06), 24, 0.9)
    assert told["probability_false"] == {"0.9": expected}
    assert cli(*line, "--congruence", "0.9", "--lower", code=1).stdout.startswith("The claim does not hold")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a"], "a claim is about two methods, 1 named"),
        (["a", "A"], "are one method; name two"),
        (["a", "nobody"], "'nobody' is not ranked here; there are: a, b, alone, c, d"),
        (["a", "alone", "-t", "all"], "alone is not ranked on PET–MRI; name a task that ranks it"),
        (["a", "b", "-t", "us-mri"], "made has ct-mri, pet-mri under profile dmfnet"),
        (["a", "b", "--dataset", "other"], "--dataset other: name one of made"),
        (["a", "b", "--metric", "ssim"], "metric 'ssim' is not scored on CT–MRI"),
        (["a", "b", "--profile", "nothing"], "profile 'nothing' is not in these results"),
        (["a", "b", "--margin", "-1"], "--margin -1.0: must not be negative"),
        (["--means", "1", "--sd", "1", "-n", "9"], "a paper's line needs --means twice"),
        (["--means", "1", "--sd", "1", "--means", "1", "--sd", "1", "-n", "1"], "n = 1: two units or more"),
    ],
)
def test_claims_that_are_refused(two_tasks: Path, cli: Cli, arguments: list[str], words: str) -> None:
    done = cli("claim", *arguments, "--results", two_tasks, code=2)
    assert words in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", (), "cannot be read as CSV"),
        ("pair,who,a,b\np,1,2,3\n", ("--patient", "case"), "has no column 'case'; its columns: pair, who, a, b"),
        ("pair,who,a,b\np,1,2,3\nq,,2,3\n", (), "who is empty in some rows"),
        ("pair,who,a\np,1,2\n", (), "no method 'b'; there are: a"),
        ("who,method,value\n1,a,2\n", (), "has no column 'pair'"),
        ("pair,who,method,value\np,1,a,2\np,1,a,3\n", (), "a pair has two values of one method"),
        ("pair,who,method,value\np,1,a,2\np,2,b,3\n", (), "a pair belongs to two patients"),
        (
            "pair,who,method,metric,value\np,1,a,x,2\np,1,b,y,3\n",
            (),
            "holds several metrics; name one by --metric: x, y",
        ),
        ("pair,who,method,metric,value\np,1,a,x,2\n", ("--metric", "z"), "no metric 'z'; there are: x"),
        ("pair,who,a,b\np,1,,3\n", (), "no patient has a defined difference"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, cli: Cli, text: str, options: tuple[str, ...], words: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    done = cli(
        "claim",
        "a",
        "b",
        "--csv",
        path,
        *(options if "--patient" in options else ("--patient", "who", *options)),
        code=2,
    )
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_csv_needs_patients(tmp_path: Path, cli: Cli) -> None:
    wide, _, _ = long_and_wide(tmp_path)
    done = cli("claim", "mine", "theirs", "--csv", wide, code=2)
    assert "slices of one patient are no independent evidence" in " ".join(done.stderr.split())
    one = pd.read_csv(wide).assign(who="1")
    one.to_csv(wide, index=False)
    told = cli("claim", "mine", "theirs", "--csv", wide, "--patient", "who", code=1).stdout
    assert told.startswith("1 patient cannot decide it (smallest possible p = 1).\n")
    assert not math.isnan(float(told.split("p = ")[-1].split(".")[0]))
