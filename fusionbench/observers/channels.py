"""Channels: the few numbers that an observer reads from a region around a place."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_laguerre

from fusionbench.errors import InputError

Floats = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)

WINDOW = 65
"""Pixels around a known place that an observer reads: about three times the width of the widest channel."""


def middle(stack: NDArray[T]) -> NDArray[T]:
    """The central WINDOW x WINDOW pixels of regions (M, H, W) or (M, H, W, K); all of smaller ones."""
    edge = max(0, (stack.shape[1] - WINDOW) // 2)
    return stack[:, edge : stack.shape[1] - edge, edge : stack.shape[2] - edge]


def _radius(size: int) -> Floats:
    """(size, size) distance from the central pixel, in pixels."""
    if size < 3 or size % 2 == 0:
        raise InputError(f"a region of {size} pixels has no centre; take an odd number of at least 3")
    axis = np.arange(size) - size // 2
    distance: Floats = np.hypot(axis[:, None], axis[None, :])
    return distance


def laguerre_gauss(size: int, width: float, count: int = 6) -> Floats:
    """Laguerre-Gauss channels, (count, size, size): sqrt(2) / a exp(-pi r^2 / a^2) L_p(2 pi r^2 / a^2), p = 0, 1, ...

    ``size``: odd, pixels; ``width``: a, pixels (two to three times the deviation of a Gaussian signal serves well). They
    are orthonormal on the plane and a basis for functions of the radius, so few of them hold a round signal in a background
    without a direction. Gallas, Barrett, JOSA A 20, 2003, doi 10.1364/JOSAA.20.001725. Raises InputError.
    """
    if count < 1 or not width > 0:
        raise InputError(f"{count} channels of width {width}; take at least one, of a width above 0")
    square = 2 * np.pi * (_radius(size) / width) ** 2
    fall = np.sqrt(2) / width * np.exp(-square / 2)
    return np.stack([fall * eval_laguerre(order, square) for order in range(count)])


def difference_of_gaussians(
    size: int, count: int = 10, first: float = 0.005, spacing: float = 1.4, ratio: float = 1.67
) -> Floats:
    """Difference-of-Gaussians channels, (count, size, size), as models of the bands of human vision.

    In frequency: exp(-(rho / (Q s_j))^2 / 2) - exp(-(rho / s_j)^2 / 2), s_j = first spacing^j cycles a pixel, Q = ratio:
    the dense set of Abbey, Barrett, JOSA A 18, 2001, doi 10.1364/JOSAA.18.000473. Here by their closed form in space, each
    scaled to unit energy. Raises InputError.
    """
    if count < 1 or not (first > 0 and spacing > 1 and ratio > 1):
        raise InputError(f"{count} channels from {first}, spacing {spacing}, ratio {ratio}: not a bank of bands")
    square = _radius(size) ** 2
    bank = []
    for j in range(count):
        low = first * spacing**j
        wide, narrow = (2 * np.pi * s**2 * np.exp(-2 * np.pi**2 * s**2 * square) for s in (low, low * ratio))
        band = narrow - wide
        bank.append(band / np.sqrt((band**2).sum()))
    return np.stack(bank)


def rings(size: int, step: float = 1.0) -> Floats:
    """Ring masks, (count, size, size): each averages the pixels of one band of the radius; the last ends at the border."""
    radius = _radius(size)
    index = np.minimum((radius + step / 2) // step, size // 2 // step).astype(int)
    masks = np.stack([index == k for k in range(int(index.max()) + 1)]).astype(np.float64)
    weights: Floats = masks / masks.sum((1, 2), keepdims=True)
    return weights


def region(image: NDArray[T], row: int, column: int, size: int) -> NDArray[T]:
    """The ``size`` x ``size`` pixels (odd) around one of (H, W) or (H, W, K); beyond the image it is black."""
    half = size // 2
    out = np.zeros((size, size, *image.shape[2:]), image.dtype)
    top, left = max(row - half, 0), max(column - half, 0)
    part = image[top : row + half + 1, left : column + half + 1]
    out[top - row + half :, left - column + half :][: part.shape[0], : part.shape[1]] = part
    return out


def read(regions: Floats, channels: Floats) -> Floats:
    """What channels see: regions (M, H, W) or, in K colours, (M, H, W, K), channels (C, H, W) -> (M, C) or (M, K C).

    Raises InputError where regions and channels differ in size or a region holds a number that is not finite.
    """
    if regions.shape[1:3] != channels.shape[1:]:
        raise InputError(f"regions of {regions.shape[1:3]} pixels, channels of {channels.shape[1:]}; make them equal")
    if not np.isfinite(regions).all():
        raise InputError("a region holds NaN or infinity; an observer cannot read it")
    planes = regions[..., None] if regions.ndim == 3 else regions
    seen = np.einsum("mhwk,chw->mkc", planes, channels, optimize=True)
    out: Floats = seen.reshape(len(regions), -1)
    return out


def ring_means(regions: Floats, step: float = 1.0) -> Floats:
    """Means over rings around the place, (M, rings): what a non-linear observer is given beside the channels."""
    return read(regions, rings(regions.shape[1], step))
