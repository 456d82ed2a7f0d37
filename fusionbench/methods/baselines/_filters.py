"""Small filters shared by the baselines: (H, W) float64 in, (H, W) float64 out, borders as each caller names them.

``mode`` is SciPy's: "nearest" repeats the edge pixel, "mirror" is reflection without it, "constant" is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float64]


def gaussian_kernel(size: int, sigma: float) -> NDArray[np.float64]:
    """(size,) samples of a Gaussian, summing to 1: its outer product is MATLAB's fspecial('gaussian', size, sigma)."""
    x = np.arange(size) - (size - 1) / 2
    kernel = np.exp(-(x**2) / (2 * sigma**2))
    return np.asarray(kernel / kernel.sum())


def separable(image: Image, kernel: NDArray[np.float64], mode: str = "nearest") -> Image:
    """Correlate rows and columns with one odd kernel."""
    rows = ndimage.correlate1d(image, kernel, axis=0, mode=mode)
    result: Image = ndimage.correlate1d(rows, kernel, axis=1, mode=mode)
    return result


def mean(image: Image, size: int, mode: str = "nearest") -> Image:
    """Mean over a size x size window."""
    result: Image = ndimage.uniform_filter(image, size, mode=mode)
    return result


def window_mean(image: Image, radius: int) -> Image:
    """Mean over the part of the (2 radius + 1)-wide square window that lies inside the image."""
    total = image
    for axis in (0, 1):
        n = total.shape[axis]
        sums = np.concatenate([np.zeros_like(total.take([0], axis)), np.cumsum(total, axis)], axis)
        stop = np.minimum(np.arange(n) + radius + 1, n)
        start = np.maximum(np.arange(n) - radius, 0)
        count = (stop - start).reshape((-1, 1) if axis == 0 else (1, -1))
        total = (sums.take(stop, axis) - sums.take(start, axis)) / count
    return total


def guided_filter(guide: Image, image: Image, radius: int, eps: float) -> Image:
    """He, Sun and Tang's guided filter (doi:10.1109/TPAMI.2012.213), grey guide."""
    mean_g, mean_i = window_mean(guide, radius), window_mean(image, radius)
    covariance = window_mean(guide * image, radius) - mean_g * mean_i
    variance = window_mean(guide * guide, radius) - mean_g * mean_g
    slope = covariance / (variance + eps)
    offset = mean_i - slope * mean_g
    return window_mean(slope, radius) * guide + window_mean(offset, radius)


def leading_weights(x: Image, y: Image) -> tuple[float, float]:
    """Weights (summing to 1) along the leading eigenvector of the covariance of two images.

    Where that direction has no sum (constant or exactly opposed images), both weights are one half.
    """
    covariance = np.cov(np.stack([x.ravel(), y.ravel()]))
    values, vectors = np.linalg.eigh(covariance)
    leading = vectors[:, -1]
    total = leading.sum()
    if values[-1] <= 1e-20 or abs(total) < 1e-9:
        return 0.5, 0.5
    first, second = leading / total
    return float(first), float(second)


def correlate(image: Image, kernel: Any, mode: str = "nearest") -> Image:
    """Correlate with a small two-dimensional kernel."""
    result: Image = ndimage.correlate(image, np.asarray(kernel, dtype=np.float64), mode=mode)
    return result
