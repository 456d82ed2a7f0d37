"""FRUFN as training and import see it: one stage without teacher or reference images, on [0, 1]; the authors' one file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods.frufn.losses import LossWeights, fusion_loss
from fusionbench.methods.frufn.network import CELLS, PRESETS, Network, Preset, fuse, not_weights
from fusionbench.training import NetworkSpec, PairRecipe, PublishedFile, Settings, Stage, Terms


def default_settings(preset_name: str) -> Settings:
    """How to train unless the user says otherwise. "paper" is the authors' infrared-visible stage as far as it is known (its
    crop and the number of its pairs are not), from random weights and without its teacher."""
    if preset_name == "paper":
        return Settings(steps=160_000, batch=2, crop=128, lr=1e-4, schedule="constant", clip=1e-2, ema=0.0, seed=555)
    return Settings(steps=600, batch=1, crop=64, lr=2e-3, ema=0.99, validate_every=100)


class Objective:
    """The loss of a network on pairs of [0, 1] images of any size; the other modality is the first image.

    A network may give several images of each pair, one batch after the other; the loss is then their mean.
    """

    def __init__(self, weights: LossWeights) -> None:
        self.weights = weights

    def __call__(self, network: nn.Module, a: Tensor, b: Tensor) -> Terms:
        fused = fuse(network, b, a)
        count = len(fused) // len(a)
        with torch.autocast(a.device.type, enabled=False):
            return fusion_loss(fused.float(), b.repeat(count, 1, 1, 1), a.repeat(count, 1, 1, 1), self.weights)


SPEC = NetworkSpec(
    name="frufn",
    title="FRUFN",
    size=Preset,
    presets=PRESETS,
    build=Network,
    stages=(
        Stage(
            "train",
            default_settings,
            lambda network, weights, preset, settings: PairRecipe("frufn", network, Objective(weights)),
        ),
    ),
    losses={name: LossWeights() for name in PRESETS},
    half=frozenset({"compact"}),
    published=(
        PublishedFile(
            "the one .pth file of the unrolled network",
            ignored=not_weights([f"fuser.u{i + 1}" for i in range(CELLS)]) | {"out_conv.weight"},
        ),
    ),
)
