"""LKC-FUNet as training and import see it: one stage, no reference images, on [0, 1]; the authors' one file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods.lkcfunet.losses import LossWeights, fusion_loss, loss_preset
from fusionbench.methods.lkcfunet.network import PRESETS, Network, Preset, fuse
from fusionbench.training import NetworkSpec, PairRecipe, PublishedFile, Settings, Stage, Terms


def default_settings(preset_name: str) -> Settings:
    """How to train unless the user says otherwise. "paper" follows the published script: 1000 epochs of the 514 pairs that
    the default validation cases leave, its size of "train5" being unknown."""
    if preset_name == "paper":
        return Settings(steps=16_000, batch=32, crop=64, lr=2e-4, schedule="constant", clip=0.0, ema=0.0,
                        validate_every=500)  # fmt: skip
    return Settings(steps=4000, batch=4, crop=64, lr=1e-3, ema=0.998, validate_every=250)


class Objective:
    """The loss of a network on pairs of [0, 1] images of any size."""

    def __init__(self, weights: LossWeights) -> None:
        self.weights = weights

    def __call__(self, network: nn.Module, a: Tensor, b: Tensor) -> Terms:
        fused = fuse(network, a, b)
        with torch.autocast(a.device.type, enabled=False):
            return fusion_loss(fused.float(), a, b, self.weights)


SPEC = NetworkSpec(
    name="lkcfunet",
    title="LKC-FUNet",
    size=Preset,
    presets=PRESETS,
    build=Network,
    stages=(
        Stage(
            "train",
            default_settings,
            lambda network, weights, preset, settings: PairRecipe("lkcfunet", network, Objective(weights)),
            channels_last=False,
        ),
    ),
    losses={name: loss_preset(name) for name in PRESETS},
    published=(PublishedFile("the one .pth file that its authors published", prefix="model."),),
    half=frozenset({"compact"}),
)
