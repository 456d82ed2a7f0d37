"""Fusion with the guided filter: GFF, and the mutually guided MGFF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._filters import correlate, gaussian_kernel, guided_filter, mean, separable

Image = NDArray[np.float64]

LAPLACIAN = ((0, 1, 0), (1, -4, 1), (0, 1, 0))


@METHODS.register(
    MethodFacts(
        name="guided-filter",
        title="Guided filtering (GFF)",
        family="edge-preserving",
        origin="reimplemented",
        year=2013,
        reference="Li, Kang and Hu, Image fusion with guided filtering, IEEE TIP 2013",
        doi="10.1109/TIP.2013.2244222",
    )
)
@per_image
def gff(
    a: Image,
    b: Image,
    *,
    base_radius: int = 45,
    base_eps: float = 0.3,
    detail_radius: int = 7,
    detail_eps: float = 1e-6,
) -> Image:
    """Two scales (31x31 mean), each blended by a saliency map refined with the source as guide.

    The settings are the paper's r and epsilon for both scales. See :func:`gff_weights`.
    """
    base = gff_weights(a, b, base_radius, base_eps)
    detail = gff_weights(a, b, detail_radius, detail_eps)
    return gff_blend(a, b, base, detail)


def gff_weights(a: Image, b: Image, radius: int, eps: float) -> Image:
    """(H, W) weight of ``a``, in [0, 1].

    Saliency is the Laplacian's modulus under a Gaussian (11x11, sigma 5). The map of the more salient source (a tie goes
    to ``a``) is refined with either source as guide, rounded to 8 bits as in the authors' code, and normalised.
    """
    salient_a, salient_b = (separable(np.abs(correlate(x, LAPLACIAN)), gaussian_kernel(11, 5.0)) for x in (a, b))
    chosen_a = (salient_a >= salient_b).astype(np.float64)
    weight_a, weight_b = (
        np.floor(np.clip(guided_filter(guide, chosen, radius, eps), 0, 1) * 255 + 0.5) / 255 + 1e-12
        for guide, chosen in ((a, chosen_a), (b, 1 - chosen_a))
    )
    return weight_a / (weight_a + weight_b)


def gff_blend(a: Image, b: Image, base: Image, detail: Image) -> Image:
    """Blend both sources by a weight of ``a`` for each scale."""
    low_a, low_b = mean(a, 31), mean(b, 31)
    return low_b + base * (low_a - low_b) + (b - low_b) + detail * ((a - low_a) - (b - low_b))


@METHODS.register(
    MethodFacts(
        name="mgff",
        title="Multi-scale guided filtering (MGFF)",
        family="edge-preserving",
        origin="reimplemented",
        year=2019,
        reference="Bavirisetti, Xiao, Zhao, Dhuli and Liu, Multi-scale guided image and video fusion: a fast and "
        "efficient approach, Circuits, Systems, and Signal Processing 2019",
        doi="10.1007/s00034-019-01131-z",
        symmetric=True,
    )
)
@per_image
def mgff(a: Image, b: Image, *, levels: int = 4, radius: int = 9, eps: float = 1e3) -> Image:
    """``levels`` times each source is smoothed mutually; details weighted by their own modulus, bases averaged.

    As in the authors' code, each source is the guide and the other the filter's input; ``eps`` is on the 0 to 255 scale.
    """
    fused = np.zeros_like(a)
    for _ in range(levels):
        smooth_a = guided_filter(a, b, radius, eps / 255**2)
        smooth_b = guided_filter(b, a, radius, eps / 255**2)
        fused += _by_modulus(a - smooth_a, b - smooth_b)
        a, b = smooth_a, smooth_b
    return fused + (a + b) / 2


def _by_modulus(x: Image, y: Image) -> Image:
    """(|x| x + |y| y) / (|x| + |y|), and zero where both are."""
    total = np.abs(x) + np.abs(y)
    mixed: Image = np.divide(np.abs(x) * x + np.abs(y) * y, total, out=np.zeros_like(x), where=total > 0)
    return mixed
