"""Does the convention matter? Rankings of one task's methods under every two conventions that go by one name."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from fusionbench.report.boards import Board
from fusionbench.sensitivity import Comparison, compare_conventions

COLUMNS = (
    "heading",
    "convention",
    "other",
    "kendall_tau",
    "methods",
    "winner",
    "other_winner",
    "controls_ahead",
    "other_controls_ahead",
)


def compare(boards: Sequence[Board]) -> list[Comparison]:
    """Comparisons over all metrics of a task's boards, the least stable first; means with undefined scores are left out."""
    means: dict[str, dict[str, float]] = {}
    directions: dict[str, str] = {}
    for board in boards:
        for metric in board.means.columns:
            directions[metric] = board.better.get(metric, "higher")
            for method in board.ranked:
                if not board.cell(board.undefined, method, metric):
                    means.setdefault(method, {}).setdefault(metric, board.cell(board.means, method, metric))
    controls = {method for board in boards for method in board.controls}
    return compare_conventions(means, directions, controls=controls)


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """One line a comparison."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for c in comparisons:
        tau = "" if math.isnan(c.tau) else repr(c.tau)
        ahead = [" ".join(names) for names in c.leading_controls]
        writer.writerow([c.metric, c.first, c.second, tau, c.methods, *c.winners, *ahead])
    return buffer.getvalue()
