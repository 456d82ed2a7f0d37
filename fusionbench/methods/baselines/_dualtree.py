"""Kingsbury's dual-tree complex wavelet transform in two dimensions (doi:10.1016/j.acha.2000.0343), periodic borders.

Written here because the one package for NumPy, ``dtcwt``, does not run on NumPy 2. The two trees lie interleaved along
each axis: even samples are tree a, odd samples tree b. Level 1 is undecimated (LeGall 5/3, which gives both trees at
once); from level 2 on the orthonormal 10-tap quarter-shift filters of ``qshift_06`` halve each tree.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Image = NDArray[np.float64]
Complex = NDArray[np.complex128]

LEGALL_LOW = np.array([-1.0, 2.0, 6.0, 2.0, -1.0]) / 8
LEGALL_HIGH = np.array([-1.0, 2.0, -1.0]) / 4
LEGALL_LOW_BACK = np.array([1.0, 2.0, 1.0]) / 4
LEGALL_HIGH_BACK = np.array([-1.0, -2.0, 6.0, -2.0, -1.0]) / 8
# Orthonormal, delay 4.25 samples; time-reversed it has 4.75, which sets the trees half a sample apart at every level.
QSHIFT = np.zeros(10)
QSHIFT[[0, 2, 3, 4, 5, 7]] = (
    0.03516383657149474,
    -0.08832942445107285,
    0.23389032060723564,
    0.7602723690661257,
    0.5875182977235605,
    -0.11430183714424873,
)


def forward(image: Image, levels: int) -> tuple[Image, list[Complex]]:
    """(H, W), both multiples of 2**levels -> low-pass (interleaved trees), and for each level (6, h, w) complex bands."""
    low = _separable(image, LEGALL_LOW, LEGALL_LOW)
    high = (
        _separable(image, LEGALL_LOW, LEGALL_HIGH),
        _separable(image, LEGALL_HIGH, LEGALL_LOW),
        _separable(image, LEGALL_HIGH, LEGALL_HIGH),
    )
    bands = [_to_complex(high)]
    for _ in range(levels - 1):
        (low_y, high_y), (low_x, high_x) = (_quarter_shift(size) for size in low.shape)
        high = (low_y @ (high_x @ low.T).T, high_y @ (low_x @ low.T).T, high_y @ (high_x @ low.T).T)
        low = low_y @ (low_x @ low.T).T
        bands.append(_to_complex(high))
    return low, bands


def inverse(low: Image, bands: list[Complex]) -> Image:
    """The image again, exactly, when nothing was changed in between."""
    for band in reversed(bands[1:]):
        (low_y, high_y), (low_x, high_x) = (_quarter_shift(2 * size) for size in low.shape)
        horizontal, vertical, diagonal = _from_complex(band)
        rows_low = (low_x.T @ low.T + high_x.T @ horizontal.T).T
        rows_high = (low_x.T @ vertical.T + high_x.T @ diagonal.T).T
        low = low_y.T @ rows_low + high_y.T @ rows_high
    horizontal, vertical, diagonal = _from_complex(bands[0])
    return (
        _separable(low, LEGALL_LOW_BACK, LEGALL_LOW_BACK)
        + _separable(horizontal, LEGALL_LOW_BACK, LEGALL_HIGH_BACK)
        + _separable(vertical, LEGALL_HIGH_BACK, LEGALL_LOW_BACK)
        + _separable(diagonal, LEGALL_HIGH_BACK, LEGALL_HIGH_BACK)
    )


def _separable(image: Image, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Image:
    along_y = ndimage.convolve1d(image, rows, axis=0, mode="wrap")
    return np.asarray(ndimage.convolve1d(along_y, columns, axis=1, mode="wrap"))


@functools.lru_cache(maxsize=32)
def _quarter_shift(size: int) -> tuple[sparse.csr_array, sparse.csr_array]:
    """(size/2, size) low- and high-pass matrices on interleaved trees; stacked they are orthonormal."""
    taps = len(QSHIFT)
    sign = (-1.0) ** np.arange(taps)
    matrices = []
    for tree_a in (QSHIFT, sign * QSHIFT[::-1]):
        # Tree b has the time-reversed filters; the high-pass is the mirrored, alternating low-pass.
        values, rows, columns = [], [], []
        for tree, kernel in ((0, tree_a), (1, tree_a[::-1])):
            out = np.arange(size // 4)
            for tap in range(taps):
                source = (2 * out + tap - taps // 2) % (size // 2)
                values.append(np.full(out.size, kernel[tap]))
                rows.append(2 * out + tree)
                columns.append(2 * source + tree)
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        matrices.append(sparse.coo_array(entries, shape=(size // 2, size)).tocsr())
    return matrices[0], matrices[1]


def _to_complex(high: tuple[Image, Image, Image]) -> Complex:
    """Three interleaved real bands -> six complex ones of half the size, two orientations from each."""
    bands = []
    for band in high:
        aa, ab, ba, bb = band[0::2, 0::2], band[0::2, 1::2], band[1::2, 0::2], band[1::2, 1::2]
        bands += [(aa - bb) + 1j * (ab + ba), (aa + bb) + 1j * (ab - ba)]
    return np.asarray(np.stack(bands) / np.sqrt(2))


def _from_complex(bands: Complex) -> list[Image]:
    high = []
    for one, two in zip(bands[0::2], bands[1::2], strict=True):
        band = np.empty((2 * one.shape[0], 2 * one.shape[1]))
        band[0::2, 0::2], band[1::2, 1::2] = two.real + one.real, two.real - one.real
        band[0::2, 1::2], band[1::2, 0::2] = one.imag + two.imag, one.imag - two.imag
        high.append(band / np.sqrt(2))
    return high
