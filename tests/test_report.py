"""Boards and their texts: what is compared, what is ranked, awkward data, and outputs that are the same twice."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from matplotlib.collections import PathCollection
from PIL import Image
from scipy import stats as scipy_stats

import fusionbench
from fusionbench import bench, report, stats
from fusionbench.datasets import TASKS, create_task
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.methods.published import published_facts, published_names
from fusionbench.metrics import METRICS as REGISTERED_METRICS
from fusionbench.pairs import read_picture
from fusionbench.registry import Registry
from fusionbench.report import (
    conventions,
    csvs,
    figures,
    latex,
    leaderboards,
    page,
    page_data,
    plots,
    references,
    sources,
    tables,
    verdicts,
    write_report,
)
from fusionbench.report.boards import Board, acronym
from fusionbench.report.choice import make_boards
from fusionbench.report.columns import BESIDE, COLUMNS, Beside, filled
from fusionbench.report.curves import csv_text as curves_csv
from fusionbench.report.curves import curves
from fusionbench.report.grid import tiles
from fusionbench.scores import (
    Key,
    Record,
    Table,
    read_metric_facts,
    read_results,
    read_table,
    write_metric_facts,
    write_table,
)
from tests.conftest import make_folders, save, slices, tree
from tests.test_stats import signs

METRICS = {
    "gain": {"name": "gain", "title": "Gain", "short": "G", "direction": "higher", "customary": "higher"},
    "loss": {"name": "loss", "title": "Loss", "short": "L", "direction": "lower", "customary": "lower"},
    "look": {"name": "look", "title": "Look", "short": "K", "direction": "describes", "customary": "higher"},
}
PROFILES = {"dmfnet": {"title": "a profile", "metrics": list(METRICS), "core": ["gain", "loss"]}}
Scores = Mapping[str, tuple[float, ...]]


def add(
    results: Path,
    method: str,
    scores: Scores,
    *,
    dataset: str = "made",
    task: str = "pet-mri",
    errors: Mapping[str, str] | None = None,
    digest: str = "digest",
    slices_of_one: int = 1,
    **facts: object,
) -> None:
    """Write a score table: metric -> one value a pair, pairs p0, p1, ... of cases c0, c1, ..., so many slices of each."""
    pairs: dict[str, Record] = {}
    for n in range(len(next(iter(scores.values())))):
        pairs[f"p{n}"] = {"case": f"c{n // slices_of_one}", "pair": f"{digest}{n}", "seconds": 0.5 + n}
        pairs[f"p{n}"]["scores"] = {m: values[n] for m, values in scores.items()}
    for pair, reason in (errors or {}).items():
        pairs[pair] = {"case": "c9", "pair": f"digest{pair[1:]}", "error": reason}
    about = {"method": {"name": method, "title": method.upper()} | facts, "task": {"modalities": ["MRI", "PET"]}}
    write_table(results, Table(Key(dataset, task, method), about, pairs))
    write_metric_facts(results, METRICS, PROFILES)


def spread(base: float, n: int = 8) -> tuple[float, ...]:
    return tuple(base + 0.01 * i for i in range(n))


def board(results: Path, **chosen: Any) -> Board:
    found = make_boards(read_results(results), read_metric_facts(results), **chosen)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three methods and a control: b has the best gain, a the best loss and look."""
    add(tmp_path, "a", {"gain": spread(2), "loss": spread(1), "look": spread(9)}, year=2001, family="one")
    add(tmp_path, "b", {"gain": spread(3), "loss": spread(2), "look": spread(5)}, year=2002)
    add(tmp_path, "c", {"gain": spread(1), "loss": spread(3), "look": spread(7)}, foreign=True)
    add(tmp_path, "top", {"gain": spread(9), "loss": spread(1.5), "look": spread(1)}, control=True)
    return tmp_path


def test_means_ranks_and_places(three: Path) -> None:
    found = board(three)
    assert (found.order, found.controls, len(found.pairs)) == (["a", "b", "c"], ["top"], 8)
    assert found.means.loc["b", "gain"] == pytest.approx(np.mean(spread(3)))
    assert found.stds.loc["b", "gain"] == pytest.approx(np.std(spread(3), ddof=1))
    assert found.mean_rank.to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0, "top": 1.5}
    assert found.wins.to_dict() == {"a": 0.5, "b": 0.5, "c": 0.0}
    assert found.placing("gain") == {"b": "best", "a": "second"}
    assert found.placing("loss") == {"a": "best", "b": "second"}
    assert any("TOP is ahead of every method on G" in note for note in found.notes)


def test_tables_mark_places_ties_controls_and_descriptions(three: Path) -> None:
    text = tables.markdown(board(three))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "K\\* ↑" in rows[0]
    assert "L ↓" in rows[0]
    assert rows[2].startswith("| 1 | A | 2001 | none | **1.50** |")
    assert f"**{np.mean(spread(3)):.4f}**" in rows[3]
    assert rows[5].startswith("|  | *TOP* (control)")
    assert "**9." not in rows[5]
    assert "Fused elsewhere (scored from images): C." in text


def test_captions_say_what_the_cells_hold(three: Path) -> None:
    """No word of a deviation where cells hold means, of a mark that no cell has, of bold where nothing can be bold."""
    found = board(three)
    for text in (tables.markdown(found), latex.table(found)):
        assert "Mean over 8 pairs." in text
        assert "eviation" not in text
        assert "±" not in text
    for text in (tables.markdown(found, std=True), latex.table(found, std=True)):
        assert "standard deviation over 8 pairs." in text
        assert f"{np.std(spread(3), ddof=1):.4f}" in text
    assert f"**{np.mean(spread(3)):.4f}** ± {np.std(spread(3), ddof=1):.4f}" in tables.markdown(found, std=True)
    assert f"{{\\textbf{{{np.mean(spread(3)):.4f}}} $\\pm$ {np.std(spread(3), ddof=1):.4f}}}" in latex.table(
        found, std=True
    )
    legend = " ".join(tables.sheet(found).legend)
    assert "Mean rank over G, L:" in legend
    assert "Best bold, second underlined." in legend
    assert "‡" not in legend
    assert "ean rank" not in tables.sheet(found, ["year"]).legend[0]
    assert "bold" not in " ".join(tables.sheet(found, styled=False).legend)
    few = board(three, methods=["a", "top"])
    assert not [word for word in ("bold", "†", "elsewhere") if word in " ".join(tables.sheet(few).legend)]


