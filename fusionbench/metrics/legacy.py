"""Conventions still met in papers that no present tool would choose: 8-bit arithmetic that wraps or saturates, and formulas
made for 0..255 given images in [0, 1]."""

from __future__ import annotations

import functools
import math

import torch

from fusionbench.metrics import METRICS, _ops, variant
from fusionbench.metrics._ops import safe_ratio, unit
from fusionbench.metrics._sums import pixels, total
from fusionbench.metrics._triple import Image, Pairs, Triple
from fusionbench.metrics.edges import SF, sf
from fusionbench.metrics.gradients import NABF, QABF, characterise, qabf, sobel_polar
from fusionbench.metrics.information import MI, en
from fusionbench.metrics.statistics import SD

_TANG2022 = "Evaluation-for-Image-Fusion (Tang) up to May 2022"


@METRICS.register(
    variant(
        SD,
        name="sd@uint8",
        title="Standard deviation in saturating 8-bit arithmetic",
        short="SD (uint8)",
        range="0 to 15.97",
        formula="The root of the mean of (F - mean)^2, where the difference is rounded and cut at 0 and its "
        "square cut at 255.",
        origin=_TANG2022 + ": SD_evaluation(uint8)",
        convention="MATLAB's uint8: differences below 0 are 0, squares above 255 are 255.",
        traps=(
            "It is the source of published values of 9 to 10: whatever the image, it is about 8 to 12 (TC-MoA "
            "prints 9.805 for "
            "an image whose deviation is otherwise 10.6).",
            "It counts the pixels that are brighter than the mean, little else: Kendall's tau with sd is 0.14 to 0.18.",
        ),
    )
)
def sd_uint8(t: Triple) -> torch.Tensor:
    """(N,) in the tool's units."""
    mean = total(t, t.f) / pixels(t)
    counts = _ops.histogram(t, t.f).double()
    levels = torch.arange(256, dtype=torch.float64, device=counts.device)
    above = torch.floor((levels[None] - mean[:, None]).clamp(min=0) + 0.5)  # halves away from zero, as MATLAB rounds
    return torch.sqrt((counts * (above**2).clamp(max=255)).sum(1) / pixels(t))


@METRICS.register(
    variant(
        SF,
        name="sf@unit",
        title="Spatial frequency of images in [0, 1]",
        short="SF [0, 1]",
        range="0 to 1.41",
        unit="",
        formula="As sf, over 255.",
        origin=_TANG2022 + "; the toolboxes of the DenseFuse family",
        convention="The image is divided by 255 first.",
        traps=("Values of 0.03 to 0.1 in a table are this one; it ranks as sf does.",),
    )
)
def sf_unit(t: Triple) -> torch.Tensor:
    """(N,) as sf, 255 times smaller."""
    return sf(t) / 255


@METRICS.register(
    variant(
        SF,
        name="sf@uint8",
        title="Spatial frequency in 8-bit arithmetic that wraps around",
        short="SF (uint8)",
        range="0 to 22.6",
        formula="As sf, with differences and their squares taken modulo 256.",
        origin="NumPy and GPU ports that take differences of uint8 arrays and square them without converting",
        convention="NumPy's uint8: 3 - 5 is 254, and its square is 254 * 254 modulo 256 = 4.",
        traps=(
            "Squares above 255 lose all but their last eight bits: a strong edge can count for nothing, and "
            "noise for much.",
            "Nothing fails and the values look plausible, which is why it is still met; convert to float first.",
        ),
    )
)
def sf_uint8(t: Triple) -> torch.Tensor:
    """(N,) in the tool's units."""
    x = t.f.levels.long()
    squares = [((x[:, :, 1:] - x[:, :, :-1]) % 256) ** 2 % 256, ((x[:, 1:] - x[:, :-1]) % 256) ** 2 % 256]
    rows, columns = (_first_pixels(t, square.double(), axis) for square, axis in zip(squares, (2, 1), strict=True))
    return torch.sqrt(rows + columns)


def _first_pixels(t: Triple, squares: torch.Tensor, axis: int) -> torch.Tensor:
    """(N,) mean of squared differences along an axis; each belongs to the mask with the first of its pixels."""
    if t.mask is None:
        return squares.mean((1, 2))
    inside = t.mask.narrow(axis, 0, t.mask.shape[axis] - 1)
    return torch.where(inside, squares, 0.0).sum((1, 2)) / inside.sum((1, 2))


