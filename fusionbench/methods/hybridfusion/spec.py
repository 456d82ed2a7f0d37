"""HybridFusion as training sees it: one stage, no reference images, luminance in [-1, 1]. Its authors publish no weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods.hybridfusion.losses import LossWeights, divergence, fusion_loss
from fusionbench.methods.hybridfusion.network import PRESETS, Network, Preset, fuse
from fusionbench.training import NetworkSpec, PairRecipe, Settings, Stage, Terms


def default_settings(preset_name: str) -> Settings:
    """How to train unless the user says otherwise. "paper" follows the published script, ten epochs of 1,083 pairs, as far
    as it can: theirs are whole frames of 480 x 640."""
    if preset_name == "paper":
        return Settings(steps=340, batch=16, accumulate=2, crop=256, lr=1e-4, schedule="constant", optimizer="adamw",
                        weight_decay=1e-4, ema=0.0, precision="bf16", validate_every=34)  # fmt: skip
    return Settings(
        steps=600, batch=4, crop=128, lr=1e-3, optimizer="adamw", weight_decay=1e-4, ema=0.99, validate_every=100
    )


class Objective:
    """The loss of a network on pairs of [0, 1] images of at least 48 pixels a side."""

    def __init__(self, weights: LossWeights) -> None:
        self.weights = weights

    def __call__(self, network: nn.Module, a: Tensor, b: Tensor) -> Terms:
        mri, other = a * 2 - 1, b * 2 - 1
        fused, weight, logvar = fuse(network, other, mri)
        with torch.autocast(a.device.type, enabled=False):
            total, terms = fusion_loss(fused.float().clamp(-1, 1), other, mri, self.weights)
            terms = {name: self.weights.total * term for name, term in terms.items()}
            terms["divergence"] = self.weights.divergence * divergence(weight.float(), logvar.float())
            return self.weights.total * total + terms["divergence"], terms


SPEC = NetworkSpec(
    name="hybridfusion",
    title="HybridFusion",
    size=Preset,
    presets=PRESETS,
    build=Network,
    stages=(
        Stage(
            "train",
            default_settings,
            lambda network, weights, preset, settings: PairRecipe("hybridfusion", network, Objective(weights)),
        ),
    ),
    losses={name: LossWeights() for name in PRESETS},
    half=frozenset({"compact"}),
)
