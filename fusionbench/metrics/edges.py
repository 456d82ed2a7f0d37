"""Sharpness: SF, AG, EI, and the spatial-frequency error QSF and multiscale QM."""

from __future__ import annotations

import math

import torch

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._kernels import edges as kernels
from fusionbench.metrics._ops import safe_ratio, sum_of
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.statistics import EVALUATOR


def central_differences(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, H, W) -> derivatives along columns and rows; one-sided at the border, as numpy.gradient."""
    dx, dy = torch.empty_like(x), torch.empty_like(x)
    dx[:, :, 1:-1] = (x[:, :, 2:] - x[:, :, :-2]) / 2
    dx[:, :, 0], dx[:, :, -1] = x[:, :, 1] - x[:, :, 0], x[:, :, -1] - x[:, :, -2]
    dy[:, 1:-1] = (x[:, 2:] - x[:, :-2]) / 2
    dy[:, 0], dy[:, -1] = x[:, 1] - x[:, 0], x[:, -1] - x[:, -2]
    return dx, dy


def difference_sums(t: Triple) -> torch.Tensor:
    """(N, 3): sums of squared row-wise and column-wise differences and of sqrt((gx^2 + gy^2) / 2); CPU, no mask."""

    def add() -> torch.Tensor:
        out = torch.empty(len(t.f.x), 3, dtype=torch.float64)
        kernels.gradient_sums(t.f.x.numpy(), out.numpy())
        return out

    return t.f.memo("difference sums", add)


def squared_differences(t: Triple) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(sum, count) of squared differences along rows, then along columns, each (N,).

    A difference belongs to the mask with the first of its two pixels.
    """
    n, h, w = t.size
    if t.compiled:
        sums = difference_sums(t)
        counts = sums.new_tensor([h * (w - 1), (h - 1) * w])
        return sums[:, 0], counts[:1].expand(n), sums[:, 1], counts[1:].expand(n)
    rows, columns = shifted_difference(t.f, 0, 1) ** 2, shifted_difference(t.f, 1, 0) ** 2
    return t.total(rows), t.count(rows), t.total(columns), t.count(columns)


def shifted_difference(image: Image, down: int, right: int) -> torch.Tensor:
    """x[i + down, j + right] - x[i, j] wherever both exist; ``right`` may be -1."""
    x = image.x
    h, w = x.shape[1:]
    first = x[:, : h - down, max(-right, 0) : w - max(right, 0)]
    return x[:, down:, max(right, 0) : w + min(right, 0)] - first


SF = MetricFacts(
    name="sf",
    title="Spatial frequency",
    short="SF",
    family="edges",
    direction="describes",
    customary="higher",
    range="0 to 360.6",
    unit="grey levels a pixel",
    reference="Eskicioglu, Fisher, Image quality measures and their performance, IEEE Trans. Communications 1995",
    doi="10.1109/26.477498",
    origin=EVALUATOR + "; Tang's toolbox since 2023",
    formula="Root of the mean squared difference of horizontal neighbours plus that of vertical neighbours.",
    convention="Each mean is over the differences that exist: H (W - 1) and (H - 1) W of them.",
    traps=("VIFB and MEFB divide both by H W (0.2 % lower at 256).", "Noise raises it more than any detail does."),
    degenerate="Always defined; 0 for a flat image.",
    min_size=2,
)


@METRICS.register(SF)
def sf(t: Triple) -> torch.Tensor:
    """(N,) in grey levels a pixel."""
    rows, row_count, columns, column_count = squared_differences(t)
    return torch.sqrt(rows / row_count + columns / column_count)


_AG = MetricFacts(
    name="ag",
    title="Average gradient",
    short="AG",
    family="edges",
    direction="describes",
    customary="higher",
    range="0 to 255",
    unit="grey levels a pixel",
    reference="Cui et al., Detail preserved fusion of visible and infrared images using regional saliency extraction "
    "and multi-scale image decomposition, Optics Communications 2015",
    doi="10.1016/j.optcom.2014.12.032",
    origin=EVALUATOR,
    formula="Mean of sqrt((gx^2 + gy^2) / 2).",
    convention="Central differences, one-sided at the border; mean over all H W pixels.",
    traps=(
        "Tang's toolbox, VIFB and MEFB divide the same sum by (H - 1)(W - 1): 0.8 % more at 256.",
        "Forward differences, or no division by two under the root, give 20 to 90 % more under the same name.",
    ),
    degenerate="Always defined; 0 for a flat image.",
    min_size=2,
)


