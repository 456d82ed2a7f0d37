"""Robustness: scores and ranks against the strength of a degradation of one source."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fusionbench.report.boards import Board, narrowed
from fusionbench.report.figures import RANK_PANEL, source_names
from fusionbench.report.plots import shortened

_NEUTRAL = {"jpeg": 100.0, "undersample": 1.0}
"""Strength at which a degradation does nothing, where that is not 0."""


def curves(board: Board, boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Results on degraded inputs of a board's task: one entry a kind of degradation, strength -> values by method.

    Degraded runs are stored under ``DATASET+...``, and their tables say of what kind and strength; the clean board stands
    at the strength that does nothing, first of the strengths, which go from weak to strong.
    """
    kinds: dict[tuple[str, str, str, str], dict[float, Board]] = {}
    for other in boards:
        change = other.place.flaw
        if change and other.place.clean == board.place and other.profile == board.profile:
            about = next(iter(other.tables.values())).about.get("corruption", {})
            source = "a" if about.get("input") == "a" else "b"
            title = f"{about.get('title', change)}, {source_names(board)['ab'.index(source)]}"
            name = str(about.get("kind", change))
            if restored := about.get("reconstruct"):
                name, title = f"{name}-{restored}", f"{title}, restored by {restored}"
            key = (name, source, title, str(about.get("parameter", "strength")))
            kinds.setdefault(key, {})[float(about.get("strength", 1))] = other
    found = []
    for (name, source, title, parameter), steps in sorted(kinds.items()):
        neutral = _NEUTRAL.get(name.partition("-")[0], 0.0)
        levels = {neutral: board} | steps
        strengths = sorted(levels, key=lambda strength: abs(strength - neutral))
        methods = [m for m in board.ranked if all(m in level.ranked for level in levels.values())]
        pairs = [p for p in board.pairs if all(p in level.pairs for level in levels.values())]
        if not methods or not pairs:
            continue
        # The clean board holds more methods and pairs: a curve compares the same few at every strength.
        few = [narrowed(levels[s], methods, pairs) for s in strengths]
        values = {
            metric: {m: [rounded(step.cell(step.means, m, metric)) for step in few] for m in methods}
            for metric in board.metrics
            if all(metric in step.means for step in few)
        }
        found.append(
            {
                "name": f"{name}-{source}",
                "kind": title,
                "parameter": parameter,
                "strengths": strengths,
                "pairs": len(pairs),
                "values": values,
                "ranks": {m: [round(float(step.mean_rank[m]), 4) for step in few] for m in methods},
            }
        )
    return found


def csv_text(found: Sequence[Mapping[str, Any]]) -> str:
    """All curves of a task under one profile: a line a degradation, strength and method; four decimals, as drawn."""
    metrics = list(dict.fromkeys(metric for curve in found for metric in curve["values"]))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["degradation", "parameter", "strength", "pairs", "method", "mean_rank", *metrics])
    for curve in found:
        for n, strength in enumerate(curve["strengths"]):
            for method, ranks in curve["ranks"].items():
                values = [curve["values"][m][method][n] if m in curve["values"] else None for m in metrics]
                writer.writerow(
                    [curve["name"], curve["parameter"], strength, curve["pairs"], method, ranks[n], *values]
                )
    return buffer.getvalue()


def legend(board: Board) -> dict[str, str]:
    """Method -> its name in a legend, short where no other method has that short name."""
    short = {method: shortened(board, method, 26) for method in board.ranked}
    taken = list(short.values())
    return {m: text if taken.count(text) == 1 else board.name(m) for m, text in short.items()}


def panels(
    curve: Mapping[str, Any], board: Board, titles: Mapping[str, str]
) -> dict[str, dict[str, dict[float, float]]]:
    """What ``figures.robustness`` draws of a curve: mean rank, then each core metric; ``titles``: metric -> heading."""
    names = legend(board)
    shown = {RANK_PANEL: curve["ranks"]} | {titles[m]: curve["values"][m] for m in board.core if m in curve["values"]}
    return {
        title: {
            names[method]: {s: v for s, v in zip(curve["strengths"], values, strict=True) if v is not None}
            for method, values in lines.items()
        }
        for title, lines in shown.items()
    }


def rounded(value: float) -> float | None:
    """Four decimals; None where undefined."""
    return None if math.isnan(value) else round(value, 4)
