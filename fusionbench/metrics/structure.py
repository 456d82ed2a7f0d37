"""Structural similarity: SSIM with its windows and ranges."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics import METRICS, MetricFacts, _kernels, _ops
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.statistics import EVALUATOR

_REFERENCE = "Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to structural similarity, TIP 2004"
_DOI = "10.1109/TIP.2003.819861"


def ssim_mean(
    t: Triple, source: Image, taps: NDArray[np.float64], levels: float, *, sample: bool = False
) -> torch.Tensor:
    """(N,) mean SSIM of source and fused image over the valid windows; K1 = 0.01, K2 = 0.03.

    ``levels``: the data range. ``sample``: covariances divided by n - 1 instead of n (uniform windows).
    """
    c1, c2 = (0.01 * levels) ** 2, (0.03 * levels) ** 2
    n = len(taps) ** 2
    ratio = n / (n - 1) if sample else 1.0
    m1, m2 = (_ops.window_mean(t, image, taps) for image in (source, t.f))
    e11, e22 = (_ops.window_product(t, image, image, taps) for image in (source, t.f))
    e12 = _ops.window_product(t, source, t.f, taps)
    if t.compiled:
        out = torch.empty(len(m1), dtype=torch.float64)
        maps = (m.numpy() for m in (m1, e11, m2, e22, e12))
        _kernels.ssim_sum(*maps, c1, c2, ratio, out.numpy())
        return out / m1[0].numel()
    variances = ratio * (e11 - m1**2 + e22 - m2**2)
    covariance = ratio * (e12 - m1 * m2)
    similarity = (2 * m1 * m2 + c1) * (2 * covariance + c2) / ((m1**2 + m2**2 + c1) * (variances + c2))
    return t.mean(similarity)


@METRICS.register(
    MetricFacts(
        name="ssim",
        title="Structural similarity, 7 x 7 window, range 255, sum over the sources",
        short="SSIM",
        family="structure",
        direction="higher",
        customary="higher",
        range="-2 to 2",
        reference=_REFERENCE,
        doi=_DOI,
        origin="Evaluator.py of DM-FNet and LKC-FUNet (scikit-image's defaults with data_range=255)",
        formula="Similarity of local mean, contrast and structure in windows, averaged over the image; SSIM(A, F) + SSIM(B, F).",
        convention="Uniform 7 x 7 window, valid windows only, sample covariance, K1 = 0.01, K2 = 0.03, data range 255, sum.",
        traps=(
            "CDDFuse's published values use data range 2 on 0..255 (ssim@l2): other ranking (tau 0.8).",
            "Half the codes print the mean over the sources, half the sum.",
            "Flat background scores 1 in every method: on a brain slice it is most of the value. Use a mask.",
        ),
        degenerate="Always defined.",
        min_size=7,
    )
)
def ssim(t: Triple) -> torch.Tensor:
    """(N,) sum of two mean SSIMs."""
    return sum_over_sources(t, _ops.uniform(7), 255.0, sample=True)


def sum_over_sources(t: Triple, taps: NDArray[np.float64], levels: float, *, sample: bool = False) -> torch.Tensor:
    """(N,) SSIM(A, F) + SSIM(B, F)."""
    return ssim_mean(t, t.a, taps, levels, sample=sample) + ssim_mean(t, t.b, taps, levels, sample=sample)


@METRICS.register(
    MetricFacts(
        name="ssim@l2",
        title="Structural similarity as CDDFuse published it: data range 2 on levels 0..255",
        short="SSIM (L=2)",
        family="structure",
        direction="higher",
        customary="higher",
        range="-2 to 2",
        reference=_REFERENCE,
        doi=_DOI,
        origin="CDDFuse with scikit-image 0.19.2, which takes 2 as the range of any float image",
        formula="As ssim, with constants 16,000 times smaller.",
        convention="Uniform 7 x 7 window, sample covariance, data range 2 on levels 0..255, sum over the sources.",
        traps=("All but flat regions are unregularised: noise in dark background counts in full.",),
        degenerate="Always defined.",
        min_size=7,
    )
)
def ssim_l2(t: Triple) -> torch.Tensor:
    """(N,) sum of two mean SSIMs."""
    return sum_over_sources(t, _ops.uniform(7), 2.0, sample=True)
