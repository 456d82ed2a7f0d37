"""Which columns of k-space are measured, by the authors' rule; frequency zero at index 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CENTRE = 0.08


def column_mask(uniform: NDArray[np.float64], acceleration: float) -> NDArray[np.float32]:
    """A centred block of 8 % and every further column whose uniform draw lies below what makes the acceleration, on average.

    uniform: (W,) in [0, 1), in centred order. Returns (W,) zeros and ones in the order of `numpy.fft`.
    """
    width = len(uniform)
    low = round(CENTRE * width)
    chance = max(0.0, (width / acceleration - low) / (width - low))
    kept = uniform < chance
    first = (width - low + 1) // 2
    kept[first : first + low] = True
    return np.fft.ifftshift(kept).astype(np.float32)


def fixed_mask(width: int, acceleration: float = 4.0) -> NDArray[np.float32]:
    """The one mask that the authors' code draws for every image of a width: its seed is fixed to 1 inside the function."""
    random = np.random.RandomState(1)
    random.randint(0, 1)
    return column_mask(random.uniform(size=width), acceleration)
