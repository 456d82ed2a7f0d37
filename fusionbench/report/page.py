"""The leaderboard as one self-contained HTML file: no network, no server, nothing but what the results folder holds.

Python prepares a plain data object (see :func:`task_data`); the scripts beside this file only show it. It is embedded as
JSON with ``<``, ``>`` and ``&`` escaped and reaches the page through ``textContent`` alone, and a content security policy
lets the page's own script run and no other: a method's name can hold no markup.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray
from PIL import Image

from fusionbench import stats
from fusionbench.report import conventions, figures, sources
from fusionbench.report.boards import Board, acronym
from fusionbench.report.columns import BESIDE, Value
from fusionbench.report.curves import curves
from fusionbench.report.verdicts import p_text, summary, verdict
from fusionbench.scores import Key

SCRIPTS = ("core.js", "table.js", "details.js", "compare.js", "charts.js", "statistics.js", "main.js")
BUDGET = 4_800_000
"""Characters of embedded data, images included: keeps the page under 5 MB."""
QUALITIES = (85, 75, 60)


def write(
    boards: Sequence[Board],
    results: Path,
    data: Sequence[Path],
    pairs: Sequence[str],
    images: str,
    notify: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """The page's HTML. ``images``: "auto" embeds only what may be passed on, "all" whatever is at hand, "none" nothing.

    ``notify`` is called with (tasks done, all tasks).
    """
    groups: dict[Key, list[Board]] = {}
    for board in boards:
        groups.setdefault(board.place, []).append(board)
    whole = {place: own for place, own in groups.items() if not place.flaw} or groups
    tasks: list[dict[str, Any]] = []
    for own in whole.values():
        notify(len(tasks), len(whole))
        tasks.append(task_data(own, curves(own[0], boards)))
    notify(len(tasks), len(whole))
    chosen = [_viewable(own[0], data, images) for own in whole.values()]
    room = BUDGET - len(_json(tasks))
    for task, pictures in zip(tasks, _pictures(list(whole.values()), chosen, results, pairs, room), strict=True):
        task["images"] = pictures
    metrics = {m: _metric_facts(board, m) for board in boards for m in (*board.metrics, *board.core)}
    columns = [column.page(name) for name, column in BESIDE.items()]
    return render({"tasks": tasks, "metrics": metrics, "columns": columns, "versions": _versions(boards)})


def render(data: Mapping[str, Any]) -> str:
    """Put data, style and scripts into the template."""
    folder = resources.files("fusionbench.report") / "templates"
    script = "\n".join(
        ['"use strict";', "(() => {", *((folder / name).read_text("utf-8") for name in SCRIPTS), "})();"]
    )
    content = _json(data)
    for character in "<>&\u2028\u2029":
        content = content.replace(character, f"\\u{ord(character):04x}")
    template = Environment(autoescape=True, keep_trailing_newline=True).from_string(
        (folder / "page.html.j2").read_text("utf-8")
    )
    style = (folder / "page.css").read_text("utf-8")
    return template.render(
        data=content, style=style, script=script, script_hash=_sha256(script), style_hash=_sha256(style)
    )


def task_data(boards: Sequence[Board], robustness: list[dict[str, Any]]) -> dict[str, Any]:
    """All that the page shows of one task: one entry a profile, one a method, and every pair's scores."""
    first = boards[0]
    tables = first.tables
    pairs = sorted({pair for table in tables.values() for pair in table.pairs})
    facts: Mapping[str, Any] = next((t.about["task"] for t in tables.values() if t.about.get("task")), {})
    metrics = list(dict.fromkeys(m for board in boards for m in (*board.metrics, *board.core)))
    scores: dict[str, dict[str, list[Any]]] = {}
    for method, table in tables.items():
        held = {pair: record.get("scores", {}) for pair, record in table.pairs.items()}
        scores[method] = {
            m: [_round(held[pair][m]) if m in held.get(pair, {}) else None for pair in pairs]
            for m in metrics
            if any(m in record for record in held.values())
        }
    return {
        "id": f"{first.dataset}/{first.task}",
        "dataset": first.dataset,
        "title": first.task_title,
        "facts": {k: facts.get(k) for k in ("title", "reference", "doi", "licence", "year") if facts.get(k)},
        "sources": list(figures.source_names(first)),
        "pairs": pairs,
        "cases": [next((t.pairs[p].get("case", "") for t in tables.values() if p in t.pairs), "") for p in pairs],
        "profiles": [_profile_data(board) | {"verdict": verdict(board, boards)} for board in boards],
        "methods": {method: _method_data(first, method) for method in tables},
        "scores": scores,
        "robustness": robustness,
        "conventions": [
            {
                "name": c.metric,
                "columns": [c.first, c.second],
                "tau": _round(c.tau),
                "best": list(c.winners),
                "controls_ahead": list(map(len, c.leading_controls)),
            }
            for c in conventions.compare_tables(list(tables.values()), first.facts)
        ],
    }


