"""Phase congruency: Zhao's QP and FSIM."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics import METRICS, MetricFacts, _ops
from fusionbench.metrics._ops import safe_ratio
from fusionbench.metrics._triple import Image, Triple

_EPS = 0.0001


@dataclasses.dataclass(frozen=True)
class _Bank:
    """Log-Gabor filters: four scales, sigma / f = 0.55, dTheta / sigma = 1.2.

    ``weighted``: narrow spectra count less. ``slack`` is added to the sum of amplitudes that the energy is divided by.
    ``own_grid``: the low pass of an odd size has a grid of its own, as in Zhao's code.
    """

    orientations: int
    wavelength: float
    factor: float
    weighted: bool
    slack: float
    own_grid: bool


_ZHAO = _Bank(6, 3.0, 2.1, weighted=True, slack=_EPS, own_grid=True)
_FSIM = _Bank(4, 6.0, 2.0, weighted=False, slack=0.0, own_grid=False)


@lru_cache(maxsize=8)
def _filters(bank: _Bank, h: int, w: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """-> (orientations, 4, h, w) frequency responses and (orientations,) noise threshold per root of median energy."""

    def centred(n: int, divisor: int) -> NDArray[np.float64]:
        return (np.arange(n) - n // 2) / max(divisor, 1)

    # For odd sizes the filters' grid is divided by n - 1; Zhao's low pass by n, and it is shifted the other way.
    x, y = centred(w, w - w % 2), centred(h, h - h % 2)
    radius = np.hypot(x[None, :], y[:, None])
    if bank.own_grid:
        low_pass = np.fft.fftshift(_butterworth(np.hypot(centred(w, w)[None, :], centred(h, h)[:, None])))
    else:
        low_pass = np.fft.ifftshift(_butterworth(radius))
    radius[h // 2, w // 2] = 1.0
    theta = np.fft.ifftshift(np.arctan2(-y[:, None] + 0 * x[None, :], x[None, :] + 0 * y[:, None]))
    radius = np.fft.ifftshift(radius)
    radial = []
    for scale in range(4):
        frequency = 1 / (bank.wavelength * bank.factor**scale)
        response = np.exp(-(np.log(radius / frequency) ** 2) / (2 * math.log(0.55) ** 2)) * low_pass
        response[0, 0] = 0.0
        radial.append(response)
    filters, thresholds = [], []
    spread = math.pi / bank.orientations / 1.2
    for o in range(bank.orientations):
        angle = o * math.pi / bank.orientations
        turn = np.abs(np.arctan2(np.sin(theta - angle), np.cos(theta - angle)))
        own = np.stack(radial) * np.exp(-(turn**2) / (2 * spread**2))
        space = np.fft.ifft2(own).real * math.sqrt(h * w)
        cross = space.sum(0) ** 2 - (space**2).sum(0)  # twice the sum over pairs of scales
        power = (2 * (space**2).sum() + 2 * cross.sum()) / (own[0] ** 2).sum() / math.log(2)
        tau = math.sqrt(max(power, 0.0) / 2)
        thresholds.append(tau * (math.sqrt(math.pi / 2) + 2 * math.sqrt(2 - math.pi / 2)) / 1.7)
        filters.append(own)
    return torch.from_numpy(np.stack(filters)).to(device), torch.tensor(thresholds, dtype=torch.float64, device=device)


def _butterworth(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + (radius / 0.45) ** 30))


def _median(x: torch.Tensor) -> torch.Tensor:
    """(N, P) -> (N,) median, the mean of the middle two where P is even."""
    half = x.shape[1] // 2
    high = torch.kthvalue(x, half + 1, dim=1).values
    return high if x.shape[1] % 2 else (high + torch.kthvalue(x, half, dim=1).values) / 2


def _congruency(image: Image, bank: _Bank) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(N, H, W) phase congruency over all orientations, and the largest and smallest moment of its covariance."""

    def compute() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        n, h, w = image.x.shape
        filters, thresholds = _filters(bank, h, w, image.x.device)
        spectrum = torch.fft.fft2(image.x)
        energy_sum = amplitude_sum = xx = yy = xy = torch.zeros_like(image.x)
        for o in range(bank.orientations):
            response = torch.fft.ifft2(spectrum[:, None] * filters[o])
            even, odd = response.real, response.imag
            amplitude = response.abs()
            total = amplitude.sum(1)
            mean_even, mean_odd = even.sum(1), odd.sum(1)
            norm = torch.sqrt(mean_even**2 + mean_odd**2) + _EPS
            mean_even, mean_odd = (mean_even / norm)[:, None], (mean_odd / norm)[:, None]
            along = even * mean_even + odd * mean_odd
            energy = (along - (even * mean_odd - odd * mean_even).abs()).sum(1)
            noise = torch.sqrt(_median((amplitude[:, 0] ** 2).reshape(n, -1))) * thresholds[o]
            energy = (energy - noise[:, None, None]).clamp_min(0.0)
            if bank.weighted:
                width = total / (amplitude.amax(1) + _EPS) / 4
                energy = energy * torch.sigmoid(10 * (width - 0.5))
            energy_sum, amplitude_sum = energy_sum + energy, amplitude_sum + total
            own = energy / torch.where(total == 0, 1.0, total)
            angle = o * math.pi / bank.orientations
            cx, cy = own * math.cos(angle), own * math.sin(angle)
            xx, yy, xy = xx + cx**2, yy + cy**2, xy + cx * cy
        congruency = energy_sum / torch.where(amplitude_sum == 0, 1.0, amplitude_sum + bank.slack)
        xx, yy, xy = xx / (bank.orientations / 2), yy / (bank.orientations / 2), xy / bank.orientations
        spread = torch.sqrt(xy**2 + (xx - yy) ** 2) + _EPS
        return congruency, (xx + yy + spread) / 2, (xx + yy - spread) / 2

    return image.memo(("phase congruency", bank), compute)


