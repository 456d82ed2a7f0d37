"""Convention sensitivity: on small tables, on score files, and by the command."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from fusionbench.report.conventions import compare_tables
from fusionbench.scores import Column, Key, Record, Table, write_metric_facts, write_table
from fusionbench.stats.conventions import Comparison, compare_means
from tests.conftest import Cli, folder_options, make_folders

MEANS = {
    "one": {"psnr": 1.0, "psnr@vifb": 3.0, "nabf": 0.1, "nabf@tang": 0.3, "vif": 1.0, "viff": 1.0},
    "two": {"psnr": 2.0, "psnr@vifb": 2.0, "nabf": 0.2, "nabf@tang": 0.2, "vif": 2.0, "viff": 2.0},
    "average": {"psnr": 3.0, "psnr@vifb": 1.0, "nabf": 0.3, "nabf@tang": 0.1, "vif": 3.0, "viff": math.nan},
}
BETTER = {
    "psnr": "higher",
    "psnr@vifb": "higher",
    "nabf": "lower",
    "nabf@tang": "lower",
    "vif": "higher",
    "viff": "higher",
}


def compare(
    means: dict[str, dict[str, float]], better: dict[str, str], controls: tuple[str, ...] = ()
) -> list[Comparison]:
    facts = {column: {"customary": way} for column, way in better.items()}
    return compare_means(means, {column: Column.parse(column, facts) for column in better}, controls=controls)


def test_reversed_rankings_and_winners() -> None:
    found = {c.metric: c for c in compare(MEANS, BETTER, ("average",))}
    assert set(found) == {"psnr", "nabf"}  # vif and viff share two methods only
    assert found["psnr"].tau == -1.0
    assert found["psnr"].winners == ("two", "one")
    assert found["psnr"].leading_controls == (("average",), ())
    assert found["nabf"].winners == ("one", "two")


def test_ties_have_no_tau() -> None:
    means = {m: {"ssim": 1.0, "ssim@l2": float(i)} for i, m in enumerate("abc")}
    (only,) = compare(means, {"ssim": "higher", "ssim@l2": "higher"})
    assert math.isnan(only.tau)


@pytest.mark.parametrize("flat", ["ssim", "ssim@l2"])
def test_two_values_are_a_ranking(flat: str) -> None:
    means = {m: {"ssim": float(i), "ssim@l2": float(i)} | {flat: float(i > 0)} for i, m in enumerate("abc")}
    (only,) = compare(means, {"ssim": "higher", "ssim@l2": "higher"})
    assert only.tau == pytest.approx(math.sqrt(2 / 3))  # two of three pairs of methods, less the tie


def test_headings() -> None:
    assert Column.parse("ssim@l2+foreground").heading == "ssim"
    assert Column.parse("viff").heading == "vif"
    assert Column.parse("mef-ms-ssim@python").heading == "ms-ssim"


def test_a_wrong_direction_is_refused() -> None:
    column = SimpleNamespace(heading="psnr", metric="psnr", mask="", better="up")
    with pytest.raises(ValueError, match="higher"):
        compare_means(MEANS, {"psnr": column})


def table(method: str, scores: Mapping[str, tuple[float, ...]], *, control: bool = False, digest: str = "d") -> Table:
    """Column -> one score a pair, p0, p1, ...; None for a pair that was not scored."""
    pairs: dict[str, Record] = {}
    for n in range(max(map(len, scores.values()))):
        own = {column: values[n] for column, values in scores.items() if n < len(values)}
        pairs[f"p{n}"] = {"pair": f"{digest}{n}", "scores": own}
    about = {"method": {"name": method, "title": method.upper(), "control": control}}
    return Table(Key("made", "pet-mri", method), about, pairs)


def test_tables_are_compared_on_the_pairs_that_all_methods_share() -> None:
    tables = [
        table("a", {"psnr": (1.0, 1.0, 9.0), "psnr@255": (1.0, 1.0, 1.0)}),
        table("b", {"psnr": (2.0, 2.0, 0.0), "psnr@255": (2.0, 2.0, 2.0)}),
        table("c", {"psnr": (3.0, 3.0), "psnr@255": (3.0, 3.0)}),  # has no third pair, where a would lead
    ]
    (found,) = compare_tables(tables, {})
    assert found.tau == pytest.approx(1.0)
    assert (found.methods, found.winners) == (3, ("c", "c"))


def test_a_method_with_an_undefined_score_takes_no_part_and_a_dead_pair_costs_nobody() -> None:
    nan = math.nan
    tables = [table(m, {"psnr": (i, i, nan), "psnr@255": (-i, -i, nan)}) for i, m in enumerate("abc")]
    tables.append(table("copy", {"psnr": (9.0, nan, nan), "psnr@255": (9.0, 9.0, nan)}))
    tables.append(table("short", {"psnr": (9.0,), "psnr@255": (9.0,)}))
    (found,) = compare_tables(tables[:4], {})
    assert found.tau == pytest.approx(-1.0)
    assert (found.methods, found.winners) == (3, ("c", "a"))
    long = [table(m, {"psnr": (i,) * 3, "psnr@255": (-i,) * 3}) for i, m in enumerate("abc")]
    (found,) = compare_tables([*long, tables[4]], {})
    assert found.methods == 3


@pytest.mark.parametrize(("pairs", "methods"), [(1, 3), (2, 4), (3, 4)])
def test_half_of_the_pairs_are_enough(pairs: int, methods: int) -> None:
    tables = [table(m, {"psnr": (i,) * 4, "psnr@255": (-i,) * 4}) for i, m in enumerate("abc")]
    (found,) = compare_tables([*tables, table("d", {"psnr": (9.0,) * pairs, "psnr@255": (9.0,) * pairs})], {})
    assert found.methods == methods


def test_scores_against_other_sources_are_not_put_together() -> None:
    scores = {"psnr": (1.0, 2.0), "psnr@255": (1.0, 2.0)}
    assert compare_tables([table(m, scores, digest=m) for m in "abc"], {}) == []


def test_columns_differ_in_one_thing() -> None:
    columns = ("ssim", "ssim@l2", "ssim+foreground", "ssim@l2+foreground", "en")
    means = {m: {c: float(i) for c in columns} for i, m in enumerate("abc")}
    found = {(c.first, c.second) for c in compare(means, dict.fromkeys(columns, "higher"))}
    assert found == {
        ("ssim", "ssim@l2"),
        ("ssim", "ssim+foreground"),
        ("ssim+foreground", "ssim@l2+foreground"),
        ("ssim@l2", "ssim@l2+foreground"),
    }


def save(results: Path, *tables: Table) -> None:
    for item in tables:
        write_table(results, item)
    write_metric_facts(results, {"nabf": {"customary": "lower"}, "nabf@tang": {"customary": "lower"}}, {})


def test_the_command_prints_tables_csv_and_json(cli: Cli, tmp_path: Path) -> None:
    lower = {"a": (0.1, 0.3), "b": (0.2, 0.2), "top": (0.0, 0.1)}
    save(tmp_path, *(table(m, {"nabf": (x,), "nabf@tang": (y,)}, control=m == "top") for m, (x, y) in lower.items()))
    text = cli("sensitivity", "--results", tmp_path).stdout
    assert "made/pet-mri" in text
    assert "A (behind TOP)" in text
    assert "1 comparisons: 1 put another method first" in text
    (row,) = csv.DictReader(io.StringIO(cli("sensitivity", "--results", tmp_path, "-t", "pet-mri", "--csv").stdout))
    assert (row["task"], row["winner"], row["other_winner"], row["controls_ahead"]) == ("made/pet-mri", "a", "b", "top")
    assert float(row["kendall_tau"]) == pytest.approx(1 / 3, abs=1e-6)
    (only,) = json.loads(cli("sensitivity", "--results", tmp_path, "--json").stdout)["made/pet-mri"]
    assert only["winners"] == ["a", "b"]
    assert only["tau"] == pytest.approx(1 / 3)


def test_the_command_says_what_is_missing(cli: Cli, tmp_path: Path) -> None:
    assert "holds no scores" in cli("sensitivity", "--results", tmp_path, code=2).stderr
    save(tmp_path, *(table(m, {"ssim": (0.1,), "sd": (1.0,)}) for m in ("average", "laplacian@levels=5")))
    assert "needs 3; add some: fusionbench run -m METHOD" in cli("sensitivity", "--results", tmp_path, code=2).stderr
    save(tmp_path, table("maximum", {"ssim": (0.1,), "sd": (1.0,)}))
    message = cli("sensitivity", "--results", tmp_path, code=2).stderr
    assert "run -m average -m laplacian:levels=5 -m maximum -t made/pet-mri --metric ssim@l2" in message
    assert "there are: sd, ssim" in cli("sensitivity", "--results", tmp_path, "--metric", "ssmi", code=2).stderr
    assert "there are: made/pet-mri" in cli("sensitivity", "--results", tmp_path, "-t", "ct-mri", code=2).stderr
    assert "exclude" in cli("sensitivity", "--results", tmp_path, "--csv", "--json", code=2).stderr


def test_the_command_that_is_proposed_adds_the_comparison(cli: Cli, tmp_path: Path) -> None:
    source = folder_options(make_folders(tmp_path / "pairs"))
    results = tmp_path / "results"
    cli("run", "-m", "average", "-m", "maximum", "-m", "pca", *source, "--metric", "ssim", "--results", results)
    proposed = cli("sensitivity", "--results", results, code=2).stderr.partition("fusionbench run ")[2].split()
    cli("run", *proposed, *source[2:])  # the task is named in it; where the images are, only the user knows
    (found, *_) = json.loads(cli("sensitivity", "--results", results, "--json").stdout).values()
    assert {c["methods"] for c in found} == {3}
