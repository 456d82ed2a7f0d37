"""Structural similarity to the sources: SSIM with its windows and ranges, MS-SSIM, UQI, MEF-SSIM."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._kernels import boxes, windows
from fusionbench.metrics._ops import gaussian, safe_ratio, uniform
from fusionbench.metrics._triple import Image, Triple, crop


def ssim_map(t: Triple, x: Image, y: Image, taps: NDArray[np.float64], c1: float, c2: float) -> torch.Tensor:
    """(N, h, w) SSIM of two images over the valid windows, population moments; remembered by ``y``."""

    def compute() -> torch.Tensor:
        mx, my = _ops.window_mean(t, x, taps), _ops.window_mean(t, y, taps)
        variances = _ops.window_covariance(t, x, x, taps) + _ops.window_covariance(t, y, y, taps)
        covariance = _ops.window_covariance(t, x, y, taps)
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
    if t.compiled:
        a, b = ([m.numpy() for m in (s.x, *_ops.window_moments(t, s, taps))] for s in (t.a, t.b))
        out = np.zeros((len(t.f.x), 2))
        windows.ssim_pair(a[0], a[1], a[2], b[0], b[1], b[2], t.f.x.numpy(), taps, c1, c2, ratio, out)
        return torch.from_numpy(out.sum(1) / a[1][0].size)
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


_MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _halved(image: Image) -> Image:
    """Means of 2 x 2 blocks; where a side is odd, first row and column are repeated once, as piq does."""

    def halve() -> torch.Tensor:
        odd = max(image.x.shape[1] % 2, image.x.shape[2] % 2)
        x = torch.nn.functional.pad(image.x, (odd, 0, odd, 0), mode="replicate") if odd else image.x
        return torch.nn.functional.avg_pool2d(x, 2)

    return image.derive("halved", halve)


def _ms_ssim(t: Triple, source: Image) -> torch.Tensor:
    """(N,) Wang's MS-SSIM of source and fused image."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y, inside = source, t.f, t.mask
    result = torch.ones((), dtype=torch.float64, device=t.f.x.device)
    for level, weight in enumerate(_MS_WEIGHTS):
        if level:
            x, y = _halved(x), _halved(y)
            inside = inside if inside is None else inside[:, ::2, ::2]
        covariance = _ops.window_covariance(t, x, y, _GAUSSIAN)
        variances = _ops.window_covariance(t, x, x, _GAUSSIAN) + _ops.window_covariance(t, y, y, _GAUSSIAN)
        values = (2 * covariance + c2) / (variances + c2)
        if level == len(_MS_WEIGHTS) - 1:
            mx, my = _ops.window_mean(t, x, _GAUSSIAN), _ops.window_mean(t, y, _GAUSSIAN)
            values = values * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        result = result * _masked_mean(values, inside).clamp_min(0.0) ** weight
    return result


def _masked_mean(values: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
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
    convention="Gaussian 11 x 11, sigma 1.5, range 255; 2 x 2 means between scales (odd sides padded as in piq); a "
    "negative mean counts as 0; mean over the sources.",
    traps=("Tang's toolbox and the DenseFuse family print mef-ms-ssim under this name.",),
    degenerate="Always defined; NaN only where a mask leaves no window at a coarse scale.",
    min_size=161,
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
        formula="Twice ms-ssim.",
        origin="piq.multi_scale_ssim, summed as papers do",
        convention="As ms-ssim, sum over the sources.",
        traps=("See ms-ssim.",),
    )
)
def ms_ssim_sum(t: Triple) -> torch.Tensor:
    """(N,) sum of two MS-SSIMs."""
    return ms_ssim(t) * 2


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


_BOX = np.ones(11)


