"""Where the Harvard pairs are on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import platformdirs

VARIABLE = "FUSIONBENCH_DATA"
MODALITIES = {"ct-mri": "CT", "pet-mri": "PET", "spect-mri": "SPECT"}
"""Task -> what is fused with the MRI."""


def user_folder() -> Path:
    """Where ``fusionbench data download harvard`` puts the images unless told otherwise."""
    return Path(platformdirs.user_data_dir("fusionbench", appauthor=False)) / "harvard"


def find_root(data: Sequence[Path]) -> Path | None:
    """The folder that holds ``CT-MRI`` and its like, or None.

    Looked at: ``data`` if it names any folder, else the environment variable FUSIONBENCH_DATA, then the user data folder;
    in each the folder itself and ``harvard`` or ``MyDatasets`` in it.
    """
    for place in places(data):
        for root in (place, place / "harvard", place / "MyDatasets"):
            if any((root / task.upper()).is_dir() for task in MODALITIES):
                return root
    return None


def places(data: Sequence[Path]) -> list[Path]:
    """The folders that :func:`find_root` looks into."""
    if data:
        return [Path(folder) for folder in data]
    named = os.environ.get(VARIABLE, "")
    return ([Path(named)] if named else []) + [user_folder()]