@METRICS.register(
    variant(
        MI,
        name="mi@rows",
        title="Mutual information as the DenseFuse family computes it: twice the entropy",
        short="MI (rows)",
        direction="describes",
        range="0 to 16",
        unit="bits",
        formula="2 EN(F).",
        origin="analysis_MI.m of DenseFuse, NestFuse, RFN-Nest and their like",
        convention="The code takes image rows for samples, both joint terms cancel, and the entropy of the fused "
        "image is left.",
        traps=(
            "It says nothing of the sources: noise scores best, and any image fused from anything scores its entropy.",
            "Values of 10 to 14 in a table, twice the EN beside them, are this one.",
        ),
        degenerate="Always defined; 0 for a flat image.",
    )
)
def mi_rows(t: Triple) -> torch.Tensor:
    """(N,) in bits."""
    return 2 * en(t)


@METRICS.register(
    variant(
        QABF,
        name="qabf@unit",
        title="Edge preservation Q^AB/F of images in [0, 1]",
        short="Qabf [0, 1]",
        formula="As qabf.",
        origin="the toolboxes of the DenseFuse family; " + _TANG2022,
        convention="As qabf, the images divided by 255 first. Where two strengths are equal the code takes the "
        "strength itself "
        "for the ratio, which is then far below 1.",
        traps=(
            "A perfect copy falls from 0.975 to about 0.6 to 0.7: equal edges count as nearly lost, so that "
            "changing them a "
            "little scores better than keeping them.",
        ),
    )
)
def qabf_unit(t: Triple) -> torch.Tensor:
    """(N,) weighted edge preservation."""
    kept = weight = torch.zeros((), dtype=torch.float64, device=t.f.x.device)
    g_f, a_f = sobel_polar(t, unit(t.f))
    for source in (t.a, t.b):
        g, a = sobel_polar(t, unit(source))
        strength = torch.where(g == g_f, g_f, torch.minimum(g, g_f) / torch.maximum(g, g_f))
        turn = 1 - (a - a_f).abs() / (math.pi / 2)
        quality = 0.9994 / (1 + torch.exp(-15 * (strength - 0.5))) * 0.9879 / (1 + torch.exp(-22 * (turn - 0.8)))
        kept, weight = kept + t.total(quality * g), weight + t.total(g)
    return safe_ratio(kept, weight)


@METRICS.register(
    variant(
        NABF,
        name="nabf@unit",
        title="Fusion artefacts N^AB/F (Kumar) of images in [0, 1]",
        short="Nabf [0, 1]",
        formula="As nabf.",
        origin="the toolboxes of the DenseFuse family; " + _TANG2022,
        convention="As nabf, the images divided by 255 first: the threshold of 2 levels is never reached, and "
        "every pixel has "
        "the weight 0.001 that flat ones have.",
        traps=("Edges and background count alike, so that it measures the noise of the background.",),
    )
)
def nabf_unit(t: Triple) -> torch.Tensor:
    """(N,) share of artefacts."""
    return characterise(t, unit(t.a), unit(t.b), unit(t.f), "artefacts")


@METRICS.register(
    variant(
        QABF,
        name="qabf@rgb",
        title="Edge preservation Q^AB/F channel by channel",
        short="Qabf (RGB)",
        formula="qabf of each of the red, green and blue channels, averaged.",
        origin="VIFB's metricsQabf.m on coloured images",
        convention="As qabf; the structural image is the same in all channels.",
        traps=(
            "Saturated colours leave a channel black over most of the tracer, and the edges of its rim count for much.",
            "Elsewhere coloured images are turned grey first, another number under the same name.",
        ),
        symmetric=False,
        needs=frozenset({"color", "rgb"}),
    )
)
def qabf_rgb(t: Triple) -> torch.Tensor:
    """(N,) mean of three."""
    if t.color is None or t.fused_rgb is None:
        raise ValueError("colour metrics need the coloured source and the coloured fused image")
    found = []
    for channel in range(3):
        color = t.color[..., channel].contiguous()
        other = t.b.memo(("channel", channel), functools.partial(Image, color))
        pairs = Pairs(a=t.a, b=other, mask=t.mask, color=None, truth=None, compiled=t.windows)
        found.append(qabf(Triple(pairs, Image(t.fused_rgb[..., channel].contiguous()))))
    return (found[0] + found[1] + found[2]) / 3
