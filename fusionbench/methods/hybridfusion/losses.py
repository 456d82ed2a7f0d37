"""The loss of HybridFusion.

Images are in [-1, 1]: A, the other modality, and the fused F, (N,3,H,W) or grey as (N,1,H,W), which is the same as repeating
it three times; B, the MRI, (N,1,H,W). arXiv 2602.20851, as in the released code, whose SSIM guesses the range of the images
from the darkest pixel of a batch.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.errors import InputError
from fusionbench.methods._losses import directional_gradient, gaussian_ssim

WINDOW = 48
GREY = (0.299, 0.587, 0.114)
CHROMA = ((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term of `fusion_loss` in their sum, of that sum (total), and of the divergence of the policy."""

    structure: float = 1.0
    maximum: float = 10.0
    consistency: float = 2.0
    colour: float = 2.0
    gradient: float = 40.0
    total: float = 0.1
    divergence: float = 1e-5


def fusion_loss(
    fused: Tensor, a: Tensor, b: Tensor, weights: LossWeights | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, before `total`, and its weighted terms by name. Raises InputError for images below 48 pixels."""
    if min(b.shape[-2:]) < WINDOW:
        raise InputError(f"the loss of HybridFusion needs {WINDOW} x {WINDOW} pixels; use --crop {WINDOW} or more")
    w = weights or LossWeights()
    grey_a, grey_f = (_combine(image, GREY) for image in (a, fused))
    brighter = torch.where(b > a.mean(1, keepdim=True), b.expand_as(a), a)
    steepest = torch.maximum(directional_gradient(grey_a, "valid"), directional_gradient(b, "valid"))
    slopes = (directional_gradient(grey_f, "valid") - steepest).abs().mean((0, 2, 3))
    terms = {
        "structure": w.structure * (_difference(a, fused) + _difference(b, grey_f)),
        "maximum": w.maximum * F.l1_loss(fused, brighter),
        "consistency": w.consistency * (F.l1_loss(grey_a, grey_f) + 2 * F.l1_loss(b, grey_f)) / 2,
        "gradient": w.gradient * slopes.sum(),
    }
    if a.shape[1] == 3:  # grey images have no chroma
        parts = [F.l1_loss(_combine(a, shares), _combine(fused, shares)) for shares in CHROMA]
        terms["colour"] = w.colour * torch.stack(parts).sum()
    return torch.stack(list(terms.values())).sum(), terms


def divergence(weight: Tensor, logvar: Tensor) -> Tensor:
    """Of the policy from a standard normal distribution, with the weight in place of its mean, as published."""
    return -0.5 * (1 + logvar - weight.square() - logvar.exp()).mean()


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """1 - SSIM with 48 x 48 windows of sigma 1.5, whole ones only, channel by channel; the range is guessed from x."""
    span = 2.0 if x.min() < -0.5 else 1.0
    x, y = (image.flatten(0, 1)[:, None] for image in (x, y))
    return 1 - gaussian_ssim(x, y, "valid", (0.01 * span) ** 2, (0.03 * span) ** 2, WINDOW)


def _combine(image: Tensor, shares: tuple[float, ...]) -> Tensor:
    """(N,3,H,W) -> (N,1,H,W), a weighted sum of the channels; a grey image is its own grey."""
    if image.shape[1] == 1:
        return image
    return (image * image.new_tensor(shares)[:, None, None]).sum(1, keepdim=True)
