"""LKC-FUNet's weights: our files with a card, and conversion of the authors' published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.errors import InputError
from fusionbench.methods.lkcfunet.network import Network, Preset, preset
from fusionbench.training.weights import (
    load_network,
    load_pickle,
    load_strict,
    save_network,
)

KIND = "lkcfunet"
PREFIX = "model."


def save_model(path: Path, network: Network, p: Preset, card: Mapping[str, Any], half: bool = False) -> None:
    """Write the network with a card that says how to build it and what was trained on what."""
    save_network(path, network, KIND, p, card, half)


def load_model(path: Path, expected: Preset | None = None) -> tuple[Network, dict[str, Any]]:
    """(network, card) from a file; see :func:`fusionbench.training.weights.load_network`."""
    return load_network(path, KIND, Preset, Network, expected)


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
