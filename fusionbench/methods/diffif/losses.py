"""What Diff-IF is trained for: the noise, and five terms of the refined image, with those that `compact` adds.

Images are (N,1,H,W) float32 in [-1, 1]: o the other modality, m the MRI, K the prior fused image. Published: Yi et al.,
Information Fusion 2024, doi 10.1016/j.inffus.2024.102450, as in the released code:
8 |n - e| + 2 |y - K| + 4 |y - max(o, m)| + 5 |G(y) - max(G(o), G(m))| + (2 - SSIM(y, o) - SSIM(y, m)), means all.
"""

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.methods._losses import directional_gradient, fidelity, gaussian_ssim, similarity


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term. The defaults are the published loss.

    window: side of the Gaussian windows of ``structure`` (sigma 1.5); whole windows only, so 64 does not see a border of
    32 pixels. fidelity: of 2 - VIF(o, y) - VIF(m, y); similarity: of 2 - SSIM(o, y) - SSIM(m, y) with 7x7 uniform windows.
    Neither of these two is in the paper.
    """

    noise: float = 8.0
    prior: float = 2.0
    maximum: float = 4.0
    gradient: float = 5.0
    structure: float = 1.0
    window: int = 64
    fidelity: float = 0.0
    similarity: float = 0.0


def structure(fused: Tensor, o: Tensor, m: Tensor, size: int = 64) -> Tensor:
    """2 - SSIM(fused, o) - SSIM(fused, m), with Gaussian windows (sigma 1.5). The range in SSIM's constants is guessed
    from the fused images, as released: 2 where one goes below -0.5, else 1."""
    span = 2 if fused.min() < -0.5 else 1
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    return 2 - gaussian_ssim(o, fused, "valid", c1, c2, size) - gaussian_ssim(m, fused, "valid", c1, c2, size)


def refining_terms(fused: Tensor, o: Tensor, m: Tensor, prior: Tensor, w: LossWeights) -> dict[str, Tensor]:
    """The weighted terms of the refined image, clamped to [-1, 1] as published (so none acts where it saturates)."""
    y = fused.clamp(-1, 1)
    strongest = torch.maximum(directional_gradient(o, "valid"), directional_gradient(m, "valid")).sum(1)
    terms = {
        "prior": w.prior * F.l1_loss(y, prior),
        "maximum": w.maximum * F.l1_loss(y, torch.maximum(o, m)),
        "gradient": w.gradient * F.l1_loss(directional_gradient(y, "valid").sum(1), strongest),
        "structure": w.structure * structure(y, o, m, w.window),
    }
    if w.fidelity:
        terms["fidelity"] = w.fidelity * (2 - (fidelity(o, y) + fidelity(m, y)).mean())
    if w.similarity:
        terms["similarity"] = w.similarity * (2 - (similarity(o, y) + similarity(m, y)).mean())
    return terms


def loss_terms(
    noise: Tensor, drawn: Tensor, refined: dict[str, Tensor], w: LossWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum and its weighted terms: that of the predicted against the drawn noise, then those of the refined image."""
    terms = {"noise": w.noise * F.l1_loss(noise, drawn), **refined}
    return torch.stack(list(terms.values())).sum(), terms