def test_every_method_metric_and_data_set_is_cited_by_a_real_entry() -> None:
    """Author, title, where and when; who adds one with a DOI adds its paper to fusionbench/report/references.bib."""
    registries: list[Registry[Any]] = [METHODS, REGISTERED_METRICS, TASKS]
    plugins = [registry[name] for registry in registries for name in registry]
    # Other tests of this process have registered plugins of their own.
    sheets = [p.facts for p in plugins if p.factory.__module__.startswith("fusionbench.")]
    cited = {f.name: references.entry(dataclasses.asdict(f)) for f in sheets if f.reference}
    own = {f.name for f in sheets if f.reference.startswith("Defined here") and not f.doi}
    assert {name for name, found in cited.items() if found is None} == own
    for name, found in cited.items():
        if found is not None:
            assert not found.text.startswith("@misc{" + name), f"{name} needs an entry in references.bib"
            assert all(found.field(field) for field in ("author", "title", "year")), found.text
            assert any(found.field(field) for field in ("journal", "booktitle", "howpublished")), found.text
            assert found.text.count("{") == found.text.count("}")
    assert cited["dmfnet"] is not None
    assert cited["dmfnet"].key == "he2025dmfnet"
    assert len({known.key for known in references._known()}) == len(references._known())
    whole = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {references.itself().field('note').removeprefix('Version ')}\n" in whole
    assert references.itself().field("title").replace("{", "").replace("}", "") in whole


def test_tables_cite_what_they_show(three: Path) -> None:
    add(
        three, "lp", {m: spread(2) for m in METRICS}, doi="10.1109/TCOM.1983.1095851", reference="Burt and Adelson 1983"
    )
    add(three, "mine", {m: spread(2) for m in METRICS}, reference="A & B, On fusion, 2026", year=2026)
    add(three, "net", {m: spread(2) for m in METRICS}, **published_facts("CDDFuse") | {"name": "net"})
    facts = {**METRICS, "gain": METRICS["gain"] | {"doi": "10.1109/TIP.2003.819861", "reference": "Wang 2004"}}
    write_metric_facts(three, facts, PROFILES)
    for table in read_results(three):
        table.about["task"] |= {"reference": "Generated from the ICBM atlas", "doi": "10.1016/j.neuroimage.2010.07.033"}
        write_table(three, table)
    found = board(three)
    text, entries = latex.table(found), references.bibliography([found])
    assert "LP~\\cite{burt1983laplacian} &" in text
    assert "made~\\cite{fonov2011atlases}, profile dmfnet." in text
    assert "Metrics: G~\\cite{wang2004ssim}. Computed with fusionbench~\\cite{fusionbench}." in text
    keys = re.findall(r"\\cite\{(\S+?)\}", text)
    assert set(keys) == set(re.findall(r"(?m)^@\w+\{(\S+),$", entries))
    assert set(keys) > {"mine", "CDDFuse"}
    assert "author = {Burt, Peter J. and Adelson, Edward H.}" in entries
    assert "note = {A \\& B, On fusion, 2026}" in entries


def test_a_single_pair_has_no_standard_deviation(tmp_path: Path) -> None:
    add(tmp_path, "a", dict.fromkeys(METRICS, (1.0,)))
    assert "Mean over 1 pair." in tables.markdown(board(tmp_path), std=True)


def test_the_origin_of_images_is_what_was_said(three: Path) -> None:
    add(three, "d", {m: spread(4) for m in METRICS}, foreign=True, origin="authors' release")
    add(three, "e", {m: spread(5) for m in METRICS}, foreign=True, note="third-party run; odd")  # as 0.1.0 wrote it
    legend = tables.sheet(board(three)).legend
    assert sorted(text for text in legend if text.startswith("Fused elsewhere")) == [
        "Fused elsewhere (authors' release): D.",
        "Fused elsewhere (scored from images): C.",
        "Fused elsewhere (third-party run): E.",
    ]


def test_markdown_renders_as_one_whole_table(three: Path) -> None:
    add(three, "odd", {m: spread(2) for m in METRICS}, title="a|b *c* <i> `d` [e](f) _g_")
    found = board(three)
    html = MarkdownIt("commonmark").enable("table").render(tables.markdown(found, COLUMNS))
    assert html.count("<tr>") == 1 + len(found.ranked)
    assert html.count("<td") == len(found.ranked) * (2 + len(filled(found, COLUMNS)) + len(found.metrics))
    assert {*COLUMNS} - {*filled(found, COLUMNS)} == {
        "findings",
        "doi",
        "code",
    }  # nobody observed or stated anything here
    assert '<td style="text-align:left">a|b *c* &lt;i&gt; `d` [e](f) _g_</td>' in html


def test_facts_of_published_methods() -> None:
    assert len(published_names()) == 24
    for name in published_names():
        facts = published_facts(name.upper())
        assert facts["foreign"] is True
        assert facts["title"] == name
        assert not facts.get("doi") or re.fullmatch(r"10\.\d{4,}/\S+", facts["doi"])
        assert facts["bibtex"].count("{") == facts["bibtex"].count("}")
    assert published_facts("nobody") == {"name": "nobody", "title": "nobody", "foreign": True}
    assert "do not agree with the authors" in published_facts("LKC-FUNet")["note"]


def test_ties_share_the_best_and_leave_no_second(tmp_path: Path) -> None:
    for name in "ab":
        add(tmp_path, name, {"gain": spread(2), "loss": spread(1)})
    add(tmp_path, "c", {"gain": spread(1), "loss": spread(2)})
    found = board(tmp_path)
    assert found.placing("gain") == {"a": "best", "b": "best"}
    assert found.mean_rank.to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}
    assert [found.place_of(m) for m in found.order] == [1, 1, 3]
    assert found.tests.tied["gain"] == ["a", "b"]


def test_statistics_agree_with_scipy_on_the_csv(three: Path) -> None:
    random = np.random.default_rng(0)
    for name in "abc":
        values = {m: tuple(random.normal(size=20)) for m in METRICS}
        add(three, name, values)
    add(three, "top", {m: tuple(random.normal(size=20)) for m in METRICS}, control=True)
    ranks = {}
    for metric, sign in (("gain", -1), ("loss", 1)):
        columns = []
        for name in "abc":
            with Key("made", "pet-mri", name).csv(three).open() as file:
                columns.append([sign * float(row[metric]) for row in csv.DictReader(file)])
        ranks[metric] = scipy_stats.rankdata(np.array(columns), axis=0)
    blocks = (ranks["gain"] + ranks["loss"]) / 2
    found = board(three)
    assert found.tests.friedman.chi2 == pytest.approx(scipy_stats.friedmanchisquare(*blocks).statistic)  # type: ignore[union-attr]
    by_hand = signs(blocks[0] - blocks[1])
    line = found.tests.wilcoxon.set_index(["first", "second"])
    pair = ("a", "b") if ("a", "b") in line.index else ("b", "a")
    assert line.loc[pair, "p"] == pytest.approx(by_hand, rel=1e-9)
    stored = csvs.statistics_csv(found)
    assert f"friedman_chi2,{found.tests.friedman.chi2!r}" in stored["statistics"]  # type: ignore[union-attr]


