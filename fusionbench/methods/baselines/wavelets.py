"""Fusion in wavelet transforms: decimated, stationary, dual-tree complex."""

from __future__ import annotations

import numpy as np
import pywt
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._pyramid import check_levels, select

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="dwt",
        title="Discrete wavelet transform (DWT)",
        family="multiscale",
        year=1995,
        reference="Li, Manjunath and Mitra, Multisensor image fusion using the wavelet transform, "
        "Graphical Models and Image Processing 1995",
        doi="10.1006/gmip.1995.1022",
    )
)
@per_image
def dwt(a: Image, b: Image, *, levels: int = 4, wavelet: str = "db1") -> Image:
    """Decimated wavelet with periodic borders; details by Li's 3x3 rule, approximation averaged.

    ``levels``: 1 to 10. ``wavelet``: a discrete wavelet of PyWavelets. Raises InputError otherwise.
    """
    check_levels(levels)
    bands, shapes = [], []
    for _ in range(levels):
        shapes.append(a.shape)
        a, details_a = pywt.dwt2(a, wavelet, mode="periodization")
        b, details_b = pywt.dwt2(b, wavelet, mode="periodization")
        bands.append(tuple(select(x, y) for x, y in zip(details_a, details_b, strict=True)))
    fused = (a + b) / 2
    for details, (height, width) in zip(reversed(bands), reversed(shapes), strict=True):
        fused = pywt.idwt2((fused, details), wavelet, mode="periodization")[:height, :width]
    return np.asarray(fused)