@METRICS.register(_AG)
def ag(t: Triple) -> torch.Tensor:
    """(N,) in grey levels a pixel."""
    h, w = t.size[1:]
    return difference_sums(t)[:, 2] / (h * w) if t.compiled else t.mean(gradient_strength(t.f))


def gradient_strength(image: Image) -> torch.Tensor:
    """(N, H, W) map of sqrt((gx^2 + gy^2) / 2)."""
    dx, dy = central_differences(image.x)
    return torch.sqrt((dx**2 + dy**2) / 2)


@METRICS.register(
    variant(
        SF,
        name="sf@mn",
        title="Spatial frequency, both means over all pixels",
        short="SF (MN)",
        formula="Root of the summed squared differences of horizontal and of vertical neighbours over the number of "
        "pixels.",
        origin="VIFB and MEFB metricsSpatial_frequency.m",
        convention="Both sums are divided by H W, although there are H (W - 1) and (H - 1) W differences.",
        traps=("VIFB reads an RGB image as one of three times the width and crosses channel borders.",),
    )
)
def sf_mn(t: Triple) -> torch.Tensor:
    """(N,) in grey levels a pixel."""
    rows, _, columns, _ = squared_differences(t)
    return torch.sqrt((rows + columns) / t.count(t.f.levels))


@METRICS.register(
    variant(
        _AG,
        name="ag@inner",
        title="Average gradient over (H - 1)(W - 1)",
        short="AG (inner)",
        formula="Sum of sqrt((gx^2 + gy^2) / 2) over (H - 1)(W - 1).",
        reference="Cui et al., Detail preserved fusion of visible and infrared images, Optics Communications 2015",
        origin="Tang's toolbox, VIFB, MEFB and their ports",
        convention="Central differences at all H W pixels, but divided by (H - 1)(W - 1): 0.8 % more than ag at 256.",
        traps=("The excess depends on image size.",),
    )
)
def ag_inner(t: Triple) -> torch.Tensor:
    """(N,) in grey levels a pixel."""
    h, w = t.size[1:]
    return ag(t) * (h * w / ((h - 1) * (w - 1)))


@METRICS.register(
    MetricFacts(
        name="ei",
        title="Edge intensity",
        short="EI",
        family="edges",
        direction="describes",
        customary="higher",
        range="0 to 1443",
        unit="grey levels",
        reference="Rajalingam, Priya, Hybrid multimodality medical image fusion technique, Int. J. Eng. Science "
        "Invention 2018",
        origin="VIFB and MEFB metricsEdge_intensity.m",
        formula="Mean Sobel gradient strength.",
        convention="Sobel weights 1 2 1, not divided by 8; borders replicate.",
        traps=(
            "With a zero border (IVIF_ZOO) an outdoor image gains 25 %; a dark medical background hides the "
            "difference.",
        ),
        degenerate="Always defined; 0 for a flat image.",
    )
)
def ei(t: Triple) -> torch.Tensor:
    """(N,) in grey levels."""
    gx, gy = _ops.three_by_three(t.f.x, 2.0, "replicate")
    return t.mean(torch.sqrt(gx**2 + gy**2))


_DIRECTIONS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, math.sqrt(0.5)), (1, -1, math.sqrt(0.5)))


_QSF = MetricFacts(
    name="qsf",
    title="Spatial-frequency error ratio (Zheng)",
    short="QSF",
    family="edges",
    direction="describes",
    customary="higher",
    range="-1 upwards; 0 is ideal",
    reference="Zheng, Essock, Hansen, Haun, A new metric based on extended spatial frequency, Information Fusion 2007",
    doi="10.1016/j.inffus.2005.04.003",
    origin="imageFusionMetrics metricZheng.m",
    formula="(SF_F - SF_R) / SF_R, SF over four directions, SF_R from the larger of the two sources' differences at "
    "each pixel.",
    convention="Diagonal terms weigh 1 / sqrt(2); the weight stands under the root once.",
    traps=(
        "Signed: below 0 detail is lost, above 0 noise or distortion is added. Toolboxes rank it as if more were "
        "better; qsf@strict takes the distance from 0.",
    ),
    degenerate="NaN where both sources are flat.",
    min_size=2,
)


