"""Separable windows: blur, local moments, and VIF and SSIM of a fused image with both its sources."""

from __future__ import annotations

import numpy as np

from fusionbench.metrics._kernels.compiler import Array, inlined, jit

# Windows are filtered in strips of columns and blocks of rows, so that what is worked on stays in the cache. A strip's row
# takes an odd number of cache lines: even numbers would send the rows of a window to the same few cache sets.
_STRIDE = 264
_BLOCK = 32  # rows of windows; also the factors of one product in the sums of logarithms


@inlined
def _down17(rows: Array, taps: Array, first: Array, second: Array) -> None:
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = (
        taps[0],
        taps[1],
        taps[2],
        taps[3],
        taps[4],
        taps[5],
        taps[6],
        taps[7],
        taps[8],
    )
    x = rows
    for j in range(len(first)):
        first[j] = (
            w8 * x[8 * _STRIDE + j]
            + w0 * (x[j] + x[16 * _STRIDE + j])
            + w1 * (x[_STRIDE + j] + x[15 * _STRIDE + j])
            + w2 * (x[2 * _STRIDE + j] + x[14 * _STRIDE + j])
            + w3 * (x[3 * _STRIDE + j] + x[13 * _STRIDE + j])
            + w4 * (x[4 * _STRIDE + j] + x[12 * _STRIDE + j])
            + w5 * (x[5 * _STRIDE + j] + x[11 * _STRIDE + j])
            + w6 * (x[6 * _STRIDE + j] + x[10 * _STRIDE + j])
            + w7 * (x[7 * _STRIDE + j] + x[9 * _STRIDE + j])
        )
        second[j] = (
            w8 * x[9 * _STRIDE + j]
            + w0 * (x[_STRIDE + j] + x[17 * _STRIDE + j])
            + w1 * (x[2 * _STRIDE + j] + x[16 * _STRIDE + j])
            + w2 * (x[3 * _STRIDE + j] + x[15 * _STRIDE + j])
            + w3 * (x[4 * _STRIDE + j] + x[14 * _STRIDE + j])
            + w4 * (x[5 * _STRIDE + j] + x[13 * _STRIDE + j])
            + w5 * (x[6 * _STRIDE + j] + x[12 * _STRIDE + j])
            + w6 * (x[7 * _STRIDE + j] + x[11 * _STRIDE + j])
            + w7 * (x[8 * _STRIDE + j] + x[10 * _STRIDE + j])
        )


@inlined
def _down(rows: Array, taps: Array, first: Array, second: Array) -> None:
    """first = sum taps[k] row[k], second = sum taps[k] row[k + 1]; taps symmetric and odd in number.

    Two rows of windows at a time share all but two of their loads. 17 taps are written out: they are the costly ones.
    """
    n, c = len(taps), len(taps) // 2
    if n == 17:
        _down17(rows, taps, first, second)
        return
    centre, w = rows[c * _STRIDE :], taps[c]
    for j in range(len(first)):
        first[j] = w * centre[j]
        second[j] = w * centre[_STRIDE + j]
    k = 0
    while k + 4 <= c:
        a, b = rows[k * _STRIDE :], rows[(n - 4 - k) * _STRIDE :]
        w0, w1, w2, w3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        for j in range(len(first)):
            first[j] += (
                w0 * (a[j] + b[3 * _STRIDE + j])
                + w1 * (a[_STRIDE + j] + b[2 * _STRIDE + j])
                + w2 * (a[2 * _STRIDE + j] + b[_STRIDE + j])
                + w3 * (a[3 * _STRIDE + j] + b[j])
            )
            second[j] += (
                w0 * (a[_STRIDE + j] + b[4 * _STRIDE + j])
                + w1 * (a[2 * _STRIDE + j] + b[3 * _STRIDE + j])
                + w2 * (a[3 * _STRIDE + j] + b[2 * _STRIDE + j])
                + w3 * (a[4 * _STRIDE + j] + b[_STRIDE + j])
            )
        k += 4
    while k < c:
        a, b, w0 = rows[k * _STRIDE :], rows[(n - 1 - k) * _STRIDE :], taps[k]
        for j in range(len(first)):
            first[j] += w0 * (a[j] + b[j])
            second[j] += w0 * (a[_STRIDE + j] + b[_STRIDE + j])
        k += 1


