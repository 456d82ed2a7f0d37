"""Fusion in Burt's pyramids: Laplacian, ratio of low-pass, gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._pyramid import check_levels, expand, make_even, reduce, select

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="laplacian",
        title="Laplacian pyramid (LP)",
        family="multiscale",
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
