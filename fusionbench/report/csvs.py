"""Leaderboards and their statistics as CSV, for programs: exact numbers, empty cells where there is none."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from fusionbench.report.boards import Board


def csv_text(board: Board) -> str:
    """Every number in full precision: a line a method, contenders first."""
    intervals, among = board.tests.bootstrap, board.tests.among_best
    header = ["place", "method", "title", "kind", "foreign", "year", "family", "pairs", "failed", "mean_rank"]
    header += ["mean_rank_low", "mean_rank_high", "borda", "metrics_won", "first_share", "among_best"]
    header += ["origin", "patients_seen", "patients", "seen_is_known", "made_for"]
    header += ["seconds", "parameters", "flops", "peak_memory"]
    header += [f"{m}_{part}" for m in board.metrics for part in ("mean", "std", "low", "high", "rank", "undefined")]
    rows = []
    for method in board.ranked:
        facts = board.tables[method].about.get("method", {})
        contender = method in board.order
        row: list[Any] = [board.place_of(method) if contender else "", method, board.tables[method].name]
        row += ["contender" if contender else "control", bool(facts.get("foreign")), facts.get("year") or ""]
        row += [facts.get("family", ""), len(board.pairs), len(board.tables[method].errors()), board.mean_rank[method]]
        known = contender and not isinstance(intervals, str)
        row += [intervals.rank_low[method], intervals.rank_high[method]] if known else ["", ""]  # type: ignore[union-attr]
        row += (
            [board.borda[method], board.wins[method], intervals.first[method] if known else "", method in among]  # type: ignore[union-attr]
            if contender
            else [""] * 4
        )
        seen, made_for = board.tables[method].exposure, board.conflicts(method)
        row += [board.tables[method].origin, seen.seen, seen.persons, seen.known]
        row += ["unknown" if made_for is None else " ".join(made_for)]
        row += [board.seconds(method)] + [board.cost(method, w) for w in ("parameters", "flops", "peak_memory")]
        for metric in board.metrics:
            row += [board.means.loc[method, metric], board.stds.loc[method, metric]]
            if isinstance(intervals, str):
                row += ["", ""]
            else:
                row += [intervals.low.loc[method, metric], intervals.high.loc[method, metric]]
            row += [board.ranks.loc[method, metric], int(board.cell(board.undefined, method, metric))]
        rows.append(row)
    for method, note in board.apart.items():
        row = ["", method, board.tables[method].name, f"not ranked: {note}"]
        rows.append(row + [""] * (len(header) - len(row)))
    return _csv([header, *rows])


def statistics_csv(board: Board) -> dict[str, str]:
    """File stem -> CSV: the overall test, every two methods, average ranks, and the blocks all of it rests on."""
    tests = board.tests
    overall: list[list[Any]] = [["statistic", "value"], ["pairs", len(board.pairs)], ["methods", len(board.order)]]
    overall += [["patients", tests.number], ["patients_known", board.patients_known]]
    overall += [["core_metrics", " ".join(board.core)]]
    overall += [
        ["undecidable", tests.undecidable],
        ["rank_margin", tests.margin],
        ["units_of_what_follows", tests.units],
    ]
    if isinstance(tests.friedman, str):
        overall += [["friedman", tests.friedman]]
    else:
        overall += [[f"friedman_{k}", v] for k, v in dataclasses.asdict(tests.friedman).items()]
    if isinstance(tests.nemenyi, str):
        overall += [["nemenyi", tests.nemenyi]]
    else:
        overall += [["nemenyi_alpha", tests.nemenyi.alpha], ["nemenyi_critical_difference", tests.nemenyi.difference]]
        overall += [[f"average_rank:{name}", value] for name, value in tests.nemenyi.ranks.items()]
    table = tests.pairwise
    table = table.assign(p_wilcoxon_holm=tests.wilcoxon["p_holm"].to_numpy())
    if not isinstance(tests.nemenyi, str):
        nemenyi = [tests.nemenyi.p.loc[a, b] for a, b in zip(table["first"], table["second"], strict=True)]
        table = table.assign(p_nemenyi=nemenyi)
    pairs = [
        ["pair", *tests.blocks.columns],
        *([i, *r] for i, r in zip(tests.blocks.index, tests.blocks.to_numpy(), strict=True)),
    ]
    return {
        "statistics": _csv(overall),
        "pairwise": _csv([list(table.columns), *table.to_numpy().tolist()]),
        "pair-ranks": _csv(pairs),
    }


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([[_plain(value) for value in row] for row in rows])
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return value
