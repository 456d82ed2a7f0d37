"""Compiled CPU kernels of the hot loops. Each has a torch twin beside its caller, which CUDA, masks and huge images use.

Written so that LLVM vectorises them: straight inner loops over columns, no calls to scalar mathematics. Compiled once and
cached; where neither this folder nor the user's cache folder can be written, they are compiled again in each process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
C = TypeVar("C", bound=Callable[..., Any])

# Sums may be reordered and multiply-adds contracted; NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


def jit(function: C) -> C:
    """numba.njit, with the cache on disk where one can be written."""
    try:
        compiled: Any = numba.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        compiled = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")(function)
    return cast(C, compiled)


def inlined(function: C) -> C:
    """For what kernels call. A function of its own would be one machine code when compiled and another when loaded from the
    cache, which LLVM may have summed in another order: the last digits of a score would tell the two apart."""
    return cast(C, numba.njit(inline="always", fastmath=_FAST, error_model="numpy")(function))


@inlined
def exp(x: float) -> float:
    """e**x for |x| < 60 to 1e-13 relative, without a call: Taylor series at x / 256, then squared eight times."""
    y = x * (1.0 / 256.0)
    p = 1.0 / 3628800.0
    p = p * y + 1.0 / 362880.0
    p = p * y + 1.0 / 40320.0
    p = p * y + 1.0 / 5040.0
    p = p * y + 1.0 / 720.0
    p = p * y + 1.0 / 120.0
    p = p * y + 1.0 / 24.0
    p = p * y + 1.0 / 6.0
    p = p * y + 0.5
    p = p * y + 1.0
    p = p * y + 1.0
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    return p * p


@inlined
def angle(y: float, x: float, r: float) -> float:
    """arctan(y / x), pi / 2 where x = 0, given r = hypot(x, y): the odd series of half the angle below pi / 4, to 1e-15."""
    ax, ay = abs(x), abs(y)
    z = min(ax, ay) / (max(ax, ay) + r + (r == 0.0))
    s = z * z
    p = 1.0 / 37.0
    p = 1.0 / 35.0 - s * p
    p = 1.0 / 33.0 - s * p
    p = 1.0 / 31.0 - s * p
    p = 1.0 / 29.0 - s * p
    p = 1.0 / 27.0 - s * p
    p = 1.0 / 25.0 - s * p
    p = 1.0 / 23.0 - s * p
    p = 1.0 / 21.0 - s * p
    p = 1.0 / 19.0 - s * p
    p = 1.0 / 17.0 - s * p
    p = 1.0 / 15.0 - s * p
    p = 1.0 / 13.0 - s * p
    p = 1.0 / 11.0 - s * p
    p = 1.0 / 9.0 - s * p
    p = 1.0 / 7.0 - s * p
    p = 1.0 / 5.0 - s * p
    p = 1.0 / 3.0 - s * p
    t = 2.0 * z * (1.0 - s * p)
    t = np.pi / 2 - t if ay > ax else t
    t = -t if x * y < 0.0 else t
    return np.pi / 2 if x == 0.0 else t


# The window kernels walk over whole rows, up to four pairs of taps at a time, so that the row stays in registers and cache.
@inlined
def _rows(x: Array, top: int, taps: Array, row: Array) -> None:
    """row = sum taps[k] x[top + k]; taps symmetric and odd in number."""
    n, c = len(taps), len(taps) // 2
    centre, w = x[top + c], taps[c]
    for j in range(len(row)):
        row[j] = w * centre[j]
    k = 0
    while k + 4 <= c:
        a0, a1, a2, a3 = x[top + k], x[top + k + 1], x[top + k + 2], x[top + k + 3]
        b0, b1, b2, b3 = x[top + n - 1 - k], x[top + n - 2 - k], x[top + n - 3 - k], x[top + n - 4 - k]
        w0, w1, w2, w3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        for j in range(len(row)):
            row[j] += w0 * (a0[j] + b0[j]) + w1 * (a1[j] + b1[j]) + w2 * (a2[j] + b2[j]) + w3 * (a3[j] + b3[j])
        k += 4
    while k < c:
        a0, b0, w0 = x[top + k], x[top + n - 1 - k], taps[k]
        for j in range(len(row)):
            row[j] += w0 * (a0[j] + b0[j])
        k += 1


@inlined
def _columns(row: Array, taps: Array, out: Array) -> None:
    """out[j] = sum taps[k] row[j + k]."""
    n, c, w = len(taps), len(taps) // 2, len(out)
    centre, weight = row[c:], taps[c]
    for j in range(w):
        out[j] = weight * centre[j]
    k = 0
    while k + 4 <= c:
        a0, a1, a2, a3 = row[k:], row[k + 1 :], row[k + 2 :], row[k + 3 :]
        b0, b1, b2, b3 = row[n - 1 - k :], row[n - 2 - k :], row[n - 3 - k :], row[n - 4 - k :]
        w0, w1, w2, w3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        for j in range(w):
            out[j] += w0 * (a0[j] + b0[j]) + w1 * (a1[j] + b1[j]) + w2 * (a2[j] + b2[j]) + w3 * (a3[j] + b3[j])
        k += 4
    while k < c:
        a0, b0, w0 = row[k:], row[n - 1 - k :], taps[k]
        for j in range(w):
            out[j] += w0 * (a0[j] + b0[j])
        k += 1


@jit
def blur(x: Array, taps: Array, step: int, out: Array) -> None:
    """out[i, j] = sum taps[k] taps[l] x[i step + k, j step + l]; taps symmetric and odd in number; (N, H, W) float64."""
    row = np.empty(x.shape[2])
    wide = np.empty(x.shape[2] - len(taps) + 1)
    for m in range(out.shape[0]):
        for i in range(out.shape[1]):
            _rows(x[m], i * step, taps, row)
            if step == 1:
                _columns(row, taps, out[m, i])
            else:
                _columns(row, taps, wide)
                for j in range(out.shape[2]):
                    out[m, i, j] = wide[j * step]


@jit
def blur_product(x: Array, y: Array, taps: Array, out: Array) -> None:
    """The same with step 1, of the product x y. The last rows of products are kept, each made once."""
    n, width = len(taps), x.shape[2]
    # Twice the rows that a window needs: when the buffer is full, its last n - 1 rows move to the top.
    products = np.empty((2 * n, width))
    row = np.empty(width)
    for m in range(out.shape[0]):
        filled = 0
        top = 0
        for i in range(x.shape[1]):
            if filled == 2 * n:
                products[: n - 1] = products[n + 1 :]
                filled, top = n - 1, 0
            p, q, target = x[m, i], y[m, i], products[filled]
            for j in range(width):
                target[j] = p[j] * q[j]
            filled += 1
            if i >= n - 1:
                _rows(products, top, taps, row)
                _columns(row, taps, out[m, i - n + 1])
                top += 1


@jit
def log_information(s1: Array, out: Array) -> None:
    """out[m] += sum log(1 + s1 / 2), s1 below 1e-10 counting as 0.

    A sum of logarithms is the logarithm of a product: 32 factors at a time.
    """
    product = np.ones(s1.shape[2])
    for m in range(s1.shape[0]):
        for top in range(0, s1.shape[1], 32):
            product[:] = 1.0
            for i in range(top, min(top + 32, s1.shape[1])):
                for j in range(s1.shape[2]):
                    v = s1[m, i, j]
                    product[j] *= 1.0 + (v if v >= 1e-10 else 0.0) * 0.5
            for j in range(s1.shape[2]):
                out[m] += np.log(product[j])


@jit
def log_shared_information(mu1: Array, s1: Array, mu2: Array, s2: Array, e12: Array, out: Array) -> None:
    """out[m] += sum log(1 + g^2 s1 / (s2 - g s12 + 2)), g = s12 / s1 (VIF, one scale; s12 = e12 - mu1 mu2)."""
    product = np.ones(s1.shape[2])
    for m in range(s1.shape[0]):
        for top in range(0, s1.shape[1], 32):
            product[:] = 1.0
            for i in range(top, min(top + 32, s1.shape[1])):
                _information_row(mu1[m, i], s1[m, i], mu2[m, i], s2[m, i], e12[m, i], product)
            for j in range(s1.shape[2]):
                out[m] += np.log(product[j])


@inlined
def _information_row(mu1: Array, s1: Array, mu2: Array, s2: Array, e12: Array, product: Array) -> None:
    for j in range(len(product)):
        v1, v2 = s1[j], s2[j]
        s12 = e12[j] - mu1[j] * mu2[j]
        g = s12 / (v1 + 1e-10)
        noise = max(v2 - g * s12, 1e-10)
        term = 1.0 + g * g * v1 / (noise + 2.0)
        counts = (v1 >= 1e-10) & (v2 >= 1e-10) & (g > 0.0)
        product[j] *= term if counts else 1.0


@jit
def moments(x: Array, taps: Array, centred: bool, mean: Array, square: Array) -> None:
    """Window means of x and of x^2, or, centred, of x and its variance (not below 0), in one pass."""
    n, width = len(taps), x.shape[2]
    squares, row = np.empty((2 * n, width)), np.empty(width)
    for m in range(mean.shape[0]):
        filled = top = 0
        for i in range(x.shape[1]):
            if filled == 2 * n:
                squares[: n - 1] = squares[n + 1 :]
                filled, top = n - 1, 0
            p, target = x[m, i], squares[filled]
            for j in range(width):
                target[j] = p[j] * p[j]
            filled += 1
            if i >= n - 1:
                first, second = mean[m, i - n + 1], square[m, i - n + 1]
                _rows(x[m], i - n + 1, taps, row)
                _columns(row, taps, first)
                _rows(squares, top, taps, row)
                _columns(row, taps, second)
                if centred:
                    for j in range(len(first)):
                        second[j] = max(second[j] - first[j] * first[j], 0.0)
                top += 1


@inlined
def _push(a: Array, b: Array, f: Array, products: Array, filled: int) -> None:
    """products[0..2, filled] = f f, a f, b f."""
    ff, af, bf = products[0, filled], products[1, filled], products[2, filled]
    for j in range(len(f)):
        v = f[j]
        ff[j] = v * v
        af[j] = a[j] * v
        bf[j] = b[j] * v


@inlined
def _window_rows(f: Array, i: int, products: Array, top: int, taps: Array, row: Array, means: Array) -> None:
    """means[0..3] = window means of f, f f, a f, b f over one row of windows."""
    _rows(f, i, taps, row)
    _columns(row, taps, means[0])
    for k in range(3):
        _rows(products[k], top, taps, row)
        _columns(row, taps, means[k + 1])


@jit
def vif_pair(a: Array, ma: Array, va: Array, b: Array, mb: Array, vb: Array, f: Array, taps: Array, out: Array) -> None:
    """out[m, 0..1] += shared information of f with a and with b at one scale (:func:`log_shared_information`), row by row.

    ``ma``, ``va``, ``mb``, ``vb``: window means and variances of the sources. Nothing is written but two numbers an image.
    """
    n, width = len(taps), f.shape[2]
    products, row = np.empty((3, 2 * n, width)), np.empty(width)
    means = np.empty((4, width - n + 1))
    in_a, in_b = np.empty(width - n + 1), np.empty(width - n + 1)
    for m in range(f.shape[0]):
        filled = top = 0
        in_a[:], in_b[:] = 1.0, 1.0
        for i in range(f.shape[1]):
            if filled == 2 * n:
                products[:, : n - 1] = products[:, n + 1 :]
                filled, top = n - 1, 0
            _push(a[m, i], b[m, i], f[m, i], products, filled)
            filled += 1
            if i < n - 1:
                continue
            k = i - n + 1
            _window_rows(f[m], k, products, top, taps, row, means)
            top += 1
            mean, spread = means[0], means[1]
            for j in range(len(mean)):
                spread[j] = max(spread[j] - mean[j] * mean[j], 0.0)
            _information_row(ma[m, k], va[m, k], mean, spread, means[2], in_a)
            _information_row(mb[m, k], vb[m, k], mean, spread, means[3], in_b)
            if k % 32 == 31 or i == f.shape[1] - 1:
                for j in range(len(mean)):
                    out[m, 0] += np.log(in_a[j])
                    out[m, 1] += np.log(in_b[j])
                in_a[:], in_b[:] = 1.0, 1.0


@inlined
def _ssim_row(mu1: Array, e11: Array, mu2: Array, e22: Array, e12: Array, c1: float, c2: float, ratio: float) -> float:
    total = 0.0
    for j in range(len(mu1)):
        x, y = mu1[j], mu2[j]
        xx, yy, xy = x * x, y * y, x * y
        v = ratio * (e11[j] - xx + e22[j] - yy)
        s = ratio * (e12[j] - xy)
        total += (2.0 * xy + c1) * (2.0 * s + c2) / ((xx + yy + c1) * (v + c2))
    return total


@jit
def ssim_pair(
    a: Array,
    ma: Array,
    eaa: Array,
    b: Array,
    mb: Array,
    ebb: Array,
    f: Array,
    taps: Array,
    c1: float,
    c2: float,
    ratio: float,
    out: Array,
) -> None:
    """out[m, 0..1] = sum of SSIM of f with a and with b, row by row.

    ``ma``, ``eaa``, ``mb``, ``ebb``: window means of the sources and of their squares; ``ratio``: n / (n - 1), or 1.
    """
    n, width = len(taps), f.shape[2]
    products, row = np.empty((3, 2 * n, width)), np.empty(width)
    means = np.empty((4, width - n + 1))
    for m in range(f.shape[0]):
        filled = top = 0
        for i in range(f.shape[1]):
            if filled == 2 * n:
                products[:, : n - 1] = products[:, n + 1 :]
                filled, top = n - 1, 0
            _push(a[m, i], b[m, i], f[m, i], products, filled)
            filled += 1
            if i < n - 1:
                continue
            k = i - n + 1
            _window_rows(f[m], k, products, top, taps, row, means)
            top += 1
            out[m, 0] += _ssim_row(ma[m, k], eaa[m, k], means[0], means[1], means[2], c1, c2, ratio)
            out[m, 1] += _ssim_row(mb[m, k], ebb[m, k], means[0], means[1], means[3], c1, c2, ratio)


@jit
def sobel(x: Array, gx: Array, gy: Array) -> None:
    """Sobel convolution with zeros beyond the border: gx = left - right, gy = bottom - top; (N, H, W)."""
    h, w = x.shape[1], x.shape[2]
    up, mid, down = np.zeros(w + 2), np.zeros(w + 2), np.zeros(w + 2)
    for m in range(x.shape[0]):
        for i in range(h):
            for j in range(w):
                up[j + 1] = x[m, i - 1, j] if i > 0 else 0.0
                mid[j + 1] = x[m, i, j]
                down[j + 1] = x[m, i + 1, j] if i < h - 1 else 0.0
            for j in range(w):
                gx[m, i, j] = (up[j] - up[j + 2]) + 2.0 * (mid[j] - mid[j + 2]) + (down[j] - down[j + 2])
                gy[m, i, j] = (down[j] - up[j]) + 2.0 * (down[j + 1] - up[j + 1]) + (down[j + 2] - up[j + 2])


@jit
def polar(gx: Array, gy: Array) -> None:
    """In place, flat arrays: gx <- sqrt(gx^2 + gy^2), gy <- arctan(gy / gx), pi / 2 where gx = 0."""
    for i in range(len(gx)):
        x, y = gx[i], gy[i]
        r = np.sqrt(x * x + y * y)
        gx[i] = r
        gy[i] = angle(y, x, r)


@jit
def edge_sum(g1: Array, a1: Array, g2: Array, a2: Array, out: Array) -> None:
    """out[m] = sum of Q g1: edge preservation of source 1 in image 2, weighted by the source's edge strength; (N, P)."""
    for m in range(g1.shape[0]):
        total = 0.0
        for i in range(g1.shape[1]):
            p, q = g1[m, i], g2[m, i]
            low, high = min(p, q), max(p, q)
            strength = low / (high + (high == 0.0))
            strength = q if p == q else strength  # as the tool has it; see the traps of qabf
            strength = min(strength, 4.0)  # beyond 4 the sigmoid is 1 to 1e-22, and exp() stays in its range
            turn = 1.0 - abs(a1[m, i] - a2[m, i]) * (2.0 / np.pi)
            total += p / ((1.0 + exp(-15.0 * (strength - 0.5))) * (1.0 + exp(-22.0 * (turn - 0.8))))
        out[m] = 0.9994 * 0.9879 * total


