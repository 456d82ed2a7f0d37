"""Whether a metric orders methods as a yardstick does: rank correlation, and the share of pairs ordered rightly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusionbench.errors import InputError

FEWEST = 5


@dataclasses.dataclass(frozen=True)
class Agreement:
    """``tau``: Kendall's tau-b of metric and yardstick over ``methods`` methods, with its 95 % interval by bootstrap of
    methods; ``right``: share of pairs of methods that differ on the yardstick which the metric orders as it does, ties
    counting half."""

    tau: float
    low: float
    high: float
    right: float
    methods: int


def agreement(metric: pd.Series[float], yardstick: pd.Series[float], *, draws: int = 1000, seed: int = 0) -> Agreement:
    """Compare two series over methods, each higher for better; methods that either lacks or has as NaN are left out.

    Kendall, Biometrika 33, 1945, doi 10.1093/biomet/33.3.239. Raises InputError for fewer than five methods, or where all
    are equal on either.
    """
    both = pd.concat([metric, yardstick], axis=1, join="inner").dropna().to_numpy(dtype=np.float64)
    n = len(both)
    if n < FEWEST:
        raise InputError(f"{n} methods have both a score and a yardstick; a rank correlation needs at least {FEWEST}")
    signs = [np.sign(column[:, None] - column[None, :]) for column in both.T]
    if not all(sign.any() for sign in signs):
        raise InputError("all methods are equal on the metric or on the yardstick: there is no order to compare")
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    weights = np.concatenate([np.ones((1, n)), counts.astype(np.float64)])
    concordance, metric_differs, yardstick_differs = (
        _weighted(weights, matrix) for matrix in (signs[0] * signs[1], np.abs(signs[0]), np.abs(signs[1]))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = concordance / np.sqrt(metric_differs * yardstick_differs)
    low, high = np.nanquantile(tau[1:], (0.025, 0.975))  # draws of one method alone have no order
    right = (concordance[0] / yardstick_differs[0] + 1) / 2
    return Agreement(float(tau[0]), float(low), float(high), float(right), n)


def _weighted(weights: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws,) sum over pairs of methods, each as often as both were drawn."""
    total: NDArray[np.float64] = ((weights @ matrix) * weights).sum(1)
    return total
