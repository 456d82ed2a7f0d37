"""Training LKC-FUNet from pairs to a weights file: one stage, no reference images, on [0, 1]."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionbench.errors import InputError
from fusionbench.methods._learned import PairRecipe, Terms, change_fields
from fusionbench.methods.lkcfunet.checkpoints import load_model, save_model
from fusionbench.methods.lkcfunet.losses import LossWeights, fusion_loss, loss_preset
from fusionbench.methods.lkcfunet.network import Network, Preset, fuse, preset
from fusionbench.training import Settings, Split, train


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


def train_stages(
    stage: str,
    split: Split,
    out: Path,
    *,
    preset_name: str = "compact",
    overrides: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    start: Path | None = None,
    resume: bool = False,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Train and return the file written, ``lkcfunet.safetensors`` in ``out`` (float16 for preset "compact").

    overrides: fields of :class:`Settings`; loss: of :class:`LossWeights`; network: of :class:`Preset`, such as
    normalisation="batch"; start: weights to go on from, in place of random ones; card: more lines for the weights' card.
    """
    if stage != "all":
        raise InputError("lkcfunet has one stage; leave --stage out")
    p: Preset = change_fields(preset(preset_name), network, "network setting")
    settings = dataclasses.replace(default_settings(preset_name), **(overrides or {}))
    weights: LossWeights = change_fields(loss_preset(preset_name), loss, "loss term")
    torch.manual_seed(settings.seed)
    origin: dict[str, Any] = {}
    if start is None:
        model = Network(p)
    else:
        model, origin["started_from"] = load_model(start, p)
    recipe = PairRecipe("lkcfunet", model, Objective(weights))
    train(recipe, split, settings, out, resume=resume, channels_last=False)
    facts = {"train": dataclasses.asdict(settings), "loss": dataclasses.asdict(weights), **split.describe(), **origin}
    written = out / "lkcfunet.safetensors"
    save_model(written, model.cpu(), p, {**facts, **(card or {})}, half=preset_name == "compact")
    return written
