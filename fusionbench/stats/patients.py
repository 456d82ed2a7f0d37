"""Tests with the patient as the unit: sign-flip permutation, step-down max-T, confidence set of the best, equivalence.

Slices of one patient are repeated measurements. For two methods the differences of a patient's pairs are averaged, and that
mean is one observation, however many slices there are. Where two methods are equal, a patient's difference is as likely to
have the other sign, which is all that these tests assume (Fisher, The Design of Experiments, 1935; Good, Permutation,
Parametric and Bootstrap Tests of Hypotheses, 2005, doi 10.1007/b138696). n patients have 2^n signs, so no two-sided p lies
below 2^(1 - n): three patients cannot show anything at a level of 0.05, whatever their scores.

The statistic of a comparison is |sum of d| / sqrt(sum of d^2), which orders the flips as Student's t does, and needs no
division by a deviation that flips can make zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

EXACT = 20
"""Up to so many patients all signs are tried; beyond, DRAWS of them are drawn."""
DRAWS = 100_000
_FEWEST, _WORK = 20_000, 1e8
"""Of large families signs are drawn from _WORK flips times comparisons on, _FEWEST or more."""
_SLACK = 1e-9
"""Sums that differ by less, relative, are equal: the order of adding up must not decide."""
_CELLS = 1 << 22
"""Numbers held at a time."""
Float = NDArray[np.float64]


def by_patient(scores: pd.DataFrame, patients: Sequence[str]) -> pd.DataFrame:
    """Score frame (a row a pair) -> a row a patient: the mean of the patient's pairs, NaN where one of them is undefined.

    ``patients``: whose each row is. Raises ValueError for a row without one.
    """
    if len(patients) != len(scores):
        raise ValueError(f"{len(patients)} patients for {len(scores)} pairs; give each pair its patient")
    if any(pd.isna(name) or name == "" for name in patients):
        raise ValueError("a pair has no patient; give each pair one (a pair of its own, where it is not known)")
    grouped = scores.groupby(np.asarray(patients, dtype=object), sort=True)
    return grouped.mean().where(grouped.count().eq(grouped.size(), axis=0))


def over_tasks(tasks: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Task -> frame (a row a person, a column a method) -> one frame of all persons, so weighted that the mean over persons
    is the mean over tasks of the means over their persons. A person of several tasks is one row: one sign, one draw."""
    names = sorted({name for frame in tasks.values() for name in frame.index})
    parts = [
        frame.reindex(names, fill_value=0.0) * (len(names) / (len(tasks) * len(frame))) for frame in tasks.values()
    ]
    return sum(parts[1:], start=parts[0])


def smallest_p(patients: int) -> float:
    """The smallest two-sided p that so many patients can give."""
    return float(min(1.0, 2.0 ** (1 - patients))) if patients <= EXACT else 1 / (1 + DRAWS)


def sign_flip(differences: ArrayLike) -> float:
    """Two-sided p of the hypothesis that differences (one a patient) are symmetric about zero; NaN for no patient.

    Undefined differences are left out. Exact up to 20 patients; beyond, (1 + hits) / (1 + draws) of drawn signs.
    """
    d = np.asarray(differences, dtype=float)
    d = d[~np.isnan(d)]
    return float(max_t(pd.DataFrame({"d": d}))["d"]) if d.size else float("nan")


def max_t(differences: pd.DataFrame) -> pd.Series:
    """p adjusted for all comparisons, by step-down max-T (Westfall and Young, Resampling-Based Multiple Testing, 1993).

    ``differences``: a row a patient, a column a comparison. All of a patient's differences change sign at once, so what
    comparisons share is accounted for, and the smallest p is that of a single comparison. A patient counts in those
    comparisons alone that are defined for it; NaN for a comparison without a patient.
    """
    d = differences.to_numpy(dtype=float)
    observed = _statistic(d)
    used = [int(c) for c in np.argsort(-observed, kind="stable") if not np.isnan(observed[c])]
    p = np.full(d.shape[1], np.nan)
    if used:
        p[used] = _step_down(d[:, used], np.arange(len(used)), observed[used])
    return pd.Series(p, index=differences.columns)


