"""Noise schedules of DM-FNet and the drawing of noise levels.

Stage I trains on a cosine schedule, Stage II reads features at steps 5, 10 and 20 of a linear one; both have T = 2000.
Steps count from 1; `sqrt_alpha_bar` carries a leading 1 so that index t is step t and index 0 the clean image.
"""

import math

import torch
from torch import Tensor

TIMESTEPS = 2000
FUSION_STEPS = (5, 10, 20)


def sqrt_alpha_bar(schedule: str, timesteps: int = TIMESTEPS) -> Tensor:
    """(timesteps + 1,) float64: 1, then sqrt of the cumulated product of 1 - beta.

    schedule: "cosine" (Nichol and Dhariwal, arXiv 2102.09672: offset 0.008, betas clipped at 0.999) or "linear"
    (betas 1e-6 to 1e-2).
    """
    if schedule == "cosine":
        u = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
        f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    elif schedule == "linear":
        beta = torch.linspace(1e-6, 1e-2, timesteps, dtype=torch.float64)
    else:
        raise ValueError(f"schedule {schedule!r} is unknown; use 'cosine' or 'linear'")
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)]).sqrt()


def draw_noise_level(levels: Tensor, step: int, count: int, generator: torch.Generator | None = None) -> Tensor:
    """(count,) float32 noise levels, uniform between those of step - 1 and step. levels: from `sqrt_alpha_bar`."""
    if not 1 <= step < len(levels):
        raise ValueError(f"step {step} is outside 1..{len(levels) - 1}")
    u = torch.rand(count, generator=generator, dtype=torch.float64)
    return (levels[step] + (levels[step - 1] - levels[step]) * u).float()


def add_noise(clean: Tensor, noise_level: Tensor, noise: Tensor) -> Tensor:
    """x_t = s x0 + sqrt(1 - s^2) eps for (N,1,H,W) images and (N,) levels s."""
    s = noise_level.to(clean)[:, None, None, None]
    return s * clean + (1 - s * s).clamp(min=0).sqrt() * noise
