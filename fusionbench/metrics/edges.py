"""Sharpness and edges: SF, AG, Qabf."""

from __future__ import annotations

import math

import torch

from fusionbench.metrics import METRICS, MetricFacts, _kernels, _ops
from fusionbench.metrics._ops import flat
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
    """(N, 3): sums of squared row-wise and column-wise differences and of sqrt((gx^2 + gy^2) / 2); no mask."""

    def add() -> torch.Tensor:
        out = torch.empty(len(t.f.x), 3, dtype=torch.float64)
        _kernels.gradient_sums(t.f.x.numpy(), out.numpy())
        return out

    return t.f.memo("difference sums", add)


def squared_differences(t: Triple) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(sum, count) of squared row-wise differences, then of column-wise ones, each (N,).

    Inside a mask a difference counts where both of its pixels lie inside.
    """
    n, h, w = t.size
    if t.compiled:
        sums = difference_sums(t)
        counts = sums.new_tensor([h * (w - 1), (h - 1) * w])
        return sums[:, 0], counts[:1].expand(n), sums[:, 1], counts[1:].expand(n)
    x = t.f.x
    rows, columns = (x[:, :, 1:] - x[:, :, :-1]) ** 2, (x[:, 1:] - x[:, :-1]) ** 2
    if t.mask is None:
        inside = torch.ones_like(rows), torch.ones_like(columns)
    else:
        m = t.mask
        inside = (m[:, :, 1:] & m[:, :, :-1]).double(), (m[:, 1:] & m[:, :-1]).double()
    return (
        (rows * inside[0]).sum((1, 2)),
        inside[0].sum((1, 2)),
        (columns * inside[1]).sum((1, 2)),
        inside[1].sum((1, 2)),
    )


@METRICS.register(
    MetricFacts(
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
)
def sf(t: Triple) -> torch.Tensor:
    """(N,) in grey levels a pixel."""
    rows, row_count, columns, column_count = squared_differences(t)
    return torch.sqrt(rows / row_count + columns / column_count)


@METRICS.register(
    MetricFacts(
        name="ag",
        title="Average gradient",
        short="AG",
        family="edges",
        direction="describes",
        customary="higher",
        range="0 to 255",
        unit="grey levels a pixel",
        reference="Cui et al., Detail preserved fusion of visible and infrared images using regional saliency extraction and "
        "multi-scale image decomposition, Optics Communications 2015",
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
)
def ag(t: Triple) -> torch.Tensor:
    """(N,) in grey levels a pixel."""
    n, h, w = t.size
    return difference_sums(t)[:, 2] / (h * w) if t.compiled else t.mean(gradient_strength(t.f))


def gradient_strength(image: Image) -> torch.Tensor:
    """(N, H, W) map of sqrt((gx^2 + gy^2) / 2)."""
    dx, dy = central_differences(image.x)
    return torch.sqrt((dx**2 + dy**2) / 2)


def sobel_polar(t: Triple, image: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """Sobel strength and angle arctan(gy / gx) (pi / 2 where gx = 0), each (N, H, W), remembered."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        gx, gy = _ops.sobel(image.x, compiled=t.compiled)
        if t.compiled:
            _kernels.polar(gx.reshape(-1).numpy(), gy.reshape(-1).numpy())
            return gx, gy
        return torch.sqrt(gx**2 + gy**2), torch.where(gx == 0, math.pi / 2, torch.atan(gy / gx))

    return image.memo("sobel polar", compute)


@METRICS.register(
    MetricFacts(
        name="qabf",
        title="Edge preservation Q^AB/F",
        short="Qabf",
        family="edges",
        direction="higher",
        customary="higher",
        range="0 to 0.975",
        reference="Xydeas, Petrovic, Objective image fusion performance measure, Electronics Letters 2000",
        doi="10.1049/el:20000267",
        origin=EVALUATOR + "; Tang's toolbox, VIFB and MEFB agree to four digits on 0..255",
        formula="How much of the strength and orientation of each source's Sobel edges the fused image keeps (two sigmoids, "
        "multiplied), averaged with the source's edge strength as weight.",
        convention="Constants 0.9994, -15, 0.5 (strength) and 0.9879, -22, 0.8 (orientation), L = 1, zeros beyond the border.",
        traps=(
            "Angle differences are not wrapped at pi, so nearly vertical edges of opposite slope count as lost (1 to 5 % low); "
            "qabf@strict wraps them.",
            "Where both strengths are equal the code takes the strength itself, not 1: invisible on 0..255, but on [0, 1] "
            "images the value of a perfect copy falls from 0.975 to 0.6.",
            "The ceiling is 0.9748 to 0.9753, never 1. The zero border makes edges of its own.",
            "Six toolboxes call qg (other constants, mean of ratios) by the same name.",
        ),
        degenerate="NaN where both sources are black (no edge at all, not even at the border).",
    )
)
def qabf(t: Triple) -> torch.Tensor:
    """(N,) weighted edge preservation."""
    kept, weight = [], []
    for source in (t.a, t.b):
        strength, turn = sobel_polar(t, source)
        kept.append(_edge_sum(t, strength, turn))
        weight.append(source.memo("edge weight", lambda g=strength: _total(t, g)))
    return (kept[0] + kept[1]) / (weight[0] + weight[1])


def _total(t: Triple, values: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(flat(values).sum(1)) if t.compiled else t.total(values)


def _edge_sum(t: Triple, g1: torch.Tensor, a1: torch.Tensor) -> torch.Tensor:
    g2, a2 = sobel_polar(t, t.f)
    if t.compiled:
        out = torch.empty(len(g1), dtype=torch.float64)
        _kernels.edge_sum(flat(g1), flat(a1), flat(g2), flat(a2), out.numpy())
        return out
    strength = torch.where(g1 == g2, g2, torch.minimum(g1, g2) / torch.maximum(g1, g2))
    turn = 1 - (a1 - a2).abs() / (math.pi / 2)
    quality = 0.9994 / (1 + torch.exp(-15 * (strength - 0.5))) * 0.9879 / (1 + torch.exp(-22 * (turn - 0.8)))
    return t.total(quality * g1)
