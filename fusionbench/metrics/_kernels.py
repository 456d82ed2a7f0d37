"""Compiled CPU kernels of the hot loops. Each has a torch twin beside its caller, which CUDA, masks and huge images use.

Written so that LLVM vectorises them: straight inner loops over columns, no calls to scalar mathematics. Compiled once and
cached; where neither this folder nor the user's cache folder can be written, they are compiled again in each process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

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
        compiled: C = numba.njit(cache=True, nogil=True, fastmath=_FAST)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        compiled = numba.njit(nogil=True, fastmath=_FAST)(function)
    return compiled


@jit
def exp(x: float) -> float:
    """e**x for |x| < 60 to 1e-13 relative, without a call: Taylor series at x / 256, then squared eight times."""
    y = x * (1.0 / 256.0)
    p = 1.0 + y * (1.0 / 10.0)
    p = 1.0 + y * (1.0 / 9.0) * p
    p = 1.0 + y * (1.0 / 8.0) * p
    p = 1.0 + y * (1.0 / 7.0) * p
    p = 1.0 + y * (1.0 / 6.0) * p
    p = 1.0 + y * (1.0 / 5.0) * p
    p = 1.0 + y * (1.0 / 4.0) * p
    p = 1.0 + y * (1.0 / 3.0) * p
    p = 1.0 + y * (1.0 / 2.0) * p
    p = 1.0 + y * p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    return p * p


@jit
def angle(y: float, x: float) -> float:
    """arctan(y / x), pi / 2 where x = 0: the angle is halved twice, then the odd series, to 1e-15."""
    ax, ay = abs(x), abs(y)
    low, high = min(ax, ay), max(ax, ay)
    z = low / (high + (high == 0.0))
    z = z / (1.0 + np.sqrt(1.0 + z * z))
    z = z / (1.0 + np.sqrt(1.0 + z * z))
    s = z * z
    p = 1.0 / 19.0 - s * (1.0 / 21.0)
    p = 1.0 / 17.0 - s * p
    p = 1.0 / 15.0 - s * p
    p = 1.0 / 13.0 - s * p
    p = 1.0 / 11.0 - s * p
    p = 1.0 / 9.0 - s * p
    p = 1.0 / 7.0 - s * p
    p = 1.0 / 5.0 - s * p
    p = 1.0 / 3.0 - s * p
    t = 4.0 * z * (1.0 - s * p)
    t = np.pi / 2 - t if ay > ax else t
    t = -t if x * y < 0.0 else t
    return np.pi / 2 if x == 0.0 else t


@jit
def blur(x: Array, taps: Array, step: int, out: Array) -> None:
    """out[i, j] = sum taps[k] taps[l] x[i step + k, j step + l]; taps symmetric and odd in number; (N, H, W) float64."""
    n, c = len(taps), len(taps) // 2
    row = np.empty(x.shape[2])
    for m in range(out.shape[0]):
        for i in range(out.shape[1]):
            top = i * step
            for j in range(x.shape[2]):
                row[j] = taps[c] * x[m, top + c, j]
            for k in range(c):
                w = taps[k]
                for j in range(x.shape[2]):
                    row[j] += w * (x[m, top + k, j] + x[m, top + n - 1 - k, j])
            if step == 1:
                _blur_row(row, taps, out[m, i])
            else:
                for j in range(out.shape[2]):
                    s = taps[c] * row[j * step + c]
                    for k in range(c):
                        s += taps[k] * (row[j * step + k] + row[j * step + n - 1 - k])
                    out[m, i, j] = s


@jit
def blur_product(x: Array, y: Array, taps: Array, out: Array) -> None:
    """The same with step 1, of the product x y."""
    n, c = len(taps), len(taps) // 2
    row = np.empty(x.shape[2])
    for m in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(x.shape[2]):
                row[j] = taps[c] * (x[m, i + c, j] * y[m, i + c, j])
            for k in range(c):
                w, low, high = taps[k], i + k, i + n - 1 - k
                for j in range(x.shape[2]):
                    row[j] += w * (x[m, low, j] * y[m, low, j] + x[m, high, j] * y[m, high, j])
            _blur_row(row, taps, out[m, i])


@jit
def _blur_row(row: Array, taps: Array, out: Array) -> None:
    n, c = len(taps), len(taps) // 2
    for j in range(len(out)):
        out[j] = taps[c] * row[j + c]
    for k in range(c):
        w = taps[k]
        for j in range(len(out)):
            out[j] += w * (row[j + k] + row[j + n - 1 - k])


@jit
def log_information(s1: Array, out: Array) -> None:
    """out[m] += sum log(1 + s1 / 2): a sum of logarithms is the logarithm of a product, 32 factors at a time."""
    product = np.ones(s1.shape[2])
    for m in range(s1.shape[0]):
        for top in range(0, s1.shape[1], 32):
            product[:] = 1.0
            for i in range(top, min(top + 32, s1.shape[1])):
                for j in range(s1.shape[2]):
                    product[j] *= 1.0 + s1[m, i, j] * 0.5
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
                for j in range(s1.shape[2]):
                    v1, v2 = s1[m, i, j], s2[m, i, j]
                    s12 = e12[m, i, j] - mu1[m, i, j] * mu2[m, i, j]
                    g = s12 / (v1 + 1e-10)
                    noise = max(v2 - g * s12, 1e-10)
                    term = 1.0 + g * g * v1 / (noise + 2.0)
                    counts = (v1 >= 1e-10) & (v2 >= 1e-10) & (g > 0.0)
                    product[j] *= term if counts else 1.0
            for j in range(s1.shape[2]):
                out[m] += np.log(product[j])


@jit
def variance(e: Array, mu: Array) -> None:
    """In place: e <- max(e - mu^2, 0)."""
    for m in range(e.shape[0]):
        for i in range(e.shape[1]):
            for j in range(e.shape[2]):
                e[m, i, j] = max(e[m, i, j] - mu[m, i, j] * mu[m, i, j], 0.0)


@jit
def ssim_sum(
    mu1: Array, e11: Array, mu2: Array, e22: Array, e12: Array, c1: float, c2: float, ratio: float, out: Array
) -> None:
    """out[m] = sum of SSIM over the map, from window means and mean squares; ratio: n / (n - 1), or 1."""
    for m in range(mu1.shape[0]):
        total = 0.0
        for i in range(mu1.shape[1]):
            for j in range(mu1.shape[2]):
                x, y = mu1[m, i, j], mu2[m, i, j]
                xx, yy, xy = x * x, y * y, x * y
                v = ratio * (e11[m, i, j] - xx + e22[m, i, j] - yy)
                s = ratio * (e12[m, i, j] - xy)
                total += (2.0 * xy + c1) * (2.0 * s + c2) / ((xx + yy + c1) * (v + c2))
        out[m] = total


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
        gx[i] = np.sqrt(x * x + y * y)
        gy[i] = angle(y, x)


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
        total = 0
        for i in range(x.shape[1]):
            total += np.int64(np.int32(x[m, i]) * np.int32(y[m, i]))
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


@jit
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


@jit
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
    """out[m] = sum over 3 x 3 windows of the normalised mutual information of a and f and of b and f, averaged over the two."""
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
