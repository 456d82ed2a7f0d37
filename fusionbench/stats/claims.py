"""Is one method better than another? Effect, interval, p, verdict and power by patient; and claims made of printed means."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fusionbench.stats.patients import DRAWS, EXACT, equivalence, sign_flip, smallest_p

ALPHA = 0.05
POWER = 0.8
_MOST = 1000
"""No more patients than these are looked at for power."""
_TRIALS, _FLIPS = 400, 1999
Float = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "not separable", "not decidable"]


@dataclasses.dataclass(frozen=True)
class Claim:
    """What patients say of a difference between two methods; positive favours the first.

    ``effect``: mean over patients; ``low``, ``high``: its interval at ``1 - alpha``, infinite where so few patients bound
    nothing. ``p``: two-sided sign-flip; ``p_equivalent``: that the difference lies within ``margin`` (NaN without one).
    ``agree``: share of patients that have the sign of the effect. ``needed``: patients for 80 % power if others are like
    these; None where 1,000 would not do.
    """

    patients: int
    effect: float
    low: float
    high: float
    p: float
    p_equivalent: float
    margin: float
    agree: float
    needed: int | None
    verdict: Verdict
    alpha: float


def claim(differences: ArrayLike, margin: float = math.nan, alpha: float = ALPHA, *, power: bool = True) -> Claim:
    """Judge the differences of two methods, one a patient, positive where the first is better.

    ``margin``: differences no larger are of no use to anybody; ``power``: whether to look for the patients needed. Raises
    ValueError where no difference is defined.
    """
    d = np.asarray(differences, dtype=float)
    d = d[~np.isnan(d)]
    if not d.size:
        raise ValueError("no patient has a defined difference")
    effect, p = float(d.mean()), sign_flip(d)
    low, high = interval(d, 1 - alpha)
    inside = math.nan if math.isnan(margin) else float(equivalence(d[:, None], margin)[0])
    found = verdict(effect, p, inside, len(d), alpha)
    agree = float((np.sign(d) == np.sign(effect)).mean())
    needed = patients_needed(d, alpha) if power else None
    return Claim(len(d), effect, low, high, p, inside, margin, agree, needed, found, alpha)


def verdict(effect: float, p: float, p_equivalent: float, patients: int, alpha: float = ALPHA) -> Verdict:
    """In a word: "equivalent" goes first, for a difference can be certain and yet too small to be of use.

    "not decidable": so few patients cannot give a p of ``alpha``, whatever their scores; an undefined p is not one either.
    """
    if p_equivalent <= alpha:
        return "equivalent"
    if p <= alpha:
        return "better" if effect > 0 else "worse"
    return "not decidable" if smallest_p(patients) > alpha else "not separable"


def interval(differences: Float, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean that the sign-flip test does not refuse: order statistics of the means of all subsets.

    A flip of the patients S, after a shift by t, reaches the observed sum where the mean of S is at most t, so that the
    test's limits are among those means (Hartigan, JASA 1969, doi 10.1080/01621459.1969.10501057). Exact up to 20 patients,
    drawn subsets beyond. Infinite on both sides where the level cannot be reached: below 6 patients at 0.95.
    """
    d = np.asarray(differences, dtype=float)
    if len(d) <= EXACT:
        subsets = 1.0 * ((np.arange(1, 2 ** len(d))[:, None] >> np.arange(len(d))) & 1)
    else:
        subsets = 1.0 * np.random.default_rng(0).integers(0, 2, (DRAWS, len(d)))
        subsets = subsets[subsets.any(axis=1)]
    means = np.sort(subsets @ d / subsets.sum(axis=1))
    k = math.floor((1 - level) / 2 * (len(means) + 1) * (1 + 1e-12))
    return (float(means[k - 1]), float(means[-k])) if k else (-math.inf, math.inf)


def patients_needed(differences: Float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """The fewest patients like these that reject at ``alpha`` with that power; None where 1,000 would not.

    Patients are drawn with replacement to growing numbers, 400 times each, and tested by the sign-flip test (1,999 drawn
    flips, fixed seed). Numbers that cannot give such a p are passed over.
    """
    d = np.asarray(differences, dtype=float)
    least = next(n for n in range(1, EXACT) if smallest_p(n) <= alpha)
    if not d.any() or _power(d, _MOST, alpha) < power:
        return None
    low, high = least - 1, _MOST  # the power at ``high`` is enough, that at ``low`` is not known to be
    while high - low > 1:
        middle = min((low + high) // 2, 2 * low)
        low, high = (low, middle) if _power(d, middle, alpha) >= power else (middle, high)
    return high


def _power(d: Float, number: int, alpha: float) -> float:
    """Share of resamples of ``number`` patients that the sign-flip test rejects."""
    random = np.random.default_rng(number)
    drawn = d[random.integers(len(d), size=(_TRIALS, number))]
    signs = 1.0 - 2.0 * random.integers(0, 2, (number, _FLIPS))
    flipped = np.abs(drawn @ signs)
    hits = (flipped >= np.abs(drawn.sum(axis=1, keepdims=True)) * (1 - 1e-9)).sum(axis=1)
    return float(((1 + hits) / (1 + _FLIPS) <= alpha).mean())


def probability_false(
    means: tuple[float, float], deviations: tuple[float, float], number: int, congruence: float = 0.0
) -> float:
    """Probability that "the first is better" is false, of printed means and deviations alone (higher is better).

    The posterior, under a flat prior, of the difference of two means over the same ``number`` of units, whose scores
    correlate by ``congruence``: Student's t with n - 1 degrees of freedom (Christodoulou et al., False Promises in Medical
    Imaging AI?, arXiv 2505.04720, their model for scores of images). Raises ValueError for fewer than two units, negative
    deviations or a congruence outside -1 to 1.
    """
    if number < 2:
        raise ValueError(f"n = {number}: two units or more have a deviation")
    if min(deviations) < 0 or not -1 <= congruence <= 1:
        raise ValueError(f"deviations {deviations} must not be negative, congruence {congruence} lies within -1 and 1")
    (a, b), (s, t) = means, deviations
    spread = math.sqrt(max(0.0, s * s + t * t - 2 * congruence * s * t))
    if spread == 0:
        return 0.5 if a == b else float(a < b)
    return float(stats.t.cdf(math.sqrt(number) * (b - a) / spread, number - 1))


def congruence(first: ArrayLike, second: ArrayLike) -> float:
    """Correlation of two methods' scores over patients, which papers do not print; NaN where either does not vary."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
