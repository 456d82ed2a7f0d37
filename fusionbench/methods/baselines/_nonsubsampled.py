"""Nonsubsampled pyramids, and the nonsubsampled shearlet and contourlet transforms built on them.

The pyramid is that of Cunha, Zhou and Do (doi:10.1109/TIP.2006.877507): both analysis and both synthesis filters are
polynomials in one separable kernel K, with H0 G0 + H1 G1 = 1. The kernel is zero-phase and borders are extended by
half-sample symmetry, so that a cosine transform makes every filter a plain product, exact at any image size.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Image = NDArray[np.float64]

# One-dimensional kernels by name, centre last (they are symmetric).
KERNELS = {
    "maxflat": np.array([-1.0, 0.0, 9.0, 16.0]) / 32,
    "pyr": np.array([1.0, 2.0]) / 4,
}
CURVATURE = 2 * np.sqrt(2) - 2


def pyramid(image: Image, levels: int, kernel: str) -> tuple[Image, list[Image]]:
    """(H, W) -> low-pass, and ``levels`` details, finest first; all of the image's size.

    ``kernel``: "maxflat", "pyr", or "pyrexc", which is "pyr" with both high-passes exchanged.
    """
    spectrum = fft.dctn(image, type=2, norm="ortho")
    details = []
    for level in range(levels):
        low, high, _, _ = _responses(image.shape, level, kernel)
        details.append(fft.idctn(spectrum * high, type=2, norm="ortho"))
        spectrum = spectrum * low
    return fft.idctn(spectrum, type=2, norm="ortho"), details


def pyramid_inverse(low: Image, details: Sequence[Image], kernel: str) -> Image:
    """The image again, exactly, when nothing was changed in between."""
    spectrum = fft.dctn(low, type=2, norm="ortho")
    for level in reversed(range(len(details))):
        _, _, low_back, high_back = _responses(low.shape, level, kernel)
        spectrum = spectrum * low_back + fft.dctn(details[level], type=2, norm="ortho") * high_back
    return np.asarray(fft.idctn(spectrum, type=2, norm="ortho"))


@functools.lru_cache(maxsize=32)
def _responses(shape: tuple[int, int], level: int, kernel: str) -> tuple[Image, Image, Image, Image]:
    """H0, H1, G0 and G1 on the grid of the cosine transform, the kernel stretched by 2**level."""
    taps = KERNELS[kernel.removesuffix("exc")]
    along = []
    for size in shape:
        angle = np.pi * np.arange(size) / size * 2**level
        response = np.full(size, taps[-1])
        for distance, tap in enumerate(taps[-2::-1], start=1):
            response += 2 * tap * np.cos(distance * angle)
        along.append(response)
    k = along[0][:, None] * along[1][None, :]
    low, low_back = k * (1 + CURVATURE * (1 - k)), k * _complement(k)
    high, high_back = (1 - k) * _complement(1 - k), (1 - k) * (1 + CURVATURE * k)
    if kernel.endswith("exc"):
        high, high_back = high_back, high
    return low, high, low_back, high_back


@functools.cache
def _bezout() -> NDArray[np.float64]:
    """Coefficients of the quadratic p with k^2 (1 + c (1 - k)) p(k) + the same at 1 - k = 1 for all k."""
    k = np.linspace(0, 1, 7)
    columns = [
        k**2 * (1 + CURVATURE * (1 - k)) * k**n + (1 - k) ** 2 * (1 + CURVATURE * k) * (1 - k) ** n for n in range(3)
    ]
    return np.asarray(np.linalg.lstsq(np.stack(columns, axis=1), np.ones_like(k), rcond=None)[0])


def _complement(k: Image) -> Image:
    constant, linear, square = _bezout()
    return np.asarray(constant + k * (linear + k * square))


def shearlet(image: Image, directions: Sequence[int], sizes: Sequence[int]) -> tuple[Image, list[Image]]:
    """Nonsubsampled shearlet transform (Easley, Labate and Lim, doi:10.1016/j.acha.2007.09.003).

    ``directions`` and ``sizes``: number of shearing filters and their width in pixels, finest scale first. Returns the
    low-pass (H, W), and for each scale its (directions, H, W) bands. Directional filtering is periodic.
    """
    low, details = pyramid(image, len(directions), "maxflat")
    bands = []
    for detail, count, size in zip(details, directions, sizes, strict=True):
        filters = _shear_spectra(detail.shape, count, size)
        bands.append(fft.irfft2(fft.rfft2(detail) * filters, s=detail.shape))
    return low, bands


def shearlet_inverse(low: Image, bands: Sequence[Image], sizes: Sequence[int]) -> Image:
    """The image again, exactly, when nothing was changed in between."""
    details = []
    for band, size in zip(bands, sizes, strict=True):
        filters = _shear_spectra(low.shape, band.shape[0], size)
        details.append(fft.irfft2((fft.rfft2(band) * filters.conj()).sum(axis=0), s=low.shape))
    return pyramid_inverse(low, details, "maxflat")


@functools.lru_cache(maxsize=8)
def _shear_spectra(shape: tuple[int, int], count: int, size: int) -> NDArray[np.complex128]:
    """(count, H, W // 2 + 1) spectra of the shearing filters, their squared moduli summing to 1."""
    filters = shearing_filters(size, count)
    rows = np.exp(-2j * np.pi * np.outer(np.arange(shape[0]) / shape[0], np.arange(size)))
    columns = np.exp(-2j * np.pi * np.outer(np.arange(shape[1] // 2 + 1) / shape[1], np.arange(size)))
    spectra = rows @ filters @ columns.T
    return np.asarray(spectra / np.sqrt((np.abs(spectra) ** 2).sum(axis=0)))


def shearing_filters(size: int, count: int) -> NDArray[np.float64]:
    """(count, size, size) wedge filters: Meyer windows over the lines of a pseudo-polar grid, on the Cartesian grid.

    ``size`` must be even and 2 * size a multiple of ``count``.
    """
    windows = _meyer_windows(2 * size, count)
    line, step = np.meshgrid(np.arange(1, size + 2), np.arange(1, size + 1), indexing="ij")
    # Line i runs from column i in the first row to the opposite column in row size + 1, through the centre.
    across = np.floor(line + (size + 2 - 2 * line) * (step - 1) / size + 0.5).astype(np.intp)
    steep = (step[:-1] - 1, across[:-1][::-1] - 1)
    flat = (np.minimum(across[1:], size) - 1, step[:-1] - 1)
    rows = np.concatenate([steep[0], flat[0]])
    columns = np.concatenate([steep[1], flat[1]])
    filters = np.empty((count, size, size))
    visits = np.zeros((size, size))
    np.add.at(visits, (rows, columns), 1)
    for index in range(count):
        wedge = np.zeros((size, size))
        np.add.at(wedge, (rows, columns), np.broadcast_to(windows[:, index : index + 1], rows.shape))
        filters[index] = np.fft.fftshift(np.fft.ifft2(np.fft.fftshift(wedge / visits))).real
    return filters


def _meyer_windows(length: int, count: int) -> NDArray[np.float64]:
    """(length, count) overlapping periodic windows that sum to 1."""
    step = length // count
    position = np.arange(2 * step) / step - 0.5
    distance = np.clip(3 * np.abs(position - 0.5) - 1, 0, 1)
    ramp = distance**4 * (35 - 84 * distance + 70 * distance**2 - 20 * distance**3)
    windows = np.zeros((length, count))
    for index in range(count):
        at = np.floor(np.arange(2 * step) - step / 2 + index * step) % length
        windows[at.astype(np.intp), index] = np.cos(np.pi / 2 * ramp) ** 2
    return windows


# One quarter of the 7x7 maximally flat diamond kernel (Cunha, Zhou and Do 2006), the centre last.
DIAMOND = np.array([[0, 3, 0, 2], [3, 0, -27, 0], [0, -27, 0, 174], [2, 0, 174, 0]]) / 512


def contourlet(image: Image, splits: Sequence[int]) -> tuple[Image, list[Image]]:
    """Nonsubsampled contourlet transform (Cunha, Zhou and Do, doi:10.1109/TIP.2006.877507).

    ``splits``, finest scale first: 1, 2 or 3, for 2, 4 or 8 directions. Returns as :func:`shearlet` does. The fan filters
    are those of the paper's own design (maximally flat diamond, McClellan transform); directional filtering is periodic.
    """
    low, details = pyramid(image, len(splits), "pyrexc")
    bands = []
    for detail, count in zip(details, splits, strict=True):
        analysis, _ = _directional_responses(detail.shape, count)
        bands.append(fft.irfft2(fft.rfft2(detail) * analysis, s=detail.shape))
    return low, bands


def contourlet_inverse(low: Image, bands: Sequence[Image], splits: Sequence[int]) -> Image:
    """The image again, exactly, when nothing was changed in between."""
    details = []
    for band, count in zip(bands, splits, strict=True):
        _, synthesis = _directional_responses(low.shape, count)
        details.append(fft.irfft2((fft.rfft2(band) * synthesis).sum(axis=0), s=low.shape))
    return pyramid_inverse(low, details, "pyrexc")


@functools.lru_cache(maxsize=8)
def _directional_responses(shape: tuple[int, int], splits: int) -> tuple[Image, Image]:
    """(2**splits, H, W // 2 + 1) analysis and synthesis responses; their products sum to 1."""
    y = 2 * np.pi * np.fft.fftfreq(shape[0])[:, None]
    x = 2 * np.pi * np.fft.rfftfreq(shape[1])[None, :]
    # A wedge is named by the lines that bound it; each split looks at the fan along coordinates that put its line on u = v.
    coordinates: dict[tuple[int, ...], tuple[NDArray[Any], NDArray[Any]]] = {
        (): (x, y),
        (0,): (x + y, x - y),
        (1,): (x + y, x - y),
        (0, 0): (x - y, y),
        (0, 1): (x + y, y),
        (1, 0): (y - x, x),
        (1, 1): (y + x, x),
    }
    ones = np.ones((shape[0], shape[1] // 2 + 1))
    wedges: dict[tuple[int, ...], tuple[Image, Image]] = {(): (ones, ones)}
    for _ in range(splits):
        finer: dict[tuple[int, ...], tuple[Image, Image]] = {}
        for path, (analysis, synthesis) in wedges.items():
            k = _fan(*coordinates[path])
            finer[(*path, 0)] = (analysis * k * (1 + CURVATURE * (1 - k)), synthesis * k * _complement(k))
            finer[(*path, 1)] = (analysis * (1 - k) * _complement(1 - k), synthesis * (1 - k) * (1 + CURVATURE * k))
        wedges = finer
    return np.stack([pair[0] for pair in wedges.values()]), np.stack([pair[1] for pair in wedges.values()])


def _fan(u: NDArray[Any], v: NDArray[Any]) -> Image:
    """Response near 1 where |u| > |v| and near 0 elsewhere (both modulo the period), from 0 to 1."""
    total = np.zeros(np.broadcast_shapes(u.shape, v.shape))
    for row in range(4):
        for column in range(4):
            copies = (1 if row == 3 else 2) * (1 if column == 3 else 2)
            # Shifted by half a period along u, the diamond becomes the fan that lies along u.
            total += copies * DIAMOND[row, column] * np.cos((3 - row) * v) * np.cos((3 - column) * (u - np.pi))
    return (1 + total) / 2