@inlined
def _across(x: Array, taps: Array, out: Array) -> None:
    """out[j] = sum taps[k] x[j + k]; taps symmetric and odd in number."""
    n, c = len(taps), len(taps) // 2
    if n == 17:
        w0, w1, w2, w3 = taps[0], taps[1], taps[2], taps[3]
        w4, w5, w6, w7, w8 = taps[4], taps[5], taps[6], taps[7], taps[8]
        for j in range(len(out)):
            out[j] = (
                w8 * x[j + 8]
                + w0 * (x[j] + x[j + 16])
                + w1 * (x[j + 1] + x[j + 15])
                + w2 * (x[j + 2] + x[j + 14])
                + w3 * (x[j + 3] + x[j + 13])
                + w4 * (x[j + 4] + x[j + 12])
                + w5 * (x[j + 5] + x[j + 11])
                + w6 * (x[j + 6] + x[j + 10])
                + w7 * (x[j + 7] + x[j + 9])
            )
        return
    centre, w = x[c:], taps[c]
    for j in range(len(out)):
        out[j] = w * centre[j]
    k = 0
    while k + 4 <= c:
        a, b = x[k:], x[n - 4 - k :]
        w0, w1, w2, w3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        for j in range(len(out)):
            out[j] += (
                w0 * (a[j] + b[j + 3])
                + w1 * (a[j + 1] + b[j + 2])
                + w2 * (a[j + 2] + b[j + 1])
                + w3 * (a[j + 3] + b[j])
            )
        k += 4
    while k < c:
        a, b, w0 = x[k:], x[n - 1 - k :], taps[k]
        for j in range(len(out)):
            out[j] += w0 * (a[j] + b[j])
        k += 1


@inlined
def _means(rows: Array, r: int, taps: Array, wide: Array, means: Array) -> None:
    """means[k, 0..1] = window sums of map k over the rows of windows r and r + 1."""
    for k in range(len(rows)):
        first, second = wide[0], wide[1]
        _down(rows[k, r * _STRIDE :], taps, first, second)
        _across(first, taps, means[k, 0])
        _across(second, taps, means[k, 1])


@inlined
def _room(maps: int, n: int, width: int) -> tuple[Array, Array, Array, int]:
    """-> rows of a block (maps, rows * _STRIDE), work space for two rows, two rows of windows a map, windows a strip."""
    windows = min(_STRIDE, width) - n + 1
    rows = np.empty((maps, (_BLOCK + n) * _STRIDE))
    return rows, np.empty((2, windows + n - 1)), np.empty((maps, 2, windows)), windows


@inlined
def _next_block(rows: Array, top: int, n: int) -> int:
    """Move the last n - 1 rows of a full block to the top -> how many rows are there."""
    if top == 0:
        return 0
    for k in range(len(rows)):
        source, target = rows[k, _BLOCK * _STRIDE :], rows[k]
        for j in range((n - 1) * _STRIDE):
            target[j] = source[j]
    return n - 1


@jit
def blur(x: Array, taps: Array, step: int, out: Array) -> None:
    """out[i, j] = sum taps[k] taps[l] x[i step + k, j step + l]; taps symmetric and odd in number; (N, H, W) float64."""
    n, c = len(taps), len(taps) // 2
    row, sums = np.empty(x.shape[2]), np.empty(x.shape[2] - n + 1)
    for m in range(out.shape[0]):
        for i in range(out.shape[1]):
            top = i * step
            centre = x[m, top + c]
            for j in range(len(row)):
                row[j] = taps[c] * centre[j]
            for k in range(c % 2, c, 2):  # an odd pair is added below
                a0, a1, b0, b1 = x[m, top + k], x[m, top + k + 1], x[m, top + n - 1 - k], x[m, top + n - 2 - k]
                w0, w1 = taps[k], taps[k + 1]
                for j in range(len(row)):
                    row[j] += w0 * (a0[j] + b0[j]) + w1 * (a1[j] + b1[j])
            if c % 2:
                a0, b0, w0 = x[m, top], x[m, top + n - 1], taps[0]
                for j in range(len(row)):
                    row[j] += w0 * (a0[j] + b0[j])
            _across(row, taps, sums)
            for j in range(out.shape[2]):
                out[m, i, j] = sums[j * step]