@jit
def gradient_sums(x: Array, out: Array) -> None:
    """Per image of (N, H, W): sum of squared row-wise and column-wise differences, sum of sqrt((gx^2 + gy^2) / 2).

    Central differences, one-sided at the border.
    """
    h, w = x.shape[1], x.shape[2]
    for m in range(x.shape[0]):
        rows, columns, total = 0.0, 0.0, 0.0
        for i in range(h):
            above, below = max(i - 1, 0), min(i + 1, h - 1)
            half = 1.0 / (below - above)
            for j in range(w - 1):
                d = x[m, i, j + 1] - x[m, i, j]
                rows += d * d
            if i > 0:
                for j in range(w):
                    d = x[m, i, j] - x[m, i - 1, j]
                    columns += d * d
            for j in range(1, w - 1):
                dx = (x[m, i, j + 1] - x[m, i, j - 1]) * 0.5
                dy = (x[m, below, j] - x[m, above, j]) * half
                total += np.sqrt((dx * dx + dy * dy) * 0.5)
            for j, k in ((0, 1), (w - 1, w - 2)):
                dx = x[m, i, k] - x[m, i, j]
                dy = (x[m, below, j] - x[m, above, j]) * half
                total += np.sqrt((dx * dx + dy * dy) * 0.5)
        out[m, 0], out[m, 1], out[m, 2] = rows, columns, total


