"""The loss of RWKVFusion, medical configuration (Cao et al., IEEE TPAMI 2025, as in the released code).

Images are in [0, 1], a the MRI and b the other modality, (N,1,H,W); the fused image after clipping, (N,1,H,W) or coloured
(N,3,H,W). There the code compares a coloured image with grey sources, and cannot train where no source is coloured. Here the
fused image is grey throughout, for which one channel gives what three equal ones would.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.methods._losses import gaussian_ssim, gradient

LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term of `fusion_loss`. The defaults are the published loss."""

    intensity: float = 10.0
    gradient: float = 20.0
    structure: float = 2.0


def fusion_loss(
    fused: Tensor, a: Tensor, b: Tensor, weights: LossWeights | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its weighted terms by name. The shares of the sources in the structure term are the norms of
    their gradients over the whole batch, so a loss of a batch is not the mean of the losses of its samples."""
    w = weights or LossWeights()
    y = fused if fused.shape[1] == 1 else (fused * fused.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    edges_a, edges_b = gradient(a), gradient(b)
    edges = gradient(fused.flatten(0, 1)[:, None]).view_as(fused)
    norm_a, norm_b = edges_a.norm(), edges_b.norm()
    share = norm_a / (norm_a + norm_b).clamp_min(1e-12)
    unlike_a, unlike_b = (1 - gaussian_ssim(x.expand_as(fused), fused, size=5) for x in (a, b))
    terms = {
        "intensity": w.intensity * (F.l1_loss(y, a) + F.l1_loss(y, b)),
        "gradient": w.gradient * (edges - torch.maximum(edges_a, edges_b)).abs().mean(),
        "structure": w.structure * (share * unlike_a + (1 - share) * unlike_b),
    }
    return torch.stack(list(terms.values())).sum(), terms
