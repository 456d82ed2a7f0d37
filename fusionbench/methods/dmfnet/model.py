"""DM-FNet whole: presets, the noising of a pair, the six batched U-Net passes and the head on top.

Source: He et al., IEEE TMM 2025, doi 10.1109/TMM.2025.3613156. Images here are (N,1,H,W) float32 in [-1, 1].
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionbench.methods._sr3 import add_noise, draw_noise_level, sqrt_alpha_bar
from fusionbench.methods.dmfnet.head import FUSION_STEPS, FusionHead
from fusionbench.methods.dmfnet.unet import TIMESTEPS, DenoisingUNet

CACHE = 8 * 2**20


@dataclasses.dataclass(frozen=True)
class Preset:
    """Width of the networks and the dropout of Stage I."""

    inner: int
    groups: int
    dropout: float


PRESETS = {
    "paper": Preset(inner=128, groups=32, dropout=0.2),
    # Four channels to a group as in the paper; no dropout, for a small network on a short training underfits anyway.
    "compact": Preset(inner=32, groups=8, dropout=0.0),
}


def build_unet(p: Preset) -> DenoisingUNet:
    return DenoisingUNet(inner=p.inner, groups=p.groups, dropout=p.dropout)


def build_head(p: Preset) -> FusionHead:
    return FusionHead([2 * p.inner, *[p.inner] * 4])


@dataclasses.dataclass(frozen=True)
class Noise:
    """What is random in one fusion of N pairs. eps: (2, N, steps, H, W); level: (2, N, steps); axis 0: MRI, other."""

    eps: Tensor
    level: Tensor


def draw_noise(generators: Sequence[torch.Generator], height: int, width: int) -> Noise:
    """Fresh noise for each pair from its own generator, so that no pair's depends on its neighbours in a batch."""
    levels = sqrt_alpha_bar("linear", TIMESTEPS)
    eps, level = [], []
    for g in generators:
        level.append(torch.stack([draw_noise_level(levels, t, 2, g) for t in FUSION_STEPS], dim=1))
        eps.append(torch.randn(2, len(FUSION_STEPS), height, width, generator=g))
    return Noise(torch.stack(eps, dim=1), torch.stack(level, dim=1))


def _layout(network: nn.Module) -> torch.memory_format:
    """Channels last where the network's 3x3 convolutions are stored so, which is the faster layout on most machines."""
    weight = next(m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and min(m.weight.shape) > 1)
    last = weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _passes_at_once(unet: DenoisingUNet, noisy: Tensor) -> int:
    """All on a GPU; on a CPU as many as keep a finest map in CACHE bytes: larger ones come fresh from the system each time,
    and touching their pages costs as much as the convolutions."""
    if noisy.is_cuda:
        return len(noisy)
    size = 2 if torch.is_autocast_enabled(noisy.device.type) else noisy.element_size()
    return max(1, CACHE // (noisy[0].numel() * unet.widths[0] * size))


def decoder_maps(unet: DenoisingUNet, a: Tensor, b: Tensor, noise: Noise) -> list[Tensor]:
    """All U-Net passes of N pairs, batched: per level (2N, steps * width, h, w), what :class:`FusionHead` reads."""
    steps = noise.level.shape[-1]
    clean = torch.stack([a, b]).repeat_interleave(steps, dim=2).reshape(-1, 1, *a.shape[-2:])
    level = noise.level.reshape(-1).to(a.device)
    noisy = add_noise(clean, level, noise.eps.reshape(clean.shape).to(a))
    layout = _layout(unet)
    noisy, count = noisy.contiguous(memory_format=layout), _passes_at_once(unet, noisy)
    if count >= len(noisy):
        maps = unet.features(noisy, level)
        return [m.reshape(-1, steps * m.shape[1], *m.shape[2:]).contiguous(memory_format=layout) for m in maps]
    held: list[Tensor] = []
    for first in range(0, len(noisy), count):
        maps = unet.features(noisy[first : first + count], level[first : first + count])
        if not held:
            sizes = [(len(noisy) // steps, steps * m.shape[1], *m.shape[2:]) for m in maps]
            held = [torch.empty(size, dtype=maps[0].dtype, device=a.device, memory_format=layout) for size in sizes]
        for whole, m in zip(held, maps, strict=True):
            for index, single in enumerate(m, first):  # each copied once, to where it belongs
                whole.view(len(whole), steps, *single.shape)[index // steps, index % steps] = single
    return held


class DMFNet(nn.Module):
    """Frozen U-Net and fusion head."""

    def __init__(self, p: Preset) -> None:
        super().__init__()
        self.unet = build_unet(p)
        self.head = build_head(p)

    def forward(self, a: Tensor, b: Tensor, noise: Noise) -> Tensor:
        """(N,1,H,W) MRI and other image, sides multiples of 16 -> fused, (N,1,H,W) in [-1, 1]."""
        fused: Tensor = self.head(decoder_maps(self.unet, a, b, noise))
        return fused
