"""Separable windows, and the two sums of logarithms of VIF."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from fusionbench.metrics._kernels.compiler import Array, inlined, jit

Images: TypeAlias = "tuple[Array, Array, Array]"
_BLOCK = 32  # rows of windows that are filtered before the buffer moves on; factors of one product of _log_sum


@inlined
def _weigh(x: Array, step: int, taps: Array, out: Array) -> None:
    """out[j] = sum taps[k] x[k step + j]; taps symmetric and odd in number: step 1 along a row, or rows apart.

    Four pairs of taps a pass: fewer would load and store ``out`` too often, more run out of registers.
    """
    n, c, width = len(taps), len(taps) // 2, len(out)
    weight, centre = taps[c], x[c * step :]
    for j in range(width):
        out[j] = weight * centre[j]
    k = 0
    while k + 4 <= c:
        w0, w1, w2, w3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        a0, a1, a2, a3 = x[k * step :], x[(k + 1) * step :], x[(k + 2) * step :], x[(k + 3) * step :]
        last = n - 1 - k
        b0, b1, b2, b3 = x[last * step :], x[(last - 1) * step :], x[(last - 2) * step :], x[(last - 3) * step :]
        for j in range(width):
            out[j] += w0 * (a0[j] + b0[j]) + w1 * (a1[j] + b1[j]) + w2 * (a2[j] + b2[j]) + w3 * (a3[j] + b3[j])
        k += 4
    while k < c:
        w0, a0, b0 = taps[k], x[k * step :], x[(n - 1 - k) * step :]
        for j in range(width):
            out[j] += w0 * (a0[j] + b0[j])
        k += 1


@inlined
def _along(x: Array, y: Array, alone: bool, taps: Array, step: int, line: Array, every: Array, out: Array) -> None:
    """Every step-th window sum along a row of the products x y (of x where it is ``alone``); the other arrays are room."""
    for j in range(len(line)):
        line[j] = x[j] * (1.0 if alone else y[j])
    if step == 1:
        _weigh(line, 1, taps, out)
        return
    _weigh(line, 1, taps, every)
    for j in range(len(out)):
        out[j] = every[j * step]


@inlined
def _forget(rows: Array, first: int, last: int) -> None:
    """Entries first..last - 1 move to the beginning."""
    for j in range(last - first):
        rows[j] = rows[first + j]


@jit
def blur(images: Images, pairs: Array, taps: Array, step: int, out: Array) -> None:
    """out[k, m, i, j] = sum taps[r] taps[s] z[m, i step + r, j step + s], z the product of the images pairs[k]; where the
    second index is -1, the first image alone. Images (N, H, W) float64; taps symmetric and odd in number.

    Rows are filtered along themselves into a buffer, then across.
    """
    n, windows = len(taps), out.shape[3]
    line, every = np.empty(images[0].shape[2]), np.empty(images[0].shape[2] - n + 1)
    rows = np.empty((_BLOCK + n) * windows)
    for k in range(len(pairs)):
        x, y = images[pairs[k, 0]], images[max(pairs[k, 1], 0)]
        for m in range(len(x)):
            first = ready = 0  # rows first..ready - 1 of the image are in the buffer
            for i in range(out.shape[2]):
                top = i * step
                if top - first > _BLOCK:
                    _forget(rows, (top - first) * windows, (ready - first) * windows)
                    first = top
                while ready < top + n:
                    target = rows[(ready - first) * windows : (ready - first + 1) * windows]
                    _along(x[m, ready], y[m, ready], pairs[k, 1] < 0, taps, step, line, every, target)
                    ready += 1
                _weigh(rows[(top - first) * windows :], windows, taps, out[k, m, i])


@inlined
def _log_sum(numerator: Array, denominator: Array) -> float:
    """sum log(numerator / denominator); both become 1.

    A sum of logarithms is the logarithm of a product: callers multiply up to _BLOCK factors between 1 and 2^17.
    """
    total = 0.0
    for j in range(len(numerator)):
        total += np.log(numerator[j] / denominator[j])
    numerator[:] = 1.0
    denominator[:] = 1.0
    return total


@inlined
def _inform(mean: Array, square: Array, factors: Array) -> None:
    """factors *= 1 + v / 2, v = square - mean^2 the variances of one row of windows, below 1e-10 counting as 0."""
    for j in range(len(factors)):
        v = square[j] - mean[j] * mean[j]
        factors[j] *= 1.0 + (v if v >= 1e-10 else 0.0) * 0.5


@jit
def log_information(means: Array, out: Array) -> None:
    """out[k, m] += sum log(1 + v / 2), v the window variances of image k, from means[2 k] and means[2 k + 1], (N, h, w)
    float64 window means of x and x^2."""
    height, windows = means.shape[2:]
    factors, ones = np.ones(windows), np.ones(windows)
    for k in range(len(out)):
        for m in range(means.shape[1]):
            for i in range(height):
                _inform(means[2 * k, m, i], means[2 * k + 1, m, i], factors)
                if i % _BLOCK == _BLOCK - 1 or i == height - 1:
                    out[k, m] += _log_sum(factors, ones)


@inlined
def _share(x: Array, xx: Array, y: Array, yy: Array, xy: Array, numerator: Array, denominator: Array) -> None:
    """Both factors of 1 + g^2 v1 / (n + 2) of one row of windows: VIF, from window means of x, x^2, y, y^2 and x y.

    g = cov / v1 is the gain from x to y, n = v2 - g cov the variance of what x does not explain.
    """
    for j in range(len(numerator)):
        v1, v2 = max(xx[j] - x[j] * x[j], 0.0), max(yy[j] - y[j] * y[j], 0.0)
        covariance = xy[j] - x[j] * y[j]
        g = covariance / (v1 + 1e-10)
        n = max(v2 - g * covariance, 1e-10) + 2.0
        counts = (v1 >= 1e-10) & (v2 >= 1e-10) & (g > 0.0)
        numerator[j] *= n + g * g * v1 if counts else 1.0
        denominator[j] *= n if counts else 1.0


@jit
def shared_information(images: Images, means: Array, taps: Array, reverse: bool, out: Array) -> None:
    """out[k, m] += sum log(1 + g^2 v1 / (n + 2)), the information that F shares with source k = 0, 1; in ``reverse`` F is
    the reference, and out[2, m] += the information in F (:func:`log_information`).

    ``images``: A, B and F, (N, H, W) float64; ``means``: those of A, A^2, B, B^2 in windows, (4, N, h, w) float64.
    Those of F, F^2, A F and B F pass by row after row and are kept nowhere.
    """
    n, windows, width = len(taps), means.shape[3], images[0].shape[2]
    line, every = np.empty(width), np.empty(0)
    rows = np.empty((4, (_BLOCK + n) * windows))
    sums = np.empty((4, windows))
    factors = np.ones((5, windows))  # numerators and denominators of both sources; of F
    ones = np.ones(windows)
    a, b, f = images
    for m in range(len(f)):
        first = ready = 0
        for i in range(means.shape[2]):
            if i - first > _BLOCK:
                for k in range(4):
                    _forget(rows[k], (i - first) * windows, (ready - first) * windows)
                first = i
            while ready < i + n:
                for k in range(4):
                    target = rows[k, (ready - first) * windows : (ready - first + 1) * windows]
                    other = a[m, ready] if k == 2 else b[m, ready] if k == 3 else f[m, ready]
                    _along(f[m, ready], other, k == 0, taps, 1, line, every, target)
                ready += 1
            for k in range(4):
                _weigh(rows[k, (i - first) * windows :], windows, taps, sums[k])
            for k in range(2):
                x, xx, y, yy = means[2 * k, m, i], means[2 * k + 1, m, i], sums[0], sums[1]
                if reverse:
                    x, xx, y, yy = y, yy, x, xx
                _share(x, xx, y, yy, sums[2 + k], factors[2 * k], factors[2 * k + 1])
            if reverse:
                _inform(sums[0], sums[1], factors[4])
            if i % _BLOCK == _BLOCK - 1 or i == means.shape[2] - 1:
                for k in range(2):
                    out[k, m] += _log_sum(factors[2 * k], factors[2 * k + 1])
                if reverse:
                    out[2, m] += _log_sum(factors[4], ones)