def test_a_method_that_failed_on_some_pairs_is_compared_on_the_others(three: Path) -> None:
    add(three, "d", {m: spread(1, 6) for m in METRICS}, errors={"p6": "no", "p7": "no"})
    found = board(three)
    assert found.pairs == [f"p{n}" for n in range(6)]
    assert "D failed on 2 of 8 pairs" in found.notes
    assert any("6 of 8 pairs that all ranked methods share" in note for note in found.notes)
    assert found.means.loc["b", "gain"] == pytest.approx(np.mean(spread(3)[:6]))


def test_methods_apart(three: Path) -> None:
    add(three, "few", {m: spread(99, 3) for m in METRICS})
    add(three, "half", {m: spread(0, 4) for m in METRICS})
    add(three, "other", {"look": spread(1)})
    add(three, "broken", {"gain": ()}, errors={"p0": "out of memory", "p1": "out of memory"})
    found = board(three)
    assert sorted(found.order) == ["a", "b", "c", "half"]
    assert found.pairs == ["p0", "p1", "p2", "p3"]
    assert found.apart["few"] == "covers 3 of 8 pairs, fewer than half"
    assert "lacks gain, loss" in found.apart["other"]
    assert "failed on all 2 pairs (out of memory)" in found.apart["broken"]
    assert "BROKEN: not ranked" in tables.markdown(found)
    assert len(list(csv.reader(io.StringIO(csvs.csv_text(found))))) == 9


def test_undefined_scores_are_counted_shown_and_ranked_last(three: Path) -> None:
    add(three, "d", {"gain": (math.nan, *spread(99, 7)), "loss": spread(0), "look": spread(1)})
    found = board(three)
    assert found.undefined.loc["d", "gain"] == 1
    assert found.ranks.loc["d", "gain"] == 4
    assert found.placing("gain") == {"b": "best", "a": "second"}
    assert any("G of D is undefined on 1 of 8 pairs" in note for note in found.notes)
    text = tables.markdown(found)
    assert f"{np.mean(spread(99, 7)):.4f}‡" in text
    assert "nan" not in csvs.csv_text(found)


def test_a_pair_undefined_for_all_is_left_out(tmp_path: Path) -> None:
    add(tmp_path, "a", {"gain": (math.nan, 1.0, 3.0, 5.0), "loss": spread(1, 4)})
    add(tmp_path, "b", {"gain": (math.nan, 0.0, 1.0, 2.0), "loss": spread(2, 4)})
    found = board(tmp_path)
    assert found.means["gain"].to_dict() == {"a": 3.0, "b": 1.0}
    assert found.undefined.to_numpy().sum() == 0
    assert "undefined for every method on 1 pairs" in found.notes[0]


def test_pairs_with_other_sources_are_left_out(three: Path) -> None:
    add(three, "d", {m: spread(1) for m in METRICS}, digest="changed")
    found = board(three)
    assert (found.order, found.pairs) == ([], [])
    assert any("8 pairs were scored against different source images" in note for note in found.notes)
    assert set(found.apart.values()) == {"no pair is common to all methods"}
    assert len(write_report(three, three / "out")) > 5


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ()])
def test_one_method_two_methods_or_only_a_control(tmp_path: Path, names: tuple[str, ...]) -> None:
    for n, name in enumerate(names):
        add(tmp_path, name, {m: spread(n) for m in METRICS})
    add(tmp_path, "top", {m: spread(5) for m in METRICS}, control=True)
    found = board(tmp_path)
    assert isinstance(found.tests.friedman, str)
    assert len(found.tests.pairwise) == (len(names) == 2)
    assert any("the control TOP is ahead" in note for note in found.notes) == bool(names)
    for text in (
        tables.markdown(found),
        csvs.csv_text(found),
        latex.table(found),
        *csvs.statistics_csv(found).values(),
    ):
        assert text.endswith("\n")
    assert len(write_report(tmp_path, tmp_path / "out")) > 10


def test_one_pair_and_no_common_pair(tmp_path: Path) -> None:
    add(tmp_path, "a", dict.fromkeys(METRICS, (1.0,)))
    add(tmp_path, "b", dict.fromkeys(METRICS, (2.0,)))
    found = board(tmp_path)
    assert isinstance(found.tests.nemenyi, str)
    assert "intervals need 5 patients or more" in str(found.tests.bootstrap)
    assert (
        "No two methods can be told apart: 1 patient cannot decide it (smallest possible p = 1)."
        in verdicts.summary(found)
    )
    assert len(write_report(tmp_path, tmp_path / "out")) > 10


@pytest.mark.parametrize(("patients", "slices_of_one"), [(3, 8), (5, 4), (6, 4)])
def test_few_patients_cannot_decide(tmp_path: Path, patients: int, slices_of_one: int) -> None:
    """Whatever the scores, and however many slices there are: nobody is called better, marked or among the best alone."""
    for n, name in enumerate("abc"):
        scores = {m: spread(9.0 * n, patients * slices_of_one) for m in ("gain", "look")}
        add(tmp_path, name, scores | {"loss": spread(-9.0 * n, patients * slices_of_one)}, slices_of_one=slices_of_one)
    found = board(tmp_path)
    said = " ".join([*verdicts.verdict(found), *verdicts.summary(found)])
    assert f"{patients} patients" in said
    assert not any(cell.tied for line in tables.sheet(found).lines for cell in line.cells)
    assert (patients >= 5) == (not isinstance(found.tests.bootstrap, str))
    if patients == 6:
        assert set(found.tests.pairwise["verdict"]) == {"better"}
        assert (found.tests.undecidable, found.tests.among_best) == ("", ["c"])
        return
    least = {3: "0.25", 5: "0.0625"}[patients]
    assert f"{patients} patients cannot decide it (smallest possible p = {least})" in said
    assert set(found.tests.pairwise["verdict"]) == {"not decidable"}
    assert found.tests.among_best == found.order
    assert "better" not in said


