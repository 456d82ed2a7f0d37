"""Fidelity to a coloured functional source (PET, SPECT): CIEDE2000, chroma correlation, tracer correlation and error.

All four look at the tracer region alone: where the functional source's luminance exceeds 10 % of its 99th percentile (at
least level 8), inside the mask if there is one. Elsewhere the fused image should show the anatomy and owes the tracer
nothing.
"""

from __future__ import annotations

import math

import torch

from fusionbench.metrics import METRICS, MetricFacts
from fusionbench.metrics._ops import safe_ratio
from fusionbench.metrics._triple import Triple

_REGION = "Over the tracer region: functional luminance above 10 % of its 99th percentile, at least level 8."
_NO_TRACER = "NaN where no pixel of the functional source carries tracer"


def tracer_region(t: Triple) -> torch.Tensor:
    """(N, H, W) bool, remembered."""

    def find() -> torch.Tensor:
        level = torch.quantile(t.b.x.flatten(1), 0.99, dim=1) * 0.1
        region = t.b.x > level.clamp_min(7.0)[:, None, None]
        return region if t.mask is None else region & t.mask

    return t.b.memo("tracer region", find)


def _mean(values: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Mean over a region of the last two axes; NaN where it is empty."""
    return safe_ratio(torch.where(region, values, 0.0).sum((-2, -1)), region.sum((-2, -1)).double())


def cielab(rgb: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) uint8 sRGB -> (3, N, H, W) float64 CIELAB, D65 white, 2 degree observer."""
    c = rgb.double() / 255
    linear = torch.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    primaries = (
        (0.412453, 0.357580, 0.180423),
        (0.212671, 0.715160, 0.072169),
        (0.019334, 0.119193, 0.950227),
    )
    xyz = linear @ torch.tensor(primaries, dtype=torch.float64, device=rgb.device).T
    ratio = xyz / torch.tensor((0.95047, 1.0, 1.08883), dtype=torch.float64, device=rgb.device)
    f = torch.where(ratio > 0.008856, ratio.clamp_min(1e-12) ** (1 / 3), 7.787 * ratio + 16 / 116)
    x, y, z = f.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """CIEDE2000 difference of two CIELAB maps (3, ...), kL = kC = kH = 1 (Sharma, Wu, Dalal 2005)."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    g = 0.5 * (1 - torch.sqrt(chroma**7 / (chroma**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)
    grey = c1 * c2 == 0
    turn = h2 - h1
    turn = torch.where(turn > math.pi, turn - 2 * math.pi, torch.where(turn < -math.pi, turn + 2 * math.pi, turn))
    turn = torch.where(grey, 0.0, turn)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * torch.sqrt(c1 * c2) * torch.sin(turn / 2)
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    total = h1 + h2
    wide = (h1 - h2).abs() > math.pi
    mean = torch.where(wide, torch.where(total < 2 * math.pi, total + 2 * math.pi, total - 2 * math.pi), total) / 2
    h = torch.where(grey, total, mean)
    t = (
        1
        - 0.17 * torch.cos(h - math.radians(30))
        + 0.24 * torch.cos(2 * h)
        + 0.32 * torch.cos(3 * h + math.radians(6))
        - 0.20 * torch.cos(4 * h - math.radians(63))
    )
    sl = 1 + 0.015 * (light - 50) ** 2 / torch.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rotation = math.radians(60) * torch.exp(-(((torch.rad2deg(h) - 275) / 25) ** 2))
    rt = -2 * torch.sqrt(c**7 / (c**7 + 25.0**7)) * torch.sin(rotation)
    squared = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh)
    return torch.sqrt(squared.clamp_min(0.0))


def _colors(t: Triple) -> tuple[torch.Tensor, torch.Tensor]:
    """CIELAB of the coloured source (remembered) and of the coloured fused image."""
    if t.color is None or t.fused_rgb is None:
        raise ValueError("colour metrics need the coloured source and the coloured fused image")
    color, fused = t.color, t.fused_rgb
    return t.b.memo("cielab", lambda: cielab(color)), t.f.memo("cielab", lambda: cielab(fused))


@METRICS.register(
    MetricFacts(
        name="ciede2000",
        title="Colour difference from the functional source",
        short="CIEDE2000",
        family="medical",
        direction="lower",
        customary="lower",
        range="0 to about 100",
        unit="CIEDE2000",
        reference="Sharma, Wu, Dalal, The CIEDE2000 color-difference formula, Color Research and Application 2005",
        doi="10.1002/col.20070",
        formula="Mean CIEDE2000 difference of the coloured fused image from the coloured functional source.",
        convention=_REGION + " sRGB, D65, all parametric factors 1.",
        traps=(
            "Lightness counts: anatomy shown through the tracer costs something by design. A copy of the source "
            "scores 0.",
        ),
        degenerate=_NO_TRACER + ".",
        symmetric=False,
        needs=frozenset({"color", "rgb"}),
    )
)
def ciede(t: Triple) -> torch.Tensor:
    """(N,) mean difference."""
    source, fused = _colors(t)
    return _mean(ciede2000(source, fused), tracer_region(t))


@METRICS.register(
    MetricFacts(
        name="chroma-correlation",
        title="Correlation of chroma with the functional source",
        short="Chroma r",
        family="medical",
        direction="higher",
        customary="higher",
        range="-1 to 1",
        reference="Defined here; CIELAB after CIE 15:2004",
        formula="Correlation of the (a*, b*) vectors of the coloured fused image with those of the functional source: "
        "the sum of both covariances over the root of the product of the summed variances.",
        convention=_REGION,
        traps=("A washed-out image keeps its correlation: read it with ciede2000.",),
        degenerate=_NO_TRACER + ", or where either image's chroma is the same everywhere (a grey fused image).",
        symmetric=False,
        needs=frozenset({"color", "rgb"}),
    )
)
def chroma_correlation(t: Triple) -> torch.Tensor:
    """(N,) vector correlation."""
    region = tracer_region(t)
    centred = []
    for lab in _colors(t):
        chroma = lab[1:]
        centred.append(torch.where(region, chroma - _mean(chroma, region)[..., None, None], 0.0))
    x, y = centred
    spread = (x**2).sum((0, 2, 3)) * (y**2).sum((0, 2, 3))
    # A grey image's chroma is rounding noise of the colour transform, at most 1e-5.
    return safe_ratio((x * y).sum((0, 2, 3)), torch.where(spread < 1e-6, 0.0, torch.sqrt(spread)))


def _ranks(levels: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """(N, H, W) mean rank of each pixel's level among the region's pixels; equal levels share a rank."""
    n = len(levels)
    index = torch.arange(n, device=levels.device)[:, None, None] * 256 + levels
    counts = torch.bincount(index[region], minlength=n * 256).reshape(n, 256).double()
    rank = counts.cumsum(1) - counts / 2
    return rank.reshape(-1)[index.flatten()].reshape(levels.shape)


@METRICS.register(
    MetricFacts(
        name="tracer-correlation",
        title="Rank correlation of fused luminance with the tracer",
        short="Tracer rho",
        family="medical",
        direction="higher",
        customary="higher",
        range="-1 to 1",
        reference="Spearman, The proof and measurement of association between two things, Am. J. Psychology 1904",
        doi="10.2307/1412159",
        formula="Spearman's rank correlation of the fused image's luminance with the functional source's.",
        convention=_REGION + " Equal levels share their mean rank.",
        traps=("A copy of the functional source scores 1: read it with measures of the structural source.",),
        degenerate=_NO_TRACER + ", or where either image is flat there.",
        symmetric=False,
        needs=frozenset({"color"}),
    )
)
def tracer_correlation(t: Triple) -> torch.Tensor:
    """(N,) Spearman's rho."""
    region = tracer_region(t)
    centred = []
    for image in (t.b, t.f):
        rank = _ranks(image.levels, region)
        centred.append(torch.where(region, rank - _mean(rank, region)[:, None, None], 0.0))
    x, y = centred
    return safe_ratio((x * y).sum((1, 2)), torch.sqrt((x**2).sum((1, 2)) * (y**2).sum((1, 2))))


@METRICS.register(
    MetricFacts(
        name="tracer-error",
        title="Relative error of fused luminance against the tracer",
        short="Tracer error",
        family="medical",
        direction="lower",
        customary="lower",
        range="0 upwards",
        reference="Defined here",
        formula="Mean absolute difference of fused and functional luminance over the mean functional luminance.",
        convention=_REGION,
        traps=("Anatomy shown through the tracer costs something by design; averaging the sources costs more.",),
        degenerate=_NO_TRACER + ".",
        symmetric=False,
        needs=frozenset({"color"}),
    )
)
def tracer_error(t: Triple) -> torch.Tensor:
    """(N,) relative error."""
    region = tracer_region(t)
    return safe_ratio(_mean((t.f.x - t.b.x).abs(), region), _mean(t.b.x, region))