@METRICS.register(_QSF)
def qsf(t: Triple) -> torch.Tensor:
    """(N,) relative error."""

    def reference() -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64, device=t.f.x.device)
        for down, right, weight in _DIRECTIONS:
            a, b = (shifted_difference(source, down, right) ** 2 for source in (t.a, t.b))
            total = total + weight * t.total(torch.maximum(a, b))
        return torch.sqrt(total)

    fused = torch.zeros((), dtype=torch.float64, device=t.f.x.device)
    for down, right, weight in _DIRECTIONS:
        fused = fused + weight * t.total(shifted_difference(t.f, down, right) ** 2)
    ideal = t.b.memo(("qsf", t.a.key), reference)
    return (torch.sqrt(fused) - ideal) / torch.where(ideal == 0, torch.nan, ideal)


@METRICS.register(
    variant(
        _QSF,
        name="qsf@strict",
        title="Spatial-frequency error ratio, distance from the ideal",
        short="|QSF|",
        direction="lower",
        customary="lower",
        range="0 upwards",
        formula="|SF_F - SF_R| / SF_R: the absolute value of qsf.",
        origin="",
        convention="As qsf; lost and added activity count alike.",
        traps=("Blur and noise together cancel: it compares total activity, not places.",),
    )
)
def qsf_strict(t: Triple) -> torch.Tensor:
    """(N,) absolute relative error."""
    return qsf(t).abs()


def _haar(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """One level of the orthonormal Haar transform: low pass and the three detail bands; an odd last row is left out."""
    h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    p, q, r, s = x[:, :h:2, :w:2], x[:, :h:2, 1:w:2], x[:, 1:h:2, :w:2], x[:, 1:h:2, 1:w:2]
    return (p + q + r + s) / 2, (p - q + r - s) / 2, (p + q - r - s) / 2, (p - q - r + s) / 2


def _bands(image: Image) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    def split() -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        low, *fine = _haar(image.x)
        coarse = _haar(low)[1:]
        return [(fine[0], fine[1], fine[2]), coarse]

    return image.memo("haar", split)


@METRICS.register(
    MetricFacts(
        name="qm",
        title="Multiscale edge preservation (Wang and Liu)",
        short="QM",
        family="edges",
        direction="higher",
        customary="higher",
        range="0 to 3",
        reference="Wang, Liu, A novel image fusion metric based on multi-scale analysis, ICSP 2008",
        doi="10.1109/ICOSP.2008.4697288",
        origin="imageFusionMetrics metricPWW.m with matlabPyrTools",
        formula="Haar transform of two levels; in each, exp(-|difference|) of the three detail bands of F and each "
        "source, summed and weighted by the source's band energy; Q_1^(2/3) Q_2^(1/3), fine level first.",
        convention="Orthonormal Haar on levels 0..255, the three bands added, not averaged: maximum 3. An odd last "
        "row is dropped.",
        traps=("exp(-|d|) on grey levels forgives nothing: a difference of 5 levels counts as lost.",),
        degenerate="NaN where a level has no detail in either source.",
        min_size=4,
    )
)
def qm(t: Triple) -> torch.Tensor:
    """(N,) weighted product of two levels."""
    result = torch.ones((), dtype=torch.float64, device=t.f.x.device)
    for level, exponent in enumerate((2 / 3, 1 / 3)):
        step = 2 ** (level + 1)
        kept = weight = torch.zeros((), dtype=torch.float64, device=t.f.x.device)
        for source in (t.a, t.b):
            bands = list(zip(_bands(source)[level], _bands(t.f)[level], strict=True))
            energy = sum_of(s**2 for s, _ in bands)
            inside = t.mask if t.mask is None else t.mask[:, ::step, ::step][:, : energy.shape[1], : energy.shape[2]]
            energy = energy if inside is None else energy * inside
            kept = kept + (energy * sum_of(torch.exp(-(s - f).abs()) for s, f in bands)).sum((1, 2))
            weight = weight + energy.sum((1, 2))
        result = result * safe_ratio(kept, weight) ** exponent
    return result
