"""DM-FNet as training and import see it: Stage I, Stage II on its frozen U-Net, the authors' two files."""

from __future__ import annotations

import functools

import torch

from fusionbench.methods._sr3 import SCHEDULE_BUFFERS, initialise
from fusionbench.methods.dmfnet.losses import LossWeights
from fusionbench.methods.dmfnet.model import PRESETS, DMFNet, Preset, build_unet
from fusionbench.methods.dmfnet.recipes import DenoiseRecipe, FuseRecipe, default_settings, loss_preset
from fusionbench.training import NetworkSpec, PublishedFile, Settings, Stage


def initial(preset: Preset, seed: int) -> DMFNet:
    """Both networks at their start. Each begins from the seed, whatever the other has drawn."""
    torch.manual_seed(seed)
    model = DMFNet(preset)
    torch.manual_seed(seed)
    model.unet = build_unet(preset)
    initialise(model.unet)
    return model


def stage_one(preset: str) -> dict[str, float]:
    """What :class:`DenoiseRecipe` adds to the published Stage I."""
    return {"low_noise": 0.0, "readout": 0.0} if preset == "paper" else {"low_noise": 0.6, "readout": 1.0}


def _denoise(model: DMFNet, weights: LossWeights, preset: str, settings: Settings) -> DenoiseRecipe:
    ours = stage_one(preset)
    return DenoiseRecipe(model.unet, ours["low_noise"], ours["readout"])


def _fuse(model: DMFNet, weights: LossWeights, preset: str, settings: Settings) -> FuseRecipe:
    torch.nn.utils.convert_conv2d_weight_memory_format(model.unet, torch.channels_last)
    return FuseRecipe(model.unet, model.head, weights, cache=settings.pool > 0)


DENOISE = Stage("denoise", functools.partial(default_settings, "denoise"), _denoise, part="unet", facts=stage_one)
SPEC = NetworkSpec(
    name="dmfnet",
    title="DM-FNet",
    size=Preset,
    presets=PRESETS,
    build=DMFNet,
    initial=initial,
    stages=(DENOISE, Stage("fuse", functools.partial(default_settings, "fuse"), _fuse)),
    losses={name: loss_preset(name) for name in PRESETS},
    published=(
        PublishedFile("GEN.pth (Stage I)", "unet", prefix="denoise_fn.", ignored=frozenset(SCHEDULE_BUFFERS)),
        PublishedFile("FUSION.pth (Stage II)", "head"),
    ),
)
