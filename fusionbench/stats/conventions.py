"""Convention sensitivity: does the ranking of methods survive another convention of the same metric?

Two columns are compared where papers print both under one name and they differ in one thing: the convention, or the mask.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from scipy import stats

MIN_METHODS = 3
"""Two methods have two rankings only, which agree or not by chance."""


class Described(Protocol):
    """What is to be known of a column of scores."""

    @property
    def heading(self) -> str:
        """The name under which papers print it."""

    @property
    def metric(self) -> str:
        """Metric and convention."""

    @property
    def mask(self) -> str:
        """Where in the image it was taken, "" for the whole."""

    @property
    def better(self) -> str:
        """Which way it ranks, "higher" or "lower"."""


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


def compare_frames(
    frames: Mapping[str, pd.DataFrame], columns: Mapping[str, Described], *, controls: Collection[str] = ()
) -> list[Comparison]:
    """Compare every two conventions that the scores of one task hold; the least stable first.

    ``frames``: method -> frame, a row a pair (one index for one pair), a column a name of ``columns``. Each comparison is
    over the methods that have both columns defined on every pair they were scored on, and over the pairs that all of these
    share; a pair that is undefined for every method is left out, and so is a method with fewer than half of the pairs.
    Raises ValueError for a direction that is neither "higher" nor "lower".
    """
    held = {str(name): columns[str(name)] for frame in frames.values() for name in frame.columns}
    found = []
    for first, second in _conventions(held):
        means = _shared_means(frames, first, second)
        if len(means) >= MIN_METHODS:
            found.append(_compare(first, second, means, held, controls))
    return _sorted(found)


def compare_means(
    means: Mapping[str, Mapping[str, float]], columns: Mapping[str, Described], *, controls: Collection[str] = ()
) -> list[Comparison]:
    """Compare every two conventions in a table of means of one task; the least stable first.

    ``means``: method -> column -> mean; columns that are not in ``columns`` are passed over, NaN counts as missing, and two
    conventions that fewer than three methods have in common are not compared. Raises ValueError as :func:`compare_frames`.
    """
    held = {name: columns[name] for scores in means.values() for name in scores if name in columns}
    found = []
    for first, second in _conventions(held):
        shared = {m: (s[first], s[second]) for m, s in means.items() if _has(s, first) and _has(s, second)}
        if len(shared) >= MIN_METHODS:
            found.append(_compare(first, second, shared, held, controls))
    return _sorted(found)


def _conventions(columns: Mapping[str, Described]) -> Iterator[tuple[str, str]]:
    """Every two columns of one heading that differ in the convention or in the mask, not in both."""
    wrong = sorted({column.better for column in columns.values()} - {"higher", "lower"})
    if wrong:
        raise ValueError(f"direction {wrong[0]!r}: must be 'higher' or 'lower'")
    ordered = sorted(columns, key=lambda name: (columns[name].heading, name))
    for _, group in itertools.groupby(ordered, key=lambda name: columns[name].heading):
        for first, second in itertools.combinations(group, 2):
            one, other = columns[first], columns[second]
            if one.metric == other.metric or one.mask == other.mask:
                yield first, second


def _compare(
    first: str,
    second: str,
    means: Mapping[str, tuple[float, float]],
    columns: Mapping[str, Described],
    controls: Collection[str],
) -> Comparison:
    """``means``: method -> mean under either convention."""
    signs = [1.0 if columns[c].better == "higher" else -1.0 for c in (first, second)]
    gains = [{m: sign * means[m][k] for m in sorted(means)} for k, sign in enumerate(signs)]
    x, y = (list(g.values()) for g in gains)
    tau = float(stats.kendalltau(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else math.nan
    (winner, ahead), (other, other_ahead) = (_winner(g, controls) for g in gains)
    return Comparison(columns[first].heading, first, second, tau, len(means), (winner, other), (ahead, other_ahead))


def _sorted(found: Iterable[Comparison]) -> list[Comparison]:
    return sorted(found, key=lambda c: (math.isnan(c.tau), c.tau, c.first, c.second))


def _shared_means(frames: Mapping[str, pd.DataFrame], first: str, second: str) -> dict[str, tuple[float, float]]:
    """Method -> mean of both columns over the pairs that all methods share which have both; see :func:`compare_frames`."""
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