def test_choices_and_unknown_names(three: Path) -> None:
    chosen = board(three, methods=["a", "B"], metrics=["loss"])
    assert (chosen.order, chosen.metrics, chosen.core) == (["a", "b"], ["loss"], ["gain", "loss"])
    for wrong in ({"methods": ["nobody"]}, {"metrics": ["nothing"]}, {"profiles": ["none"]}):
        with pytest.raises(InputError, match="is not in these results"):
            board(three, **wrong)
    with pytest.raises(InputError, match="column 'colour' is unknown"):
        write_report(three, columns=["colour"])
    with pytest.raises(InputError, match="holds no scores"):
        write_report(three / "empty")


def test_a_metric_asked_for_singly_stands_beside_the_profiles(tmp_path: Path) -> None:
    """One that no profile holds, or none that was asked for as a whole; in its mask, where a profile has that too."""
    columns = ("gain", "loss", "look", "gain@other", "width", "width+foreground", "part")
    add(tmp_path, "a", {m: spread(2) for m in columns})
    facts = read_metric_facts(tmp_path)
    facts["profiles"]["wide"] = {"title": "wide", "metrics": ["width", "depth", "part"], "core": ["width", "depth"]}

    def shown(**chosen: Any) -> dict[str, list[str]]:
        return {b.profile: b.metrics for b in make_boards(read_results(tmp_path), facts, **chosen)}

    mine = ["gain", "loss", "look"]
    assert shown() == {"dmfnet": [*mine, "gain@other", "part", "width", "width+foreground"]}
    assert shown(metrics=["PART", "loss"]) == {"dmfnet": ["part", "loss"]}
    add(tmp_path, "a", {m: spread(2) for m in (*columns, "depth", "loss+foreground", "gain+foreground")})
    assert shown() == {
        "dmfnet": [*mine, "gain@other"],
        "wide": ["width", "depth", "part", "gain@other"],
        "dmfnet+foreground": ["gain+foreground", "loss+foreground", "width+foreground"],
    }
    assert shown(beside=["part", "gain+foreground", "nowhere"])["dmfnet"] == [*mine, "gain@other", "part"]
    assert shown(metrics=["gain"]) == {"dmfnet": ["gain"], "wide": ["gain"], "dmfnet+foreground": ["gain+foreground"]}
    assert shown(metrics=["width+foreground"]).keys() == {"dmfnet", "wide", "dmfnet+foreground"}


def test_a_profile_explains_its_metrics_where_nothing_else_was_asked_for(tmp_path: Path) -> None:
    add(tmp_path, "a", {m: spread(2) for m in ("gain", "loss")})
    facts = read_metric_facts(tmp_path)
    facts["profiles"]["one"] = {"title": "one", "metrics": ["gain"], "core": ["gain"]}
    found = make_boards(read_results(tmp_path), facts)
    assert {b.profile: b.metrics for b in found} == {"dmfnet": ["gain", "loss"], "one": ["gain"]}


def test_results_without_a_score_are_told(tmp_path: Path) -> None:
    add(tmp_path, "a", {"gain": ()}, errors={"p0": "failed"})
    with pytest.raises(InputError, match="no method has a score; run `fusionbench run` again"):
        leaderboards(tmp_path)


def test_a_choice_that_leaves_nothing_is_told(three: Path) -> None:
    write_metric_facts(three, METRICS, PROFILES | {"whole": {"title": "", "metrics": ["gain", "more"], "core": []}})
    with pytest.raises(InputError, match="profile whole: not scored, more lacking; add it"):
        leaderboards(three, profiles=["WHOLE"])


def test_the_terminals_leaderboard(three: Path) -> None:
    (found,) = leaderboards(three)
    assert found.headings == ("Mean rank", "G ↑", "L ↓", "K* ↑")
    assert [(line.title, line.kind) for line in found.lines][-1] == ("TOP", "control")
    assert not any(cell.tied for line in found.lines for cell in line.cells)


def test_csv_holds_full_precision(three: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(csvs.csv_text(board(three)))))
    row = next(row for row in rows if row["method"] == "b")
    assert float(row["gain_mean"]) == np.mean(spread(3))
    assert float(row["mean_rank_low"]) <= 1.5 <= float(row["mean_rank_high"])
    assert next(row for row in rows if row["method"] == "top")["place"] == ""


