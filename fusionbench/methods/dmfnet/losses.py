"""The Stage II loss of DM-FNet, and the terms that the `compact` preset adds to it.

All images are (N,1,H,W) float32 in [-1, 1], a the MRI and b the other modality. The published loss is
1.5 * |F - max(a, b)| + |G(F) - max(G(a), G(b))| + 0.5 * (1 - S): He et al., IEEE TMM 2025, doi
10.1109/TMM.2025.3613156, as in the released code (zero padding at the border, G a sum of absolute Sobel responses).
"""

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.methods._losses import fidelity, gaussian, gradient, similarity, smooth

STRUCTURE_C2 = 0.03**2


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term of `fusion_loss`. The defaults are the published loss.

    fidelity: of 2 - VIF(a, F) - VIF(b, F); similarity: of 2 - SSIM(a, F) - SSIM(b, F). Neither is in the paper.

    border: "zero" pads Sobel and windows with zeros, as published; "valid" replicates the border for Sobel and keeps
    whole windows only, so that the frame of a training crop is no edge.
    """

    intensity: float = 1.5
    gradient: float = 1.0
    structure: float = 0.5
    fidelity: float = 0.0
    similarity: float = 0.0
    border: str = "zero"


def structure(fused: Tensor, a: Tensor, b: Tensor, border: str = "zero") -> Tensor:
    """Mean contrast-structure similarity of the fused image to the locally stronger source (11x11 Gaussian windows)."""
    products = torch.cat([fused, a, b, fused * fused, a * a, b * b, fused * a, fused * b])
    moments = smooth(products, gaussian(11, 1.5, fused), 5 if border == "zero" else 0)
    mean_f, mean_a, mean_b, ff, aa, bb, fa, fb = moments.chunk(8)
    # Differences of near-equal floats come out slightly negative on flat regions.
    var_f, var_a, var_b = ((s - m * m).clamp(min=0) for s, m in ((ff, mean_f), (aa, mean_a), (bb, mean_b)))
    use_a = var_a > var_b
    cov = torch.where(use_a, fa - mean_f * mean_a, fb - mean_f * mean_b)
    var_source = torch.where(use_a, var_a, var_b)
    return ((2 * cov + STRUCTURE_C2) / (var_f + var_source + STRUCTURE_C2)).mean()


def fusion_loss(
    fused: Tensor, a: Tensor, b: Tensor, weights: LossWeights | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its weighted terms by name."""
    w = weights or LossWeights()
    strongest = torch.maximum(gradient(a, w.border), gradient(b, w.border))
    terms = {
        "intensity": w.intensity * F.l1_loss(fused, torch.maximum(a, b)),
        "gradient": w.gradient * F.l1_loss(gradient(fused, w.border), strongest),
        "structure": w.structure * (1 - structure(fused, a, b, w.border)),
    }
    if w.fidelity:
        terms["fidelity"] = w.fidelity * (2 - (fidelity(a, fused) + fidelity(b, fused)).mean())
    if w.similarity:
        terms["similarity"] = w.similarity * (2 - (similarity(a, fused) + similarity(b, fused)).mean())
    return torch.stack(list(terms.values())).sum(), terms
