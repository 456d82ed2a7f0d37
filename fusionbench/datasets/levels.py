"""Which grey image of a coloured source is fused: its luminance, as the literature has it, or its level.

PET and SPECT pictures show one quantity through a colour table. ``luma`` is the BT.601 luminance of the colours;
``level`` is the quantity again, the table inverted. The tables here run through the colours of the Whole Brain Atlas of
Harvard Medical School: generated pairs are shown through them, so their levels are exact; pixels of the atlas lie 2.2 (PET)
and 1.1 (SPECT) of 255 from the nearest colour, root mean square (``tests/test_levels.py``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionbench.datasets import Task, check_pair, create_task, task_plugin
from fusionbench.errors import InputError
from fusionbench.pairs import Pair, UInt8, to_uint8
from fusionbench.scores import fingerprint

VERSION = 1  # bumped whenever a level of any pixel changes
CHANNELS = ("luma", "level")

MOST_APART = 8.0
"""Root mean square distance of a picture's colours from the table beyond which it was shown through another one."""

Anchors = tuple[tuple[int, int, int], ...]
# RGB at equal steps from 0 to full scale, linear between them.
PET_TABLE: Anchors = ((0, 0, 0), (0, 0, 128), (0, 85, 255), (128, 170, 128), (255, 255, 0), (255, 128, 0), (255, 0, 0),
                      (255, 0, 128), (255, 0, 255))  # fmt: skip
SPECT_TABLE: Anchors = ((0, 0, 0), (41, 71, 73), (83, 0, 144), (190, 90, 121), (255, 114, 0), (255, 222, 255))
TABLES = {"PET": PET_TABLE, "SPECT": SPECT_TABLE}
"""By modality."""


def color_table(anchors: Anchors) -> UInt8:
    """(256, 3) uint8: anchors at equal steps, linear between them."""
    at = np.linspace(0.0, 255.0, len(anchors))
    channels = [np.interp(np.arange(256.0), at, [anchor[c] for anchor in anchors]) for c in range(3)]
    return to_uint8(np.stack(channels, axis=-1) / 255.0)


def levels_of(color: UInt8, anchors: Anchors) -> tuple[UInt8, NDArray[np.float64]]:
    """(..., 3) uint8 RGB -> (...) the level of the table's nearest colour, the lowest where levels share one, and (...) how
    far that colour is, in levels of RGB."""
    from scipy.spatial import KDTree  # commands that only name the channels need not wait for it

    table, first = np.unique(color_table(anchors), axis=0, return_index=True)
    seen, back = np.unique(color.reshape(-1, 3), axis=0, return_inverse=True)
    apart, nearest = KDTree(table.astype(np.float64)).query(seen.astype(np.float64))
    at = back.reshape(color.shape[:-1])
    levels: UInt8 = first[nearest].astype(np.uint8)[at]
    return levels, np.asarray(apart, np.float64)[at]


def table_of(task_name: str) -> Anchors:
    """The colour table of a task's second image. Raises InputError where it has none."""
    facts = task_plugin(task_name).facts
    modality = facts.modalities[1]
    if modality not in TABLES:
        raise InputError(f"{task_name}: --channel level is for PET and SPECT; {modality} is grey, or its table unknown")
    return TABLES[modality]


def open_task(name: str, channel: str, *, data: Sequence[Path] = (), split: str = "test") -> Task:
    """A task whose second image is fused by one of CHANNELS. Raises InputError as :func:`create_task` and ByLevel do."""
    return (ByLevel if channel == "level" else create_task)(name, data=data, split=split)


class ByLevel:
    """A task whose second image is its level; people see fused images through the same table. Ids are the task's own."""

    def __init__(self, name: str, *, data: Sequence[Path] = (), split: str = "test") -> None:
        self._name = name
        self._anchors = table_of(name)
        self._task: Task = create_task(name, data=data, split=split)

    def ids(self) -> list[str]:
        return self._task.ids()

    def load(self, id: str) -> Pair:
        """Raises InputError for a grey picture or one of another colour table."""
        pair = self._task.load(id)
        if pair.color is None:
            raise InputError(f"{self._name}: pair {id} is grey, so nothing tells its level; leave out --channel level")
        levels, apart = levels_of(pair.color, self._anchors)
        shown = pair.color.any(axis=-1)
        if shown.any() and (far := float(np.sqrt((apart[shown] ** 2).mean()))) > MOST_APART:
            raise InputError(
                f"{self._name}: the colours of pair {id} lie {far:.0f} levels from the known table, so its level cannot "
                "be told; leave out --channel level"
            )
        return dataclasses.replace(pair, b=levels, table=color_table(self._anchors))

    def case(self, id: str) -> str:
        return self._task.case(id)

    def digest(self, id: str) -> str:
        return fingerprint(self._task.digest(id), "level", VERSION)

    def check(self, id: str) -> None:
        check_pair(self._task, id)
