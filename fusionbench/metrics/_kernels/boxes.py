"""SSIM with the uniform 7 x 7 window on grey levels: sums over windows are integers below 2^24, exact in float32."""

from __future__ import annotations

import numpy as np

from fusionbench.metrics._kernels.compiler import Array, inlined, jit


@inlined
def _enter(x: Array, y: Array, columns: Array) -> None:
    for j in range(len(columns)):
        columns[j] += np.float32(x[j]) * np.float32(y[j])


@inlined
def _leave(x: Array, y: Array, columns: Array) -> None:
    for j in range(len(columns)):
        columns[j] -= np.float32(x[j]) * np.float32(y[j])


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
    one = np.ones(w, dtype=np.uint8)
    columns = np.empty((8, w), dtype=np.float32)
    sums = np.empty((8, w - 6), dtype=np.float32)
    for m in range(f.shape[0]):
        columns[:] = 0.0
        out[m] = 0.0
        for i in range(h):
            p, q, r = a[m, i], b[m, i], f[m, i]
            for k, (x, y) in enumerate(((p, one), (p, p), (q, one), (q, q), (r, one), (r, r), (p, r), (q, r))):
                _enter(x, y, columns[k])
            if i < 6:
                continue
            for k in range(8):
                _seven(columns[k], sums[k])
            out[m, 0] += _ssim_row(sums[0], sums[1], sums[4], sums[5], sums[6], c1 * 2401.0, c2 * 2352.0)
            out[m, 1] += _ssim_row(sums[2], sums[3], sums[4], sums[5], sums[7], c1 * 2401.0, c2 * 2352.0)
            p, q, r = a[m, i - 6], b[m, i - 6], f[m, i - 6]
            for k, (x, y) in enumerate(((p, one), (p, p), (q, one), (q, q), (r, one), (r, r), (p, r), (q, r))):
                _leave(x, y, columns[k])
