"""The loss of CMD-Net (Qiao et al., arXiv 2402.03383 v2, as in the released code)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.methods.cmdnet.network import magnitude


def cascade_weights(count: int) -> list[float]:
    """From 0.1 of the first cascade to 1 of the last, in equal factors."""
    return [10 ** ((i - count) / (count - 1)) for i in range(1, count + 1)]


def reconstruction_loss(
    outputs: Sequence[Tensor], symmetry: Sequence[Tensor], target: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum over all cascades and its terms by name. Images: (N,2,H,W), scaled like the network's input."""
    weights = cascade_weights(len(outputs))
    terms = {
        "squared": sum(
            (w * F.mse_loss(x, target) for w, x in zip(weights, outputs, strict=True)), target.new_zeros(())
        ),
        "structure": sum(
            (w * dissimilarity(x, target) for w, x in zip(weights, outputs, strict=True)), target.new_zeros(())
        ),
        "symmetry": sum((0.01 * s.square().mean() for s in symmetry), target.new_zeros(())),
    }
    return torch.stack(list(terms.values())).sum(), terms


def dissimilarity(x: Tensor, target: Tensor) -> Tensor:
    """1 - mean SSIM of the magnitudes: 7x7 uniform windows inside the image, sample variances, constants of the range that
    is the target's largest magnitude over the batch."""
    x, y = magnitude(x), magnitude(target)
    moments = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y]), 7, 1)
    mean_x, mean_y, xx, yy, xy = moments.chunk(5)
    sample, largest = 49 / 48, y.max()
    c1, c2 = (0.01 * largest) ** 2, (0.03 * largest) ** 2
    var_x, var_y, cov = sample * (xx - mean_x**2), sample * (yy - mean_y**2), sample * (xy - mean_x * mean_y)
    ssim = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return 1 - ssim.mean()
