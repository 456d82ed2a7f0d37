"""Against the ground truth of generated pairs: lesion contrast and detectability, and recall of tissue boundaries."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from fusionbench.errors import InputError
from fusionbench.metrics import METRICS, MetricFacts, _ops
from fusionbench.metrics._ops import safe_ratio
from fusionbench.metrics._triple import Image, Triple

Mask = NDArray[np.bool_]
_TISSUES = ("gm", "wm", "csf", "bone")
_SQUARE = np.ones((3, 3), dtype=bool)


def _truth(t: Triple) -> dict[str, NDArray[np.float64]]:
    if t.truth is None:
        raise ValueError("these metrics need ground truth")
    for name in (*_TISSUES, "lesion"):
        if name not in t.truth:
            raise InputError(f"the ground truth lacks {name!r}, which these metrics need; leave them out")
    return {name: np.asarray(values, dtype=np.float64) for name, values in t.truth.items()}


def _lesions(t: Triple) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(inside, surroundings) of each lesion, (H, W) bool, remembered.

    A lesion is a connected region of one kind with at least 12 pixels. Its surroundings are the brain tissue (grey and white
    matter) 2 to 6 pixels away from it, outside every lesion's own 2 pixel rim.
    """

    def find() -> list[tuple[torch.Tensor, torch.Tensor]]:
        truth = _truth(t)
        brain = truth["gm"] + truth["wm"] > 0.5
        rim = ndimage.binary_dilation(truth["lesion"] > 0, _SQUARE, iterations=2)
        found = []
        for kind in (1, 2):
            labels, count = ndimage.label(truth["lesion"] == kind, structure=_SQUARE)
            for k in range(1, count + 1):
                inside: Mask = labels == k
                around: Mask = ndimage.binary_dilation(inside, _SQUARE, iterations=6) & brain & ~rim
                if inside.sum() >= 12 and around.sum() >= 12:
                    found.append((torch.from_numpy(inside).to(t.b.x.device), torch.from_numpy(around).to(t.b.x.device)))
        return found

    return t.b.memo("lesions", find)


def _contrasts(t: Triple, image: Image) -> torch.Tensor:
    """(lesions,) mean level inside minus mean level around."""
    x = image.x[0]
    return torch.stack([x[inside].mean() - x[around].mean() for inside, around in _lesions(t)])


@METRICS.register(
    MetricFacts(
        name="lesion-recovery",
        title="Lesion contrast recovery",
        short="Lesion recovery",
        family="medical",
        direction="higher",
        customary="higher",
        range="-1 to 1",
        reference="Defined here; after the contrast recovery coefficient of NEMA NU 2",
        formula="For each lesion, its contrast in the fused image over its contrast in the source that shows it best, "
        "with sign, clipped to -1..1; mean over lesions.",
        convention="Contrast: mean level inside minus mean level of brain tissue 2 to 6 pixels away. Masks are "
        "ignored.",
        traps=("1 means kept in full; exaggeration is not rewarded, noise not seen: read it with lesion-cnr.",),
        degenerate="NaN where the pair has no lesion, or none that either source shows.",
        needs=frozenset({"truth"}),
    )
)
def lesion_recovery(t: Triple) -> torch.Tensor:
    """(1,) mean over lesions."""
    nothing = torch.full((1,), torch.nan, dtype=torch.float64, device=t.f.x.device)
    if not _lesions(t):
        return nothing
    in_a, in_b, in_f = (_contrasts(t, image) for image in (t.a, t.b, t.f))
    best = torch.where(in_a.abs() >= in_b.abs(), in_a, in_b)
    shown = best != 0
    if not bool(shown.any()):
        return nothing
    return (in_f[shown] / best[shown]).clamp(-1, 1).mean()[None]


