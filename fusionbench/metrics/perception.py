"""Metrics after models of human vision: Chen and Varshney's QCV, Chen and Blum's QCB."""

from __future__ import annotations

import functools
import math
from decimal import Decimal, localcontext
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._ops import safe_ratio, stretched
from fusionbench.metrics._triple import Image, Triple


def _radius(h: int, w: int, rows: float, columns: float, device: torch.device) -> torch.Tensor:
    """Frequency radius on the half plane of rfft2, each axis running over -1..1 (freqspace) times the given factor."""
    v = torch.fft.fftfreq(h, d=0.5, dtype=torch.float64, device=device) * rows
    u = torch.fft.rfftfreq(w, d=0.5, dtype=torch.float64, device=device) * columns
    radius: torch.Tensor = torch.sqrt(v[:, None] ** 2 + u[None, :] ** 2)
    return radius


def _filtered(x: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
    filtered: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * response, s=x.shape[1:])
    return filtered


def _blocks(x: torch.Tensor, side: int) -> torch.Tensor:
    """Sums over side x side blocks; the image is completed with zeros."""
    h, w = x.shape[1:]
    x = torch.nn.functional.pad(x, (0, -w % side, 0, -h % side))
    return x.reshape(len(x), x.shape[1] // side, side, x.shape[2] // side, side).sum((2, 4))


@METRICS.register(
    MetricFacts(
        name="qcv",
        title="Chen and Varshney's quality metric",
        short="QCV",
        family="perception",
        direction="lower",
        customary="lower",
        range="0 upwards, unbounded",
        reference="Chen, Varshney, A human perception inspired quality metric for image fusion, Information Fusion "
        "2007",
        doi="10.1016/j.inffus.2005.10.001",
        origin="imageFusionMetrics metricChen.m; VIFB and MEFB",
        formula="Differences of each source from the fused image, filtered by a contrast sensitivity function, "
        "squared and averaged in 16 x 16 blocks; the blocks are weighted by the sum of the source's Sobel strength to "
        "the power 5.",
        convention="Images stretched to 0..255; Mannos-Sakrison filter over frequencies width / 8; zeros beyond the "
        "border.",
        traps=(
            "The fifth power lets a few blocks decide: 29 to 981 on one image family.",
            "The filter depends on image size: values of two sizes cannot be compared.",
        ),
        degenerate="NaN where both sources are flat (no edge to weigh by).",
    )
)
def qcv(t: Triple) -> torch.Tensor:
    """(N,) weighted mean squared perceived difference."""
    a, b, f = stretched(t.a), stretched(t.b), stretched(t.f)
    h, w = t.size[1:]
    r = 0.144 * _radius(h, w, h / 8, w / 8, f.x.device)
    response = 2.6 * (0.0192 + r) * torch.exp(-(r**1.1))
    error = weight = torch.zeros((), dtype=torch.float64, device=f.x.device)
    for source in (a, b):
        perceived = _filtered(source.x - f.x, response)
        salience = source.memo("qcv", partial(_fifth_power, t, source))
        error = error + (salience * _blocks(_masked(t, perceived**2), 16) / 256).sum((1, 2))
        weight = weight + salience.sum((1, 2))
    return safe_ratio(error, weight)


def _fifth_power(t: Triple, image: Image) -> torch.Tensor:
    """Sums of Sobel strength to the power 5 over 16 x 16 blocks."""
    gx, gy = _ops.three_by_three(image.x, 2.0, "zeros")
    return _blocks(_masked(t, (gx**2 + gy**2) ** 2.5), 16)


def _masked(t: Triple, values: torch.Tensor) -> torch.Tensor:
    return values if t.mask is None else values * t.mask


def _contrast(t: Triple, image: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, H, W) Peli's contrast of the filtered image, through a power law, and its coarse neighbourhood; remembered."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        h, w = image.x.shape[1:]
        filtered = fft.irfft2(fft.rfft2(image.x.numpy(force=True)) * _difference_of_gaussians(h, w), s=(h, w))
        x = _ops.pad(torch.from_numpy(filtered).to(image.x.device), 15, "zeros")
        fine, coarse = (_ops.blur(x, _unscaled(sigma), compiled=t.windows) for sigma in (2.0, 4.0))
        c = (fine / coarse - 1).abs()
        return c**3 / (c**2 + 0.0001), coarse

    return image.memo("contrast", compute)


@functools.lru_cache(maxsize=8)
def _difference_of_gaussians(h: int, w: int) -> NDArray[np.float64]:
    """Chen and Blum's filter on the half plane of rfft2.

    On flat background the contrast is a quotient of rounding errors. So that these, and with them the score, do not depend
    on the processor or the batch, the exponentials are rounded correctly, and the transform is SciPy's, whose code is the
    same for all processors.
    """

    def gaussian(n: int, count: int, width: str) -> NDArray[np.float64]:
        with localcontext(prec=30):
            squares = [
                (Decimal(k) / 15 / Decimal(width)) ** 2 for k in range(n // 2 + 1)
            ]  # k / n of frequency times n / 15
            half = [float((-square).exp()) for square in squares]
        return np.array([half[min(k, n - k)] for k in range(count)])

    wide, narrow = (np.outer(gaussian(h, h, width), gaussian(w, w // 2 + 1, width)) for width in ("15.3870", "1.3456"))
    return wide - 0.7622 * narrow


def _unscaled(sigma: float) -> _ops.Taps:
    x = np.arange(-15, 16)
    return np.exp(-(x**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)


_QCB = MetricFacts(
    name="qcb",
    title="Chen and Blum's quality metric",
    short="QCB",
    family="perception",
    direction="higher",
    customary="higher",
    range="0 to 1",
    reference="Chen, Blum, A new automated quality assessment algorithm for image fusion, Image and Vision Computing "
    "2009",
    doi="10.1016/j.imavis.2007.12.002",
    origin="imageFusionMetrics metricChenBlum.m; VIFB and MEFB",
    formula="Ratio of the smaller to the larger masked contrast of each source and the fused image, weighted by the "
    "squared contrast of the source, averaged over pixels.",
    convention="Images stretched to 0..255; difference-of-Gaussians filter over frequencies size / 30; 31 x 31 "
    "Gaussians with sigma 2 and 4 that do not sum to 1, zeros beyond the border; p = 3, q = 2, Z = 0.0001.",
    traps=(
        "On flat black background the contrast is a quotient of rounding errors of the Fourier transform: flipping an "
        "image moves the third digit.",
        "The filter depends on image size.",
    ),
    degenerate="NaN where the images are black somewhere beyond the filter's rounding errors, as when both sources "
    "are flat.",
    version=2,
)


@METRICS.register(_QCB)
def qcb(t: Triple) -> torch.Tensor:
    """(N,) mean over pixels."""
    c_f, _ = _contrast(t, stretched(t.f))
    kept, weights = [], []
    for source in (t.a, t.b):
        c, _ = _contrast(t, stretched(source))
        kept.append(torch.minimum(c, c_f) / torch.maximum(c, c_f))
        weights.append(c**2)
    quality = (weights[0] * kept[0] + weights[1] * kept[1]) / (weights[0] + weights[1])
    return t.mean(quality)


@METRICS.register(
    variant(
        _QCB,
        name="qcb@strict",
        title="Chen and Blum's quality metric where there is contrast to speak of",
        short="QCB (strict)",
        formula="As qcb, over the pixels where either source's filtered neighbourhood exceeds 0.001 levels.",
        degenerate="NaN where both sources are flat.",
        origin="",
        convention="The same filters; elsewhere the contrast would be a quotient of rounding errors.",
        traps=("The filter depends on image size.",),
        version=1,
    )
)
def qcb_strict(t: Triple) -> torch.Tensor:
    """(N,) mean over the pixels that have contrast."""
    c_f, _ = _contrast(t, stretched(t.f))
    kept = weight = torch.zeros((), dtype=torch.float64, device=c_f.device)
    defined = torch.zeros((), dtype=torch.bool, device=c_f.device)
    for source in (t.a, t.b):
        c, coarse = _contrast(t, stretched(source))
        there = coarse.abs() > 0.001
        high = torch.maximum(c, c_f)
        ratio = torch.minimum(c, c_f) / torch.where(high > 0, high, 1.0)
        power = torch.where(there, c**2, 0.0)
        kept, weight, defined = kept + power * torch.nan_to_num(ratio, nan=0.0), weight + power, defined | there
    quality = torch.where(defined & (weight > 0), kept / torch.where(weight > 0, weight, 1.0), 0.0)
    return safe_ratio(t.total(quality), t.total((defined & (weight > 0)).double()))
