"""Separable windows, and the two sums of logarithms of VIF."""

from __future__ import annotations

import numpy as np

from fusionbench.metrics._kernels.compiler import Array, inlined, jit

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


@jit
def blur(images: tuple[Array, Array, Array], pairs: Array, taps: Array, step: int, out: Array) -> None:
    """out[k, m, i, j] = sum taps[r] taps[s] z[m, i step + r, j step + s], z the product of the images pairs[k]; where the
    second index is -1, the first image alone. Images (N, H, W) float64; taps symmetric and odd in number.

    Rows are filtered along themselves into a buffer, then across.
    """
    n, windows = len(taps), out.shape[3]
    width = images[0].shape[2]
    line, sums = np.empty(width), np.empty(width - n + 1)
    rows = np.empty((_BLOCK + n) * windows)
    for k in range(len(pairs)):
        x, y = images[pairs[k, 0]], images[max(pairs[k, 1], 0)]
        alone = pairs[k, 1] < 0
        for m in range(len(x)):
            first = ready = 0  # rows first..ready - 1 of the image are in the buffer, every step-th window of them
            for i in range(out.shape[2]):
                top = i * step
                if top - first > _BLOCK:
                    kept = rows[(top - first) * windows : (ready - first) * windows]
                    for j in range(len(kept)):
                        rows[j] = kept[j]
                    first = top
                while ready < top + n:
                    source, factor = x[m, ready], y[m, ready]
                    target = rows[(ready - first) * windows : (ready - first + 1) * windows]
                    for j in range(width):
                        line[j] = source[j] * (1.0 if alone else factor[j])
                    every = target if step == 1 else sums
                    _weigh(line, 1, taps, every)
                    if step > 1:
                        for j in range(windows):
                            target[j] = every[j * step]
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


@jit
def log_information(mu: Array, e: Array, out: Array) -> None:
    """out[m] += sum log(1 + v / 2), v = e - mu^2 the window variances, below 1e-10 counting as 0; (N, H, W) float64."""
    factors, ones = np.ones(mu.shape[2]), np.ones(mu.shape[2])
    for m in range(len(mu)):
        for i in range(mu.shape[1]):
            means, squares = mu[m, i], e[m, i]
            for j in range(len(means)):
                v = squares[j] - means[j] * means[j]
                factors[j] *= 1.0 + (v if v >= 1e-10 else 0.0) * 0.5
            if i % _BLOCK == _BLOCK - 1 or i == mu.shape[1] - 1:
                out[m] += _log_sum(factors, ones)


@jit
def log_shared_information(mu1: Array, e11: Array, mu2: Array, e22: Array, e12: Array, out: Array) -> None:
    """out[m] += sum log(1 + g^2 v1 / (n + 2)): VIF at one scale, from window means of x, x^2, y, y^2 and x y.

    g = cov / v1 is the gain from x to y, n = v2 - g cov the variance of what x does not explain.
    """
    numerator, denominator = np.ones(mu1.shape[2]), np.ones(mu1.shape[2])
    for m in range(len(mu1)):
        for i in range(mu1.shape[1]):
            x, xx, y, yy, xy = mu1[m, i], e11[m, i], mu2[m, i], e22[m, i], e12[m, i]
            for j in range(len(x)):
                v1, v2 = max(xx[j] - x[j] * x[j], 0.0), max(yy[j] - y[j] * y[j], 0.0)
                covariance = xy[j] - x[j] * y[j]
                g = covariance / (v1 + 1e-10)
                n = max(v2 - g * covariance, 1e-10) + 2.0
                counts = (v1 >= 1e-10) & (v2 >= 1e-10) & (g > 0.0)
                numerator[j] *= n + g * g * v1 if counts else 1.0
                denominator[j] *= n if counts else 1.0
            if i % _BLOCK == _BLOCK - 1 or i == mu1.shape[1] - 1:
                out[m] += _log_sum(numerator, denominator)