def _profile_data(board: Board) -> dict[str, Any]:
    tests = board.tests
    rows: dict[str, Any] = {}
    for method in board.ranked:
        values = {name: column.value(board, method) for name, column in BESIDE.items() if column.ranking}
        rows[method] = {name: _plain(value) for name, value in values.items() if value is not None}
        rows[method] |= {"tied": not tests.undecidable and method in tests.among_best, "scores": _scores(board, method)}
    friedman = tests.friedman
    nemenyi = tests.nemenyi
    return {
        "name": board.profile,
        "title": board.title,
        "metrics": board.metrics,
        "core": board.core,
        "order": board.order,
        "controls": board.controls,
        "apart": dict(board.apart),
        "rows": rows,
        "pairs": board.pairs,
        "total": board.total,
        "cases": tests.number if board.patients_known and board.pairs else 0,
        "summary": summary(board),
        "notes": board.notes,
        "friedman": friedman
        if isinstance(friedman, str)
        else {
            "chi2": _round(friedman.chi2),
            "f": _round(friedman.f),
            "p": p_text(friedman.p),
            "significant": friedman.p < stats.ALPHA,
            "w": _round(friedman.w),
        },
        "nemenyi": nemenyi
        if isinstance(nemenyi, str)
        else {
            "alpha": nemenyi.alpha,
            "difference": round(nemenyi.difference, 4),
            "ranks": [[name, round(float(value), 4)] for name, value in nemenyi.ranks.items()],
            "groups": nemenyi.groups,
        },
        "pairwise": _pairwise_data(board),
        "undecidable": tests.undecidable,
        "places": _places(board),
        "units": f"{len(board.pairs)} pairs" if tests.units == "pairs" else f"{tests.number} patients",
    }


def _places(board: Board) -> dict[str, list[float]]:
    """Contender -> share of resamples of patients in which it has the first place, the second, and so on up to the tenth."""
    found = board.tests.bootstrap
    if isinstance(found, str):
        return {}
    shares = found.places.to_numpy()[:, :10]
    rows = {str(m): [round(float(v), 3) for v in row] for m, row in zip(found.places.index, shares, strict=True)}
    return {method: row for method, row in rows.items() if any(row)}


def _scores(board: Board, method: str) -> dict[str, Any]:
    """Mean, standard deviation and rank, each in the order of the board's metrics; then which metrics it is best on, second,
    or possibly the best (by patient), and metric -> on how many pairs it is undefined.
    """
    frames = {"mean": board.means, "std": board.stds, "rank": board.ranks}
    places = {metric: board.placing(metric).get(method, "") for metric in board.metrics}
    undefined = {metric: int(board.cell(board.undefined, method, metric)) for metric in board.metrics}
    several = len(board.order) > 1 and method in board.order
    return {name: [_round(board.cell(frame, method, m)) for m in board.metrics] for name, frame in frames.items()} | {
        "best": [metric for metric, place in places.items() if place == "best"],
        "second": [metric for metric, place in places.items() if place == "second"],
        "tied": [metric for metric in board.metrics if several and method in board.tests.tied.get(metric, [])],
        "undefined": {metric: count for metric, count in undefined.items() if count},
    }


def _pairwise_data(board: Board) -> dict[str, list[Any]]:
    """Every two methods, as positions in ``order``: by patient, the adjusted p, the difference in mean rank and the share of
    patients who agree; beside these, p by Wilcoxon and Holm and by Nemenyi."""
    nemenyi = board.tests.nemenyi
    position = {method: n for n, method in enumerate(board.order)}
    lines = board.tests.pairwise.to_dict("records")
    p = [None if isinstance(nemenyi, str) else board.cell(nemenyi.p, line["first"], line["second"]) for line in lines]
    return {
        "first": [position[line["first"]] for line in lines],
        "second": [position[line["second"]] for line in lines],
        "p": [_significant(line["p_adjusted"]) for line in lines],
        "difference": [_round(line["difference"]) for line in lines],
        "agree": [_round(line["agree"]) for line in lines],
        "verdict": [line["verdict"] for line in lines],
        "wilcoxon": [_significant(value) for value in board.tests.wilcoxon["p_holm"]],
        "nemenyi": [None if value is None else _significant(value) for value in p],
    }


