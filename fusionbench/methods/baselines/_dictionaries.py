"""The dictionaries that ``tools/learn_dictionaries.py`` learned from the Harvard training pairs."""

from __future__ import annotations

import functools
import importlib.resources

import numpy as np
from numpy.typing import NDArray

SEEN = "harvard:10,15,16,18,2,20,21,22,28,3,32,33,34,36,37,40,41,9,PET 25,PET 30,PET 41"
"""The patients of those pairs (see ``scores.exposure``): twelve evenly spaced slices a task of the published split."""


@functools.cache
def dictionary(name: str) -> NDArray[np.float64]:
    """``patch`` (64, 256), ``csr``, ``cartoon``, ``texture`` (32, 8, 8) or ``latlrr`` (64, 64); treat as read-only."""
    source = importlib.resources.files("fusionbench.methods.baselines") / "data" / "dictionaries.npz"
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return np.asarray(arrays[name], dtype=np.float64)
