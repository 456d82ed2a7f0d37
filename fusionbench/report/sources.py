"""The images behind the scores: sources through the datasets, fused images from disk, each the very one that was scored."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionbench.datasets import Task
from fusionbench.datasets.levels import open_task
from fusionbench.errors import InputError
from fusionbench.pairs import pixel_digest, read_picture
from fusionbench.report.boards import Board
from fusionbench.report.figures import Shown

PRIVATE = ("harvard",)
"""Datasets whose images may not be passed on: shown in the user's own figures, never embedded in a page unasked."""


def private(board: Board) -> bool:
    """Whether a board's images may not be passed on."""
    return board.place.base in PRIVATE


def unnamed(board: Board) -> bool:
    """Whether it holds scores on folders of the user's that nothing is known of, as version 0.1.0 wrote them."""
    return board.place.base == "folders" and any("data" not in table.about for table in board.tables.values())


def available(board: Board, data: Sequence[Path]) -> Task | str:
    """The task behind a board, or the reason why its images cannot be shown."""
    if board.place.flaw:
        return "degraded inputs are not stored"
    name = next(iter(board.tables.values())).task_name
    try:
        task = open_task(name, board.place.channel, data=data, split=board.place.split)
        known = set(task.ids())
    except InputError as error:
        return str(error)
    missing = [pair for pair in board.pairs if pair not in known]
    return f"pair {missing[0]} is not in the data at hand" if missing else task


def load(board: Board, task: Task, results: Path, pair: str) -> Shown:
    """A pair with every ranked method's fused image that is on disk and is the very image that was scored."""
    source = task.load(pair)
    fused = {method: image for method in board.ranked if (image := _fused(board, results, method, pair)) is not None}
    return Shown(source, {m: image for m, image in fused.items() if image.shape == source.a.shape})


def why_absent(board: Board, methods: Sequence[str]) -> str:
    """Why images of some methods are not shown."""
    tables = [board.tables[method] for method in methods]
    old = [
        table.name
        for table in tables
        if table.about.get("method", {}).get("foreign") and not any("path" in r for r in table.pairs.values())
    ]
    reason = "the images that were scored are not at hand"
    return f"{reason} ({', '.join(old)}: made before sources were recorded; score the images again)" if old else reason


def choose(board: Board, wanted: Sequence[str], count: int) -> list[str]:
    """The pairs asked for, or ``count`` of the common ones, evenly spread.

    Raises InputError for a pair that is not there.
    """
    for pair in wanted:
        if pair not in board.pairs:
            raise InputError(f"pair {pair!r} is not among those compared; choose from: {', '.join(board.pairs)}")
    if wanted or not board.pairs:
        return list(wanted)
    count = min(count, len(board.pairs))
    return [board.pairs[(2 * n + 1) * len(board.pairs) // (2 * count)] for n in range(count)]


def _fused(board: Board, results: Path, method: str, pair: str) -> NDArray[np.uint8] | None:
    table = board.tables[method]
    record = table.pairs[pair]
    # An image that was made elsewhere is recorded by its path: below the results where it was copied, else absolute.
    path = results / record["path"] if "path" in record else table.key.image(results, pair)
    try:
        return _read(path, path.stat().st_mtime_ns, str(record.get("image")))
    except (OSError, InputError):  # moved, deleted or damaged since
        return None


@functools.lru_cache(maxsize=512)
def _read(path: Path, changed: int, digest: str) -> NDArray[np.uint8] | None:
    """The image if it is the one that was scored. changed: when the file was, so that a new one is read anew."""
    picture = read_picture(path)
    return picture.grey if pixel_digest(picture.pixels) == digest else None