def _method_data(board: Board, method: str) -> dict[str, Any]:
    table = board.tables[method]
    about = table.about
    facts = {
        k: v
        for k, v in about.get("method", {}).items()
        if v not in (None, "", [], False) and k not in ("bibtex", "folder")
    }
    data: dict[str, Any] = {
        "title": board.name(method),
        "short": acronym(board.name(method)) or method,
        "control": table.control,
        "foreign": bool(facts.get("foreign")),
        "origin": board.origin(method),
        "facts": {k: v if isinstance(v, str | int | float | bool) else json.dumps(v) for k, v in facts.items()},
        "settings": {k: str(v) for k, v in about.get("settings", {}).items()},
        "made": {k: str(about[k]) for k in ("seed", "split") if about.get(k) not in (None, "")},
        "device": board.device(method),
        "columns": {},
        "errors": table.errors(),
    }
    for name, column in BESIDE.items():
        value = None if column.ranking else column.value(board, method)
        if value is not None:
            data["columns"][name] = {
                "value": _significant(value) if isinstance(value, float) else _plain(value),
                "text": column.show(value),
            }
    return data


def _metric_facts(board: Board, metric: str) -> dict[str, Any]:
    column = board.column(metric)
    kept = (
        "title",
        "family",
        "range",
        "unit",
        "reference",
        "doi",
        "origin",
        "formula",
        "convention",
        "traps",
        "degenerate",
    )
    data = {k: str(column.facts[k]) for k in kept if column.facts.get(k)}
    return data | {"short": column.short, "better": column.better} | ({"describes": True} if column.describes else {})


def _versions(boards: Sequence[Board]) -> dict[str, str]:
    """Versions that made the results, where all tables agree; else all of them, joined."""
    found: dict[str, set[str]] = {}
    for board in boards:
        for table in board.tables.values():
            for name, version in table.about.get("versions", {}).items():
                found.setdefault(name, set()).add(str(version))
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _viewable(board: Board, data: Sequence[Path], images: str) -> Any:
    """The task whose images the page shows, or the reason why it shows none."""
    if images == "none":
        return "this page was written without images"
    if images != "all" and sources.private(board):
        return f"the licence of {board.dataset} does not let its images be passed on"
    return sources.available(board, data)


def _pictures(
    groups: Sequence[Sequence[Board]], tasks: Sequence[Any], results: Path, pairs: Sequence[str], room: int
) -> list[dict[str, Any]]:
    """Embedded images of each task: as many pairs, in as good a quality, as ``room`` characters hold."""
    tries = [(count, quality) for quality in QUALITIES for count in (3, 2, 1)]
    for count, quality in tries:
        found = []
        for own, task in zip(groups, tasks, strict=True):
            if isinstance(task, str):
                found.append({"reason": task})
                continue
            board = own[0]
            chosen = sources.choose(board, [p for p in pairs if p in board.pairs], count)
            found.append(_task_pictures(board, task, results, chosen, quality))
        if sum(len(_json(item)) for item in found) <= room:
            return found
    return [{"reason": "the images of so many methods would make the page too large"} for _ in groups]


def _task_pictures(board: Board, task: Any, results: Path, pairs: Sequence[str], quality: int) -> dict[str, Any]:
    pictures: dict[str, Any] = {"quality": quality, "pairs": []}
    for pair in pairs:
        shown = sources.load(board, task, results, pair)
        height, width = shown.pair.a.shape
        entry = {
            "id": pair,
            "width": width,
            "height": height,
            "a": webp(shown.pair.a, quality),
            "b": webp(shown.pair.b, quality),
            "fused": {method: webp(image, quality) for method, image in shown.fused.items()},
        }
        if shown.pair.color is not None:
            entry["color"] = webp(shown.pair.color, quality)
        pictures["pairs"].append(entry)
    if pairs and not any(entry["fused"] for entry in pictures["pairs"]):
        return {"reason": "the fused images are not in the results folder"}
    return pictures


def webp(image: NDArray[np.uint8], quality: int) -> str:
    """A data URL."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _round(value: Any) -> float | None:
    """Four decimals, as every table prints; None where undefined."""
    number = float(value)
    return None if math.isnan(number) or math.isinf(number) else round(number, 4)


def _plain(value: Value) -> Any:
    """A column's value as JSON has it: numbers to four decimals."""
    if isinstance(value, tuple):
        return [_round(end) for end in value]
    return _round(value) if isinstance(value, float) else value


def _significant(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else float(f"{number:.3g}")
