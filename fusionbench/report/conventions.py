"""Does the convention matter? Rankings of one task's methods under every two conventions that go by one name."""

from __future__ import annotations

from collections.abc import Sequence

from fusionbench.report.boards import Board
from fusionbench.sensitivity import Comparison, compare_tables, to_csv


def compare(boards: Sequence[Board]) -> list[Comparison]:
    """Comparisons over all conventions that the methods on a task's boards were scored under, the least stable first."""
    tables = {key: table for board in boards for key, table in board.tables.items()}
    return compare_tables(list(tables.values()), boards[0].facts) if boards else []


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """One line a comparison."""
    return to_csv({"": comparisons})
