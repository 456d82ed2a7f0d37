"""Diff-IF's weights: our file with a card, and conversion of the authors' published one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.errors import InputError
from fusionbench.methods._sr3 import SCHEDULE_BUFFERS
from fusionbench.methods.diffif.model import DiffIF, Preset, preset
from fusionbench.training.weights import (
    load_network,
    load_pickle,
    load_strict,
    save_network,
)

KIND = "diffif"


def save_model(path: Path, model: DiffIF, p: Preset, card: Mapping[str, Any], half: bool = False) -> None:
    """Write both networks with a card that says how to build them and what was trained on what."""
    save_network(path, model, KIND, p, card, half)


def load_model(path: Path, expected: Preset | None = None) -> tuple[DiffIF, dict[str, Any]]:
    """(model, card) from a file; see :func:`fusionbench.training.weights.load_network`."""
    return load_network(path, KIND, Preset, DiffIF, expected)


def convert_published(files: Sequence[Path], out: Path, size: str | Preset = "paper") -> None:
    """Turn the authors' file (both networks in one) into one of ours.

    Strict: after the schedule's buffers are set aside, every key must be known and of the right shape. Raises InputError
    listing what is missing, extra or misshapen; such a file is not converted.
    """
    if len(files) != 1:
        raise InputError(f"{len(files)} files for diffif; give one, which holds both networks")
    p = preset(size) if isinstance(size, str) else size
    model = DiffIF(p)
    content = {key: value for key, value in load_pickle(files[0]).items() if key not in SCHEDULE_BUFFERS}
    load_strict(model, content, str(files[0]))
    origin = {"trained_by": "the authors of Diff-IF", "files": [files[0].name], "stage": "imported"}
    save_model(out, model, p, origin)
