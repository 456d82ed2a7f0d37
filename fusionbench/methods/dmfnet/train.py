"""Training DM-FNet from pairs to a weights file: Stage I, Stage II, or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fusionbench.errors import InputError
from fusionbench.methods._learned import change_fields
from fusionbench.methods._sr3 import initialise
from fusionbench.methods.dmfnet.checkpoints import load_model, load_unet, save_model, save_unet
from fusionbench.methods.dmfnet.losses import LossWeights
from fusionbench.methods.dmfnet.model import DMFNet, Preset, build_unet, preset
from fusionbench.methods.dmfnet.recipes import DenoiseRecipe, FuseRecipe, default_settings, loss_preset
from fusionbench.methods.dmfnet.unet import DenoisingUNet
from fusionbench.training import Settings, Split, train

STAGES = ("denoise", "fuse", "all")


def train_stages(
    stage: str,
    split: Split,
    out: Path,
    *,
    preset_name: str = "compact",
    overrides: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    denoiser: Path | None = None,
    start: Path | None = None,
    resume: bool = False,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Train and return the file written: ``denoiser.safetensors`` (Stage I) or ``dmfnet.safetensors`` (whole) in ``out``.

    overrides: fields of :class:`Settings` to change in every stage that runs; loss: fields of :class:`LossWeights`;
    denoiser: Stage I weights for stage "fuse" (default: the one in ``out``); start: whole weights to go on from, in place of
    random ones: a stage that runs starts from its part of them, and stage "fuse" keeps their U-Net as it is; card: more
    lines for the weights' card.
    With ``resume`` and stage "all" a finished Stage I is passed over.
    """
    if stage not in STAGES:
        raise InputError(f"stage {stage!r}: take one of {', '.join(STAGES)}")
    p = preset(preset_name)
    given, origin = _start(start, p)
    facts = {**split.describe(), **origin, **(card or {})}
    written = denoiser or out / "denoiser.safetensors"
    if stage == "denoise" or (stage == "all" and not (resume and written.is_file())):
        settings = _settings("denoise", preset_name, overrides)
        unet = given.unet if given else _new_unet(p, settings.seed)
        _train_denoiser(unet, split, out, written, p, settings, resume, facts, preset_name)
    if stage == "denoise":
        return written
    settings = _settings("fuse", preset_name, overrides)
    weights = change_fields(loss_preset(preset_name), loss, "loss term")
    again = resume and (stage == "fuse" or (out / "fuse" / "state.pt").is_file())
    torch.manual_seed(settings.seed)
    model = given or DMFNet(p)
    stage_one = origin.get("started_from", {})
    if given is None or stage == "all" or denoiser:
        model.unet, stage_one = load_unet(written, p)
    facts = {"denoise": stage_one.get("denoise"), **facts}
    return _train_head(model, split, out, p, settings, weights, again, facts)


def _start(file: Path | None, p: Preset) -> tuple[DMFNet | None, dict[str, Any]]:
    """The network in a weights file that training goes on from, and a line about it for the card."""
    if file is None:
        return None, {}
    model, card = load_model(file, p)
    return model, {"started_from": card}


def _new_unet(p: Preset, seed: int) -> DenoisingUNet:
    torch.manual_seed(seed)
    unet = build_unet(p)
    initialise(unet)
    return unet


def _train_denoiser(
    unet: DenoisingUNet,
    split: Split,
    out: Path,
    file: Path,
    p: Preset,
    settings: Settings,
    resume: bool,
    facts: dict[str, Any],
    name: str,
) -> None:
    low_noise, readout = (0.0, 0.0) if name == "paper" else (0.6, 1.0)
    extra = {"low_noise": low_noise, "readout": readout}
    train(DenoiseRecipe(unet, low_noise, readout), split, settings, out / "denoise", resume=resume)
    save_unet(file, unet.cpu(), p, {"denoise": {**dataclasses.asdict(settings), **extra}, **facts})


def _train_head(
    model: DMFNet,
    split: Split,
    out: Path,
    p: Preset,
    settings: Settings,
    weights: LossWeights,
    resume: bool,
    facts: dict[str, Any],
) -> Path:
    torch.nn.utils.convert_conv2d_weight_memory_format(model.unet, torch.channels_last)
    recipe = FuseRecipe(model.unet, model.head, weights, cache=settings.pool > 0)
    train(recipe, split, settings, out / "fuse", resume=resume)
    card = {"fuse": dataclasses.asdict(settings), "loss": dataclasses.asdict(weights)}
    written = out / "dmfnet.safetensors"
    save_model(written, model.cpu(), p, {**card, **facts})
    return written


def _settings(stage: str, preset_name: str, overrides: Mapping[str, Any] | None) -> Settings:
    return dataclasses.replace(default_settings(stage, preset_name), **(overrides or {}))
