"""Structural similarity to the sources: SSIM with its windows and ranges, MS-SSIM, UQI."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._kernels import boxes
from fusionbench.metrics._ops import gaussian, safe_ratio, uniform
from fusionbench.metrics._triple import Image, Triple, crop


def ssim_map(t: Triple, x: Image, y: Image, taps: NDArray[np.float64], c1: float, c2: float) -> torch.Tensor:
    """(N, h, w) SSIM of two images over the valid windows, population moments; remembered by ``y``."""

    def compute() -> torch.Tensor:
        mx, my = _ops.window_mean(t, x, taps), _ops.window_mean(t, y, taps)
        variances = _ops.exact_covariance(t, x, x, taps) + _ops.exact_covariance(t, y, y, taps)
        covariance = _ops.exact_covariance(t, x, y, taps)
        return (2 * mx * my + c1) * (2 * covariance + c2) / ((mx**2 + my**2 + c1) * (variances + c2))

    return y.memo(("ssim map", x.key, taps.tobytes(), c1, c2), compute)


def ssim_sum(t: Triple, taps: NDArray[np.float64], levels: float, *, sample: bool = False) -> torch.Tensor:
    """(N,) SSIM(A, F) + SSIM(B, F), each the mean over the valid windows; K1 = 0.01, K2 = 0.03.

    ``levels``: the data range. ``sample``: covariances divided by n - 1 instead of n (uniform windows).
    """
    c1, c2 = (0.01 * levels) ** 2, (0.03 * levels) ** 2
    n = len(taps) ** 2
    ratio = n / (n - 1) if sample else 1.0
    if t.compiled and sample and taps is uniform(7):
        out = np.empty((len(t.f.levels), 2))
        boxes.ssim_pair(t.a.levels.numpy(), t.b.levels.numpy(), t.f.levels.numpy(), c1, c2, out)
        return torch.from_numpy(out.sum(1) / ((t.size[1] - 6) * (t.size[2] - 6)))
    m2, e22 = _ops.window_moments(t, t.f, taps)
    result = torch.zeros((), dtype=torch.float64, device=m2.device)
    for source in (t.a, t.b):
        m1, e11 = _ops.window_moments(t, source, taps)
        variances = ratio * (e11 - m1**2 + e22 - m2**2)
        covariance = ratio * (_ops.window_product(t, source, t.f, taps) - m1 * m2)
        similarity = (2 * m1 * m2 + c1) * (2 * covariance + c2) / ((m1**2 + m2**2 + c1) * (variances + c2))
        result = result + t.mean(similarity)
    return result


_SSIM = MetricFacts(
    name="ssim",
    title="Structural similarity, 7 x 7 window, range 255, sum over the sources",
    short="SSIM",
    family="structure",
    direction="higher",
    customary="higher",
    range="-2 to 2",
    reference="Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to structural "
    "similarity, 2004",
    doi="10.1109/TIP.2003.819861",
    origin="Evaluator.py of DM-FNet and LKC-FUNet (scikit-image's defaults with data_range=255)",
    formula="Similarity of local mean, contrast and structure in windows, averaged; SSIM(A, F) + SSIM(B, F).",
    convention="Uniform 7 x 7 window, valid windows only, sample covariance, K1 = 0.01, K2 = 0.03, data range 255, "
    "sum.",
    traps=(
        "CDDFuse's published values use data range 2 on 0..255 (ssim@l2): other ranking (tau 0.8).",
        "Half the codes print the mean over the sources, half the sum.",
        "Flat background scores 1 in every method: on a brain slice it is most of the value. Use a mask.",
    ),
    degenerate="Always defined.",
    min_size=7,
)


@METRICS.register(_SSIM)
def ssim(t: Triple) -> torch.Tensor:
    """(N,) sum of two mean SSIMs."""
    return ssim_sum(t, uniform(7), 255.0, sample=True)


@METRICS.register(
    variant(
        _SSIM,
        name="ssim@l2",
        title="Structural similarity as CDDFuse published it: data range 2 on levels 0..255",
        short="SSIM (L=2)",
        formula="As ssim, with constants 16,000 times smaller.",
        origin="CDDFuse with scikit-image 0.19.2, which takes 2 as the range of any float image",
        convention="Uniform 7 x 7 window, sample covariance, data range 2 on levels 0..255, sum over the sources.",
        traps=("All but flat regions are unregularised: noise in dark background counts in full.",),
    )
)
def ssim_l2(t: Triple) -> torch.Tensor:
    """(N,) sum of two mean SSIMs."""
    return ssim_sum(t, uniform(7), 2.0, sample=True)


_GAUSSIAN = gaussian(11, 1.5)


_SSIM_VIFB = variant(
    _SSIM,
    name="ssim@vifb",
    title="Structural similarity, 11 x 11 Gaussian window, range 255, sum over the sources",
    short="SSIM (Gauss)",
    formula="SSIM(A, F) + SSIM(B, F).",
    origin="VIFB metricsSsim.m; Wang's ssim_index.m, summed; piq",
    convention="Gaussian 11 x 11 window with sigma 1.5, valid windows only, population moments, range 255, sum.",
    traps=("Flat background scores 1 in every method: use a mask.",),
    min_size=11,
)


@METRICS.register(_SSIM_VIFB)
def ssim_vifb(t: Triple) -> torch.Tensor:
    """(N,) sum of two mean SSIMs."""
    return ssim_sum(t, _GAUSSIAN, 255.0)


@METRICS.register(
    variant(
        _SSIM_VIFB,
        name="ssim@strict",
        title="Structural similarity as its authors define it, mean over the sources",
        short="SSIM (mean)",
        range="-1 to 1",
        formula="The mean of SSIM(A, F) and SSIM(B, F).",
        origin="",
        convention="Gaussian 11 x 11 window with sigma 1.5, valid windows only, population moments, range 255, mean.",
        traps=(
            "Flat background scores 1 in every method: use a mask.",
            "Where the sources disagree no image can be similar to both: its maximum depends on the pair.",
        ),
    )
)
def ssim_strict(t: Triple) -> torch.Tensor:
    """(N,) mean of two mean SSIMs."""
    return ssim_sum(t, _GAUSSIAN, 255.0) / 2


@METRICS.register(
    variant(
        _SSIM_VIFB,
        name="ssim@tang",
        title="Structural similarity with range 1 on levels 0..255, mean over the sources",
        short="SSIM (L=1)",
        range="-1 to 1",
        formula="The mean of SSIM(A, F) and SSIM(B, F), with constants 65025 times too small.",
        origin="Tang's toolbox since 2023 (MATLAB's ssim on doubles of 0..255); dungdz67/Image-Fusion-Metric",
        convention="Gaussian 11 x 11 window with sigma 1.5, borders replicated (the map has the image's size), "
        "population moments, range 1 on levels 0..255, mean.",
        traps=("All but flat regions are unregularised: noise in dark background counts in full.",),
        min_size=1,
    )
)
def ssim_tang(t: Triple) -> torch.Tensor:
    """(N,) mean of two mean SSIMs."""
    a, b, f = (image.derive("replicated 5", partial(_ops.pad, image.x, 5, "replicate")) for image in (t.a, t.b, t.f))
    maps = (ssim_map(t, source, f, _GAUSSIAN, 0.01**2, 0.03**2) for source in (a, b))
    first, second = (t.mean(m) for m in maps)
    return (first + second) / 2


MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _halved(image: Image, piq: bool) -> Image:
    """Means of 2 x 2 blocks. Where a side is odd, its last row is repeated, as in Wang's code; piq repeats the first row and
    the first column if either side is odd."""

    def halve() -> torch.Tensor:
        odd_rows, odd_columns = image.x.shape[1] % 2, image.x.shape[2] % 2
        odd = max(odd_rows, odd_columns)
        padding = (odd, 0, odd, 0) if piq else (0, odd_columns, 0, odd_rows)
        x = torch.nn.functional.pad(image.x, padding, mode="replicate") if odd else image.x
        return torch.nn.functional.avg_pool2d(x, 2)

    return image.derive(("halved", piq), halve)


def _ms_ssim(t: Triple, source: Image, piq: bool = False) -> torch.Tensor:
    """(N,) Wang's MS-SSIM of source and fused image."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y, inside = source, t.f, t.mask
    result = torch.ones((), dtype=torch.float64, device=t.f.x.device)
    for level, weight in enumerate(MS_WEIGHTS):
        if level:
            x, y = _halved(x, piq), _halved(y, piq)
            inside = inside if inside is None else inside[:, ::2, ::2]
        covariance = _ops.window_covariance(t, x, y, _GAUSSIAN)
        variances = _ops.window_covariance(t, x, x, _GAUSSIAN) + _ops.window_covariance(t, y, y, _GAUSSIAN)
        values = (2 * covariance + c2) / (variances + c2)
        if level == len(MS_WEIGHTS) - 1:
            mx, my = _ops.window_mean(t, x, _GAUSSIAN), _ops.window_mean(t, y, _GAUSSIAN)
            values = values * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        result = result * masked_mean(values, inside).clamp_min(0.0) ** weight
    return result


