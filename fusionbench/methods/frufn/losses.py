"""The loss of FRUFN and EFRUFN (infrared-visible stage).

All images are (N,1,H,W) float32 in [0, 1], A and B the sources. S is the sum of absolute Sobel responses, zeros around the
image; SSIM has 11 x 11 Gaussian windows of sigma 1.5, zeros around the image, constants of range 1. Wang, Cao, Deng, Vivone,
IEEE TPAMI 2026, doi 10.1109/TPAMI.2026.3655694, as in the released code.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.methods._losses import gaussian_ssim, gradient


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term of `fusion_loss`; the defaults are the published ones. transfer: of the teacher's gradients."""

    intensity: float = 20.0
    gradient: float = 100.0
    structure: float = 50.0
    contrast: float = 50.0
    transfer: float = 40.0


def fusion_loss(
    fused: Tensor, a: Tensor, b: Tensor, weights: LossWeights | None = None, teacher: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its weighted terms by name; contrast is below zero, for it rewards a spread of levels.

    teacher: the image that a frozen network of the stage before makes of the same pair; the trainings here have none.
    """
    w = weights or LossWeights()
    slopes = {name: gradient(image) for name, image in (("a", a), ("b", b), ("fused", fused))}
    share = slopes["a"].mean() / (slopes["a"].mean() + slopes["b"].mean()).clamp_min(1e-12)
    similar = share * gaussian_ssim(a, fused) + (1 - share) * gaussian_ssim(b, fused)
    terms = {
        "intensity": w.intensity * F.l1_loss(fused, torch.maximum(a, b)),
        "gradient": w.gradient * F.l1_loss(slopes["fused"], torch.maximum(slopes["a"], slopes["b"])),
        "structure": w.structure * (1 - similar),
        "contrast": -w.contrast * fused.abs().flatten(1).std(1, correction=0).mean(),
    }
    if teacher is not None:
        slope = gradient(teacher)
        larger = torch.maximum(slope, slopes["fused"])  # with its gradient, as published
        terms["transfer"] = w.transfer * F.l1_loss(slope * larger, slopes["fused"] * larger)
    return torch.stack(list(terms.values())).sum(), terms
