"""Ranks of methods: on means, within pairs, beside controls; Borda counts and shares of wins."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def rank(values: pd.Series, better: str) -> pd.Series:
    """Ranks of methods on one metric: 1 = best, ties share the average rank, an undefined value comes last."""
    if better not in ("higher", "lower"):
        raise ValueError(f"better={better!r}: give 'higher' or 'lower'")
    return values.rank(ascending=better == "lower", na_option="bottom", method="average")


def rank_beside(values: pd.Series, better: str, controls: Collection[str]) -> pd.Series:
    """Ranks with controls set apart: contenders are ranked among themselves, and a control gets the rank it would have
    among them: 1 + the contenders strictly better + half of those equal."""
    own = values[[name not in controls for name in values.index]]
    ranks = rank(own, better).reindex(values.index)
    sign = 1.0 if better == "higher" else -1.0
    contenders = np.nan_to_num(sign * own.to_numpy(dtype=float), nan=-np.inf)
    for name in values.index:
        if name in controls:
            value = sign * values[name] if pd.notna(values[name]) else -np.inf
            ranks[name] = 1 + (contenders > value).sum() + (contenders == value).sum() / 2
    return ranks


def pair_ranks(scores: Mapping[str, pd.DataFrame], better: Mapping[str, str]) -> pd.DataFrame:
    """Mean rank over the metrics, computed within each pair: a row a pair, a column a method; lower is better.

    ``scores``: metric -> score frame, all of the same pairs and methods. An undefined score ranks last in its pair.
    """
    ranked = [
        frame.rank(axis=1, ascending=better[metric] == "lower", na_option="bottom") for metric, frame in scores.items()
    ]
    # Summing first and dividing once keeps equal rank sums equal: the sums of halves are exact.
    return sum(ranked[1:], start=ranked[0]) / len(ranked)


def borda(scores: Mapping[str, pd.DataFrame], better: Mapping[str, str]) -> pd.Series:
    """Borda count with every pair and metric as one voter, as a share of the most that can be had (0 to 1).

    A voter gives a method one point for each method it beats and half a point for each it equals.
    """
    mean = pair_ranks(scores, better).mean(axis=0)
    methods = len(mean)
    return (methods - mean) / (methods - 1) if methods > 1 else mean * np.nan


def share_of_wins(means: pd.DataFrame, better: Mapping[str, str]) -> pd.Series:
    """Share of the metrics on which a method has the best mean; equal winners share the win."""
    wins = pd.Series(0.0, index=means.index)
    for metric in means.columns:
        values = means[metric]
        best = values.max() if better[metric] == "higher" else values.min()
        winners = values == best
        if winners.any():
            wins[winners] += 1 / winners.sum()
    return wins / max(1, means.shape[1])


def rank_margin(scores: Mapping[str, pd.DataFrame], better: Mapping[str, str], margins: Mapping[str, float]) -> float:
    """The change of mean rank that differences of no use make: the median, over pairs and methods, of how far a method's
    mean rank within a pair moves when all its scores fall, or all rise, by the margins of their metrics.

    ``scores``: metric -> score frame, two methods or more; ``margins``: in the metrics' own units.
    """
    moved = []
    for sign in (1.0, -1.0):
        changes = []
        for metric, frame in scores.items():
            losses = np.nan_to_num(frame.to_numpy(dtype=float) * (-1 if better[metric] == "higher" else 1), nan=np.inf)
            ranks = [_among_others(losses, losses + shift) for shift in (0.0, sign * margins[metric])]
            changes.append(ranks[1] - ranks[0])
        moved.append(np.abs(np.mean(changes, axis=0)))
    return float(np.median(moved))


def _among_others(losses: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """(pairs, methods) ranks of each method with its own loss among the losses of the others."""
    others = ~np.eye(losses.shape[1], dtype=bool)
    below = (losses[:, None, :] < own[:, :, None]) & others
    equal = (losses[:, None, :] == own[:, :, None]) & others
    ranks: NDArray[np.float64] = 1.0 + below.sum(axis=2) + equal.sum(axis=2) / 2
    return ranks
