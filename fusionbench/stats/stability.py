"""Stability of ranks: bootstrap of patients, rank distributions, and what a place owes to one metric, patient or method.

All pairs of a patient are drawn at once. In a board over several tasks the same person is drawn in all of them together;
persons are drawn within groups that were imaged for the same tasks, so that no resample loses a task. n patients have only
C(2n - 1, n) different resamples (10 for three): below MIN_PATIENTS there is no interval, and the reason is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 2000
MIN_PATIENTS = 5
Float = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals and rank distributions from resampling patients.

    ``low``, ``high``: frames, a row a method, a column a metric: interval of the mean. ``rank_low``, ``rank_high``: interval
    of the mean rank over the core metrics, contenders only. ``places``: a row a contender, a column a place (1, 2, ...): the
    share of resamples in which it has that place, methods that tie sharing their places. ``patients``: how many there are.
    """

    patients: int
    low: pd.DataFrame
    high: pd.DataFrame
    rank_low: pd.Series
    rank_high: pd.Series
    places: pd.DataFrame

    @property
    def first(self) -> pd.Series:
        """P(first) of each contender; shared where first places are."""
        return self.places[1]

    @property
    def among_three(self) -> pd.Series:
        """P(among the first three) of each contender."""
        return self.places[[place for place in (1, 2, 3) if place in self.places]].sum(axis=1)

    @property
    def expected(self) -> pd.Series:
        """Expected place of each contender."""
        return pd.Series(self.places.to_numpy() @ self.places.columns.to_numpy(dtype=float), index=self.places.index)


def resamples(patients: Mapping[str, Sequence[str]], count: int = RESAMPLES, seed: int = 0) -> dict[str, Float]:
    """Task -> (resamples, pairs) how often each pair is drawn; ``patients``: task -> whose each pair is."""
    tasks_of: dict[str, list[str]] = {}
    for task, names in patients.items():
        for name in dict.fromkeys(names):
            tasks_of.setdefault(name, []).append(task)
    random = np.random.default_rng(seed)
    drawn: dict[str, NDArray[np.int64]] = {}
    groups = sorted({tuple(tasks) for tasks in tasks_of.values()})
    for group in groups:
        own = [name for name, tasks in tasks_of.items() if tuple(tasks) == group]
        times = random.multinomial(len(own), [1 / len(own)] * len(own), size=count)
        drawn |= {name: times[:, n] for n, name in enumerate(own)}
    return {
        task: np.stack([drawn[name] for name in names], axis=1).astype(float)
        for task, names in patients.items()
        if names
    }


def too_few(patients: int) -> str:
    """Why so few patients have no interval; "" where they have."""
    if patients >= MIN_PATIENTS:
        return ""
    different = math.comb(2 * patients - 1, patients) if patients else 0
    return f"intervals need {MIN_PATIENTS} patients or more, here {patients} ({different} different resamples)"