def pairwise_by_patient(patients: pd.DataFrame) -> pd.DataFrame:
    """Every two methods (columns) over patients (rows): first, second, patients, difference, agree, p, p_adjusted.

    ``difference``: mean over patients of first minus second. ``agree``: share of the patients whose difference has the sign
    of that mean. ``p``: of the two alone; ``p_adjusted``: by step-down max-T over all lines.
    """
    names = list(patients.columns)
    first, second = np.triu_indices(len(names), 1)
    values = patients.to_numpy(dtype=float)
    d = values[:, first] - values[:, second]
    counts = (~np.isnan(d)).sum(axis=0)
    means = np.divide(np.nansum(d, axis=0), counts, out=np.full(d.shape[1], np.nan), where=counts > 0)
    alike = (np.sign(d) == np.sign(means)).sum(axis=0)
    return pd.DataFrame(
        {
            "first": [names[i] for i in first],
            "second": [names[j] for j in second],
            "patients": counts,
            "difference": means,
            "agree": np.divide(alike, counts, out=np.full(d.shape[1], np.nan), where=counts > 0),
            "p": singly(d),
            "p_adjusted": max_t(pd.DataFrame(d)).to_numpy(),
        }
    )


def singly(differences: Float) -> Float:
    """(patients, comparisons) -> two-sided p of each comparison by itself, as :func:`sign_flip`."""
    observed = _statistic(differences)
    hits = np.zeros(len(observed))
    known = _scaled(np.nan_to_num(differences))
    tried = 0
    for signs in _signs(*known.shape):
        hits += (_flipped(signs, known) >= observed * (1 - _SLACK)).sum(axis=0)
        tried += len(signs)
    return np.where(np.isnan(observed), np.nan, _share(hits, tried, *known.shape))


def confidence_set(patients: pd.DataFrame) -> pd.Series:
    """p that a method is among the best: those above alpha form a confidence set of the best at 1 - alpha.

    ``patients``: a row a patient, a column a method, **lower is better**. This is the Model Confidence Set of Hansen, Lunde
    and Nason (Econometrica 2011, doi 10.3982/ECTA5771) with the range statistic: the method that some other beats most
    clearly is left out while equality of all that are left is refused. The choice of the leader after the fact is thereby
    paid for. Where they resample, signs are flipped here, which is exact for few patients: three can exclude nobody.
    Methods with an undefined score have NaN and take no part.
    """
    full = patients.loc[:, patients.notna().all(axis=0)]
    names, values = list(full.columns), full.to_numpy(dtype=float)
    result = pd.Series(np.nan, index=patients.columns)
    if not names or not len(values):
        return result
    first, second = np.triu_indices(len(names), 1)
    d = values[:, first] - values[:, second]
    worse = np.zeros((len(names), len(names)))  # how clearly the row's method is beaten by the column's
    signed = np.sign(d.sum(axis=0)) * _statistic(d)
    worse[first, second], worse[second, first] = signed, -signed
    left = list(range(len(names)))
    leaves = np.full(len(names), len(names) - 1)
    for step in range(len(names) - 1):
        out = max(left, key=lambda m: (worse[m, left].max(), names[m]))
        leaves[out] = step
        left.remove(out)
    steps = np.minimum(leaves[first], leaves[second])  # the step after which a comparison is no longer among those left
    order = np.argsort(steps, kind="stable")
    p = np.ones(len(names))
    if len(names) > 1:
        p[:-1] = _step_down(d[:, order], steps[order], _statistic(d)[order])
    result[names] = p[leaves]
    return result


