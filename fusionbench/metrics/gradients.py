"""Preservation of gradient strength and orientation: Qabf, QG, and the loss and artefact measures of Petrovic and Kumar."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._kernels import edges as kernels
from fusionbench.metrics._ops import safe_ratio
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.statistics import EVALUATOR

_XYDEAS = "Xydeas, Petrovic, Objective image fusion performance measure, Electronics Letters 2000"
_XYDEAS_DOI = "10.1049/el:20000267"


def sobel_polar(t: Triple, image: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """Sobel strength and angle arctan(gy / gx) (pi / 2 where gx = 0), each (N, H, W), remembered."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        gx, gy = _ops.three_by_three(image.x, 2.0, "zeros")
        return torch.sqrt(gx**2 + gy**2), torch.where(gx == 0, math.pi / 2, torch.atan(gy / gx))

    return image.memo("sobel polar", compute)


def compiled_polar(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The same by the CPU kernel, and the spans of columns where a row has edges, (N, H, 2), remembered."""

    return image.memo("compiled polar", lambda: _polar(image.levels.numpy()))


def _polar(levels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    strength, turn = np.empty(levels.shape), np.empty(levels.shape)
    spans = np.empty((*levels.shape[:2], 2), dtype=np.int64)
    kernels.sobel_polar(levels, strength, turn, spans)
    return strength, turn, spans


QABF = MetricFacts(
    name="qabf",
    title="Edge preservation Q^AB/F",
    short="Qabf",
    family="edges",
    direction="higher",
    customary="higher",
    range="0 to 0.975",
    reference=_XYDEAS,
    doi=_XYDEAS_DOI,
    origin=EVALUATOR + "; Tang's toolbox, VIFB and MEFB agree to four digits on 0..255",
    formula="How much of the strength and orientation of each source's Sobel edges the fused image keeps (two "
    "sigmoids, multiplied), averaged with the source's edge strength as weight.",
    convention="Constants 0.9994, -15, 0.5 (strength) and 0.9879, -22, 0.8 (orientation), L = 1, zeros beyond the "
    "border.",
    traps=(
        "Angle differences are not wrapped at pi, so nearly vertical edges of opposite slope count as lost (1 to 5 % "
        "low); qabf@strict wraps them.",
        "Where both strengths are equal the code takes the strength itself, not 1: invisible on 0..255, but on [0, 1] "
        "images the value of a perfect copy falls from 0.975 to 0.6.",
        "The ceiling is 0.9748 to 0.9753, never 1. The zero border makes edges of its own.",
        "Six toolboxes call qg (other constants, mean of ratios) by the same name.",
    ),
    degenerate="NaN where both sources are black (no edge at all, not even at the border).",
)


@METRICS.register(QABF)
def qabf(t: Triple) -> torch.Tensor:
    """(N,) weighted edge preservation."""
    if _ops.large(t, *t.size[1:]):
        return _qabf_in_strips(t)
    (kept_a, weight_a), (kept_b, weight_b) = _edge_sums(t, t.a), _edge_sums(t, t.b)
    return safe_ratio(kept_a + kept_b, weight_a + weight_b)


def _qabf_in_strips(t: Triple) -> torch.Tensor:
    """The same for large images, no map of which is kept."""
    h, w = t.size[1:]
    sums, out = np.zeros((2, 2, t.size[0]))
    for part in _ops.strips(h, w):
        above, below = min(part.start, 1), min(h - part.stop, 1)  # a row more where the image goes on
        rows = slice(part.start - above, part.stop + below)
        inner = slice(above, above + part.stop - part.start)
        (g_f, a_f, _), *sources = (
            [m[:, inner] for m in _polar(image.levels[:, rows].numpy())] for image in (t.f, t.a, t.b)
        )
        for g, a, spans in sources:
            kernels.edge_sum(g, a, spans, g_f, a_f, out)
            sums += out
    return safe_ratio(torch.from_numpy(sums[0]), torch.from_numpy(sums[1]))


def _edge_sums(t: Triple, source: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) sums of the source's edge strength: what the fused image keeps of it, and all of it."""
    if t.compiled:
        g_f, a_f, _ = compiled_polar(t.f)
        out = np.empty((2, t.size[0]))
        kernels.edge_sum(*compiled_polar(source), g_f, a_f, out)
        return torch.from_numpy(out[0]), torch.from_numpy(out[1])
    (g1, a1), (g2, a2) = sobel_polar(t, source), sobel_polar(t, t.f)
    strength = torch.where(g1 == g2, g2, torch.minimum(g1, g2) / torch.maximum(g1, g2))
    turn = 1 - (a1 - a2).abs() / (math.pi / 2)
    quality = 0.9994 / (1 + torch.exp(-15 * (strength - 0.5))) * 0.9879 / (1 + torch.exp(-22 * (turn - 0.8)))
    return t.total(quality * g1), t.total(g1)


@METRICS.register(
    variant(
        QABF,
        name="qabf@strict",
        title="Edge preservation Q^AB/F with wrapped angles",
        short="Qabf (strict)",
        formula="As qabf.",
        degenerate="NaN where both sources are flat.",
        origin="",
        convention="The constants of qabf, but orientations differ by at most pi / 2 (they have no sign), equal "
        "strengths count as fully kept, and borders replicate, so that a flat image has no edge.",
        traps=("The ceiling is 0.975, set by the published constants.",),
    )
)
def qabf_strict(t: Triple) -> torch.Tensor:
    """(N,) weighted edge preservation."""
    g_f, a_f = _replicated_polar(t, t.f)
    kept = weight = torch.zeros((), dtype=torch.float64, device=g_f.device)
    for source in (t.a, t.b):
        g, a = _replicated_polar(t, source)
        high = torch.maximum(g, g_f)
        strength = torch.minimum(g, g_f) / torch.where(high == 0, 1.0, high)
        turn = (a - a_f).abs()
        alignment = 1 - torch.minimum(turn, math.pi - turn) / (math.pi / 2)
        quality = 0.9994 * torch.sigmoid(15 * (strength - 0.5)) * 0.9879 * torch.sigmoid(22 * (alignment - 0.8))
        kept = kept + t.total(quality * g)
        weight = weight + t.total(g)
    return safe_ratio(kept, weight)


def _replicated_polar(t: Triple, image: Image) -> tuple[torch.Tensor, torch.Tensor]:
    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        gx, gy = _ops.three_by_three(image.x, 2.0, "replicate")
        return torch.sqrt(gx**2 + gy**2), torch.where(gx == 0, math.pi / 2, torch.atan(gy / gx))

    return image.memo("replicated polar", compute)


@METRICS.register(
    MetricFacts(
        name="qg",
        title="Gradient preservation Q_G (Liu's form of Xydeas and Petrovic)",
        short="QG",
        family="edges",
        direction="higher",
        customary="higher",
        range="0 to 1",
        reference=_XYDEAS,
        doi=_XYDEAS_DOI,
        origin="imageFusionMetrics metricXydeas.m",
        formula="As qabf, but the weighted mean of the two sources is taken at each pixel, then averaged over pixels.",
        convention="Sigmoids 1 / (1 + exp(-10 (g - 0.5))) and 1 / (1 + exp(-20 (a - 0.75))), angles wrapped, zeros "
        "beyond the border, 0.00001 in place of zero gradients, unweighted mean over pixels.",
        traps=(
            "Every flat pixel counts as fully kept: with the background of a slice it is 0.2 to 0.4 above qabf.",
            "Toolboxes and papers use the names Qabf and QG for either.",
        ),
        degenerate="Always defined; flat pixels count as kept.",
        symmetric=False,
    )
)
def qg(t: Triple) -> torch.Tensor:
    """(N,) mean over pixels."""
    tiny = 0.00001
    g_f, a_f = _tiny_polar(t, t.f, tiny)
    floor_f = torch.where(g_f == 0, tiny, g_f)
    kept = weight = torch.zeros((), dtype=torch.float64, device=g_f.device)
    for source, strength_f in ((t.a, g_f), (t.b, floor_f)):  # the code replaces F's zeros between the two sources
        g, a = _tiny_polar(t, source, tiny)
        floor = torch.where(g == 0, tiny, g)
        strength = torch.where(g > strength_f, strength_f / floor, floor / floor_f)
        alignment = ((a - a_f).abs() - math.pi / 2).abs() * (2 / math.pi)
        kept = kept + torch.sigmoid(10 * (strength - 0.5)) * torch.sigmoid(20 * (alignment - 0.75)) * floor
        weight = weight + floor
    return t.mean(kept / weight)


def _tiny_polar(t: Triple, image: Image, tiny: float) -> tuple[torch.Tensor, torch.Tensor]:
    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        left, down = _ops.three_by_three(image.x, 2.0, "zeros")
        gx = -left
        return torch.sqrt(gx**2 + down**2), torch.atan(down / torch.where(gx == 0, tiny, gx))

    return image.memo("tiny polar", compute)


_PETROVIC = "Petrovic, Xydeas, Objective image fusion performance characterisation, ICCV 2005"
_PETROVIC_DOI = "10.1109/ICCV.2005.175"
_THRESHOLDS = (
    "Sobel / 8 with reflected borders; sigmoids 0.9999, 19, 0.5 and 0.9995, 22, 0.5, under a root; weights g^1.5 "
    "where the gradient is at least 2 levels, else 0.001."
)


def _reflected_polar(image: Image) -> tuple[torch.Tensor, torch.Tensor]:
    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        left, down = _ops.three_by_three(image.x, 2.0, "reflect")
        across, down = -left / 8, down / 8
        turn = torch.where(across == 0, 0.0, torch.atan(across / down))
        return torch.sqrt(across**2 + down**2), turn

    return image.memo("reflected polar", compute)


def _preserved(source: Image, fused: Image) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(edge preservation, weight, source strength >= fused strength) maps of Petrovic and Xydeas 2005."""

    def compute() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        (g, a), (g_f, a_f) = _reflected_polar(source), _reflected_polar(fused)
        high = torch.maximum(g, g_f)
        strength = torch.minimum(g, g_f) / torch.where(high == 0, 1.0, high)
        alignment = ((a - a_f).abs() - math.pi / 2).abs() * (2 / math.pi)
        quality = 0.9999 * torch.sigmoid(19 * (strength - 0.5)) * 0.9995 * torch.sigmoid(22 * (alignment - 0.5))
        return torch.sqrt(quality), torch.where(g >= 2, g**1.5, 0.001), g_f <= g

    return compute()


def characterise(t: Triple, a: Image, b: Image, f: Image, what: str) -> torch.Tensor:
    """(N,) total "kept", "lost", "artefacts" (Kumar) or "petrovic artefacts", as shares of the total weight."""
    (q_a, w_a, below_a), (q_b, w_b, below_b) = _preserved(a, f), _preserved(b, f)
    missing = (1 - q_a) * w_a + (1 - q_b) * w_b
    if what == "kept":
        values = q_a * w_a + q_b * w_b
    elif what == "lost":
        values = torch.where(below_a | below_b, missing, 0.0)
    elif what == "artefacts":
        values = torch.where(below_a | below_b, 0.0, missing)
    else:
        values = torch.where(below_a | below_b, 0.0, (2 - q_a - q_b) * (w_a + w_b))
    return t.total(values) / t.total(w_a + w_b)


_QABF_PETROVIC = MetricFacts(
    name="qabf@petrovic",
    title="Edge preservation after Petrovic and Xydeas 2005",
    short="Qabf (Petrovic)",
    family="edges",
    direction="higher",
    customary="higher",
    range="0 to 1",
    reference=_PETROVIC,
    doi=_PETROVIC_DOI,
    origin="objective_fusion_perform_fn.m (Kumar) and its ports",
    formula="Share of the sources' edge weight that the fused image keeps; with labf and nabf it adds up to 1.",
    convention=_THRESHOLDS,
    traps=("Not comparable with qabf: other constants and weights.",),
    degenerate="Always defined (flat pixels have weight 0.001).",
    min_size=2,
)


@METRICS.register(_QABF_PETROVIC)
def qabf_petrovic(t: Triple) -> torch.Tensor:
    """(N,) share kept."""
    return characterise(t, t.a, t.b, t.f, "kept")


@METRICS.register(
    variant(
        _QABF_PETROVIC,
        name="labf",
        title="Fusion loss L^AB/F",
        short="Labf",
        direction="lower",
        customary="lower",
        formula="Share of edge weight that is lost where the fused gradient is not above both sources' gradients.",
        origin="objective_fusion_perform_fn.m (Kumar)",
        traps=("Two widely copied Python ports have 'and' where this has 'or'.",),
    )
)
def labf(t: Triple) -> torch.Tensor:
    """(N,) share lost."""
    return characterise(t, t.a, t.b, t.f, "lost")


NABF = variant(
    _QABF_PETROVIC,
    name="nabf",
    title="Fusion artefacts N^AB/F (Kumar)",
    short="Nabf",
    direction="lower",
    customary="lower",
    formula="Share of edge weight that is not preserved where the fused gradient exceeds both sources' gradients.",
    reference="Shreyamsha Kumar, Multifocus and multispectral image fusion based on pixel significance, SIViP 2013",
    doi="10.1007/s11760-012-0361-x",
    origin="objective_fusion_perform_fn.m (Kumar)",
    traps=(
        "Tang's toolbox passes the arguments in the wrong order: nabf@tang ranks nearly the other way round (tau "
        "-0.6).",
        "On [0, 1] images the threshold of 2 levels is never reached.",
    ),
)


@METRICS.register(NABF)
def nabf(t: Triple) -> torch.Tensor:
    """(N,) share of artefacts."""
    return characterise(t, t.a, t.b, t.f, "artefacts")


@METRICS.register(
    variant(
        NABF,
        name="nabf@petrovic",
        title="Fusion artefacts N^AB/F (Petrovic)",
        short="Nabf (Petrovic)",
        range="0 to 2",
        formula="As nabf, but both sources' losses are weighted by the sum of both weights.",
        reference=_PETROVIC,
        doi=_PETROVIC_DOI,
        origin="objective_fusion_perform_fn.m (Kumar), there NABF1",
        traps=(),
    )
)
def nabf_petrovic(t: Triple) -> torch.Tensor:
    """(N,) share of artefacts."""
    return characterise(t, t.a, t.b, t.f, "petrovic artefacts")


@METRICS.register(
    variant(
        NABF,
        name="nabf@tang",
        title="Fusion artefacts as Tang's toolbox calls the function: source A taken for the fused image",
        short="Nabf (Tang)",
        formula="The artefacts that the first source would have, were it fused from the second source and the fused "
        "image.",
        origin="Evaluation-for-Image-Fusion (Tang) since 2023: analysis_nabf(A, B, F) instead of (F, A, B)",
        convention=_THRESHOLDS + " Arguments exchanged as published.",
        traps=("Kendall tau with nabf is about -0.6: it measures something else, and rewards the opposite.",),
        symmetric=False,
    )
)
def nabf_tang(t: Triple) -> torch.Tensor:
    """(N,) share of artefacts, with exchanged roles."""
    return characterise(t, t.b, t.f, t.a, "artefacts")
