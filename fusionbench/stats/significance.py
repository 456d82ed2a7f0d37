"""Tests of differences between methods over pairs, after Demsar (2006), JMLR 7:1-30: Friedman, Nemenyi, Wilcoxon, Holm."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from fusionbench.stats.claims import ALPHA

_EXACT = 50
"""Up to so many pairs Wilcoxon's test is exact."""
Float = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Friedman:
    """Friedman's test that all methods are alike, and the less conservative F form of Iman and Davenport (1980).

    ``chi2``, ``p_chi2``: corrected for ties. ``f``, ``p``: Iman-Davenport on (k-1), (k-1)(n-1) degrees of freedom; infinite
    when all pairs agree perfectly, with p = (1/k!)^(n-1). ``w``: Kendall's coefficient of concordance, 0 to 1.
    """

    pairs: int
    methods: int
    chi2: float
    p_chi2: float
    f: float
    p: float
    w: float


def friedman(blocks: pd.DataFrame) -> Friedman | str:
    """Friedman and Iman-Davenport over pairs (rows). Returns the reason, as a sentence, where the test says nothing."""
    pairs, methods = blocks.shape
    if methods < 3:
        return f"the Friedman test needs three methods or more, here {methods}; two are compared by Wilcoxon's test"
    if pairs < 2:
        return f"the Friedman test needs two pairs or more, here {pairs}"
    ranks = blocks.rank(axis=1, na_option="bottom")
    if (ranks.nunique(axis=1) == 1).all():
        return "all methods are tied on every pair"
    chi2, p_chi2 = stats.friedmanchisquare(*(ranks[name].to_numpy() for name in ranks.columns))
    most = pairs * (methods - 1)
    w = float(chi2) / most
    if math.isclose(chi2, most, rel_tol=1e-12):
        f, p = math.inf, math.exp(-(pairs - 1) * math.lgamma(methods + 1))
    else:
        f = (pairs - 1) * chi2 / (most - chi2)
        p = stats.f.sf(f, methods - 1, (methods - 1) * (pairs - 1))
    return Friedman(pairs, methods, float(chi2), float(p_chi2), float(f), float(p), w)


@dataclasses.dataclass(frozen=True)
class Nemenyi:
    """Average ranks over pairs (best first), the critical difference at ``alpha``, and the p value of every two methods.

    ``groups``: runs of methods, best first, within which no two differ by the critical difference or more.
    """

    alpha: float
    ranks: pd.Series
    difference: float
    p: pd.DataFrame
    groups: list[list[str]]


def nemenyi(blocks: pd.DataFrame, alpha: float = ALPHA) -> Nemenyi | str:
    """Nemenyi's test after Friedman's, ``blocks`` lower = better. Returns the reason where there is nothing to test."""
    pairs, methods = blocks.shape
    if methods < 2 or pairs < 2:
        return f"Nemenyi's test needs two methods and two pairs or more, here {methods} and {pairs}"
    average = blocks.rank(axis=1, na_option="bottom").mean(axis=0)
    average = average.iloc[np.lexsort((np.array([str(n) for n in average.index]), average.to_numpy()))]
    difference = critical_difference(methods, pairs, alpha)
    values = blocks[average.index].rank(axis=1, na_option="bottom").to_numpy()
    means = values.mean(axis=0)
    apart = np.abs(means[:, None] - means) / math.sqrt(methods * (methods + 1) / (6 * pairs))
    chance = np.minimum(stats.studentized_range.sf(math.sqrt(2) * apart, methods, np.inf), 1.0)
    np.fill_diagonal(chance, 1.0)
    p = pd.DataFrame(chance, index=average.index, columns=average.index)
    return Nemenyi(alpha, average, difference, p, cliques(average, difference))


def critical_difference(methods: int, pairs: int, alpha: float = ALPHA) -> float:
    """Smallest difference of average ranks that is significant: q_alpha sqrt(k (k+1) / (6 n)) (Demsar 2006)."""
    q = stats.studentized_range.ppf(1 - alpha, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * pairs)))