def test_latex_escapes_and_aligns(three: Path) -> None:
    add(three, "odd", {m: spread(2) for m in METRICS}, doi="10.1/x_y", title="50% & $more_#1 ~^{}")
    text = latex.table(board(three))
    assert r"50\% \& \$more\_\#1 \textasciitilde{}\textasciicircum{}\{\}" in text
    assert "S[table-format=1.4]" in text
    assert r"{\textbf{3.0350}}" in text
    assert r"\emph{TOP}" in text
    assert "@misc{odd," in references.bibliography([board(three)])


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex; install texlive-latex-extra and texlive-science"
)
def test_latex_compiles(three: Path, tmp_path: Path) -> None:
    write_report(three, tmp_path / "out", columns=COLUMNS)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "out" / "tables.pdf").stat().st_size > 10_000


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Real scores and images of four methods on three small colour pairs, one of them failing on a clean input."""
    root = tmp_path_factory.mktemp("real")
    data = list(make_folders(root / "data"))
    bench.run(["average", "maximum", "pca", "laplacian"], ["folders/pet-mri"], root / "results", data=data)
    bench.run(["average", "pca"], ["folders/pet-mri"], root / "results", data=data, corrupt=["noise:sigma=0.1"])
    return root / "results", data


def test_a_report_is_a_pure_function_of_the_results(real: tuple[Path, list[Path]], tmp_path: Path) -> None:
    results, data = real
    before = tree(results)
    chosen = {"profiles": ["dmfnet"], "metrics": ["ssim", "mi"], "data": data, "paper": figures.Paper("2col", None)}
    first = write_report(results, tmp_path / "one", **chosen)  # type: ignore[arg-type]
    write_report(results, tmp_path / "two", **chosen)  # type: ignore[arg-type]
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert "figures/folders/pet-mri/robustness-noise-b.png" in one
    assert one == two
    assert tree(results) == before
    assert sorted(str(path.relative_to(tmp_path / "one")) for path in first) == sorted(one)
    assert {f"figures/folders/pet-mri/{n}.{s}" for n in ("grid", "boxes-ssim", "ranks") for s in ("png", "pdf")} <= set(
        one
    )
    assert not any(
        re.search(rb"/CreationDate|/tmp/|\d{4}-\d\d-\d\dT", content)
        for name, content in one.items()
        if not name.endswith("png")
    )


def embedded(html: str) -> dict[str, Any]:
    """The data of a page."""
    found = re.search(r'id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def written_page(results: Path, out: Path, data: Sequence[Path] = (), images: str = "auto") -> str:
    boards = make_boards(read_results(results), read_metric_facts(results))
    page.write(boards, out, results, data, (), images)
    return (out / "index.html").read_text(encoding="utf-8")


def test_pairs_and_zoom_of_the_grid(real: tuple[Path, list[Path]], tmp_path: Path) -> None:
    results, data = real
    chosen = {"methods": ["pca", "laplacian"], "profiles": ["dmfnet"], "metrics": ["ssim"], "data": data}
    write_report(results, tmp_path / "plain", **chosen)  # type: ignore[arg-type]
    write_report(results, tmp_path / "chosen", pairs=["p0", "p2"], zoom=(4, 4, 20, 20), **chosen)  # type: ignore[arg-type]
    grids = [next((tmp_path / name).rglob("grid.png")).read_bytes() for name in ("plain", "chosen")]
    assert grids[0] != grids[1]
    with pytest.raises(InputError, match="zoom 60,60,20,20 does not lie within the 64 x 64 image"):
        write_report(results, tmp_path / "bad", zoom=(60, 60, 20, 20), **chosen)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pair 'p9'"):
        write_report(results, tmp_path / "bad", pairs=["p9"], **chosen)  # type: ignore[arg-type]
    assert not (tmp_path / "bad").exists()


def named(figure: object, stem: Path) -> list[Path]:
    """In place of figures.save, which takes a second a figure: what it would write."""
    return [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("pdf", "png")]


def test_the_grid_shows_scored_images_and_tells_which_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "save", named)
    data, results = list(make_folders(tmp_path / "data")), tmp_path / "results"
    for name, folder in (("copied", tmp_path / "theirs"), ("far", tmp_path / "far"), ("gone", tmp_path / "gone")):
        for i, image in enumerate(slices(3, seed=len(name))):
            save(folder / f"p{i}.png", image)
        options: dict[str, Any] = {"data": data, "metrics": ["en"], "copy": name == "copied"}
        bench.score_folders([(folder, {"name": name})], "folders/pet-mri", results, **options)
    shutil.rmtree(tmp_path / "gone")
    shutil.rmtree(tmp_path / "theirs")
    (tmp_path / "far" / "p1.png").unlink()

    told: list[str] = []
    written = write_report(results, tmp_path / "out", data=data, pairs=["p0"], tell=told.append)
    absent = "the images that were scored are not at hand"
    assert told == [f"image grid of folders/pet-mri without gone: {absent}"]
    assert "grid.png" in [path.name for path in written]

    def grid(data: list[Path], pairs: list[str], images: str = "auto", **chosen: Any) -> list[str]:
        told.clear()
        (found,) = make_boards(read_results(results), read_metric_facts(results), **chosen)
        return ["shown" for _ in report._shown(found, results, data, pairs, images, None, told.append)]

    assert (grid(data, ["p1"]), told) == (["shown"], [f"image grid of folders/pet-mri without far, gone: {absent}"])
    none = "no image grid of folders/pet-mri: "
    assert (grid(data, [], methods=["gone"]), told) == ([], [none + absent])
    twice = "folders takes two folders, structural images first, and got 0; give --data twice"
    assert (grid([], ["p0"]), told) == ([], [none + twice])
    assert (grid(data, ["p0"], "none"), told) == ([], [none + "asked to show no images"])
    assert (grid(data, [], "none"), told) == ([], [])
    (found,) = make_boards(read_results(results), read_metric_facts(results))
    shown = sources.load(found, create_task("folders/pet-mri", data=data), results, "p0")
    np.testing.assert_array_equal(shown.fused["far"], slices(3, seed=3)[0])
    assert set(tiles(found, [shown])) == {"copied", "far"}


def test_a_report_tells_how_far_it_is(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "save", named)
    told: list[tuple[str, int, int]] = []
    written = write_report(three, notify=lambda *step: told.append(step))
    ends = {stage: (done, total) for stage, done, total in told}
    drawn = sum(path.suffix == ".pdf" for path in written) + 1  # no bump chart of one profile
    assert ends == {
        "report: reading scores": (1, 1),
        "report: tables": (1, 1),
        "report: figures": (drawn, drawn),
        "report: page": (1, 1),
    }
    assert [done for stage, done, _ in told if stage == "report: figures"] == list(range(drawn + 1))


def test_images_that_are_not_those_scored_are_not_shown(real: tuple[Path, list[Path]], tmp_path: Path) -> None:
    results, data = real
    shutil.copytree(results, tmp_path / "results")
    pca, average = (Key("folders", "pet-mri", name).fused(tmp_path / "results") for name in ("pca", "average"))
    for pair in ("p0", "p1", "p2"):
        shutil.copy(average / f"{pair}.png", pca)
    html = written_page(tmp_path / "results", tmp_path / "out", data)
    (shown, *_) = embedded(html)["tasks"][0]["images"]["pairs"]
    assert sorted(shown["fused"]) == ["average", "laplacian", "maximum"]
    with Image.open(tmp_path / "out" / shown["folder"] / f"{shown['fused']['average']}.webp") as image:
        scored = read_picture(average / f"{shown['id']}.png").grey
        np.testing.assert_array_equal(np.asarray(image.convert("L")), scored)


def test_every_number_on_the_page_is_that_of_the_csv(real: tuple[Path, list[Path]], tmp_path: Path) -> None:
    results, data = real
    (task,) = embedded(written_page(results, tmp_path, data))["tasks"]
    boards = make_boards(read_results(results), read_metric_facts(results))
    clean = {found.profile: found for found in boards if found.dataset == "folders"}
    assert [profile["name"] for profile in task["profiles"]] == list(clean)
    for profile in task["profiles"]:
        group = task["cohorts"][profile["cohort"]]
        ranked = [*profile["order"], *profile["controls"]]
        rows = {row["method"]: row for row in csv.DictReader(io.StringIO(csvs.csv_text(clean[profile["name"]])))}
        for n, method in enumerate(ranked):
            assert profile["columns"]["rank"][n] == round(float(rows[method]["mean_rank"]), 4)
            for metric in profile["metrics"]:
                told = group["metrics"][metric]["mean"][group["methods"].index(method)]
                assert told == pytest.approx(float(rows[method][f"{metric}_mean"]), abs=5e-5, rel=5e-6)
            among = rows[method]["among_best"] == "True" and not clean[profile["name"]].tests.undecidable
            assert (method in profile["among"]) is among


def test_the_page_marks_what_the_tables_mark(three: Path) -> None:
    found = board(three)
    task = page_data.task_data([found])
    (group,) = task["cohorts"]
    for line in tables.sheet(found, []).lines:
        n = group["methods"].index(line.method)
        for metric, cell in zip(found.metrics, line.cells, strict=True):
            held = group["metrics"][metric]
            assert (n in held.get("tied", []) and cell.place != "best") is cell.tied
            assert held.get("undefined", {}).get(line.method, 0) == cell.undefined
    assert any(held.get("tied") for held in group["metrics"].values())


def test_what_the_page_derives_ranks_from_is_what_was_scored(tmp_path: Path) -> None:
    """Orders within pairs exactly, means by patient to a five-hundredth of the span."""
    random = np.random.default_rng(3)
    for name in "abcd":
        values = {m: tuple(np.round(random.normal(size=12), 1)) for m in METRICS}
        values["gain"] = (*values["gain"][:5], math.nan, *values["gain"][6:]) if name == "a" else values["gain"]
        add(tmp_path, name, values, slices_of_one=3)
    found = board(tmp_path)
    (group,) = page_data.task_data([found])["cohorts"]
    digits = page_data._DIGITS
    for metric, better in (("gain", "higher"), ("loss", "lower")):
        held, frame = group["metrics"][metric], found.scores[metric][group["methods"]]
        steps = [[digits.index(c) for c in text] for text in held["orders"]]
        positions = np.cumsum([[n // 2 if n % 2 == 0 else -(n + 1) // 2 for n in row] for row in steps], axis=0)
        expected = frame.rank(axis=1, ascending=better == "lower", method="dense", na_option="bottom") - 1
        np.testing.assert_array_equal(positions, expected)
        by_patient = stats.by_patient(frame, found.patients).loc[group["patients"]].to_numpy()
        for p, codes in enumerate(held["patients"]["codes"]):
            counts = [
                digits.index(a) * len(digits) + digits.index(b) for a, b in zip(codes[::2], codes[1::2], strict=True)
            ]
            step = held["patients"]["step"][p]
            for n, steps_up in enumerate(counts):
                if np.isnan(by_patient[p, n]):
                    assert steps_up == page_data.LEVELS + 1
                else:
                    told = held["mean"][n] + held["patients"]["low"][p] + steps_up * step
                    assert told == pytest.approx(by_patient[p, n], abs=0.51 * step + 1e-5)


def test_a_page_of_too_many_methods_keeps_the_ranks(three: Path) -> None:
    task = page_data.task_data([board(three)])
    page_data.trim([task, json.loads(json.dumps(task))], 10**6)
    assert all("orders" in task["cohorts"][0]["metrics"][m] for m in ("gain", "loss"))
    page_data.trim([task], 10)
    assert all(set(held) <= {"mean", "tied"} for held in task["cohorts"][0]["metrics"].values())


def test_a_column_is_described_once_for_tables_and_page(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makers = Beside(
        "Pairs done", lambda board, method: float(len(board.tables[method].pairs)), lambda v: f"{v:.0f} pairs"
    )
    monkeypatch.setitem(BESIDE, "done", makers)
    found = board(three)
    sheet = tables.sheet(found, ["done", "rank"])
    assert sheet.headings[:2] == ("Pairs done", "Mean rank")
    assert sheet.lines[0].cells[0].text == "8 pairs"
    data = embedded(written_page(three, three / "out", images="none"))
    assert data["columns"][-1] == {"id": "done", "title": "Pairs done"}
    assert data["tasks"][0]["methods"]["a"]["columns"]["done"] == {"value": 8.0, "text": "8 pairs"}


def test_robustness_curves(real: tuple[Path, list[Path]], tmp_path: Path) -> None:
    results, data = real
    (curve,) = embedded(written_page(results, tmp_path, data))["tasks"][0]["robustness"]
    assert curve["strengths"] == [0, 0.1]
    assert sorted(curve["values"]["ssim"]) == ["average", "pca"]
    assert curve["values"]["ssim"]["pca"][1] < curve["values"]["ssim"]["pca"][0]


def test_a_curve_compares_the_same_methods_on_the_same_pairs(three: Path) -> None:
    for method, gain in (("a", 1.0), ("b", 0.5)):  # two of three methods, five of eight pairs
        add(three, method, {"gain": spread(gain, 5), "loss": spread(3, 5)}, dataset="made+noise,sigma=0.1")
    found = make_boards(read_results(three), read_metric_facts(three))
    (curve,) = curves(found[0], found)
    assert (curve["pairs"], sorted(curve["ranks"])) == (5, ["a", "b"])
    assert curve["values"]["gain"] == {
        "a": [round(float(np.mean(spread(start, 5))), 4) for start in (2, 1)],
        "b": [round(float(np.mean(spread(start, 5))), 4) for start in (3, 0.5)],
    }
    assert curve["ranks"] == {"a": [1.5, 1.25], "b": [1.5, 1.75]}
    lines = list(csv.DictReader(io.StringIO(curves_csv([curve]))))
    assert [(r["method"], float(r["mean_rank"])) for r in lines] == [("a", 1.5), ("b", 1.5), ("a", 1.25), ("b", 1.75)]
    write_report(three, three / "out")
    assert (three / "out" / "made" / "pet-mri" / "robustness.csv").read_text() == curves_csv([curve])
    assert not (three / "out" / "made+noise,sigma=0.1").exists()


@pytest.mark.parametrize(
    ("kind", "strengths", "order"),
    [("jpeg", (25, 75), [100, 75, 25]), ("undersample", (4, 2), [1, 2, 4]), ("blur", (2, 1), [0, 1, 2])],
)
def test_a_curve_begins_with_clean_inputs(three: Path, kind: str, strengths: tuple[int, ...], order: list[int]) -> None:
    for strength in strengths:
        place = f"made+{kind},x={strength}"
        for method in "abc":
            add(three, method, {"gain": spread(1), "loss": spread(3)}, dataset=place)
            table = read_table(three, Key(place, "pet-mri", method))
            table.about["corruption"] = {
                "kind": kind,
                "strength": strength,
                "input": "b",
                "title": kind,
                "parameter": "x",
            }
            write_table(three, table)
    found = make_boards(read_results(three), read_metric_facts(three))
    (curve,) = curves(found[0], found)
    assert curve["strengths"] == order
    assert curve["values"]["gain"]["a"][0] == round(float(np.mean(spread(2))), 4)


def test_each_reconstruction_has_a_curve_of_its_own(three: Path) -> None:
    for way in ("", "cs"):
        place = f"made+undersample,accel=4{',reconstruct=cs' if way else ''}"
        for method in "abc":
            add(three, method, {"gain": spread(1), "loss": spread(3)}, dataset=place)
            table = read_table(three, Key(place, "pet-mri", method))
            said = {"kind": "undersample", "strength": 4, "input": "a", "title": "lines", "parameter": "accel"}
            table.about["corruption"] = said | ({"reconstruct": way} if way else {})
            write_table(three, table)
    found = make_boards(read_results(three), read_metric_facts(three))
    plain, restored = curves(found[0], found)
    assert (plain["name"], restored["name"]) == ("undersample-a", "undersample-cs-a")
    assert "restored by cs" in restored["kind"]
    assert plain["strengths"] == restored["strengths"] == [1, 4]


def test_the_verdict_in_plain_words(three: Path) -> None:
    first, second, third, fourth = verdicts.verdict(board(three))
    assert first == (
        "For PET–MRI on made, A and B share the first place by mean rank, 1.50 (95 % interval by patient 1.50 to 1.50) "
        "among 3 ranked methods under profile dmfnet, on 8 pairs of 8 patients."
    )
    assert second == (
        "Patients show them to be better than every other method: the 95 % confidence set of the best holds no other."
    )
    assert third == "First when patients are drawn anew: A 50% and B 50%."
    assert fourth.startswith("A control is ahead of every method on G: this does not")
    found = board(three)
    ranks = found.mean_rank.copy()
    ranks["b"] = 1.0
    other = dataclasses.replace(found, profile="other", order=["b", "a", "c"], mean_rank=ranks)
    same = dataclasses.replace(found, profile="same")
    said = verdicts.verdict(found, [found, same, other])
    assert said[3] == "By other conventions: they are first under same too; B is first under other."
    assert "By other conventions: A and B are first under dmfnet." in verdicts.verdict(other, [found])


def test_a_verdict_says_so_where_patients_are_not_known(three: Path) -> None:
    for table in read_results(three):
        for record in table.pairs.values():
            record["case"] = ""
        write_table(three, table)
    said = verdicts.verdict(board(three))
    assert said[1].endswith("Whose the pairs are is not known: each counts as a patient of its own.")
    assert "(each pair counts as one: whose they are is not known)" in " ".join(verdicts.summary(board(three)))
    assert "of 8 patients" not in " ".join(said)


def test_a_verdict_of_methods_that_nothing_tells_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    for name in "abcd":
        add(tmp_path, name, {m: tuple(random.normal(size=10)) for m in METRICS})
    found = board(tmp_path)
    assert found.tests.among_best == found.order
    assert verdicts.verdict(found)[1] == "No method is separable from it by patient, so the order may be chance."
    add(tmp_path, "z", {"gain": spread(-9, 10), "loss": spread(9, 10), "look": spread(1, 10)})
    said = verdicts.verdict(board(tmp_path))[1]
    assert said.startswith("The 95 % confidence set of the best, by patient, holds besides it: ")
    assert "Z" not in said


def test_methods_that_differ_by_less_than_jpeg_does_are_equivalent(tmp_path: Path) -> None:
    """Five methods close together, of changing order, and one far away."""
    random = np.random.default_rng(4)
    for name in "abcde":
        add(tmp_path, name, {m: tuple(random.normal(size=19)) for m in METRICS})
    add(tmp_path, "z", {"gain": spread(-9, 19), "loss": spread(9, 19), "look": spread(1, 19)})
    assert math.isnan(board(tmp_path).tests.margin)
    assert set(board(tmp_path).tests.pairwise["verdict"]) <= {"better", "worse", "not separable"}
    write_metric_facts(tmp_path, {m: f | {"margin": 3.0} for m, f in METRICS.items()}, PROFILES)
    found = board(tmp_path)
    lines = found.tests.pairwise
    assert 1 <= found.tests.margin <= 2
    far = (lines["first"] == "z") | (lines["second"] == "z")
    assert set(lines.loc[~far, "verdict"]) == {"equivalent"}
    assert "equivalent" not in set(lines.loc[far, "verdict"])
    first, *others = found.order[:-1]
    named = ", ".join(found.name(m) for m in others[:-1]) + f" and {found.name(others[-1])}"
    within = f"(within {found.tests.margin:.2f} ranks, what JPEG at quality 95 costs)"
    assert f"Equivalent to {found.name(first)} {within}: {named}." in verdicts.verdict(found)


def test_a_verdict_needs_two_methods(tmp_path: Path) -> None:
    add(tmp_path, "one", {"gain": spread(2), "loss": spread(1), "look": spread(9)})
    add(tmp_path, "top", {"gain": spread(9), "loss": spread(1.5), "look": spread(1)}, control=True)
    found = board(tmp_path)
    said = verdicts.verdict(found, [found, dataclasses.replace(found, profile="other")])
    alone = "ONE is the only method under profile dmfnet, on 8 pairs of 8 patients: "
    assert said[0].endswith(f"{alone}a verdict needs two, and controls do not count.")
    assert said[1].startswith("A control is ahead of every method on G")
    assert len(said) == 2
    assert not any(cell.place or cell.tied for line in tables.sheet(found).lines for cell in line.cells)
    told = page_data.task_data([found])["profiles"][0]["verdict"]
    assert [*told["answer"], *told["more"]] == said


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Laplacian pyramid (LP)", "LP"),
        ("NSST with parameter-adaptive PCNN (NSST-PAPCNN)", "NSST-PAPCNN"),
        ("Latent low-rank representation (MDLatLRR)", "MDLatLRR"),
        ("DM-FNet (compact)", ""),
        ("DenseFuse (L1)", ""),
        ("Laplacian pyramid (LP) (levels=5)", ""),
        ("NSST, low band tuned by JAYA (after Shilpa 2022)", ""),
        ("PCA", ""),
    ],
)
def test_only_an_acronym_stands_for_a_title(title: str, expected: str) -> None:
    assert acronym(title) == expected


def test_titles_too_long_for_a_chart_stay_apart(tmp_path: Path) -> None:
    for n, name in enumerate(("dmfnet", "diffif")):
        add(tmp_path, name, {m: spread(n) for m in METRICS}, title=f"A network with a long title, {name} (compact)")
    found = board(tmp_path)
    assert [plots.shortened(found, name, 14) for name in ("dmfnet", "diffif")] == ["dmfnet", "diffif"]
    methods = page_data.task_data([found])["methods"]
    assert {name: entry["short"] for name, entry in methods.items()} == {"dmfnet": "dmfnet", "diffif": "diffif"}


def test_the_page_needs_no_network_and_no_markup_of_a_name_survives(three: Path) -> None:
    add(three, "evil", {m: spread(2) for m in METRICS}, title="<script>alert(1)</script><img src=x>", note="</script>")
    html = written_page(three, three / "out")
    assert "<script>alert" not in html
    assert "<img" not in html
    assert html.count("</script>") == 2
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", html)
    assert "default-src 'none'" in html


def test_conventions_of_one_metric_are_compared(tmp_path: Path) -> None:
    for n, name in enumerate("abc"):
        add(tmp_path, name, {"gain": spread(n), "loss": spread(1), "gain@other": spread(-n)})
    write_metric_facts(tmp_path, {}, {"other": {"title": "o", "metrics": ["gain@other"], "core": ["gain@other"]}})
    boards = make_boards(read_results(tmp_path), read_metric_facts(tmp_path))
    (found,) = conventions.compare_tables(list(boards[0].tables.values()), boards[0].facts)
    assert (found.first, found.second, found.tau, found.winners) == ("gain", "gain@other", -1.0, ("c", "a"))
    assert conventions.to_csv({"": [found]}).splitlines()[1] == "gain,gain,gain@other,-1.0,3,c,a,,"


def test_images_that_may_not_be_passed_on_stay_out(three: Path) -> None:
    add(three, "a", {m: spread(2) for m in METRICS}, dataset="harvard")
    html = written_page(three, three / "out")
    assert "the licence of harvard does not let its images be passed on" in html


def test_a_sheet_is_plain_data(three: Path) -> None:
    (found,) = leaderboards(three)
    json.dumps(dataclasses.asdict(found))


def test_figures_of_stability_draw_the_boards_numbers(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for n, name in enumerate("abcd"):
        add(tmp_path, name, {m: tuple(random.normal(size=9) + n * (0 if m == "loss" else 1)) for m in METRICS})
    found = board(tmp_path)
    drawn = figures.rank_blobs(found)
    assert drawn is not None
    assert not isinstance(found.tests.bootstrap, str)
    dots, crosses = drawn.axes[0].collections
    assert isinstance(dots, PathCollection)
    for (place, row), size in zip(np.asarray(dots.get_offsets()), dots.get_sizes(), strict=True):
        share = found.tests.bootstrap.places.to_numpy()[int(row), int(place) - 1]
        assert size == pytest.approx(70 * share)
    assert [int(x) for x, _ in np.asarray(crosses.get_offsets())] == [found.place_of(m) for m in found.order]
    verdicts_drawn = figures.significance_map(found)
    assert verdicts_drawn is not None
    codes = np.asarray(verdicts_drawn.axes[0].images[0].get_array())
    line = found.tests.pairwise.iloc[0]
    i, j = found.order.index(line["first"]), found.order.index(line["second"])
    assert plots.WORDS[int(codes[i, j])] == line["verdict"]
    assert np.isnan(codes[0, 0])
    rates = figures.win_rate(found)
    assert rates is not None
    shown = np.asarray(rates.axes[0].images[0].get_array())
    ahead = (found.tests.blocks[found.order[0]] < found.tests.blocks[found.order[1]]).mean()
    ties = (found.tests.blocks[found.order[0]] == found.tests.blocks[found.order[1]]).mean()
    assert shown[0, 1] == pytest.approx(ahead + ties / 2)
    other = dataclasses.replace(found, profile="other")
    places = figures.bump(found, [found, other])
    assert places is not None
    lines = {tuple(np.asarray(drawn_line.get_ydata())) for drawn_line in places.axes[0].lines}
    assert lines == {(found.place_of(m), found.place_of(m)) for m in found.order}


def test_what_few_patients_or_methods_cannot_show_is_not_drawn(tmp_path: Path) -> None:
    for n, name in enumerate("ab"):
        add(tmp_path, name, {m: spread(n, 3) for m in METRICS})
    found = board(tmp_path)
    assert figures.rank_blobs(found) is None
    assert figures.bump(found, [found]) is None
    drawn = figures.significance_map(found)
    assert drawn is not None
    assert "3 patients cannot decide it" in drawn.get_suptitle()
    alone = board(tmp_path, methods=["a"])
    assert figures.significance_map(alone) is None
    assert figures.win_rate(alone) is None


def test_the_page_has_the_places_and_verdicts_of_the_board(three: Path) -> None:
    found = board(three)
    (profile,) = page_data.task_data([found])["profiles"]
    assert not isinstance(found.tests.bootstrap, str)
    for method, shares in zip(profile["order"], profile["places"], strict=True):
        expected = found.tests.bootstrap.places.loc[method]
        assert shares == [[n, round(v, 3)] for n, v in expected.items() if round(v, 3) > 0]
    pairs = [(a, b) for n, a in enumerate(found.order) for b in found.order[n + 1 :]]
    lines = {(x["first"], x["second"]): x["verdict"] for x in found.tests.pairwise.to_dict("records")}
    turned = {"better": "worse", "worse": "better"}
    words = [lines[a, b] if (a, b) in lines else turned.get(lines[b, a], lines[b, a]) for a, b in pairs]
    assert profile["pairs"] == "".join(page_data.LETTERS[word] for word in words)


def test_the_page_says_of_what_it_is_made(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boards = [board(three)]
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert page.made(boards, three) == {"page": fusionbench.__version__}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert page.made(boards, three)["date"] == "1970-01-02"
    content = {"commit": "abc", "versions": {"numpy": "2"}, "date": "2026-12-01", "device_name": "EPYC"}
    (three / "made.json").write_text(json.dumps(content))
    found = page.made(boards, three)
    assert found == {
        "page": fusionbench.__version__,
        "versions": "numpy 2",
        "commit": "abc",
        "device_name": "EPYC",
        "date": "2026-12-01",
    }


def test_a_source_by_itself_goes_by_its_modality(tmp_path: Path) -> None:
    for n, name in enumerate(("a", "b", "source-b")):
        add(tmp_path, name, {m: spread(n) for m in METRICS}, control=name == "source-b")
    assert board(tmp_path).name("source-b") == "PET alone"
