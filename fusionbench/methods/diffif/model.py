"""Diff-IF whole: presets, one denoising and refining step, and the sampler.

Source: Yi et al., Information Fusion 2024, doi 10.1016/j.inffus.2024.102450; the released code where it differs from the
paper. Images here are (N,1,H,W) float32 in [-1, 1]: o the other modality, m the MRI, sides multiples of 8.
"""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fusionbench.methods._sr3 import ConditionalUNet, sqrt_alpha_bar
from fusionbench.methods.diffif.refiner import Refiner

TIMESTEPS = 1000
SAMPLING_STEPS = 4
STRIDE = 8
IMAGE_SIZE = 128  # never passed by the released code, so its default decides: attention in the coarsest level


@dataclasses.dataclass(frozen=True)
class Preset:
    """inner, groups, dropout: of the U-Net; width, expansion: of the refiner."""

    inner: int
    groups: int
    dropout: float
    width: int
    expansion: float


PRESETS = {
    "paper": Preset(inner=48, groups=24, dropout=0.1, width=36, expansion=2.66),
    # Two channels to a group as in the paper; no dropout, for a small network on a short training underfits anyway. Widths
    # are multiples of 16, which CPUs convolve fastest.
    "compact": Preset(inner=16, groups=8, dropout=0.0, width=16, expansion=2.0),
}


class Prediction(NamedTuple):
    """What one step gives, (N,1,H,W) each: the noise, the clean estimate (clamped), the fused image (not clamped)."""

    noise: Tensor
    clean: Tensor
    fused: Tensor


class DiffIF(nn.Module):
    """The U-Net that predicts the noise, and the refiner on its clean estimate."""

    def __init__(self, p: Preset) -> None:
        super().__init__()
        self.denoise_fn = ConditionalUNet(3, p.inner, (1, 2, 4, 6), p.groups, p.dropout, IMAGE_SIZE)
        self.refinement_fn = Refiner(p.width, p.expansion)

    def forward(
        self, sources: Tensor, noisy: Tensor, level: Tensor, schedule_level: Tensor | None = None
    ) -> Prediction:
        """sources: (N,2,H,W), [o, m]; noisy: (N,1,H,W); level: (N,) sqrt(alpha_bar), what both networks are told;
        schedule_level: (N,), what the clean estimate is computed with (default: the same; training takes the discrete
        schedule's). The estimate is detached: the refiner's loss does not train the U-Net."""
        noise = self.denoise_fn(torch.cat([sources, noisy], dim=1), level)
        with torch.autocast(noisy.device.type, enabled=False):
            s = (level if schedule_level is None else schedule_level)[:, None, None, None]
            noise = noise.to(noisy.dtype)
            # At the first of four steps this multiplies the error of the noise by 12: most pixels need the clamp.
            clean = ((noisy - (1 - s * s).sqrt() * noise) / s).clamp(-1, 1).detach()
        return Prediction(noise, clean, self.refinement_fn(sources, clean, level).to(noisy.dtype))


def sampling_times(steps: int) -> list[int]:
    """Step numbers (1..1000, descending) that the sampler visits: 1000, 750, 500, 250 for the published four."""
    return [round(TIMESTEPS * i / steps) for i in range(steps, 0, -1)]


def draw_noise(generators: Sequence[torch.Generator], steps: int, height: int, width: int) -> Tensor:
    """(steps + 1, N, 1, H, W): the start and one a step, for each pair from its own generator."""
    return torch.stack([torch.randn(steps + 1, 1, height, width, generator=g) for g in generators], dim=1)


def sample_steps(network: nn.Module, o: Tensor, m: Tensor, noise: Tensor) -> Iterator[tuple[Prediction, Tensor]]:
    """Each sampling step's prediction and x after it: DDIM with eta = 1 on a few steps, the fused image as the estimate.

    noise: from :func:`draw_noise`; its length says how many steps. As released, the direction is the raw predicted noise,
    not recomputed after the clamps. The last x is the fused image, in [-1, 1].
    """
    # As in the released code: variances in double precision, then what multiplies images in theirs.
    alpha_bar = sqrt_alpha_bar("linear", TIMESTEPS) ** 2
    sources = torch.cat([o, m], dim=1)
    times = sampling_times(len(noise) - 1)
    x = noise[0].to(o)
    for index, (now, following) in enumerate(zip(times, [*times[1:], 0], strict=True), 1):
        a, p = alpha_bar[now], alpha_bar[following]
        prediction = network(sources, x, a.sqrt().to(o).expand(len(o)))
        variance = (1 - p) / (1 - a) * (1 - a / p)
        direction = (1 - p - variance).clamp(min=0).sqrt()
        x = p.sqrt().to(o) * prediction.fused.clamp(-1, 1) + direction.to(o) * prediction.noise
        x = x + variance.sqrt().to(o) * noise[index].to(o)
        yield prediction, x


def sample(network: nn.Module, o: Tensor, m: Tensor, noise: Tensor) -> Tensor:
    """The fused image (N,1,H,W) in [-1, 1]; see :func:`sample_steps`."""
    return collections.deque(sample_steps(network, o, m, noise), maxlen=1).pop()[1]
