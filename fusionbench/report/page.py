"""The leaderboard as an HTML file and, beside it, files that it reads when they are wanted: no network, no server.

Python prepares a plain data object (``page_data``); the scripts in ``templates/`` only show it. It is embedded as JSON with
``<``, ``>`` and ``&`` escaped and reaches the page through ``textContent`` alone, and a content security policy lets the
page's own script run and what that fetches (``patients/``: what re-ranking needs of a task), and no other: a method's name
can hold no markup. Images, where they may be shown, are lossless WebP files below ``images/``.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

from fusionbench.files import package_version, write_text
from fusionbench.report import overall, page_images, references, truth
from fusionbench.report.boards import Board
from fusionbench.report.columns import BESIDE
from fusionbench.report.curves import curves
from fusionbench.report.page_data import LEVELS, apart, interned, metric_data, same_task, task_data, trim
from fusionbench.report.page_overall import overall_data
from fusionbench.scores import Key

SCRIPTS = (
    "core.js",
    "patients.js",
    "statistics.js",
    "view.js",
    "address.js",
    "table.js",
    "controls.js",
    "downloads.js",
    "charts.js",
    "ranks.js",
    "matrices.js",
    "planes.js",
    "images.js",
    "folder.js",
    "details.js",
    "main.js",
)


def write(
    boards: Sequence[Board],
    out: Path,
    results: Path,
    data: Sequence[Path] = (),
    pairs: Sequence[str] = (),
    images: str = "auto",
    notify: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write OUT/index.html, OUT/patients and OUT/images; the paths. ``images``: "auto" and "public" show only what may be
    passed on, "all" whatever is at hand, "none" nothing.

    ``notify`` is called with (tasks done, all tasks). Raises InputError for a damaged file of task truth.
    """
    groups = _groups(boards)
    content = page_data(boards, results, notify)
    written: list[Path] = []
    studies = truth.read_truth(results)
    for task, own in zip(content["tasks"], groups, strict=True):
        task["images"], paths = page_images.pictures(own[0], results, data, pairs, images, out)
        task["images"]["findings"] = []
        written += paths + _patients(task, out)
        for judged in studies:
            if same_task(Key(judged.dataset, judged.task), own[0]):
                entries, paths = page_images.findings(judged, results, images, out)
                task["images"]["findings"] += entries
                written += [path for path in paths if path not in written]
    write_text(out / "index.html", render(content))
    return [*written, out / "index.html"]


def _patients(task: dict[str, Any], out: Path) -> list[Path]:
    """Put what re-ranking needs of a task into a file beside the page; its path, if there is such a thing."""
    found = apart(task)
    if not found:
        return []
    dataset, _, name = task["id"].partition("/")
    task["patients"] = f"patients/{page_images.plain(dataset)}/{page_images.plain(name)}.js"
    write_text(out / task["patients"], f"fusionbenchPatients({_json(task['id'])}, {_json(found)});\n")
    return [out / task["patients"]]


def page_data(
    boards: Sequence[Board], results: Path, notify: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """All that the page shows but the images."""
    groups, studies = _groups(boards), truth.read_truth(results)
    tasks: list[dict[str, Any]] = []
    for own in groups:
        notify(len(tasks), len(groups))
        tasks.append(task_data(own, curves(own[0], boards), studies))
    notify(len(tasks), len(groups))
    trim(tasks)
    return {
        "tasks": tasks,
        "overall": [overall_data(found) for found in overall.overall(boards) if len(found.pool) > 1],
        "metrics": {m: metric_data(board, m) for board in boards for m in (*board.metrics, *board.core)},
        "columns": [column.page(name) for name, column in BESIDE.items()],
        "shared": interned(tasks),
        "cite": references.itself().text,
        "levels": LEVELS,
        "made": made(boards, results),
    }


def _groups(boards: Sequence[Board]) -> list[list[Board]]:
    """The boards of each task, a board a profile; degraded inputs only where there is nothing else."""
    groups: dict[Key, list[Board]] = {}
    for board in boards:
        groups.setdefault(board.place, []).append(board)
    return [own for place, own in groups.items() if not place.flaw] or list(groups.values())


def render(data: Mapping[str, Any]) -> str:
    """Put data, style and scripts into the template; the first task's answer is in the HTML itself, to be seen at once."""
    folder = resources.files("fusionbench.report") / "templates"
    script = "\n".join(
        ['"use strict";', "(() => {", *((folder / name).read_text("utf-8") for name in SCRIPTS), "})();"]
    )
    template = Environment(autoescape=True, keep_trailing_newline=True, trim_blocks=True).from_string(
        (folder / "page.html.j2").read_text("utf-8")
    )
    style = (folder / "page.css").read_text("utf-8")
    first = data["tasks"][0]["profiles"][0]["verdict"] if data["tasks"] else {"answer": [], "seen": ""}
    return template.render(
        data=_json(data),
        style=style,
        script=script,
        script_hash=_sha256(script),
        style_hash=_sha256(style),
        answer=first["answer"],
        seen=first["seen"],
        made=data["made"],
    )


def made(boards: Sequence[Board], results: Path) -> dict[str, str]:
    """Of what the page is made: version of fusionbench, and versions, commit and date of the results, where on record.

    ``results/made.json`` says them for all tables at once (and may name a ``date``); else the tables do. The date may
    come from SOURCE_DATE_EPOCH, as reproducible builds have it, never from the clock: a report twice is the same.
    """
    abouts = [table.about for board in boards for table in board.tables.values()]
    try:
        whole = dict(json.loads((results / "made.json").read_text("utf-8")))
    except (OSError, ValueError):
        whole = {}
    found = {"page": package_version()}
    versions = _agreed([about.get("versions") or {} for about in (whole, *abouts)])
    found |= {"versions": " · ".join(f"{name} {version}" for name, version in versions.items())}
    told = _agreed([{k: about.get(k) for k in ("commit", "device_name")} for about in (whole, *abouts)])
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    date = str(whole.get("date") or "")
    if not date and epoch.isdigit():
        date = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).date().isoformat()
    return {k: str(v) for k, v in (found | told | {"date": date}).items() if v}


def _agreed(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name -> the values that some records have, each once, joined."""
    found: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.items():
            if value:
                found.setdefault(name, set()).add(str(value))
    return {name: ", ".join(sorted(values)) for name, values in sorted(found.items())}


def _json(data: Any) -> str:
    """JSON that is safe inside HTML and inside a script."""
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        content = content.replace(character, f"\\u{ord(character):04x}")
    return content


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
