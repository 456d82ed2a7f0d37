"""Fusion in Burt's pyramids: Laplacian, ratio of low-pass, gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._pyramid import (
    check_levels,
    expand,
    make_even,
    reduce,
    select,
)

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="laplacian",
        title="Laplacian pyramid (LP)",
        family="multiscale",
        origin="reimplemented",
        year=1983,
        reference="Burt and Adelson, The Laplacian pyramid as a compact image code, IEEE Trans. Communications 1983; "
        "selection rule of Li et al., Graphical Models and Image Processing 1995",
        doi="10.1109/TCOM.1983.1095851",
    )
)
@per_image
def laplacian(a: Image, b: Image, *, levels: int = 4) -> Image:
    """Details by Li's 3x3 rule, top band averaged: equal to the LP of Liu's MST-SR toolbox to the last grey level.

    ``levels``: 1 to 10. Raises InputError otherwise.
    """
    return fuse_laplacian(a, b, levels, lambda x, y: (x + y) / 2)


def fuse_laplacian(a: Image, b: Image, levels: int, fuse_top: Callable[[Image, Image], Image]) -> Image:
    """Laplacian pyramid with Li's rule for the details and any rule for the top band."""
    check_levels(levels)
    details, shapes = [], []
    for _ in range(levels):
        shapes.append(a.shape)
        a, b = make_even(a), make_even(b)
        low_a, low_b = reduce(a), reduce(b)
        details.append(select(a - expand(low_a, a.shape), b - expand(low_b, b.shape)))
        a, b = low_a, low_b
    fused = fuse_top(a, b)
    for detail, (height, width) in zip(reversed(details), reversed(shapes), strict=True):
        fused = (expand(fused, detail.shape) + detail)[:height, :width]
    return fused


@METHODS.register(
    MethodFacts(
        name="ratio-pyramid",
        title="Ratio of low-pass pyramid (RP)",
        family="multiscale",
        origin="reimplemented",
        year=1989,
        reference="Toet, Image fusion by a ratio of low-pass pyramid, Pattern Recognition Letters 1989",
        doi="10.1016/0167-8655(89)90003-2",
    )
)
@per_image
def ratio_pyramid(a: Image, b: Image, *, levels: int = 4) -> Image:
    """Ratios of each level to its expanded next, by Li's 3x3 rule; top band averaged. ``levels``: 1 to 10."""
    check_levels(levels)
    # Levels of 0 to 255 and this guard against division by zero are those of Liu's MST-SR toolbox.
    a, b, guard = a * 255, b * 255, 1e-6
    ratios, shapes = [], []
    for _ in range(levels):
        shapes.append(a.shape)
        a, b = make_even(a), make_even(b)
        low_a, low_b = reduce(a), reduce(b)
        ratios.append(select(a / (expand(low_a, a.shape) + guard), b / (expand(low_b, b.shape) + guard)))
        a, b = low_a, low_b
    fused = (a + b) / 2
    for ratio, (height, width) in zip(reversed(ratios), reversed(shapes), strict=True):
        fused = ((expand(fused, ratio.shape) + guard) * ratio)[:height, :width]
    return fused / 255


@METHODS.register(
    MethodFacts(
        name="gradient-pyramid",
        title="Gradient pyramid",
        family="multiscale",
        origin="reimplemented",
        year=1993,
        reference="Burt and Kolczynski, Enhanced image capture through fusion, ICCV 1993",
        doi="10.1109/ICCV.1993.378222",
    )
)
@per_image
def gradient_pyramid(a: Image, b: Image, *, levels: int = 4) -> Image:
    """Gradients of four directions by Li's 3x3 rule, top band averaged. ``levels``: 1 to 10.

    Burt's reconstruction leaves out a small alias of the decimation; it is kept here and averaged, so that the transform
    reconstructs perfectly.
    """
    check_levels(levels)
    details, shapes = [], []
    for _ in range(levels):
        shapes.append(a.shape)
        a, b = make_even(a), make_even(b)
        low_a, low_b = reduce(a), reduce(b)
        whole_a, whole_b = a - expand(low_a, a.shape), b - expand(low_b, b.shape)
        gradients_a, gradients_b = _gradients(a), _gradients(b)
        alias = (whole_a - _divergence(gradients_a) + whole_b - _divergence(gradients_b)) / 2
        chosen = [select(x, y) for x, y in zip(gradients_a, gradients_b, strict=True)]
        details.append(_divergence(chosen) + alias)
        a, b = low_a, low_b
    fused = (a + b) / 2
    for detail, (height, width) in zip(reversed(details), reversed(shapes), strict=True):
        fused = (expand(fused, detail.shape) + detail)[:height, :width]
    return fused


# (rows, columns) from a pixel to the neighbour that it is compared with; the diagonals count 1/sqrt(2).
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def _gradients(image: Image) -> list[Image]:
    """The four directional differences of (1 + 3x3 binomial) image, borders periodic."""
    blurred = image
    for axis in (0, 1):
        blurred = (np.roll(blurred, 1, axis) + 2 * blurred + np.roll(blurred, -1, axis)) / 4
    both = image + blurred
    return [(np.roll(both, shift, (0, 1)) - both) / np.sqrt(abs(shift[0]) + abs(shift[1])) for shift in DIRECTIONS]


def _divergence(gradients: list[Image]) -> Image:
    """The adjoint of the four differences over 8: with :func:`_gradients`, image - 5x5 binomial image."""
    total = np.zeros_like(gradients[0])
    for gradient, (row, column) in zip(gradients, DIRECTIONS, strict=True):
        total += (np.roll(gradient, (-row, -column), (0, 1)) - gradient) / np.sqrt(abs(row) + abs(column))
    return total / 8
