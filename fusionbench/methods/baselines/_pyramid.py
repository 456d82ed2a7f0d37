"""Burt's pyramid and the selection rule of the classic multiscale methods, with the borders of the reference toolbox.

That toolbox (Rockinger's fusetool, in Liu's MST-SR form) extends an image by reflection without the edge pixel, on its
four sides only: the corners stay zero. The rule and the pyramid below keep that, to be equal to the last grey level.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fusionbench.errors import InputError

Image = NDArray[np.float64]
Coefficient = TypeVar("Coefficient", np.float64, np.complex128)

BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


def check_levels(levels: int) -> None:
    """Raise InputError unless 1 <= levels <= 10."""
    if not 1 <= levels <= 10:
        raise InputError(f"levels={levels}: give 1 to 10 levels")


def extend(image: Image, width: int) -> Image:
    """Reflect about the edge pixels on all four sides; the corners are zero."""
    result = np.pad(image, width, mode="reflect")
    for rows in (slice(None, width), slice(-width, None)):
        for columns in (slice(None, width), slice(-width, None)):
            result[rows, columns] = 0.0
    return result


def smooth(image: Image, kernel: NDArray[np.float64]) -> Image:
    """Separable filter of five taps over the extended image; the size is kept."""
    rows = ndimage.correlate1d(extend(image, 2), kernel, axis=1, mode="constant")
    result: Image = ndimage.correlate1d(rows, kernel, axis=0, mode="constant")[2:-2, 2:-2]
    return result


def reduce(image: Image) -> Image:
    """Filter and keep every second row and column."""
    return np.ascontiguousarray(smooth(image, BINOMIAL)[::2, ::2])


def expand(image: Image, shape: tuple[int, ...]) -> Image:
    """Insert zeros between rows and columns and interpolate; ``shape`` is twice that of the image."""
    spread = np.zeros(shape)
    spread[::2, ::2] = image
    return smooth(spread, 2 * BINOMIAL)


def make_even(image: Image) -> Image:
    """Repeat the last row or column where the size is odd."""
    rows, columns = image.shape[0] % 2, image.shape[1] % 2
    return np.pad(image, ((0, rows), (0, columns)), mode="edge") if rows or columns else image


def select(first: NDArray[Coefficient], second: NDArray[Coefficient]) -> NDArray[Coefficient]:
    """Li's rule: take the source whose 3x3 maximum of the modulus is larger at most of the 3x3 neighbours.

    Real or complex (H, W) coefficients. A tie in the vote takes the second (doi:10.1006/gmip.1995.1022).
    """
    one, two = (ndimage.maximum_filter(extend(np.abs(x), 1), 3, mode="constant") for x in (first, second))
    votes = ndimage.correlate((one > two).astype(np.int64), np.ones((3, 3), dtype=np.int64), mode="constant")[
        1:-1, 1:-1
    ]
    return np.where(votes > 4, first, second)
