"""RWKVFusion as training sees it: one stage, no reference images, on [0, 1], images alone. No weights are published."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods.rwkvfusion.losses import LossWeights, fusion_loss
from fusionbench.methods.rwkvfusion.network import PRESETS, Network, Preset, fuse
from fusionbench.training import NetworkSpec, PairRecipe, Settings, Stage, Terms


def default_settings(preset_name: str) -> Settings:
    """How to train unless the user says otherwise. "paper" follows the released configuration but for its optimiser (SOAP at
    1e-3, which PyTorch lacks: AdamW at a smaller rate) and its rate that falls on plateaus (a cosine)."""
    if preset_name == "paper":
        return Settings(steps=12_000, batch=12, accumulate=2, crop=256, lr=3e-4, schedule="cosine", optimizer="adamw",
                        weight_decay=1e-6, clip=0.04, ema=0.999, validate_every=500)  # fmt: skip
    return Settings(steps=800, batch=4, crop=48, lr=2e-3, ema=0.99, validate_every=200)


class Objective:
    """The loss of a network on pairs of [0, 1] images of any size."""

    def __init__(self, weights: LossWeights) -> None:
        self.weights = weights

    def __call__(self, network: nn.Module, a: Tensor, b: Tensor) -> Terms:
        fused = fuse(network, a, b).clamp(0, 1)
        with torch.autocast(a.device.type, enabled=False):
            return fusion_loss(fused.float(), a, b, self.weights)


SPEC = NetworkSpec(
    name="rwkvfusion",
    title="RWKVFusion",
    size=Preset,
    presets=PRESETS,
    build=Network,
    stages=(
        Stage(
            "train",
            default_settings,
            lambda network, weights, preset, settings: PairRecipe("rwkvfusion", network, Objective(weights)),
            channels_last=False,
        ),
    ),
    losses={name: LossWeights() for name in PRESETS},
    half=frozenset({"compact"}),
)
