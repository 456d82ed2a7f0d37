"""Convention sensitivity: does the ranking of methods survive another convention of the same metric?

Works on score tables alone, so that reports need no metric; see docs/metrics for what the conventions are. Two columns are
compared where papers print both under one name and they differ in one thing: the convention, or the mask.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from fusionbench.scores import Column, Table

MIN_METHODS = 3
"""Two methods have two rankings only, which agree or not by chance."""

# Numbers that go by one name in papers although their ids have another stem.
_SAME_HEADING = {"viff": "vif", "qg": "qabf", "nmi": "mi", "mef-ssim": "ssim", "mef-ms-ssim": "ms-ssim"}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two conventions of one metric over the methods that have both.

    ``tau``: Kendall's tau-b between the two rankings, 1 the same, -1 reversed; NaN where either ties all methods.
    ``winners``: the best method under each, controls left out. ``leading_controls``: controls ahead of that winner.
    """

    metric: str
    first: str
    second: str
    tau: float
    methods: int
    winners: tuple[str, str]
    leading_controls: tuple[tuple[str, ...], tuple[str, ...]]


def heading(column: str) -> str:
    """The name under which papers print a column: ``ssim@l2+foreground`` -> ``ssim``, ``viff`` -> ``vif``."""
    name = Column.parse(column).name
    return _SAME_HEADING.get(name, name)


def compare_tables(tables: Sequence[Table], facts: Mapping[str, Mapping[str, Any]]) -> list[Comparison]:
    """Compare every two conventions that the score tables of one task hold; the least stable first.

    ``facts``: column -> fact sheet, as ``scores.read_metric_facts`` returns under "metrics". Each comparison is over the
    methods that have both columns defined on every pair they were scored on, and over the pairs that all of these share; a
    pair that is undefined for every method is left out, and so is a method with fewer than half of the pairs.
    """
    frames = {table.key.method: _frame(table) for table in tables}
    columns = {str(c) for frame in frames.values() for c in frame.columns}
    customary = {c: Column.parse(c, facts).better for c in columns}
    controls = {table.key.method for table in tables if table.control}
    found = []
    for metric, first, second in _conventions(customary):
        means = _shared_means(frames, first, second)
        if len(means) >= MIN_METHODS:
            found.append(_compare(metric, first, second, means, customary, controls))
    return _sorted(found)


def compare_conventions(
    means: Mapping[str, Mapping[str, float]], customary: Mapping[str, str], *, controls: Collection[str] = ()
) -> list[Comparison]:
    """Compare every two conventions in a table of means; the least stable pair first.

    ``means``: method -> column -> mean score of one task. ``customary``: column -> "higher" or "lower" (is better), from the
    facts in the score files. ``controls``: methods that cannot win. Columns without a direction and pairs with fewer than
    three methods in common are passed over; NaN scores count as missing. Raises ValueError for any other direction.
    """
    wrong = sorted({d for d in customary.values() if d not in ("higher", "lower")})
    if wrong:
        raise ValueError(f"direction {wrong[0]!r}: must be 'higher' or 'lower'")
    found = []
    for metric, first, second in _conventions({c for scores in means.values() for c in scores if c in customary}):
        shared = {m: (s[first], s[second]) for m, s in means.items() if _has(s, first) and _has(s, second)}
        if len(shared) >= MIN_METHODS:
            found.append(_compare(metric, first, second, shared, customary, controls))
    return _sorted(found)


def headings(columns: Iterable[str]) -> dict[str, list[str]]:
    """Name that papers print -> the columns that go by it, both sorted."""
    ordered = sorted(set(columns), key=lambda c: (heading(c), c))
    return {name: list(group) for name, group in itertools.groupby(ordered, key=heading)}


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


def to_markdown(comparisons: Iterable[Comparison]) -> str:
    """A table, one row a comparison; a leading control is named after the winner."""
    lines = ["| heading | convention | other convention | Kendall tau | winner | winner under the other |"]
    lines.append("| --- | --- | --- | ---: | --- | --- |")
    for c in comparisons:
        winners = [
            winner + (f" (behind {', '.join(ahead)})" if ahead else "")
            for winner, ahead in zip(c.winners, c.leading_controls, strict=True)
        ]
        lines.append(f"| {c.metric} | {c.first} | {c.second} | {c.tau:.2f} | {winners[0]} | {winners[1]} |")
    return "\n".join(lines) + "\n"


def _conventions(columns: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(heading, column, other column) of every two that differ in the convention or in the mask, not in both."""
    for metric, group in headings(columns).items():
        for first, second in itertools.combinations(group, 2):
            one, other = Column.parse(first), Column.parse(second)
            if one.metric == other.metric or one.mask == other.mask:
                yield metric, first, second


def _compare(
    metric: str,
    first: str,
    second: str,
    means: Mapping[str, tuple[float, float]],
    customary: Mapping[str, str],
    controls: Collection[str],
) -> Comparison:
    """``means``: method -> mean under either convention."""
    signs = [1.0 if customary[c] == "higher" else -1.0 for c in (first, second)]
    gains = [{m: sign * means[m][k] for m in sorted(means)} for k, sign in enumerate(signs)]
    x, y = (list(g.values()) for g in gains)
    tau = float(stats.kendalltau(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else math.nan
    (winner, ahead), (other, other_ahead) = (_winner(g, controls) for g in gains)
    return Comparison(metric, first, second, tau, len(means), (winner, other), (ahead, other_ahead))


def _sorted(found: Iterable[Comparison]) -> list[Comparison]:
    return sorted(found, key=lambda c: (math.isnan(c.tau), c.tau, c.first, c.second))


def _frame(table: Table) -> pd.DataFrame:
    """Scores by pair and digest of its sources, so that scores against different sources are never put together."""
    rows = {
        (pair, str(record.get("pair", ""))): record["scores"]
        for pair, record in table.pairs.items()
        if record.get("scores")
    }
    return pd.DataFrame.from_dict({"|".join(key): scores for key, scores in rows.items()}, orient="index", dtype=float)


def _shared_means(frames: Mapping[str, pd.DataFrame], first: str, second: str) -> dict[str, tuple[float, float]]:
    """Method -> mean of both columns over the pairs that all methods share which have both; see :func:`compare_tables`."""
    own = {m: frame[[first, second]] for m, frame in frames.items() if first in frame and second in frame}
    if not own:
        return {}
    alive = pd.Index([])
    for frame in own.values():
        alive = alive.union(frame.index[frame.notna().all(axis=1)])
    own = {m: frame.loc[frame.index.intersection(alive)] for m, frame in own.items()}
    full = {m: f for m, f in own.items() if 2 * len(f) >= len(alive) and bool(np.isfinite(f.to_numpy()).all())}
    common = alive
    for frame in full.values():
        common = common.intersection(frame.index)
    if common.empty:
        return {}
    means = {m: frame.loc[common].to_numpy().mean(axis=0) for m, frame in full.items()}
    return {m: (float(values[0]), float(values[1])) for m, values in means.items()}


def _has(scores: Mapping[str, float], column: str) -> bool:
    return column in scores and not math.isnan(scores[column])


def _winner(gains: Mapping[str, float], controls: Collection[str]) -> tuple[str, tuple[str, ...]]:
    order = sorted(gains, key=lambda m: (-gains[m], m))
    for position, method in enumerate(order):
        if method not in controls:
            return method, tuple(order[:position])
    return "", tuple(order)
