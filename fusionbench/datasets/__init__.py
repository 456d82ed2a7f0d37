"""The Task contract, and TASKS, the registry of fusion tasks, named ``dataset/task`` (``harvard/pet-mri``).

A task is a set of registered pairs. Its factory is a class or function with keyword-only settings, all optional; ``data``
(folders that the user named) and ``split`` ("train", "test" or what the task defines) are understood by every task.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from fusionbench.datasets._places import find_root
from fusionbench.errors import InputError
from fusionbench.pairs import Pair, UInt8
from fusionbench.registry import Plugin, Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """A task's fact sheet. ``modalities``: structural first. ``truth``: pairs carry ground truth. ``named``: the images are
    whatever folders the user gives, so that a run gives the data set a name of its own: ``folders:NAME/pet-mri``.
    ``people``: tasks of a data set that say the same here call one person's case by one name; others number apart."""

    name: str
    title: str
    modalities: tuple[str, str]
    reference: str
    doi: str = ""
    year: int | None = None
    licence: str = ""
    truth: bool = False
    named: bool = False
    people: str = ""
    version: int = 1

    @property
    def dataset(self) -> str:
        return self.name.partition("/")[0]

    @property
    def task(self) -> str:
        return self.name.partition("/")[2]


class Task(Protocol):
    """What the engine reads.

    Before a run writes anything it loads every pair, so that bad files are told at once (see :class:`ChecksPairs`).
    """

    def ids(self) -> list[str]:
        """Stable names of the pairs, sorted; never positions. Raises InputError when data is missing or malformed."""

    def load(self, id: str) -> Pair:
        """One pair. Raises InputError naming the file at fault."""

    def case(self, id: str) -> str:
        """Patient or subject of a pair, "" where unknown; needs no pixels."""

    def digest(self, id: str) -> str:
        """Hash of what makes up a pair's pixels: file bytes, or generator version and id. Cheap; changes when they do."""


@runtime_checkable
class ChecksPairs(Protocol):
    """A task whose pairs are costly to make and cannot be bad (generated ones); pairs of others are loaded instead."""

    def check(self, id: str) -> None:
        """Raises InputError for a pair that a run could not load."""


@runtime_checkable
class ShowsFindings(Protocol):
    """A task for model observers: pairs with a finding in neither, one or both images, at a known place.

    ``load(id).truth["place"]`` is 1 at the place's pixel. ``widths``: of the channels that fit the finding in the first and
    in the second image, pixels.
    """

    @property
    def widths(self) -> tuple[float, float]: ...

    def subjects(self, count: int) -> list[str]:
        """The pairs of the first ``count`` subjects, each subject's together; any number can be had."""

    def shows(self, id: str) -> tuple[bool, bool]:
        """Whether the first and the second image show the finding."""

    def level(self, color: UInt8) -> UInt8:
        """What a coloured second image measures: (H, W, 3) through its colour table -> (H, W) levels."""


def check_pair(task: Task, id: str) -> None:
    """Raises InputError, naming the file at fault, for a pair that a run could not load."""
    if isinstance(task, ChecksPairs):
        task.check(id)
    else:
        task.load(id)


TASKS: Registry[TaskFacts] = Registry("task", ("fusionbench.datasets",), "fusionbench.tasks", parts=2)


def task_plugin(name: str) -> Plugin[TaskFacts]:
    """The plugin of ``dataset/task`` or ``dataset:NAME/task``, whose facts then bear the name. Raises InputError for an
    unknown task, or a NAME where the task takes none or that cannot be part of a file name.
    """
    dataset, _, task = name.partition("/")
    base, colon, own = dataset.partition(":")
    plugin = TASKS[f"{base}/{task}"]
    if not colon:
        return plugin
    if not plugin.facts.named:
        raise InputError(f"{name}: {base} has images of its own and takes no name; leave out :{own}")
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,59}", own):
        raise InputError(f"{name}: name your data set with at most 60 letters, digits and . _ -, such as {base}:mine")
    facts = dataclasses.replace(plugin.facts, name=name, title=f"{plugin.facts.title}: {own}")
    return dataclasses.replace(plugin, facts=facts)


def create_task(name: str, *, data: Sequence[Path] = (), split: str = "test") -> Task:
    """Make the task ``dataset/task``. Raises InputError for an unknown name or split, or data that is not there."""
    task: Task = task_plugin(name).factory(data=tuple(data), split=split)
    return task


def name_of(data: Sequence[Path]) -> str:
    """What to call a data set of the user's own: the folder that its folders lie in, or their names if there is none."""
    places = [folder.resolve() for folder in data]
    homes = {place.parent for place in places}
    text = homes.pop().name if len(homes) == 1 else "-".join(place.name for place in places)
    return re.sub("[^A-Za-z0-9._-]+", "-", text).strip("-._")[:60] or "mine"


def resolve_tasks(wanted: Sequence[str], dataset: str, data: Sequence[Path] = ()) -> list[str]:
    """What the user typed, in upper or lower case -> full names.

    ``wanted``: task names, full names or "all"; ``dataset``: a name or "auto".
    "auto" takes harvard where its images can be found (``data``, FUSIONBENCH_DATA, the user data folder), else phantom. A
    dataset of the user's own folders gets a name: "folders:NAME", or one made from ``data`` (:func:`name_of`). Raises
    InputError for a task that the dataset does not have.
    """
    names = TASKS.names()
    dataset = _lower(dataset)
    if dataset == "auto":
        if len(data) == 2 and find_root(data) is None:
            raise InputError(
                f"--data was given twice ({data[0]}, {data[1]}): for two folders of your own add --dataset folders, "
                "for the Harvard pairs give one folder"
            )
        dataset = "harvard" if data or find_root(()) is not None else "phantom"
    dataset, _, given = dataset.partition(":")
    own = [name for name in names if name.startswith(dataset + "/")]
    if not own:
        known = sorted({name.partition("/")[0] for name in names})
        raise InputError(f"unknown dataset {dataset!r}; known: {', '.join(known)}")
    chosen: list[str] = []
    for item in map(_lower, wanted):
        if item == "all" and dataset == "folders":
            raise InputError("two folders hold one task; name it: -t ct-mri, pet-mri, spect-mri or other")
        if item == "all":
            chosen += own
        elif "/" in item:
            chosen.append(task_plugin(item).facts.name)
        elif f"{dataset}/{item}" in names:
            chosen.append(f"{dataset}/{item}")
        else:
            elsewhere = [name for name in names if name.endswith("/" + item)]
            if len(elsewhere) == 1:
                chosen += elsewhere
            else:
                chosen.append(TASKS[f"{dataset}/{item}"].facts.name)  # raises, with the nearest names
    return list(dict.fromkeys(_named(name, given, data) for name in chosen))


def _lower(name: str) -> str:
    """A task or data set in lower case, but for the name that a user gave: ``Folders:Mine/PET-MRI``."""
    base, colon, rest = name.partition(":")
    own, slash, task = rest.partition("/")
    return f"{base.lower()}{colon}{own}{slash}{task.lower()}"


def _named(name: str, given: str, data: Sequence[Path]) -> str:
    """A full name with the name of the user's data set in it, where it has one."""
    dataset, _, task = name.partition("/")
    if ":" in dataset:
        return name
    own = given or (name_of(data) if data and task_plugin(name).facts.named else "")
    return task_plugin(f"{dataset}:{own}/{task}").facts.name if own else name
