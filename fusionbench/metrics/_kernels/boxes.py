"""SSIM with the uniform 7 x 7 window on grey levels: sums over windows are integers below 2^24, exact in float32."""

from __future__ import annotations

import numpy as np

from fusionbench.metrics._kernels.compiler import Array, inlined, jit

# The eight products of one row: of images a, b, f (0 to 2) and of ones (3).
_FIRST, _SECOND = (0, 0, 1, 1, 2, 2, 0, 1), (3, 0, 3, 1, 3, 2, 2, 2)


@inlined
def _replace(x: Array, y: Array, row: Array, columns: Array) -> None:
    """The products x y take the place of ``row``, in it and in the sums down the columns."""
    for j in range(len(row)):
        product = x[j] * y[j]
        columns[j] += product - row[j]
        row[j] = product


@inlined
def _seven(columns: Array, sums: Array) -> None:
    """sums[j] = columns[j] + ... + columns[j + 6]."""
    c = columns
    for j in range(len(sums)):
        sums[j] = c[j] + c[j + 1] + c[j + 2] + c[j + 3] + c[j + 4] + c[j + 5] + c[j + 6]


@inlined
def _ssim_row(x: Array, xx: Array, y: Array, yy: Array, xy: Array, c1: float, c2: float) -> float:
    """Sum of SSIM over a row of windows, from sums over the windows; both constants come multiplied by the denominators."""
    total = 0.0
    for j in range(len(x)):
        p, q = np.float64(x[j]), np.float64(y[j])
        pq, squares = p * q, p * p + q * q
        covariance = 49.0 * np.float64(xy[j]) - pq
        variances = 49.0 * np.float64(xx[j] + yy[j]) - squares
        total += (2.0 * pq + c1) * (2.0 * covariance + c2) / ((squares + c1) * (variances + c2))
    return total


@jit
def ssim_pair(a: Array, b: Array, f: Array, c1: float, c2: float, out: Array) -> None:
    """out[m, 0..1] = sum of SSIM of f with a and with b over the valid windows, sample covariance; (N, H, W) uint8."""
    h, w = f.shape[1], f.shape[2]
    images = np.ones((4, w), dtype=np.float32)
    sums = np.empty((8, w - 6), dtype=np.float32)
    for m in range(f.shape[0]):
        rows = np.zeros((7, 8, w), dtype=np.float32)  # the products of the last seven rows
        columns = np.zeros((8, w), dtype=np.float32)  # their sums
        out[m, 0] = out[m, 1] = 0.0
        for i in range(h):
            for j in range(w):
                images[0, j], images[1, j], images[2, j] = a[m, i, j], b[m, i, j], f[m, i, j]
            for k in range(8):
                _replace(images[_FIRST[k]], images[_SECOND[k]], rows[i % 7, k], columns[k])
            if i < 6:
                continue
            for k in range(8):
                _seven(columns[k], sums[k])
            out[m, 0] += _ssim_row(sums[0], sums[1], sums[4], sums[5], sums[6], c1 * 2401.0, c2 * 2352.0)
            out[m, 1] += _ssim_row(sums[2], sums[3], sums[4], sums[5], sums[7], c1 * 2401.0, c2 * 2352.0)