def bootstrap(
    scores: Mapping[str, pd.DataFrame],
    core: Sequence[str],
    better: Mapping[str, str],
    patients: Sequence[str],
    controls: Collection[str] = (),
    *,
    level: float = 0.95,
    count: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrap | str:
    """Bootstrap of one board: intervals of means and of mean ranks, and rank distributions.

    ``scores``: metric -> score frame, all of the same pairs and methods; ``core``: the metrics ranked; ``patients``: whose
    each pair is. A pair that is undefined for every method is left out for that metric; a method with any other undefined
    score has no interval on that metric and ranks last on it. Returns the reason where patients are too few.
    """
    number = len(set(patients))
    if reason := too_few(number):
        return reason
    weights = resamples({"": patients}, count, seed)[""]
    means = resampled_means(scores, weights)
    methods = list(next(iter(scores.values())).columns)
    own = [name for name in methods if name not in controls]
    ranks = resampled_ranks({m: means[m][:, [methods.index(n) for n in own]] for m in core}, better)
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile(np.stack([means[m] for m in scores], axis=2), tails, axis=0)
    rank_low, rank_high = np.percentile(ranks, tails, axis=0)
    return Bootstrap(
        number,
        pd.DataFrame(low, index=methods, columns=list(scores)),
        pd.DataFrame(high, index=methods, columns=list(scores)),
        pd.Series(rank_low, index=own),
        pd.Series(rank_high, index=own),
        places(pd.DataFrame(ranks, columns=own)),
    )


def resampled_means(scores: Mapping[str, pd.DataFrame], weights: Float) -> dict[str, Float]:
    """Metric -> (resamples, methods) means over the drawn pairs; NaN for a method that is undefined on some pair."""
    found = {}
    for metric, frame in scores.items():
        values = frame.to_numpy(dtype=float)
        useful = ~np.isnan(values).all(axis=1)
        values, drawn = values[useful], weights[:, useful]
        size = drawn.sum(axis=1, keepdims=True)
        sums = np.einsum(
            "rp,pm->rm", drawn, np.nan_to_num(values)
        )  # adds alike on every processor, which BLAS does not
        means = np.divide(sums, size, out=np.full(sums.shape, np.nan), where=size > 0)
        found[metric] = np.where(np.isnan(values).any(axis=0), np.nan, means)
    return found


def resampled_ranks(means: Mapping[str, Float], better: Mapping[str, str]) -> Float:
    """(resamples, methods) mean over the metrics of the rank of each method's mean: 1 = best, ties averaged, NaN last."""
    total: Float | None = None
    for metric, values in means.items():
        losses = np.nan_to_num(-values if better[metric] == "higher" else values, nan=np.inf)
        ranks = stats.rankdata(losses, axis=1)
        total = ranks if total is None else total + ranks
    if total is None:
        raise ValueError("no metric to rank by; give one or more")
    return total / len(means)


def places(ranks: pd.DataFrame) -> pd.DataFrame:
    """Frame of mean ranks (a row a resample, a column a method) -> method x place: the share of resamples.

    Methods that tie share their places in equal parts, so that rows and columns add up to one.
    """
    values = np.round(ranks.to_numpy(dtype=float), 9)
    number = values.shape[1]
    first, last = (stats.rankdata(values, method=way, axis=1).astype(int) for way in ("min", "max"))
    found = np.zeros((number, number))
    for place in range(1, number + 1):
        found[:, place - 1] = (((first <= place) & (place <= last)) / (last - first + 1)).mean(axis=0)
    return pd.DataFrame(found, index=ranks.columns, columns=range(1, number + 1))


def win_rates(patients: pd.DataFrame) -> pd.DataFrame:
    """Frame of a row a patient, a column a method, lower is better -> method x method: the share of patients on whom the row
    is ahead of the column, ties counting half; NaN on the diagonal and where no patient has both."""
    x = patients.to_numpy(dtype=float)
    ahead = (x[:, :, None] < x[:, None, :]) + 0.5 * (x[:, :, None] == x[:, None, :])
    both = ~(np.isnan(x[:, :, None]) | np.isnan(x[:, None, :]))
    count = both.sum(axis=0)
    rates = np.divide((ahead * both).sum(axis=0), count, out=np.full(count.shape, np.nan), where=count > 0)
    np.fill_diagonal(rates, np.nan)
    return pd.DataFrame(rates, index=patients.columns, columns=patients.columns)


def without_each_metric(ranks: pd.DataFrame) -> pd.DataFrame:
    """Method x metric ranks -> method x metric left out: mean rank over the others."""
    number = ranks.shape[1]
    if number < 2:
        raise ValueError(f"leaving a metric out needs two or more, here {number}")
    return pd.DataFrame({m: (ranks.sum(axis=1) - ranks[m]) / (number - 1) for m in ranks.columns})


def without_each_method(means: pd.DataFrame, better: Mapping[str, str]) -> pd.DataFrame:
    """Method x metric means -> method x method left out: mean rank among the others, NaN for the one left out."""
    return pd.DataFrame(
        {out: mean_rank(means.drop(index=out), better).reindex(means.index) for out in means.index}, index=means.index
    )


def without_each_patient(
    scores: Mapping[str, pd.DataFrame], better: Mapping[str, str], patients: Sequence[str]
) -> pd.DataFrame:
    """Method x patient left out: mean rank over the metrics, of means over the pairs of the others."""
    names = list(dict.fromkeys(patients))
    if len(names) < 2:
        raise ValueError(f"leaving a patient out needs two or more, here {len(names)}")
    weights = np.array([[float(name != out) for name in patients] for out in names])
    ranks = resampled_ranks(resampled_means(scores, weights), better)
    return pd.DataFrame(ranks.T, index=next(iter(scores.values())).columns, columns=names)


def mean_rank(means: pd.DataFrame, better: Mapping[str, str]) -> pd.Series:
    """Mean over the metrics (columns) of the rank of each method's mean; an undefined one comes last."""
    own = {metric: means[metric].to_numpy(dtype=float)[None] for metric in means.columns}
    return pd.Series(resampled_ranks(own, better)[0], index=means.index)