def _mef_target(t: Triple, a: Image, b: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """The desired patch at each pixel is p (A - mean A) + q (B - mean B): the maps p and q, remembered by b."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        def scatter(x: Image, y: Image) -> torch.Tensor:  # 121 times the covariance, exact for integers
            means = _ops.window_mean(t, x, _BOX) * _ops.window_mean(t, y, _BOX)
            return _ops.window_product(t, x, y, _BOX) - means / 121

        aa, bb, ab = scatter(a, a).clamp_min(0), scatter(b, b).clamp_min(0), scatter(a, b)
        tiny = torch.finfo(torch.float64).eps
        consistency = ((aa + bb + 2 * ab).clamp_min(0).sqrt() + tiny) / (aa.sqrt() + bb.sqrt() + tiny)
        power = torch.tan(math.pi / 2 * consistency.clamp(tiny, 1 - tiny)).clamp_max(10)
        ed = (aa.sqrt() + 0.001, bb.sqrt() + 0.001)
        weights = [(e / 11) ** power + tiny for e in ed]
        p, q = (w / (weights[0] + weights[1]) / e for w, e in zip(weights, ed, strict=True))
        norm = (p**2 * aa + q**2 * bb + 2 * p * q * ab).clamp_min(0).sqrt()
        scale = torch.where(norm > 0, torch.maximum(*ed) / torch.where(norm > 0, norm, 1.0), 1.0)
        return p * scale, q * scale

    return b.memo(("mef target", a.key), compute)


def _mef_ssim(t: Triple, a: Image, b: Image, f: Image) -> torch.Tensor:
    """(N, h, w) similarity of the fused patch to the desired patch."""
    p, q = _mef_target(t, a, b)
    aa, bb, ab, ff, af, bf = (
        _ops.window_covariance(t, x, y, _GAUSSIAN) for x, y in ((a, a), (b, b), (a, b), (f, f), (a, f), (b, f))
    )
    c = (0.03 * 255) ** 2
    target = p**2 * aa + q**2 * bb + 2 * p * q * ab
    return (2 * (p * af + q * bf) + c) / (target + ff + c)


_MEF_SSIM = MetricFacts(
    name="mef-ssim",
    title="MEF-SSIM: similarity to the best patch that both sources allow, one scale",
    short="MEF-SSIM",
    family="structure",
    direction="higher",
    customary="higher",
    range="-1 to 1",
    reference="Ma, Zeng, Wang, Perceptual quality assessment for multi-exposure image fusion, TIP 2015",
    doi="10.1109/TIP.2015.2442920",
    origin="mef_ssim.m of Ma et al.; Tang's toolbox up to 2022 prints it as SSIM",
    formula="Each 11 x 11 patch is compared, without its mean, with a mixture of the sources' patches that has the "
    "larger contrast of the two and a structure weighted by contrast.",
    convention="K = 0.03 on 0..255; box windows for the mixture, Gaussian (sigma 1.5) for the comparison.",
    traps=("Made for exposure series: the brightness of the fused image is not judged at all.",),
    degenerate="Always defined.",
    min_size=11,
)


@METRICS.register(_MEF_SSIM)
def mef_ssim(t: Triple) -> torch.Tensor:
    """(N,) mean over patches."""
    return t.mean(_mef_ssim(t, t.a, t.b, t.f))


def _pooled(image: Image, *, lagging: bool) -> Image:
    """Means of 2 x 2 pixels, every second one; an odd last row or column is repeated.

    ``lagging``: each mean takes the pixels above and left instead, mirrored at the border.
    """

    def pool() -> torch.Tensor:
        h, w = image.x.shape[1:]
        if lagging:
            x = _ops.pad(image.x, 1, "reflect")[:, : 2 * ((h + 1) // 2), : 2 * ((w + 1) // 2)]
        else:
            x = torch.nn.functional.pad(image.x, (0, w % 2, 0, h % 2), mode="replicate")
        return torch.nn.functional.avg_pool2d(x, 2)

    return image.derive(("pooled", lagging), pool)


def _mef_ms_ssim(t: Triple, *, lagging: bool) -> torch.Tensor:
    weights = np.array(_MS_WEIGHTS[:3]) / sum(_MS_WEIGHTS[:3])
    a, b, f, inside = t.a, t.b, t.f, t.mask
    result = torch.ones((), dtype=torch.float64, device=f.x.device)
    for level, weight in enumerate(weights.tolist()):
        if level:
            a, b, f = (_pooled(image, lagging=lagging) for image in (a, b, f))
            inside = inside if inside is None else inside[:, ::2, ::2]
        result = result * _masked_mean(_mef_ssim(t, a, b, f), inside).clamp_min(0.0) ** weight
    return result


_MEF_MS_SSIM = variant(
    _MEF_SSIM,
    name="mef-ms-ssim",
    title="MEF-MS-SSIM: similarity to the best patch that both sources allow, three scales",
    short="MEF-MS-SSIM",
    range="0 to 1",
    formula="Product of mef-ssim at three scales, exponents 0.0448, 0.2856, 0.3001 divided by their sum.",
    degenerate="Always defined; NaN only where a mask leaves no window at a coarse scale.",
    origin="mef_ms_ssim.m of Ma et al.; Tang's toolbox and the DenseFuse family print it as MS-SSIM, MEFB as MEF_SSIM",
    convention="2 x 2 means between scales; a negative scale counts as 0.",
    min_size=44,
)


@METRICS.register(_MEF_MS_SSIM)
def mef_ms_ssim(t: Triple) -> torch.Tensor:
    """(N,) product over scales."""
    return _mef_ms_ssim(t, lagging=False)


@METRICS.register(
    variant(
        _MEF_MS_SSIM,
        name="mef-ms-ssim@python",
        title="MEF-MS-SSIM as a Python port halves the images",
        short="MEF-MS-SSIM (py)",
        formula="As mef-ms-ssim.",
        origin="image-fusion-metric (Python), there MS_SSIM",
        convention="The 2 x 2 means lie one pixel further up and left, mirrored at the border (ndimage's even "
        "kernels).",
        traps=("Differs from mef-ms-ssim by about 0.001.",),
    )
)
def mef_ms_ssim_python(t: Triple) -> torch.Tensor:
    """(N,) product over scales."""
    return _mef_ms_ssim(t, lagging=True)