@METRICS.register(
    MetricFacts(
        name="lesion-cnr",
        title="Lesion detectability (contrast-to-noise ratio)",
        short="Lesion CNR",
        family="medical",
        direction="higher",
        customary="higher",
        range="0 upwards",
        reference="Defined here; contrast-to-noise ratio after Timischl, Scanning 2015",
        doi="10.1002/sca.21179",
        formula="For each lesion, |mean inside - mean around| over the root of the mean of both variances; mean over "
        "lesions.",
        convention="Regions as in lesion-recovery; 1 / 12 (rounding to levels) is added to the variance. Masks are "
        "ignored.",
        traps=("Anatomy around a lesion counts as noise: that is what a reader has to see through.",),
        degenerate="NaN where the pair has no lesion; 0 for a flat fused image.",
        needs=frozenset({"truth"}),
    )
)
def lesion_cnr(t: Triple) -> torch.Tensor:
    """(1,) mean over lesions."""
    x = t.f.x[0]
    ratios = []
    for inside, around in _lesions(t):
        variance = (x[inside].var(correction=0) + x[around].var(correction=0)) / 2 + 1 / 12
        ratios.append((x[inside].mean() - x[around].mean()).abs() / torch.sqrt(variance))
    if not ratios:
        return torch.full((1,), torch.nan, dtype=torch.float64, device=x.device)
    return torch.stack(ratios).mean()[None]


def _tissue_regions(t: Triple) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, H, W) bool: pixels on a boundary between two tissues, and pixels at least 3 away from any, inside the head."""

    def find() -> tuple[torch.Tensor, torch.Tensor]:
        truth = _truth(t)
        maps = np.stack([truth[name] for name in _TISSUES])
        label = np.where(maps.sum(0) > 0.5, maps.argmax(0) + 1, 0)
        boundary = np.zeros(label.shape, dtype=bool)
        boundary[:, :-1] |= label[:, :-1] != label[:, 1:]
        boundary[:-1] |= label[:-1] != label[1:]
        lesion = ndimage.binary_dilation(truth["lesion"] > 0, _SQUARE, iterations=2)
        inner = (label > 0) & ~ndimage.binary_dilation(boundary, _SQUARE, iterations=2) & ~lesion
        return tuple(torch.from_numpy(m).to(t.b.x.device)[None] for m in (boundary, inner))  # type: ignore[return-value]

    return t.b.memo("tissue regions", find)


@METRICS.register(
    MetricFacts(
        name="tissue-edge-recall",
        title="Recall of tissue boundaries at 5 % false alarms",
        short="Edge recall",
        family="medical",
        direction="higher",
        customary="higher",
        range="0 to 1",
        reference="Defined here",
        formula="Share of the true boundary pixels between tissues whose 3 x 3 neighbourhood holds a Sobel strength "
        "above the level that 95 % of the neighbourhoods inside homogeneous tissue stay below.",
        convention="Boundaries of the strongest tissue (grey, white, fluid, bone, none); homogeneous: at least 3 "
        "pixels from any boundary and off the lesions; borders replicate. Masks are ignored.",
        traps=("The threshold follows the image's own noise, so neither stretching nor sharpening helps.",),
        degenerate="NaN where the truth has no boundary or no homogeneous tissue; 0 for a flat fused image.",
        needs=frozenset({"truth"}),
    )
)
def tissue_edge_recall(t: Triple) -> torch.Tensor:
    """(1,) recall."""
    boundary, inner = _tissue_regions(t)
    if not bool(boundary.any()) or not bool(inner.any()):
        return torch.full((1,), torch.nan, dtype=torch.float64, device=t.f.x.device)
    gx, gy = _ops.three_by_three(t.f.x, 2.0, "replicate")
    strength = torch.nn.functional.max_pool2d(torch.sqrt(gx**2 + gy**2), 3, stride=1, padding=1)
    threshold = torch.quantile(strength[inner], 0.95)
    found = (strength > threshold) & boundary
    return safe_ratio(found.sum((1, 2)).double(), boundary.sum((1, 2)).double())
