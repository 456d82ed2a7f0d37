"""The Task contract, and TASKS, the registry of fusion tasks, named ``dataset/task`` (``harvard/pet-mri``).

A task is a set of registered pairs. Its factory is a class or function with keyword-only settings, all optional; ``data``
(folders that the user named) and ``split`` ("train", "test" or what the task defines) are understood by every task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fusionbench.errors import InputError
from fusionbench.pairs import Pair
from fusionbench.registry import Registry

DATASETS = ("harvard", "phantom", "folders")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """A task's fact sheet. ``modalities``: structural first. ``truth``: pairs carry ground truth."""

    name: str
    title: str
    modalities: tuple[str, str]
    reference: str
    doi: str = ""
    year: int | None = None
    licence: str = ""
    truth: bool = False
    version: int = 1

    @property
    def dataset(self) -> str:
        return self.name.partition("/")[0]

    @property
    def task(self) -> str:
        return self.name.partition("/")[2]


class Task(Protocol):
    """What the engine reads.

    Before a run writes anything it loads every pair, so that bad files are told at once. A task whose pairs are costly to
    make and cannot be bad (generated ones) may have a method ``check(id)``, which is called instead.
    """

    def ids(self) -> list[str]:
        """Stable names of the pairs, sorted; never positions. Raises InputError when data is missing or malformed."""

    def load(self, id: str) -> Pair:
        """One pair. Raises InputError naming the file at fault."""

    def case(self, id: str) -> str:
        """Patient or subject of a pair, "" where unknown; needs no pixels."""

    def digest(self, id: str) -> str:
        """Hash of what makes up a pair's pixels: file bytes, or generator version and id. Cheap; changes when they do."""


TASKS: Registry[TaskFacts] = Registry("task", ("fusionbench.datasets",), "fusionbench.tasks", parts=2)


def create_task(name: str, *, data: Sequence[Path] = (), split: str = "test") -> Task:
    """Make the task ``dataset/task``. Raises InputError for an unknown name or split, or data that is not there."""
    task: Task = TASKS[name].factory(data=tuple(data), split=split)
    return task


def resolve_tasks(wanted: Sequence[str], dataset: str, data: Sequence[Path] = ()) -> list[str]:
    """What the user typed, in upper or lower case -> full names.

    ``wanted``: task names, full names or "all"; ``dataset``: a name or "auto".

    "auto" takes harvard where its images can be found (``data``, FUSIONBENCH_DATA, the user data folder), else phantom.
    Raises InputError for a task that the dataset does not have.
    """
    names = TASKS.names()
    dataset = dataset.lower()
    if dataset == "auto":
        from fusionbench.datasets.harvard import find_root  # the contract must not need a plugin to be imported

        dataset = "harvard" if data or find_root(()) is not None else "phantom"
    own = [name for name in names if name.startswith(dataset + "/")]
    if not own:
        known = sorted({name.partition("/")[0] for name in names})
        raise InputError(f"unknown dataset {dataset!r}; known: {', '.join(known)}")
    chosen: list[str] = []
    for item in map(str.lower, wanted):
        if item == "all" and dataset == "folders":
            raise InputError("two folders hold one task; name it: -t ct-mri, pet-mri, spect-mri or other")
        if item == "all":
            chosen += own
        elif "/" in item:
            chosen.append(TASKS[item].facts.name)
        elif f"{dataset}/{item}" in names:
            chosen.append(f"{dataset}/{item}")
        else:
            elsewhere = [name for name in names if name.endswith("/" + item)]
            if len(elsewhere) == 1:
                chosen += elsewhere
            else:
                chosen.append(TASKS[f"{dataset}/{item}"].facts.name)  # raises, with the nearest names
    return list(dict.fromkeys(chosen))
