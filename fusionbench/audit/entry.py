"""A method of the user's on the tasks of the public board: fused or matched there, scored on the board's own pairs.

What comes back stands in the user's results folder, as after ``run`` or ``score``; the board's scores are never written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.bench import Notify, Outcome, run, score_folders, silent
from fusionbench.bench.images import check_images
from fusionbench.bench.work import TaskRef
from fusionbench.errors import InputError
from fusionbench.scores import Key, Table, read_table
from fusionbench.scores.public import PublicBoard, rounded

OWN_RUN = "run by its user"
"""Origin of a method of a stranger's that fusionbench ran, where nobody says more."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is to be placed: a method that fusionbench runs (``spec``), or a folder of ``images`` that something else fused;
    ``facts``: what is said of it, at least ``name`` for images. Of several tasks the folder holds a folder each."""

    spec: str = ""
    images: Path | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Placed:
    """A method's table on one task beside ``others``, the board's own on the same pairs.

    ``own``: scores in the board's precision, facts as they were said. ``few``: whether the board has more pairs.
    ``again``: whether the board has a method of that name, which is left out of ``others``.
    """

    own: Table
    others: list[Table]
    few: bool
    again: bool


def place(
    entry: Entry,
    tasks: Sequence[str],
    results: Path,
    board: PublicBoard,
    *,
    data: Sequence[Path] = (),
    split: str = "test",
    device: str = "auto",
    seed: int = 0,
    limit: int | None = None,
    force: bool = False,
    notify: Notify = silent,
) -> tuple[list[Placed], list[Outcome]]:
    """Fuse and score an entry on the board's pairs of some tasks (full names), doing only what is missing or stale.

    ``limit``: the first so many pairs. Raises InputError for a task that has no board and for pairs that are not the
    board's, before anything is written, and for whatever ``bench.run`` and ``bench.score_folders`` do.
    """
    refs = {name: TaskRef(name, tuple(data), split) for name in tasks}
    pairs = {name: _pairs(board, ref, limit) for name, ref in refs.items()}
    folders = {name: _folder(entry.images, name, len(tasks) > 1) for name in tasks if entry.images is not None}
    for name, folder in folders.items():  # all of them before anything of the first is written
        check_images(folder, entry.facts, refs[name], pairs[name])
    options: dict[str, Any] = {"metrics": board.columns, "data": data, "split": split, "device": device, "force": force}
    placed, outcomes = [], []
    for name in tasks:
        few = options | {"limit": len(pairs[name]), "notify": notify}
        if name in folders:
            outcomes.append(score_folders([(folders[name], entry.facts)], name, results, **few))
        else:
            outcomes.append(run([entry.spec], [name], results, seed=seed, **few))
        placed += [_placed(read_table(results, key), entry, board, pairs[name]) for key in outcomes[-1].keys]
    return placed, outcomes


def _pairs(board: PublicBoard, ref: TaskRef, limit: int | None) -> list[str]:
    """The board's pairs of a task, or the first so many. Raises InputError where those at hand are not the same images."""
    key = ref.key("")
    sources = {pair: record.get("pair") for table in board.at(key) for pair, record in table.pairs.items()}
    wanted = sorted(sources)[:limit]
    task = ref.open()
    if task.ids()[: len(wanted)] != wanted:
        raise InputError(f"{ref.name}: these are not the pairs of the public board; fusionbench data verify tells more")
    for pair in wanted:
        if task.digest(pair) != sources[pair]:
            raise InputError(
                f"{ref.name}: pair {pair} is another image on the public board; fusionbench data verify tells"
            )
    return wanted


def _folder(images: Path, task: str, several: bool) -> Path:
    """Where the images of a task are: the folder itself, or that of the task's name in it."""
    inside = images / task.partition("/")[2]
    return inside if several or inside.is_dir() else images


def _placed(table: Table, entry: Entry, board: PublicBoard, pairs: Sequence[str]) -> Placed:
    key = table.key
    facts = dict(table.about["method"])
    if entry.images is None and table.about.get("sources"):  # a stranger's: what nobody says of it is not known
        facts = {**facts, "foreign": True, "origin": facts.get("origin") or OWN_RUN}
    about = {**table.about, "method": {**facts, **entry.facts}}
    own = dataclasses.replace(table, about=about, pairs={p: r for p, r in table.pairs.items() if p in pairs})
    board_tables = board.at(Key(key.dataset, key.task))
    others = [
        dataclasses.replace(other, pairs={pair: r for pair, r in other.pairs.items() if pair in pairs})
        for other in board_tables
        if other.key.method != key.method
    ]
    few = len(pairs) < max(len(other.pairs) for other in board_tables)
    return Placed(rounded(own, board.columns), others, few, len(others) < len(board_tables))