def masked_mean(values: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
    """(N, h, w) map -> (N,) mean inside a mask of the scale's size (None: everywhere), NaN where that leaves nothing."""
    if inside is None:
        return values.mean((1, 2))
    part = crop(inside, values.shape)
    return safe_ratio(torch.where(part, values, 0.0).sum((1, 2)), part.sum((1, 2)).double())


_MS_SSIM = MetricFacts(
    name="ms-ssim",
    title="Multiscale structural similarity (Wang), mean over the sources",
    short="MS-SSIM",
    family="structure",
    direction="higher",
    customary="higher",
    range="0 to 1",
    reference="Wang, Simoncelli, Bovik, Multiscale structural similarity for image quality assessment, Asilomar 2003",
    doi="10.1109/ACSSC.2003.1292216",
    origin="IVIF_ZOO, cslib, chenzpstar with this definition",
    formula="Product over five scales of mean contrast-structure terms, luminance at the coarsest, to Wang's "
    "exponents.",
    convention="Gaussian 11 x 11, sigma 1.5, range 255; 2 x 2 means between scales, the last row of an odd side repeated; "
    "a negative mean counts as 0; mean over the sources.",
    traps=("Tang's toolbox and the DenseFuse family print mef-ms-ssim under this name.",),
    degenerate="Always defined; NaN only where a mask leaves no window at a coarse scale.",
    min_size=161,
    version=2,
)


@METRICS.register(_MS_SSIM)
def ms_ssim(t: Triple) -> torch.Tensor:
    """(N,) mean of two MS-SSIMs."""
    return (_ms_ssim(t, t.a) + _ms_ssim(t, t.b)) / 2


@METRICS.register(
    variant(
        _MS_SSIM,
        name="ms-ssim@sum",
        title="Multiscale structural similarity (Wang), sum over the sources",
        short="MS-SSIM (sum)",
        range="0 to 2",
        formula="As ms-ssim, added over the sources.",
        origin="piq.multi_scale_ssim, summed as papers do",
        convention="As ms-ssim, but where either side turns odd while halving, first row and column are repeated, which "
        "moves it by 2e-3 to 6e-2.",
        traps=("See ms-ssim.",),
        version=1,
    )
)
def ms_ssim_sum(t: Triple) -> torch.Tensor:
    """(N,) sum of two MS-SSIMs."""
    return _ms_ssim(t, t.a, piq=True) + _ms_ssim(t, t.b, piq=True)


@METRICS.register(
    MetricFacts(
        name="uqi",
        title="Universal quality index, mean over the sources",
        short="UQI",
        family="structure",
        direction="higher",
        customary="higher",
        range="-1 to 1",
        reference="Wang, Bovik, A universal image quality index, IEEE Signal Processing Letters 2002",
        doi="10.1109/97.995823",
        formula="SSIM without constants: the mean of Q(A, F) and Q(B, F).",
        convention="Uniform 8 x 8 windows at every pixel. Two flat windows compare by their means alone; two black "
        "ones count 1.",
        traps=(
            "Piella's toolbox code calls an SSIM with constants by this name; torchmetrics uses 11 x 11 Gaussians.",
        ),
        degenerate="Always defined.",
        min_size=8,
    )
)
def uqi(t: Triple) -> torch.Tensor:
    """(N,) mean of two indices."""
    first, second = (t.mean(_universal(t, source)) for source in (t.a, t.b))
    return (first + second) / 2


def _universal(t: Triple, source: Image) -> torch.Tensor:
    # Window sums of integers: variances of flat windows are exactly zero.
    taps = np.ones(8)
    sx, sy = _ops.window_mean(t, source, taps), _ops.window_mean(t, t.f, taps)
    vx, vy, cxy = (
        64 * _ops.window_product(t, p, q, taps) - _ops.window_mean(t, p, taps) * _ops.window_mean(t, q, taps)
        for p, q in ((source, source), (t.f, t.f), (source, t.f))
    )
    luminance = torch.where(sx**2 + sy**2 == 0, 1.0, 2 * sx * sy / (sx**2 + sy**2))
    structure = torch.where(vx + vy == 0, 1.0, 2 * cxy / (vx + vy))
    return luminance * structure
