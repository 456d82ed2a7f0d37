"""Fusion by the cross-bilateral filter (CBF)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="cbf",
        title="Cross-bilateral filter (CBF)",
        family="edge-preserving",
        origin="reimplemented",
        year=2015,
        reference="Shreyamsha Kumar, Image fusion based on pixel significance using cross bilateral filter, "
        "Signal, Image and Video Processing 2015",
        doi="10.1007/s11760-013-0556-9",
        symmetric=True,
    )
)
@per_image
def cbf(a: Image, b: Image, *, sigma_s: float = 1.8, sigma_r: float = 25.0, size: int = 11) -> Image:
    """Sources averaged by the strength of what a cross-bilateral filter takes out of them.

    Equal to the author's code as published in VIFB. ``sigma_s`` in pixels, ``sigma_r`` on the 0 to 255 scale, ``size`` of
    the window (odd).
    """
    detail_a = a - cross_bilateral(a, b, sigma_s, sigma_r / 255, size)
    detail_b = b - cross_bilateral(b, a, sigma_s, sigma_r / 255, size)
    weight_a, weight_b = strength(detail_a), strength(detail_b)
    total = weight_a + weight_b
    share = np.divide(weight_a, total, out=np.full_like(a, 0.5), where=total > 0)
    return b + share * (a - b)


def cross_bilateral(image: Image, guide: Image, sigma_s: float, sigma_r: float, size: int) -> Image:
    """Bilateral filter of ``image`` with the range weights of ``guide``; borders reflected about the edge pixels."""
    half = size // 2
    height, width = image.shape
    padded, padded_guide = (np.pad(x, half, mode="reflect") for x in (image, guide))
    total = np.zeros_like(image)
    weights = np.zeros_like(image)
    for row in range(-half, half + 1):
        for column in range(-half, half + 1):
            window = (slice(half + row, half + row + height), slice(half + column, half + column + width))
            weight = np.exp(
                -(row**2 + column**2) / (2 * sigma_s**2) - (padded_guide[window] - guide) ** 2 / (2 * sigma_r**2)
            )
            # Differences to the centre, so that a flat patch comes out exactly flat.
            total += weight * (padded[window] - image)
            weights += weight
    return image + total / weights


def strength(detail: Image) -> Image:
    """Sum of the eigenvalues (so the trace) of the row and of the column covariance in each 5x5 window."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(detail, 2, mode="reflect"), 5, axis=0)
    lines = windows.var(axis=-1, ddof=1)
    by_columns = np.lib.stride_tricks.sliding_window_view(lines, 5, axis=1).sum(axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(detail, 2, mode="reflect"), 5, axis=1)
    lines = windows.var(axis=-1, ddof=1)
    by_rows = np.lib.stride_tricks.sliding_window_view(lines, 5, axis=0).sum(axis=-1)
    return np.asarray(by_columns + by_rows)