def cliques(ranks: pd.Series, difference: float) -> list[list[str]]:
    """Maximal runs of two methods or more, in order of rank, that lie less than ``difference`` apart."""
    ordered = ranks.sort_values(kind="stable")
    groups: list[list[str]] = []
    reached = 0
    for start in range(len(ordered)):
        end = int((ordered < ordered.iloc[start] + difference).sum())
        if end > reached and end - start > 1:
            groups.append([str(name) for name in ordered.index[start:end]])
            reached = end
    return groups


def wilcoxon(differences: Float) -> Float:
    """Two-sided p values of Wilcoxon's signed-rank test, one a column of (pairs, comparisons) differences.

    Exact up to 50 pairs that differ, with ties too: all signs are equally likely, and rank sums are counted by convolution.
    Beyond that scipy's normal approximation. Zeros are left out (Wilcoxon 1945), and so are NaN rows of a column; a column
    that is all zero has p = 1, one without any pair NaN.
    """
    return np.array([_signed_rank(column[~np.isnan(column)]) for column in differences.T])


def _signed_rank(differences: Float) -> float:
    if not differences.size:
        return math.nan
    moved = differences[differences != 0]
    if not moved.size:
        return 1.0
    if moved.size > _EXACT:
        return float(stats.wilcoxon(moved, method="asymptotic").pvalue)
    ranks = np.rint(2 * stats.rankdata(np.abs(moved))).astype(int)  # doubled, so that shared ranks are whole numbers
    ways = np.zeros(int(ranks.sum()) + 1)
    ways[0] = 1.0
    for step in ranks:
        ways[step:] = ways[step:] + ways[: ways.size - step]
    observed = int(ranks[moved > 0].sum())
    tail = min(ways[: observed + 1].sum(), ways[observed:].sum())
    return float(min(1.0, 2 * tail / 2.0**moved.size))


def holm(p: Float) -> Float:
    """Holm's (1979) step-down adjusted p values, in the order given; NaN stays NaN and is not counted."""
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(np.where(np.isnan(p), np.inf, p), kind="stable")[: int((~np.isnan(p)).sum())]
    count = len(order)
    running = np.maximum.accumulate(p[order] * (count - np.arange(count)))
    adjusted[order] = np.minimum(running, 1.0)
    return adjusted


def pairwise(scores: pd.DataFrame, better: str) -> pd.DataFrame:
    """Every two methods (columns) compared over the pairs (rows): one line a comparison.

    Columns: ``first``, ``second``, ``pairs`` (where both are defined), ``difference`` (mean of first - second), ``effect``
    (matched-pairs rank-biserial correlation, positive when the first is better), ``p`` (Wilcoxon), ``p_holm``.
    """
    names = list(scores.columns)
    index = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    columns = ["first", "second", "pairs", "difference", "effect", "p", "p_holm"]
    if not index or scores.shape[0] == 0:
        return pd.DataFrame(columns=columns)
    values = scores.to_numpy(dtype=float)
    first, second = (np.array(side) for side in zip(*index, strict=True))
    differences = values[:, first] - values[:, second]
    p = wilcoxon(differences)
    sign = 1.0 if better == "higher" else -1.0
    defined = ~np.isnan(differences)
    counts = defined.sum(axis=0)
    sums = np.where(defined, differences, 0.0).sum(axis=0)
    return pd.DataFrame(
        {
            "first": [names[i] for i in first],
            "second": [names[j] for j in second],
            "pairs": counts,
            "difference": np.divide(sums, counts, out=np.full(len(index), np.nan), where=counts > 0),
            "effect": [rank_biserial(sign * differences[defined[:, c], c]) for c in range(len(index))],
            "p": p,
            "p_holm": holm(p),
        },
        columns=columns,
    )


def rank_biserial(differences: Float) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): (favourable - unfavourable) / all rank sums, -1 to 1.

    Zero differences are left out, as Wilcoxon's test leaves them out; 0.0 when nothing else is there.
    """
    moved = differences[differences != 0]
    if moved.size == 0:
        return 0.0
    ranks = stats.rankdata(np.abs(moved))
    return float((ranks[moved > 0].sum() - ranks[moved < 0].sum()) / ranks.sum())
