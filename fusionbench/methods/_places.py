"""Where weights that are no part of this package are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

VARIABLE = "FUSIONBENCH_WEIGHTS"
AUTHORS = "authors"
"""``weights=authors``: those that ``fusionbench weights fetch`` has imported."""


def weights_folder() -> Path:
    """The folder that FUSIONBENCH_WEIGHTS names, else ``weights`` in the user's data folder."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named else Path(platformdirs.user_data_dir("fusionbench", appauthor=False)) / "weights"


def authors_file(name: str, suffix: str = ".safetensors") -> Path:
    """The authors' weights of a method."""
    return weights_folder() / f"{name}-authors{suffix}"
