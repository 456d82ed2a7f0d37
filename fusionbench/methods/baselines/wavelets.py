"""Fusion in wavelet transforms: decimated, stationary, dual-tree complex."""

from __future__ import annotations

import numpy as np
import pywt
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines import _dualtree
from fusionbench.methods.baselines._pyramid import check_levels, select

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="dwt",
        title="Discrete wavelet transform (DWT)",
        family="multiscale",
        origin="reimplemented",
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
    _check_wavelet(wavelet)
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


@METHODS.register(
    MethodFacts(
        name="swt",
        title="Stationary wavelet transform (SWT)",
        family="multiscale",
        origin="reimplemented",
        year=1997,
        reference="Rockinger, Image sequence fusion using a shift-invariant wavelet transform, ICIP 1997",
        doi="10.1109/ICIP.1997.632093",
    )
)
@per_image
def swt(a: Image, b: Image, *, levels: int = 4, wavelet: str = "db1") -> Image:
    """Undecimated wavelet; details by Li's 3x3 rule, approximation averaged. Settings as in :func:`dwt`."""
    check_levels(levels)
    _check_wavelet(wavelet)
    height, width = a.shape
    a, b = pad_to_multiple(a, 2**levels), pad_to_multiple(b, 2**levels)
    parts_a, parts_b = (pywt.swt2(x, wavelet, levels, trim_approx=True) for x in (a, b))
    fused = [(parts_a[0] + parts_b[0]) / 2]
    for details_a, details_b in zip(parts_a[1:], parts_b[1:], strict=True):
        fused.append(tuple(select(x, y) for x, y in zip(details_a, details_b, strict=True)))
    return np.asarray(pywt.iswt2(fused, wavelet))[:height, :width]


@METHODS.register(
    MethodFacts(
        name="dtcwt",
        title="Dual-tree complex wavelet transform (DTCWT)",
        family="multiscale",
        origin="reimplemented",
        year=2007,
        reference="Lewis, O'Callaghan, Nikolov, Bull and Canagarajah, Pixel- and region-based image fusion with complex "
        "wavelets, Information Fusion 2007",
        doi="10.1016/j.inffus.2005.09.006",
    )
)
@per_image
def dual_tree(a: Image, b: Image, *, levels: int = 4) -> Image:
    """Dual-tree wavelet (legall, qshift_06); complex details by Li's 3x3 rule on the modulus, low-pass averaged."""
    check_levels(levels)
    height, width = a.shape
    margin = 2**levels  # the transform is periodic: a reflected margin keeps opposite borders apart
    a, b = (pad_to_multiple(np.pad(x, margin, mode="symmetric"), margin) for x in (a, b))
    (low_a, bands_a), (low_b, bands_b) = (_dualtree.forward(x, levels) for x in (a, b))
    bands = [
        np.stack([select(x, y) for x, y in zip(level_a, level_b, strict=True)])
        for level_a, level_b in zip(bands_a, bands_b, strict=True)
    ]
    fused = _dualtree.inverse((low_a + low_b) / 2, bands)
    return fused[margin : margin + height, margin : margin + width]


def _check_wavelet(name: str) -> None:
    if name not in pywt.wavelist(kind="discrete"):
        raise InputError(f"wavelet={name}: not a discrete wavelet of PyWavelets; take db1, sym4, bior2.2 or the like")


def pad_to_multiple(image: Image, multiple: int) -> Image:
    """Reflect at the lower and right borders until both sizes are multiples."""
    height, width = (-size % multiple for size in image.shape)
    return np.pad(image, ((0, height), (0, width)), mode="symmetric")