@jit
def joint_histogram(x: Array, y: Array, out: Array) -> None:
    """out[m, x, y] = number of pixels; (N, P) uint8 -> (N, 256, 256) int64, which must be zero."""
    for m in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[m, x[m, i], y[m, i]] += 1


@jit
def histogram(x: Array, out: Array) -> None:
    """out[m, x] = number of pixels; (N, P) uint8 -> (N, 256) int64, which must be zero."""
    for m in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[m, x[m, i]] += 1


@jit
def product_sums(x: Array, y: Array, out: Array) -> None:
    """out[m] = sum x y, exact; (N, P) uint8 -> (N,) int64."""
    for m in range(x.shape[0]):
        total = np.int64(0)
        for i in range(x.shape[1]):
            total += np.int32(x[m, i]) * np.int32(y[m, i])
        out[m] = total


@jit
def plogp_sum(counts: Array, table: Array, out: Array) -> None:
    """out[m] = sum c log c over the counts of (N, P) int64; table[c] = c log c for small c."""
    for m in range(counts.shape[0]):
        total = 0.0
        for i in range(counts.shape[1]):
            c = counts[m, i]
            if c > 1:
                total += table[c] if c < len(table) else c * np.log(float(c))
        out[m] = total


@inlined
def _window(x: Array, m: int, i: int, j: int, p: Array, logs: Array, cumulative: Array) -> tuple[float, float, float]:
    """The 3 x 3 window at (i, j), column after column, as a distribution: -> entropy, position deviation, sum of p^2 - 1/9.

    Fills the nine probabilities, their logarithms (0 for p = 0) and their cumulative sums.
    """
    low = high = x[m, i, j]
    for k in range(9):
        v = x[m, i + k % 3, j + k // 3]
        p[k] = v
        low, high = min(low, v), max(high, v)
    total = 0.0
    for k in range(9):
        p[k] = (p[k] - low) / (high - low) if high > low else 1.0
        total += p[k]
    entropy = first = second = square = running = 0.0
    for k in range(9):
        q = p[k] / total
        p[k] = q
        logs[k] = np.log(q) if q > 0.0 else 0.0
        entropy -= q * logs[k]
        first += (k + 1) * q
        second += (k + 1) ** 2 * q
        square += q * q
        running += q
        cumulative[k] = running
    return entropy, np.sqrt(max(second - first * first, 0.0)), square - 1.0 / 9.0


@inlined
def _shared(p: Array, log_p: Array, cp: Array, q: Array, log_q: Array, cq: Array, r: float, deviations: float) -> float:
    """Mutual information of two distributions over nine places whose joint has correlation r: (1 - w) p q + w bound.

    The bound (both orders alike) has at most 17 cells with mass, a staircase; elsewhere the logarithm is a sum.
    """
    overlap = sum_p = sum_q = 0.0
    i = j = 0
    last = 0.0
    for k in range(9):
        sum_p += cp[k]
        sum_q += cq[k]
    while i < 9 and j < 9:
        step = min(cp[i], cq[j])
        overlap += (step - last) * (9 - i) * (9 - j)
        last = step
        if cp[i] < cq[j]:
            i += 1
        else:
            j += 1
    bound = overlap - sum_p * sum_q
    w = abs(r) * deviations / bound if bound != 0.0 else 0.0
    v = 1.0 - w
    log_v = np.log(abs(v)) if v != 0.0 else 0.0
    entropies = 0.0
    for k in range(9):
        entropies -= p[k] * log_p[k] + q[k] * log_q[k]
    joint = v * (entropies - log_v)
    i = j = 0
    last = 0.0
    while i < 9 and j < 9:
        step = min(cp[i], cq[j])
        mass = step - last
        last = step
        if mass > 0.0:
            product = v * p[i] * q[j]
            cell = w * mass + product
            joint += product * (log_v + log_p[i] + log_q[j])
            if cell != 0.0:
                joint -= cell * np.log(abs(cell))
        if cp[i] < cq[j]:
            i += 1
        else:
            j += 1
    return entropies - joint


@jit
def fmi_sum(a: Array, b: Array, f: Array, out: Array) -> None:
    """out[m] = sum over 3 x 3 windows of the normalised mutual information of a and f and of b and f, over 2."""
    p, log_p, cp = np.empty(9), np.empty(9), np.empty(9)
    q, log_q, cq = np.empty(9), np.empty(9), np.empty(9)
    back, log_back, c_back = np.empty(9), np.empty(9), np.empty(9)
    for m in range(f.shape[0]):
        total = 0.0
        for i in range(f.shape[1] - 2):
            for j in range(f.shape[2] - 2):
                ready = False
                h_q = d_q = s_q = 0.0
                for source in (a, b):
                    equal = True
                    for k in range(9):
                        equal &= source[m, i + k % 3, j + k // 3] == f[m, i + k % 3, j + k // 3]
                    if equal:
                        total += 0.5
                        continue
                    if not ready:
                        h_q, d_q, s_q = _window(f, m, i, j, q, log_q, cq)
                        ready = True
                    h_p, d_p, s_p = _window(source, m, i, j, p, log_p, cp)
                    if s_p < 1e-15 and s_q < 1e-15:
                        total += 0.5
                        continue
                    if s_p < 1e-15 or s_q < 1e-15 or d_p == 0.0 or d_q == 0.0:
                        continue
                    together = -1.0 / 9.0
                    for k in range(9):
                        together += p[k] * q[k]
                    r = together / np.sqrt(s_p * s_q)
                    if r >= 0.0:
                        shared = _shared(p, log_p, cp, q, log_q, cq, r, d_p * d_q)
                    else:
                        running = 0.0
                        for k in range(9):
                            back[k], log_back[k] = q[8 - k], log_q[8 - k]
                            running += back[k]
                            c_back[k] = running
                        shared = _shared(p, log_p, cp, back, log_back, c_back, r, d_p * d_q)
                    total += shared / (h_p + h_q)
        out[m] = total
