"""Does the convention matter? Rankings of one task's methods under every two conventions that go by one name."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fusionbench.scores import Column, Table
from fusionbench.stats.conventions import Comparison, compare_frames


def compare_tables(tables: Sequence[Table], facts: Mapping[str, Mapping[str, Any]]) -> list[Comparison]:
    """Compare every two conventions that the score tables of one task hold (see ``stats.conventions.compare_frames``).

    ``facts``: column -> fact sheet, as ``scores.read_metric_facts`` returns under "metrics".
    """
    frames = {table.key.method: table.frame(by_sources=True) for table in tables}
    columns = {str(name): Column.parse(str(name), facts) for frame in frames.values() for name in frame.columns}
    return compare_frames(frames, columns, controls={table.key.method for table in tables if table.control})


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


def to_csv(tasks: Mapping[str, Iterable[Comparison]]) -> str:
    """One line a comparison, under COLUMNS; the task's name comes first where it is not ""."""
    named = any(tasks)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["task", *COLUMNS] if named else COLUMNS)
    for task, comparisons in tasks.items():
        for c in comparisons:
            tau = "" if math.isnan(c.tau) else round(c.tau, 6)
            row = [c.metric, c.first, c.second, tau, c.methods, *c.winners, *map(" ".join, c.leading_controls)]
            writer.writerow([task, *row] if named else row)
    return buffer.getvalue()
