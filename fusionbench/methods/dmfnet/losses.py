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


def gradient(image: Tensor, border: str = "zero") -> Tensor:
    """|Sobel_x| + |Sobel_y|, same shape."""
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=image.device, dtype=image.dtype)
    kernels = torch.stack([sobel, sobel.T])[:, None]
    padded = F.pad(image, (1, 1, 1, 1), mode="constant" if border == "zero" else "replicate")
    return F.conv2d(padded, kernels).abs().sum(1, keepdim=True)


def _window(size: int, sigma: float, like: Tensor) -> Tensor:
    x = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    g = torch.exp(-(x**2) / (2 * sigma**2))
    return g / g.sum()


def _filter(image: Tensor, window: Tensor, padding: int = 0) -> Tensor:
    """Separable filter with zero padding, as two products with banded matrices: much faster on a CPU, gradient included,
    than convolutions of one channel."""
    rows, columns = (_band(size, window, padding) for size in image.shape[-2:])
    return rows @ image @ columns.T


def _band(size: int, window: Tensor, padding: int) -> Tensor:
    index = torch.arange(size, device=window.device)
    first = torch.arange(size + 2 * padding - len(window) + 1, device=window.device) - padding
    offset = index[None] - first[:, None]
    inside = (offset >= 0) & (offset < len(window))
    return torch.where(inside, window[offset.clamp(0, len(window) - 1)], 0)


def structure(fused: Tensor, a: Tensor, b: Tensor, border: str = "zero") -> Tensor:
    """Mean contrast-structure similarity of the fused image to the locally stronger source (11x11 Gaussian windows)."""
    products = torch.cat([fused, a, b, fused * fused, a * a, b * b, fused * a, fused * b])
    moments = _filter(products, _window(11, 1.5, fused), 5 if border == "zero" else 0)
    mean_f, mean_a, mean_b, ff, aa, bb, fa, fb = moments.chunk(8)
    # Differences of near-equal floats come out slightly negative on flat regions.
    var_f, var_a, var_b = ((s - m * m).clamp(min=0) for s, m in ((ff, mean_f), (aa, mean_a), (bb, mean_b)))
    use_a = var_a > var_b
    cov = torch.where(use_a, fa - mean_f * mean_a, fb - mean_f * mean_b)
    var_source = torch.where(use_a, var_a, var_b)
    return ((2 * cov + STRUCTURE_C2) / (var_f + var_source + STRUCTURE_C2)).mean()


def fidelity(source: Tensor, fused: Tensor) -> Tensor:
    """(N,) visual information fidelity of a source in the fused image, pixel domain, four scales (Sheikh and Bovik,
    IEEE TIP 2006, doi 10.1109/TIP.2005.859378; noise variance 2 on 0..255), kept differentiable.

    The source's own information is bounded from below, lest near-empty crops outweigh the others.
    """
    x, y = (source + 1) * 127.5, (fused + 1) * 127.5
    preserved = available = torch.zeros(len(source), device=source.device)
    count = 0
    for size in (17, 9, 5, 3):
        window = _window(size, size / 5, x)
        if size < 17:
            x, y = (_filter(image, window)[:, :, ::2, ::2] for image in (x, y))
        moments = _filter(torch.cat([x, y, x * x, y * y, x * y]), window)
        mean_x, mean_y, xx, yy, xy = moments.chunk(5)
        var_x, var_y = (xx - mean_x * mean_x).clamp(min=0), (yy - mean_y * mean_y).clamp(min=0)
        cov = xy - mean_x * mean_y
        gain = (cov / (var_x + 1e-2)).clamp(min=0)
        noise = (var_y - gain * cov).clamp(min=1e-2)
        preserved = preserved + torch.log1p(gain * gain * var_x / (noise + 2)).sum((1, 2, 3))
        available = available + torch.log1p(var_x / 2).sum((1, 2, 3))
        count += var_x[0].numel()
    return preserved / (available + 0.1 * count)


def similarity(source: Tensor, fused: Tensor) -> Tensor:
    """(N,) SSIM with 7x7 uniform windows and sample covariance (Wang et al., IEEE TIP 2004, doi 10.1109/TIP.2003.819861)."""
    x, y = source + 1, fused + 1  # levels from 0, range 2
    moments = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y]), 7, 1)
    mean_x, mean_y, xx, yy, xy = moments.chunk(5)
    c1, c2, sample = 0.02**2, 0.06**2, 49 / 48
    var_x, var_y = sample * (xx - mean_x**2), sample * (yy - mean_y**2)
    cov = sample * (xy - mean_x * mean_y)
    ssim = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return ssim.mean((1, 2, 3))


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
