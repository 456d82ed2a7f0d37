"""DM-FNet's weights: our files with a card, and conversion of the authors' published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from fusionbench.errors import InputError
from fusionbench.methods._sr3 import SCHEDULE_BUFFERS
from fusionbench.methods.dmfnet.model import DMFNet, Preset, build_unet, preset
from fusionbench.methods.dmfnet.unet import DenoisingUNet
from fusionbench.training.weights import (
    load_network,
    load_pickle,
    load_strict,
    load_weights,
    save_network,
)

KIND = "dmfnet"
KIND_UNET = "dmfnet-denoiser"
PREFIX = "denoise_fn."


def save_model(path: Path, model: DMFNet, p: Preset, card: Mapping[str, Any], half: bool = False) -> None:
    """Write both networks with a card that says how to build them and what was trained on what."""
    save_network(path, model, KIND, p, card, half)


def load_model(path: Path, expected: Preset | None = None) -> tuple[DMFNet, dict[str, Any]]:
    """(model, card) from a file; see :func:`fusionbench.training.weights.load_network`."""
    return load_network(path, KIND, Preset, DMFNet, expected)


def save_unet(path: Path, unet: DenoisingUNet, p: Preset, card: Mapping[str, Any]) -> None:
    """Write the Stage I network alone, for Stage II to start from."""
    save_network(path, unet, KIND_UNET, p, card)


def load_unet(path: Path, p: Preset) -> tuple[DenoisingUNet, dict[str, Any]]:
    """The Stage I network of a preset and its card. Raises InputError for a missing, damaged or foreign file."""
    tensors, card = load_weights(path, KIND_UNET)
    unet = build_unet(p)
    load_strict(unet, tensors, str(path))
    return unet, card


def convert_published(files: Sequence[Path], out: Path, size: str | Preset = "paper") -> None:
    """Turn the authors' Stage I and Stage II files into one of ours.

    Strict: after the schedule's buffers are set aside, every key must be known and of the right shape. Raises InputError
    listing what is missing, extra or misshapen, or for another number of files than two; such files are not converted.
    """
    if len(files) != 2:
        raise InputError(f"{len(files)} files for dmfnet; give two, GEN.pth (Stage I) and FUSION.pth (Stage II)")
    denoiser, fusion = files
    p = preset(size) if isinstance(size, str) else size
    model = DMFNet(p)
    content = {key: value for key, value in load_pickle(denoiser).items() if key not in SCHEDULE_BUFFERS}
    unet: dict[str, Tensor] = {key.removeprefix(PREFIX) if key.startswith(PREFIX) else f"(no prefix) {key}": value
                               for key, value in content.items()}  # fmt: skip
    load_strict(model.unet, unet, str(denoiser))
    load_strict(model.head, load_pickle(fusion), str(fusion))
    origin = {"trained_by": "the authors of DM-FNet", "files": [denoiser.name, fusion.name], "stage": "imported"}
    save_model(out, model, p, origin)
