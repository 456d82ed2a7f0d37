"""The images that a page shows: lossless WebP files below ``images/`` beside it, read when a reader asks for them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionbench.datasets import Task
from fusionbench.datasets.levels import open_task
from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.pairs import Pair, read_picture
from fusionbench.report import sources
from fusionbench.report.boards import Board
from fusionbench.report.truth import Judged
from fusionbench.scores import Key

SHOWN = 3
"""Pairs of a task whose images are put beside the page, unless some are asked for."""
STATES = {
    "none": "no finding",
    "mri": "a finding in the {0}",
    "other": "a finding in the {1}",
    "both": "findings in both",
}
"""The four states of a generated subject (``fusionbench.datasets.lesion``), in words."""
Images = Mapping[Path, NDArray[np.uint8]]


def pictures(
    board: Board, results: Path, data: Sequence[Path], wanted: Sequence[str], images: str, out: Path
) -> tuple[dict[str, Any], list[Path]]:
    """What images of a task the page has, and the files written for it: ``pairs``, a list of entries, or the ``reason`` why
    there are none. ``images``, ``wanted``: as ``images`` and ``pairs`` of ``write_report``.

    Files are OUT/images/DATASET/TASK/PAIR/NAME.webp, NAME "a", "b", "color" or m-METHOD.
    """
    task: Task | str
    if images == "none":
        task = "this page was written without images"
    elif images != "all" and sources.private(board):
        task = f"the licence of {board.dataset} does not let its images be passed on"
    else:
        task = sources.available(board, data)
    if isinstance(task, str):
        return {"reason": task}, []
    folder = out / "images" / plain(board.dataset) / plain(board.task)
    entries: list[dict[str, Any]] = []
    files: dict[Path, NDArray[np.uint8]] = {}
    for pair in sources.choose(board, [p for p in wanted if p in board.pairs], SHOWN):
        shown = sources.load(board, task, results, pair)
        entry, own = _entry(out, folder, shown.pair, shown.fused)
        entries.append(entry)
        files |= own
    if not any(entry["fused"] for entry in entries):
        return {"reason": "the fused images are not in the results folder"}, []
    return {"pairs": entries}, _write(files)


def findings(judged: Judged, results: Path, images: str, out: Path) -> tuple[list[dict[str, Any]], list[Path]]:
    """One generated subject of a study in its four states, with the fused images that are at hand, and the files written."""
    place = Key(judged.dataset, judged.task)
    if images == "none" or place.base != "lesion":
        return [], []
    try:
        task = open_task(f"{place.base}/{judged.task}", place.channel)
    except InputError:
        return [], []
    folder = out / "images" / plain(judged.dataset) / plain(judged.task)
    entries: list[dict[str, Any]] = []
    files: dict[Path, NDArray[np.uint8]] = {}
    for state, words in STATES.items():
        pair = task.load(f"test-00000-{state}")
        fused = {}
        for method in judged.methods:
            path = Key(judged.dataset, judged.task, method).image(results, pair.id)
            if path.exists():
                fused[method] = read_picture(path).grey
        entry, own = _entry(out, folder, pair, fused)
        title = words.format(*judged.modalities)
        entries.append(entry | {"title": f"Subject 0: {title}", "group": "Known findings (generated)"})
        files |= own
    return entries, _write(files)


def _entry(
    out: Path, folder: Path, pair: Pair, fused: Mapping[str, NDArray[np.uint8]]
) -> tuple[dict[str, Any], Images]:
    """What the page is told of a pair, and its files: sources, colours and fused luminances."""
    own = folder / plain(pair.id)
    images = {"a": pair.a, "b": pair.b} | ({} if pair.color is None else {"color": pair.color})
    names = {method: f"m-{plain(method)}" for method in fused}
    images |= {names[method]: image for method, image in fused.items()}
    entry = {
        "id": pair.id,
        "folder": own.relative_to(out).as_posix(),
        "color": pair.color is not None,
        "fused": names,
    }
    return entry, {own / f"{name}.webp": image for name, image in images.items()}


def _write(files: Images) -> list[Path]:
    for path, image in files.items():
        write_bytes(path, webp(image))
    return list(files)


def plain(name: str) -> str:
    """A name as part of an address: what would need escaping there is told by its number."""
    return re.sub(r"[^A-Za-z0-9._=@+~-]", lambda found: f"-x{ord(found[0]):x}", name)


def webp(image: NDArray[np.uint8]) -> bytes:
    """Lossless: the grey levels that were scored."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="WEBP", lossless=True, method=4, exact=True)
    return buffer.getvalue()
