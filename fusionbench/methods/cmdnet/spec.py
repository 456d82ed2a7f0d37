"""CMD-Net as training sees it: the structural image of each pair alone, its k-space undersampled anew in every step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.methods.cmdnet.losses import reconstruction_loss
from fusionbench.methods.cmdnet.masks import column_mask
from fusionbench.methods.cmdnet.network import PRESETS, Network, Preset, magnitude, normalised, to_kspace
from fusionbench.training import NetworkSpec, Settings, Stage, Terms, TrainingPair, mean_terms, sample_seed, to_signed

STRIP = 64
"""Columns of the image that a training step sees. Lines are left out along the other axis alone, so that a strip is restored
from its own spectrum as it would be in the whole image, at a fraction of the work."""
ACCELERATIONS = (2.0, 8.0)


def default_settings(preset_name: str) -> Settings:
    """How to train unless the user says otherwise. "paper" follows the published script, with 150 epochs of 168
    images of ours."""
    if preset_name == "paper":
        return Settings(steps=25_200, batch=1, crop=256, lr=1e-3, schedule="constant", clip=0.0, ema=0.0,
                        validate_every=500)  # fmt: skip
    return Settings(steps=400, batch=2, crop=256, lr=2e-3, ema=0.99, validate_every=100)


class CMDNetRecipe:
    """Restore a magnitude image from undersampled k-space: lines of the vertical axis are left out, as the degradation
    ``undersample`` does. Images are transposed, for the network's masks are of columns."""

    name = "cmdnet"

    def __init__(self, network: nn.Module, strip: int = STRIP) -> None:
        self.network = network
        self._strip = strip

    def loss(self, network: nn.Module, a: Tensor, b: Tensor, seeds: list[int]) -> Terms:
        return self.loss_of(network, a, b, *self.draw(seeds, a.shape[2], a.shape[3]))

    def draw(self, seeds: list[int], height: int, width: int) -> tuple[Tensor, ...]:
        """Masks (N,1,1,height) and the first column of each strip (N,)."""
        masks, firsts = [], []
        for seed in seeds:
            rng = np.random.default_rng(sample_seed(seed, 2))
            masks.append(column_mask(rng.uniform(size=height), rng.uniform(*ACCELERATIONS)))
            firsts.append(int(rng.integers(max(1, width - self._strip + 1))))
        return torch.from_numpy(np.stack(masks))[:, None, None], torch.tensor(firsts)

    def loss_of(self, network: nn.Module, *images_and_draws: Tensor) -> Terms:
        a, _, masks, firsts = images_and_draws
        columns = torch.arange(min(self._strip, a.shape[3]), device=a.device) + firsts.to(a.device)[:, None]
        strips = torch.stack([image[:, :, at] for image, at in zip(a, columns, strict=True)])
        return _loss(network, strips / 2 + 0.5, masks.to(a))[0]

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """The loss and its terms, and the peak signal-to-noise ratio of the result, over at most twelve whole images."""
        device = next(network.parameters()).device
        rows = []
        for number, pair in enumerate(pairs[:: max(1, len(pairs) // 12)][:12]):
            a = to_signed([pair.a]).to(device) / 2 + 0.5
            mask = self.draw([sample_seed(0, number)], a.shape[2], a.shape[3])[0].to(device)
            (total, terms), restored = _loss(network, a, mask)
            rows.append({"loss": total, **terms, "psnr": -10 * (restored - a).square().mean().log10()})
        return mean_terms(rows)

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        return None


def _loss(network: nn.Module, a: Tensor, mask: Tensor) -> tuple[Terms, Tensor]:
    """The loss on images (N,1,H,W) in [0, 1] whose lines of k-space are masked (N,1,1,H), and the restored images."""
    turned = a.transpose(2, 3)
    image = torch.cat([turned, torch.zeros_like(turned)], 1)
    k0, scale = normalised(to_kspace(image), mask)
    outputs, symmetry = network(k0, mask)
    restored = magnitude(outputs[-1]) * scale
    return reconstruction_loss(outputs, symmetry, image / scale), restored.clamp(0, 1).transpose(2, 3)


SPEC = NetworkSpec(
    name="cmdnet",
    title="CMD-Net",
    size=Preset,
    presets=PRESETS,
    build=Network,
    stages=(
        Stage(
            "train",
            default_settings,
            lambda network, weights, preset, settings: CMDNetRecipe(network),
            facts=lambda preset: {"strip": STRIP, "accelerations": list(ACCELERATIONS)},
            channels_last=False,
        ),
    ),
    half=frozenset({"compact"}),
)
