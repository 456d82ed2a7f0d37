"""LKC-FUNet's weights: our files with a card, and conversion of the authors' published ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.errors import InputError
from fusionbench.methods.lkcfunet.network import Network, Preset, preset
from fusionbench.training.weights import build_strict, load_pickle, load_strict, load_weights, save_weights

KIND = "lkcfunet"
PREFIX = "model."
LICENCE = "research use only; trained on images of the Harvard Whole Brain Atlas (AANLIB)"


def save_model(path: Path, network: Network, p: Preset, card: Mapping[str, Any], half: bool = False) -> None:
    """Write the network with a card that says how to build it and what was trained on what."""
    whole = {"kind": KIND, "preset": dataclasses.asdict(p), "licence": LICENCE, **card}
    save_weights(path, network.state_dict(), whole, half)


def load_model(path: Path, expected: Preset | None = None) -> tuple[Network, dict[str, Any]]:
    """Build the network that a file's card describes and fill it: (network, card).

    Raises InputError for a missing, damaged or foreign file, or one whose preset is not the ``expected`` one.
    """
    tensors, card = load_weights(path, KIND)
    try:
        p = Preset(**card["preset"])
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{path}: its card does not describe an LKC-FUNet ({error}); give another file") from error
    if expected is not None and p != expected:
        raise InputError(f"{path}: holds a network of {p}, not of {expected}; give its own --preset and --network")
    return build_strict(lambda: Network(p), tensors, str(path)), card


def convert_published(files: Sequence[Path], out: Path, size: str | Preset = "paper") -> None:
    """Turn the authors' file (a state dict whose keys begin with ``model.``) into one of ours.

    Strict: every key must be known and of the right shape. Raises InputError listing what is missing, extra or misshapen, or
    for another number of files than one.
    """
    if len(files) != 1:
        raise InputError(f"{len(files)} files for lkcfunet; give the one .pth file that its authors published")
    p = preset(size) if isinstance(size, str) else size
    network = Network(p)
    tensors = {key.removeprefix(PREFIX) if key.startswith(PREFIX) else f"(no prefix) {key}": value
               for key, value in load_pickle(files[0]).items()}  # fmt: skip
    load_strict(network, tensors, str(files[0]))
    origin = {"trained_by": "the authors of LKC-FUNet", "files": [files[0].name], "stage": "imported"}
    save_model(out, network, p, origin)