def _local_correlation(t: Triple, sources: list[Image], masks: list[torch.Tensor], fused: Image) -> torch.Tensor:
    """(N, H, W): the best of the local correlations of the fused map with each masked source map, 0 outside the masks."""
    taps = _ops.gaussian(11, 1.5)
    best = torch.full((), -torch.inf, dtype=torch.float64, device=fused.x.device)
    spread_f = _ops.window_covariance(t, fused, fused, taps)
    for source, inside in zip(sources, masks, strict=True):
        spread = _ops.window_covariance(t, source, source, taps)
        together = _ops.window_covariance(t, source, fused, taps)
        value = (together + 0.0001) / (torch.sqrt((spread * spread_f).abs()) + 0.0001)
        best = torch.maximum(best, torch.where(inside, value, 0.0))
    return best


def _feature_maps(t: Triple) -> tuple[list[list[Image]], list[torch.Tensor]]:
    """For each of the three features the masked maps of A, B and the stronger of both, padded for windows of 11; and the
    three masks. Remembered by b."""

    def compute() -> tuple[list[list[Image]], list[torch.Tensor]]:
        a, b = _congruency(t.a, _ZHAO), _congruency(t.b, _ZHAO)
        first = a[0] > b[0]
        both = [torch.where(first, x, y) for x, y in zip(a, b, strict=True)]
        masks = [a[0] > 0.1, b[0] > 0.1, both[0] > 0.1]
        features = []
        for maps in zip(a, b, both, strict=True):
            images = []
            for values, inside in zip(maps, masks, strict=True):
                images.append(Image(None, _ops.pad(torch.where(inside, values, 0.0), 5, "zeros")))
            features.append(images)
        return features, masks

    return t.b.memo(("qp", t.a.key), compute)