@jit
def blur_product(x: Array, y: Array, taps: Array, out: Array) -> None:
    """The same with step 1, of the product x y."""
    n, width = len(taps), x.shape[2]
    height, windows = x.shape[1] - n + 1, width - n + 1
    rows, wide, means, strip = _room(1, n, width)
    for m in range(x.shape[0]):
        for start in range(0, windows, strip):
            left = min(start, windows - strip)
            for top in range(0, height, _BLOCK):
                count = min(_BLOCK, height - top)
                for r in range(_next_block(rows, top, n), count + n - 1):
                    p, q, target = x[m, top + r, left:], y[m, top + r, left:], rows[0, r * _STRIDE :]
                    for j in range(strip + n - 1):
                        target[j] = p[j] * q[j]
                for r in range(0, count, 2):
                    _means(rows, r, taps, wide, means)
                    for s in range(min(2, count - r)):
                        out[m, top + r + s, left : left + strip] = means[0, s]


@jit
def moments(x: Array, taps: Array, centred: bool, mean: Array, square: Array) -> None:
    """Window means of x and of x^2, or, centred, of x and its variance (not below 0), in one pass."""
    n, width = len(taps), x.shape[2]
    height, windows = x.shape[1] - n + 1, width - n + 1
    rows, wide, means, strip = _room(2, n, width)
    for m in range(x.shape[0]):
        for start in range(0, windows, strip):
            left = min(start, windows - strip)
            for top in range(0, height, _BLOCK):
                count = min(_BLOCK, height - top)
                for r in range(_next_block(rows, top, n), count + n - 1):
                    source, plain, squares = x[m, top + r, left:], rows[0, r * _STRIDE :], rows[1, r * _STRIDE :]
                    for j in range(strip + n - 1):
                        v = source[j]
                        plain[j] = v
                        squares[j] = v * v
                for r in range(0, count, 2):
                    _means(rows, r, taps, wide, means)
                    for s in range(min(2, count - r)):
                        p, q = means[0, s], means[1, s]
                        first, second = mean[m, top + r + s, left:], square[m, top + r + s, left:]
                        for j in range(strip):
                            first[j] = p[j]
                            second[j] = max(q[j] - p[j] * p[j], 0.0) if centred else q[j]


@inlined
def _push(a: Array, b: Array, f: Array, rows: Array, r: int, width: int) -> None:
    """Row r of the four maps: f, f f, a f, b f."""
    plain, ff, af, bf = rows[0], rows[1], rows[2], rows[3]
    at = r * _STRIDE
    for j in range(width):
        v = f[j]
        plain[at + j] = v
        ff[at + j] = v * v
        af[at + j] = a[j] * v
        bf[at + j] = b[j] * v


@inlined
def _information_row(mu1: Array, s1: Array, mu2: Array, s2: Array, e12: Array, products: Array, width: int) -> None:
    """products[j] *= n + g^2 s1 and products[_STRIDE + j] *= n; g = s12 / s1, n the noise variance s2 - g s12 + 2.

    The factors lie between 1 and 2^17, so that products of _BLOCK of them are far from overflow.
    """
    for j in range(width):
        v1, v2 = s1[j], s2[j]
        s12 = e12[j] - mu1[j] * mu2[j]
        g = s12 / (v1 + 1e-10)
        n = max(v2 - g * s12, 1e-10) + 2.0
        counts = (v1 >= 1e-10) & (v2 >= 1e-10) & (g > 0.0)
        products[j] *= n + g * g * v1 if counts else 1.0
        products[_STRIDE + j] *= n if counts else 1.0


@inlined
def _log_sum(products: Array, first: int, last: int) -> float:
    """sum log(products[j] / products[_STRIDE + j]) from first to before last; all become 1 again."""
    total = 0.0
    for j in range(first, last):
        total += np.log(products[j] / products[_STRIDE + j])
    products[:] = 1.0
    return total


@jit
def log_information(s1: Array, out: Array) -> None:
    """out[m] += sum log(1 + s1 / 2), s1 below 1e-10 counting as 0.

    A sum of logarithms is the logarithm of a product: _BLOCK factors at a time.
    """
    product = np.ones(s1.shape[2])
    for m in range(s1.shape[0]):
        for top in range(0, s1.shape[1], _BLOCK):
            product[:] = 1.0
            for i in range(top, min(top + _BLOCK, s1.shape[1])):
                row = s1[m, i]
                for j in range(len(row)):
                    v = row[j]
                    product[j] *= 1.0 + (v if v >= 1e-10 else 0.0) * 0.5
            for j in range(len(product)):
                out[m] += np.log(product[j])