def equivalence(differences: Float, margin: Float | float) -> Float:
    """(patients, comparisons) -> p that a difference does not lie within the margin on either side, for each by itself.

    Two one-sided sign-flip tests (Schuirmann, J. Pharmacokinet. Biopharm. 1987, doi 10.1007/BF01068419); the larger p. At
    0.05 this is to find the 90 % interval within the margin. No p lies below 2^-n.
    """
    known = ~np.isnan(differences)
    worst = np.zeros(differences.shape[1])
    for side in (1.0, -1.0):
        inside = np.where(known, margin - side * differences, 0.0)
        observed, hits, tried = inside.sum(axis=0), np.zeros(len(worst)), 0
        slack = _SLACK * np.abs(inside).sum(axis=0)
        for signs in _signs(*inside.shape):
            sums = signs @ inside
            # _signs gives one of each two opposite flips; a one-sided test counts both.
            hits += (sums >= observed - slack).sum(axis=0) + (-sums >= observed - slack).sum(axis=0)
            tried += 2 * len(signs)
        worst = np.maximum(worst, _share(hits, tried, *inside.shape))
    return np.where(known.any(axis=0), worst, np.nan)


def _statistic(d: Float) -> Float:
    """|sum| / sqrt(sum of squares) of each column over its defined rows: 0 where all are zero, NaN where none is defined."""
    known = np.nan_to_num(d)
    return np.where(np.isnan(d).all(axis=0), np.nan, np.abs(known.sum(axis=0)) / _norm(known))


def _norm(known: Float) -> Float:
    norm = np.sqrt((known**2).sum(axis=0))
    return np.where(norm > 0, norm, 1.0)


def _scaled(known: Float) -> Float:
    """The differences over the root of their sum of squares, so that flipped sums are statistics."""
    return known / _norm(known)


def _flipped(signs: Float, scaled: Float) -> Float:
    """(flips, comparisons) statistics under some flips."""
    sums = signs @ scaled
    return np.abs(sums, out=sums)


def _exact(patients: int, comparisons: int) -> bool:
    return patients <= EXACT and comparisons * 2 ** (patients - 1) <= max(_WORK, 2**EXACT)


def _signs(patients: int, comparisons: int) -> Iterator[Float]:
    """(flips, patients) signs in pieces: one of each two opposite flips, or drawn ones where those are too many."""
    exact = _exact(patients, comparisons)
    total = 2 ** max(0, patients - 1) if exact else min(DRAWS, max(_FEWEST, int(_WORK / max(1, comparisons))))
    size = max(1, _CELLS // max(patients, comparisons, 1))
    random = np.random.default_rng(0)
    for start in range(0, total, size):
        numbers = np.arange(start, min(start + size, total))
        if exact:
            flipped = (numbers[:, None] >> np.arange(patients)) & 1
        else:
            flipped = random.integers(0, 2, (len(numbers), patients))
        yield 1.0 - 2.0 * flipped.astype(np.float64)


def _share(hits: Float, tried: int, patients: int, comparisons: int) -> Float:
    """p of so many hits: drawn signs count the observed ones too."""
    return hits / tried if _exact(patients, comparisons) else (1 + hits) / (1 + tried)


def _step_down(d: Float, steps: NDArray[np.integer], observed: Float) -> Float:
    """p of each step, columns sorted by step: how often the largest statistic of that step and all later ones reaches the
    observed largest one, made monotone."""
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    known = _scaled(np.nan_to_num(d))

    def largest(values: Float) -> Float:
        return np.maximum.accumulate(np.maximum.reduceat(values, starts, axis=-1)[..., ::-1], axis=-1)[..., ::-1]

    reached, hits, tried = largest(observed) * (1 - _SLACK), np.zeros(len(starts)), 0
    for signs in _signs(*known.shape):
        hits += (largest(_flipped(signs, known)) >= reached).sum(axis=0)
        tried += len(signs)
    return np.maximum.accumulate(_share(hits, tried, *known.shape))
