"""The columns beside the metrics: what each holds of a method, described once for every table and for the page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from fusionbench.report.boards import Board

Value = float | str | tuple[float, float] | None


def _decimals(value: Any) -> str:
    """A number, or both ends of an interval, to two decimals."""
    return "–".join(f"{v:.2f}" for v in (value if isinstance(value, tuple) else (value,)))


@dataclasses.dataclass(frozen=True)
class Beside:
    """One column.

    ``value``: what it holds of a ranked method: a number, a text, an interval, or None where there is nothing; ``show``: how
    that is printed. ``ranking``: it comes of the ranking, hence differs from profile to profile. ``tests``: it needs the
    statistics, which take time. On the page: ``text`` is sorted as such; ``falling``: the first click puts the largest
    first; ``extra``: shown when it is asked for; ``wide``: likewise, on narrow screens. ``needed=False``: left out of tables
    where no method has it.
    """

    title: str
    value: Callable[[Board, str], Value]
    show: Callable[[Any], str] = _decimals
    ranking: bool = False
    tests: bool = False
    text: bool = False
    falling: bool = False
    extra: bool = False
    wide: bool = False
    needed: bool = True

    def page(self, name: str) -> dict[str, Any]:
        """What the page must know of it."""
        flags = ("ranking", "text", "falling", "extra", "wide")
        return {"id": name, "title": self.title} | {flag: True for flag in flags if getattr(self, flag)}


def quantity(value: float, unit: str = "") -> str:
    """1234567 -> "1.23 M": parameters, FLOPs and bytes for people."""
    if math.isnan(value):
        return "–"
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def _fact(name: str) -> Callable[[Board, str], Value]:
    return lambda board, method: board.tables[method].about.get("method", {}).get(name) or None


def _known(value: float) -> Value:
    return None if math.isnan(value) else value


def _cost(name: str) -> Callable[[Board, str], Value]:
    return lambda board, method: _known(board.cost(method, name))


def _interval(board: Board, method: str) -> Value:
    found = board.tests.bootstrap
    if isinstance(found, str) or method not in board.order:
        return None
    return float(found.rank_low[method]), float(found.rank_high[method])


def _first(board: Board, method: str) -> Value:
    found = board.tests.bootstrap
    return None if isinstance(found, str) or method not in board.order else float(found.first[method])


def _conflict(board: Board, method: str) -> Value:
    found = board.conflicts(method)
    return "unknown" if found is None else ", ".join(found) or None


BESIDE = {
    "year": Beside("Year", _fact("year"), str, falling=True, wide=True),
    "family": Beside("Family", _fact("family"), str, text=True, wide=True),
    "rank": Beside("Mean rank", lambda board, method: float(board.mean_rank[method]), ranking=True),
    "interval": Beside("95 % interval", _interval, ranking=True, tests=True, wide=True),
    "first": Beside("P(first)", _first, ranking=True, tests=True, falling=True, wide=True),
    "findings": Beside(
        "Both findings", lambda board, method: board.findings.get(method), falling=True, extra=True, needed=False
    ),
    "borda": Beside(
        "Borda",
        lambda board, method: float(board.borda[method]) if method in board.order else None,
        ranking=True,
        falling=True,
        extra=True,
    ),
    "wins": Beside(
        "Metrics won",
        lambda board, method: float(board.wins[method]) if method in board.order else None,
        ranking=True,
        falling=True,
        extra=True,
    ),
    "exposed": Beside(
        "Patients seen",
        lambda board, method: None if board.tables[method].control else str(board.tables[method].exposure),
        str,
        text=True,
    ),
    "conflict": Beside("Made for", _conflict, str, ranking=True, text=True, wide=True),
    "origin": Beside("Origin", lambda board, method: board.tables[method].origin, str, text=True, extra=True),
    "seconds": Beside(
        "Seconds a pair", lambda board, method: _known(board.seconds(method)), lambda v: f"{v:.3g}", wide=True
    ),
    "parameters": Beside("Parameters", _cost("parameters"), quantity),
    "flops": Beside("FLOPs", _cost("flops"), quantity, extra=True),
    "memory": Beside("Peak memory", _cost("peak_memory"), lambda v: quantity(v, "B"), extra=True),
}
TABLES_ALONE = {
    "doi": Beside("DOI", _fact("doi"), str, text=True, needed=False),
    "code": Beside("Code", _fact("code"), str, text=True, needed=False),
}
"""Of tables when asked for; the page shows these among what it tells of a method."""
COLUMNS = (*BESIDE, *TABLES_ALONE)
DEFAULT_COLUMNS = ("year", "exposed", "findings", "rank")


def filled(board: Board, columns: Sequence[str]) -> list[str]:
    """The columns without those that may be left out and are empty."""
    known = BESIDE | TABLES_ALONE
    return [c for c in columns if known[c].needed or any(known[c].value(board, m) is not None for m in board.ranked)]


def title(name: str) -> str:
    """A column's heading."""
    return (BESIDE | TABLES_ALONE)[name].title


def shown(board: Board, name: str, method: str, tests: bool = True) -> str:
    """What a table prints in a column; an en dash where there is nothing, or without the statistics that it needs."""
    column = (BESIDE | TABLES_ALONE)[name]
    value = None if column.tests and not tests else column.value(board, method)
    return "–" if value is None else column.show(value)
