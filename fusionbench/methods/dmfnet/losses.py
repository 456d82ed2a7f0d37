"""The Stage II loss of DM-FNet, and the terms that the `compact` preset adds to it.

All images are (N,1,H,W) float32 in [-1, 1], a the MRI and b the other modality. The published loss is
1.5 * |F - max(a, b)| + |G(F) - max(G(a), G(b))| + 0.5 * (1 - S): He et al., IEEE TMM 2025, doi
10.1109/TMM.2025.3613156, as in the released code (zero padding at the border, G a sum of absolute Sobel responses).
"""

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

STRUCTURE_C2 = 0.03**2


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term of `fusion_loss`. The defaults are the published loss.

    border: "zero" pads Sobel and windows with zeros, as published; "valid" replicates the border for Sobel and keeps
    whole windows only, so that the frame of a training crop is no edge.
    """

    intensity: float = 1.5
    gradient: float = 1.0
    structure: float = 0.5
    border: str = "zero"


def gradient(image: Tensor, border: str = "zero") -> Tensor:
    """|Sobel_x| + |Sobel_y|, same shape."""
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=image.device, dtype=image.dtype)
    kernels = torch.stack([sobel, sobel.T])[:, None]
    padded = F.pad(image, (1, 1, 1, 1), mode="constant" if border == "zero" else "replicate")
    return F.conv2d(padded, kernels).abs().sum(1, keepdim=True)


def _gaussian_window(image: Tensor, border: str) -> Tensor:
    x = torch.arange(11, dtype=image.dtype, device=image.device) - 5
    g = torch.exp(-(x**2) / (2 * 1.5**2))
    g = g / g.sum()
    pad = 5 if border == "zero" else 0
    rows = F.conv2d(image, g.view(1, 1, 11, 1), padding=(pad, 0))
    return F.conv2d(rows, g.view(1, 1, 1, 11), padding=(0, pad))


def structure(fused: Tensor, a: Tensor, b: Tensor, border: str = "zero") -> Tensor:
    """Mean contrast-structure similarity of the fused image to the locally stronger source (11x11 Gaussian windows)."""
    n = len(fused)
    moments = _gaussian_window(
        torch.cat([fused, a, b, fused * fused, a * a, b * b, fused * a, fused * b]), border
    ).split(n)
    mean_f, mean_a, mean_b, ff, aa, bb, fa, fb = moments
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
    return torch.stack(list(terms.values())).sum(), terms