@jit
def log_shared_information(mu1: Array, s1: Array, mu2: Array, s2: Array, e12: Array, out: Array) -> None:
    """out[m] += sum log(1 + g^2 s1 / (s2 - g s12 + 2)), g = s12 / s1 (VIF, one scale; s12 = e12 - mu1 mu2)."""
    products = np.ones(2 * _STRIDE)
    for m in range(s1.shape[0]):
        for left in range(0, s1.shape[2], _STRIDE):
            width = min(_STRIDE, s1.shape[2] - left)
            for top in range(0, s1.shape[1], _BLOCK):
                for i in range(top, min(top + _BLOCK, s1.shape[1])):
                    one, other = mu1[m, i, left:], mu2[m, i, left:]
                    _information_row(one, s1[m, i, left:], other, s2[m, i, left:], e12[m, i, left:], products, width)
                out[m] += _log_sum(products, 0, width)


@jit
def vif_pair(a: Array, ma: Array, va: Array, b: Array, mb: Array, vb: Array, f: Array, taps: Array, out: Array) -> None:
    """out[m, 0..1] += shared information of f with a and with b at one scale (:func:`log_shared_information`).

    ``ma``, ``va``, ``mb``, ``vb``: window means and variances of the sources. Nothing is written but two numbers an image.
    """
    n, width = len(taps), f.shape[2]
    height, windows = f.shape[1] - n + 1, width - n + 1
    rows, wide, means, strip = _room(4, n, width)
    in_a, in_b = np.ones(2 * _STRIDE), np.ones(2 * _STRIDE)
    for m in range(f.shape[0]):
        for start in range(0, windows, strip):
            left = min(start, windows - strip)
            new = start - left  # the last strip overlaps the one before; the windows from here on are new
            for top in range(0, height, _BLOCK):
                count = min(_BLOCK, height - top)
                for r in range(_next_block(rows, top, n), count + n - 1):
                    i = top + r
                    _push(a[m, i, left:], b[m, i, left:], f[m, i, left:], rows, r, strip + n - 1)
                for r in range(0, count, 2):
                    _means(rows, r, taps, wide, means)
                    for s in range(min(2, count - r)):
                        i = top + r + s
                        mean, spread = means[0, s], means[1, s]
                        for j in range(strip):
                            spread[j] = max(spread[j] - mean[j] * mean[j], 0.0)
                        _information_row(ma[m, i, left:], va[m, i, left:], mean, spread, means[2, s], in_a, strip)
                        _information_row(mb[m, i, left:], vb[m, i, left:], mean, spread, means[3, s], in_b, strip)
                out[m, 0] += _log_sum(in_a, new, strip)
                out[m, 1] += _log_sum(in_b, new, strip)


@inlined
def _ssim_row(mu1: Array, e11: Array, mu2: Array, e22: Array, e12: Array, c1: float, c2: float, ratio: float) -> float:
    total = 0.0
    for j in range(len(mu2)):
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
    """out[m, 0..1] = sum of SSIM of f with a and with b.

    ``ma``, ``eaa``, ``mb``, ``ebb``: window means of the sources and of their squares; ``ratio``: n / (n - 1), or 1.
    """
    n, width = len(taps), f.shape[2]
    height, windows = f.shape[1] - n + 1, width - n + 1
    rows, wide, means, strip = _room(4, n, width)
    for m in range(f.shape[0]):
        for start in range(0, windows, strip):
            left = min(start, windows - strip)
            new = start - left
            for top in range(0, height, _BLOCK):
                count = min(_BLOCK, height - top)
                for r in range(_next_block(rows, top, n), count + n - 1):
                    i = top + r
                    _push(a[m, i, left:], b[m, i, left:], f[m, i, left:], rows, r, strip + n - 1)
                for r in range(0, count, 2):
                    _means(rows, r, taps, wide, means)
                    for s in range(min(2, count - r)):
                        i, f1, f2 = top + r + s, means[0, s, new:], means[1, s, new:]
                        ax, bx = means[2, s, new:], means[3, s, new:]
                        out[m, 0] += _ssim_row(ma[m, i, start:], eaa[m, i, start:], f1, f2, ax, c1, c2, ratio)
                        out[m, 1] += _ssim_row(mb[m, i, start:], ebb[m, i, start:], f1, f2, bx, c1, c2, ratio)
