"""Grey levels: histograms, sums of products, entropy."""

from __future__ import annotations

import numpy as np

from fusionbench.metrics._kernels.compiler import Array, jit


@jit
def joint_histogram(x: Array, y: Array, out: Array) -> None:
    """out[m, x, y] = number of pixels; (N, P) uint8 -> (N, 256, 256) int32, which must be zero."""
    for m in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[m, x[m, i], y[m, i]] += 1


@jit
def histogram(x: Array, out: Array) -> None:
    """out[m, x] = number of pixels; (N, P) uint8 -> (N, 256) int32.

    Four counters a level, as adding one twice in a row to the same counter has to wait for the first to be stored.
    """
    counts = np.empty((4, 256), dtype=np.int64)
    for m in range(x.shape[0]):
        counts[:] = 0
        pixels = x[m]
        whole = len(pixels) // 4 * 4
        for i in range(0, whole, 4):
            counts[0, pixels[i]] += 1
            counts[1, pixels[i + 1]] += 1
            counts[2, pixels[i + 2]] += 1
            counts[3, pixels[i + 3]] += 1
        for i in range(whole, len(pixels)):
            counts[0, pixels[i]] += 1
        for v in range(256):
            out[m, v] = counts[0, v] + counts[1, v] + counts[2, v] + counts[3, v]


@jit
def moments(a: Array, b: Array, f: Array, out: Array) -> None:
    """out[:, m] = sums of a, b, f, a a, b b, f f, a b, a f, b f, exact; (N, P) uint8 -> (9, N) float64."""
    for m in range(len(f)):
        sa = sb = sf = aa = bb = ff = ab = af = bf = np.int64(0)
        for i in range(f.shape[1]):
            x, y, z = np.int32(a[m, i]), np.int32(b[m, i]), np.int32(f[m, i])
            sa, sb, sf = sa + x, sb + y, sf + z
            aa, bb, ff = aa + x * x, bb + y * y, ff + z * z
            ab, af, bf = ab + x * y, af + x * z, bf + y * z
        for k, total in enumerate((sa, sb, sf, aa, bb, ff, ab, af, bf)):
            out[k, m] = total


@jit
def entropy(counts: Array, table: Array, out: Array) -> None:
    """out[m] = Shannon entropy in nats of (N, P) counts; table[c] = c log c for small c."""
    for m in range(counts.shape[0]):
        row = counts[m]
        total, pixels = 0.0, 0
        for i in range(len(row)):
            pixels += row[i]
        for i in range(len(row)):
            c = row[i]
            if c > 1:
                total += table[c] if c < len(table) else c * np.log(float(c))
        out[m] = np.log(float(pixels)) - total / pixels