@METRICS.register(
    MetricFacts(
        name="qp",
        title="Phase congruency metric (Zhao)",
        short="QP",
        family="features",
        direction="higher",
        customary="higher",
        range="0 to 1",
        reference="Zhao, Laganiere, Liu, Performance assessment of combinative pixel-level image fusion based on an "
        "absolute feature measurement, IJICIC 2007; phase congruency after Kovesi, Videre 1999",
        origin="imageFusionMetrics metricZhao.m with myphasecong3.m; MEFB metricsQp.m",
        formula="Phase congruency and its largest and smallest moments: for each, the best local correlation of the "
        "fused map with the map of A, of B, and of the stronger of both; averaged over feature pixels, then "
        "multiplied.",
        convention="Six orientations, four scales from wavelength 3 by 2.1; features where congruency exceeds 0.1; "
        "Gaussian 11 x 11 windows, zeros beyond the border, constants 0.0001.",
        traps=("The threshold makes it jump: a small change of contrast adds or removes feature pixels.",),
        degenerate="NaN where neither source has a feature pixel, as when both are flat.",
        min_size=8,
        version=2,
    )
)
def qp(t: Triple) -> torch.Tensor:
    """(N,) product of three mean correlations."""
    features, masks = _feature_maps(t)
    maps = _congruency(t.f, _ZHAO)
    result = torch.ones((), dtype=torch.float64, device=t.f.x.device)
    for k, sources in enumerate(features):
        fused = t.f.derive(("qp", k), partial(_ops.pad, maps[k], 5, "zeros"))
        result = result * safe_ratio(t.total(_local_correlation(t, sources, masks, fused)), t.total(masks[2].double()))
    return result


def _scharr(image: Image) -> torch.Tensor:
    left, down = _ops.three_by_three(image.x, 10 / 3, "zeros")
    return torch.sqrt(left**2 + down**2) * (3 / 16)


def _reduction(h: int, w: int) -> int:
    return max(1, math.floor(min(h, w) / 256 + 0.5))


def _reduced(image: Image) -> Image:
    """Every n-th mean of n x n pixels, zeros beyond the border, so that the smaller side is about 256, as FSIM asks."""
    h, w = image.x.shape[1:]
    n = _reduction(h, w)
    if n == 1:
        return image
    before = (n - 1) // 2  # the mean of n pixels around one, or around the gap after it
    padding = (before, n, before, n)  # what is beyond the last mean wanted is cut off

    def compute() -> torch.Tensor:
        means = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(image.x, padding), n)
        return means[:, : -(-h // n), : -(-w // n)]

    return image.derive("fsim reduced", compute)


@METRICS.register(
    MetricFacts(
        name="fsim",
        title="Feature similarity, mean over the sources",
        short="FSIM",
        family="features",
        direction="higher",
        customary="higher",
        range="0 to 1",
        reference="Zhang, Zhang, Mou, Zhang, FSIM: a feature similarity index for image quality assessment, TIP 2011",
        doi="10.1109/TIP.2011.2109730",
        origin="FeatureSIM.m of Zhang et al., averaged over the two sources",
        formula="Similarity of phase congruency times similarity of Scharr gradients, weighted by the larger phase "
        "congruency; mean of FSIM(A, F) and FSIM(B, F).",
        convention="Four orientations, four scales from wavelength 6 by 2; constants 0.85 and 160 on 0..255; images "
        "larger than 384 are averaged down to about 256 first.",
        traps=("A copy of one source scores well above 0.5, as every mean over sources does.",),
        degenerate="NaN where a source and the fused image are both flat.",
        min_size=8,
        version=2,
    )
)
def fsim(t: Triple) -> torch.Tensor:
    """(N,) mean of two similarities."""
    f = _reduced(t.f)
    pc_f = _congruency(f, _FSIM)[0]
    g_f = f.memo("scharr", partial(_scharr, f))
    scores = []
    for source in (_reduced(t.a), _reduced(t.b)):
        pc = _congruency(source, _FSIM)[0]
        g = source.memo("scharr", partial(_scharr, source))
        likeness = (2 * pc * pc_f + 0.85) / (pc**2 + pc_f**2 + 0.85)
        likeness = likeness * (2 * g * g_f + 160) / (g**2 + g_f**2 + 160)
        weight = torch.maximum(pc, pc_f)
        if t.mask is not None:
            step = _reduction(*t.mask.shape[1:])
            weight = weight * t.mask[:, ::step, ::step]
        scores.append(safe_ratio((likeness * weight).sum((1, 2)), weight.sum((1, 2))))
    return (scores[0] + scores[1]) / 2
