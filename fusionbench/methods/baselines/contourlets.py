"""Fusion in the nonsubsampled contourlet transform (NSCT)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._nonsubsampled import contourlet, contourlet_inverse
from fusionbench.methods.baselines._pyramid import select

Image = NDArray[np.float64]

# Finest scale first: 8, 8, 4 and 4 directions.
SPLITS = (3, 3, 2, 2)


@METHODS.register(
    MethodFacts(
        name="nsct",
        title="Nonsubsampled contourlet transform (NSCT)",
        family="multiscale",
        origin="reimplemented",
        year=2009,
        reference="Zhang and Guo, Multifocus image fusion using the nonsubsampled contourlet transform, "
        "Signal Processing 2009",
        doi="10.1016/j.sigpro.2009.01.012",
    )
)
@per_image
def nsct(a: Image, b: Image) -> Image:
    """Directional details by Li's 3x3 rule, low band averaged, as in Liu's MST-SR toolbox."""
    (low_a, bands_a), (low_b, bands_b) = (contourlet(x, SPLITS) for x in (a, b))
    fused = [
        np.stack([select(x, y) for x, y in zip(scale_a, scale_b, strict=True)])
        for scale_a, scale_b in zip(bands_a, bands_b, strict=True)
    ]
    return contourlet_inverse((low_a + low_b) / 2, fused, SPLITS)
