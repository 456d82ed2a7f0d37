"""The loss of LKC-FUNet, and the terms that the `compact` preset adds to it.

All images are (N,1,H,W) float32 in [0, 1], a the MRI and b the other modality. The published loss is |F - max(a, b)| +
|G(F) - max(G(a), G(b))| + 1 - (S(a, F) + S(b, F)) / 2, G a sum of absolute Sobel responses: He et al., Pattern Recognition
173:112903, 2026, doi 10.1016/j.patcog.2025.112903. The file that defines S is missing from the released code. S is taken
to be SwinFusion's SSIM (11x11 Gaussian windows, sigma 1.5, zero padding, constants of range 1), whose name it bears and
which the same group uses elsewhere: an inference.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.methods._losses import fidelity, gaussian_ssim, gradient, similarity


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term of `fusion_loss`. The defaults are the published loss.

    fidelity: of 2 - VIF(a, F) - VIF(b, F); similarity: of 2 - SSIM(a, F) - SSIM(b, F) with uniform windows. Neither
    is in the paper. border: see :mod:`fusionbench.methods._losses`; "zero" is as published.
    """

    intensity: float = 1.0
    gradient: float = 1.0
    structure: float = 1.0
    fidelity: float = 0.0
    similarity: float = 0.0
    border: str = "zero"


def loss_preset(name: str) -> LossWeights:
    """The published loss for "paper"; "compact" adds terms that hold more of both sources (see docs/lkcfunet.md)."""
    if name == "paper":
        return LossWeights()
    return LossWeights(intensity=4.0, gradient=3.0, fidelity=0.5, similarity=0.5, border="valid")


def fusion_loss(
    fused: Tensor, a: Tensor, b: Tensor, weights: LossWeights | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its weighted terms by name."""
    w = weights or LossWeights()
    strongest = torch.maximum(gradient(a, w.border), gradient(b, w.border))
    both = (gaussian_ssim(a, fused, w.border) + gaussian_ssim(b, fused, w.border)) / 2
    terms = {
        "intensity": w.intensity * F.l1_loss(fused, torch.maximum(a, b)),
        "gradient": w.gradient * F.l1_loss(gradient(fused, w.border), strongest),
        "structure": w.structure * (1 - both),
    }
    if w.fidelity or w.similarity:
        x, y, f = (image * 2 - 1 for image in (a, b, fused))
        terms["fidelity"] = w.fidelity * (2 - (fidelity(x, f) + fidelity(y, f)).mean())
        terms["similarity"] = w.similarity * (2 - (similarity(x, f) + similarity(y, f)).mean())
    return torch.stack(list(terms.values())).sum(), terms
