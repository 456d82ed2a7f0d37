"""A task of any size, for tools/scale.py: pairs of 64 x 64 drawn from their names; nothing is stored."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.pairs import Pair, UInt8


@TASKS.register(TaskFacts(name="simulated/pet-mri", title="Simulated", modalities=("MRI", "PET"), reference=""))
class Simulated:
    """FUSIONBENCH_SIMULATED pairs (20,000)."""

    def __init__(self, *, data: Sequence[Path] = (), split: str = "test") -> None:
        self._count = int(os.environ.get("FUSIONBENCH_SIMULATED", "20000"))

    def ids(self) -> list[str]:
        return [f"pair-{n:07d}" for n in range(self._count)]

    def load(self, id: str) -> Pair:
        rng = np.random.default_rng(list(hashlib.sha256(id.encode()).digest()))
        a, b = (self._image(rng) for _ in range(2))
        return Pair(id=id, a=a, b=b, case=id)

    def _image(self, rng: np.random.Generator) -> UInt8:
        field = ndimage.gaussian_filter(rng.standard_normal((64, 64)), 2)
        low, high = field.min(), field.max()
        return np.floor((field - low) / (high - low) * 255).astype(np.uint8)

    def case(self, id: str) -> str:
        return id

    def digest(self, id: str) -> str:
        return hashlib.sha256(f"simulated 1 {id}".encode()).hexdigest()

    def check(self, id: str) -> None:
        """Every name makes a pair."""
