"""Diff-IF as training and import see it: both networks trained together, the authors' one file."""

from __future__ import annotations

import torch

from fusionbench.methods._sr3 import SCHEDULE_BUFFERS, initialise
from fusionbench.methods.diffif.model import PRESETS, DiffIF, Preset
from fusionbench.methods.diffif.recipe import DiffIFRecipe, default_settings, loss_preset
from fusionbench.training import NetworkSpec, PublishedFile, Stage


def initial(preset: Preset, seed: int) -> DiffIF:
    """Both networks at their start."""
    torch.manual_seed(seed)
    model = DiffIF(preset)
    initialise(model)
    return model


def sampled(preset: str) -> float:
    """Share of samples whose step is one that the sampler visits; as published: 0."""
    return 0.0 if preset == "paper" else 0.6


SPEC = NetworkSpec(
    name="diffif",
    title="Diff-IF",
    size=Preset,
    presets=PRESETS,
    build=DiffIF,
    initial=initial,
    stages=(
        Stage(
            "train",
            default_settings,
            lambda model, weights, preset, settings: DiffIFRecipe(model, weights, sampled(preset)),
            facts=lambda preset: {"sampled": sampled(preset)},
        ),
    ),
    losses={name: loss_preset(name) for name in PRESETS},
    published=(PublishedFile("the one that holds both networks", ignored=frozenset(SCHEDULE_BUFFERS)),),
    half=frozenset({"compact"}),
    needs_target=True,
)
