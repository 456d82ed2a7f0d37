"""Bootstrap intervals of means and mean ranks, with cases as the units that are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals from resampling whole clusters (cases) of pairs.

    ``low``, ``high``: frames, a row a method, a column a metric: interval of the mean. ``rank_low``, ``rank_high``: interval
    of the mean rank over the core metrics, contenders only. ``clusters``: how many were resampled.
    """

    clusters: int
    low: pd.DataFrame
    high: pd.DataFrame
    rank_low: pd.Series
    rank_high: pd.Series


def bootstrap(
    scores: Mapping[str, pd.DataFrame],
    core: Sequence[str],
    better: Mapping[str, str],
    clusters: Iterable[str],
    controls: Collection[str] = (),
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrap | str:
    """Bootstrap intervals of means and of mean ranks; ``clusters`` names the cluster of each pair (row), in order.

    ``core`` are the metrics ranked. A method with an undefined score has no interval on that metric and ranks last on it.
    Returns the reason when there are fewer than two clusters.
    """
    labels = list(clusters)
    members = [np.flatnonzero([label == name for label in labels]) for name in dict.fromkeys(labels)]
    if len(members) < 2:
        return f"intervals need two cases or more to resample, here {len(members)}"
    metrics = list(scores)
    methods = list(scores[metrics[0]].columns)
    cube = np.stack([scores[metric].to_numpy(dtype=float) for metric in metrics], axis=2)  # pairs, methods, metrics
    # A pair undefined for every method is left out; a method undefined anywhere else is so in every resample.
    useful = ~np.isnan(cube).all(axis=1)
    cube = np.where(useful[:, None, :], cube, 0.0)
    cube[:, np.isnan(cube).any(axis=0)] = np.nan
    sums = np.stack([cube[rows].sum(axis=0) for rows in members])
    sizes = np.stack([useful[rows].sum(axis=0) for rows in members]).astype(float)  # clusters, metrics
    random = np.random.default_rng(seed)
    contenders = [i for i, name in enumerate(methods) if name not in controls]
    where = [metrics.index(metric) for metric in core]
    signs = np.array([-1.0 if better[metric] == "higher" else 1.0 for metric in core])
    means = np.empty((resamples, len(methods), len(metrics)))
    mean_rank = np.full((resamples, len(contenders)), np.nan)
    for n in range(resamples):
        drawn = random.integers(len(members), size=len(members))
        size = sizes[drawn].sum(axis=0)
        means[n] = np.where(size > 0, sums[drawn].sum(axis=0) / np.maximum(size, 1.0), np.nan)
        if where and contenders:
            sided = means[n][np.ix_(contenders, where)] * signs
            ranks = stats.rankdata(np.nan_to_num(sided, nan=np.inf), axis=0)
            mean_rank[n] = ranks.mean(axis=1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    rank_low, rank_high = np.percentile(mean_rank, [tail, 100 - tail], axis=0)
    own = [methods[i] for i in contenders]
    return Bootstrap(
        len(members),
        pd.DataFrame(low, index=methods, columns=metrics),
        pd.DataFrame(high, index=methods, columns=metrics),
        pd.Series(rank_low, index=own),
        pd.Series(rank_high, index=own),
    )
