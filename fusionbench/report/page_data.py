"""What the page is told of boards: plain data, each number once.

Much that the page shows is derived there: ranks of means, who is ahead of whom on how many patients, tests among the
methods that a reader ticks. It gets for this, per *cohort* (methods compared on the same pairs), the mean of each method
on each metric, its mean for each patient, and for each pair the order of the methods, a character each. What Python
computed of a whole board (mean ranks, intervals, P(first), places, verdicts) goes beside it and is what the page shows as
long as nothing is filtered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusionbench import stats
from fusionbench.report import conventions, references
from fusionbench.report.boards import Board, acronym
from fusionbench.report.columns import BESIDE, Value
from fusionbench.report.truth import Judged, stars
from fusionbench.report.verdicts import exposed, p_text, seen, summary, unexposed, verdict
from fusionbench.scores import Key

PLACES = 12
"""Rank distributions are told up to this place."""
LEVELS = 500
"""Steps by which the mean of a patient is told: of the span that methods have on the patient."""
DETAIL = 440_000
"""So many characters hold what re-ranking needs, in all; a task for which they do not suffice has ranks alone."""
LETTERS = {"better": "b", "worse": "w", "equivalent": "e", "not separable": "n", "not decidable": "u"}
_DIGITS = "".join(chr(code) for code in range(35, 127) if chr(code) not in "&<>\\")
"""Characters that neither JSON nor HTML must escape, the digits of small numbers."""
_ORDER = _DIGITS + "".join(map(chr, range(0x100, 0x2000)))


def task_data(
    boards: Sequence[Board], robustness: Sequence[Mapping[str, Any]] = (), studies: Sequence[Judged] = ()
) -> dict[str, Any]:
    """All that the page shows of one task; ``boards``: one a profile; ``studies``: of known findings, any task's."""
    first = boards[0]
    facts: Mapping[str, Any] = next((t.about["task"] for t in first.tables.values() if t.about.get("task")), {})
    cohorts: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Board]] = {}
    for board in boards:
        cohorts.setdefault(_cohort_key(board), []).append(board)
    positions = {key: n for n, key in enumerate(cohorts)}
    cite = references.of_data(first)
    return {
        "id": f"{first.dataset}/{first.task}",
        "dataset": first.dataset,
        "title": first.task_title,
        "facts": {k: facts.get(k) for k in ("title", "reference", "doi", "licence", "year") if facts.get(k)},
        "cite": cite.text if cite else "",
        "sources": list(first.modalities),
        "methods": {method: _method_data(first, method) for method in first.tables},
        "cohorts": [_cohort(key, own) for key, own in cohorts.items()],
        "profiles": [
            _profile(board) | {"verdict": _verdict(board, boards), "cohort": positions[_cohort_key(board)]}
            for board in boards
        ],
        "truth": [_study(judged) for judged in studies if same_task(Key(judged.dataset, judged.task), first)],
        "robustness": [_curve(found, first.core) for found in robustness],
        "conventions": [
            {
                "name": c.metric,
                "columns": [c.first, c.second],
                "tau": rounded(c.tau),
                "best": list(c.winners),
                "controls_ahead": list(map(len, c.leading_controls)),
            }
            for c in conventions.compare_tables(list(first.tables.values()), first.facts)
        ],
    }


def _curve(found: Mapping[str, Any], core: Sequence[str]) -> dict[str, Any]:
    """A robustness curve with the core metrics alone."""
    return {**found, "values": {m: lines for m, lines in found["values"].items() if m in core}}


def trim(tasks: Sequence[Mapping[str, Any]], most: int = DETAIL) -> None:
    """Leave out what re-ranking needs of the later tasks, where it is too much for a page."""
    for task in tasks:
        values = [found for cohort in task["cohorts"] for found in cohort["metrics"].values()]
        most -= sum(len(json.dumps([found.get("patients"), found.get("orders")])) for found in values)
        for found in values if most < 0 else ():
            found.pop("patients", None)
            found.pop("orders", None)
            found.pop("counts", None)


def apart(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Take what re-ranking needs out of a task, for a file of its own: of each cohort, metric -> what it was."""
    found = []
    for cohort in task["cohorts"]:
        own = {}
        for name, values in cohort["metrics"].items():
            if "patients" in values:
                own[name] = {part: values.pop(part) for part in ("patients", "orders", "counts") if part in values}
                values["detail"] = 1
        found.append(own)
    return found if any(found) else []


def _cohort_key(board: Board) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is compared on which pairs; contenders and controls by name."""
    return tuple(board.pairs), (*sorted(board.order), *sorted(board.controls))


def _cohort(key: tuple[tuple[str, ...], tuple[str, ...]], boards: Sequence[Board]) -> dict[str, Any]:
    """``methods``: contenders, then controls; ``patients``: names; ``of``: the patient of each pair, as its position."""
    first, methods = boards[0], list(key[1])
    names = list(dict.fromkeys(first.patients))
    found: dict[str, Any] = {
        "methods": methods,
        "contenders": len(first.order),
        "patients": names,
        "known": first.patients_known,
        "of": [names.index(patient) for patient in first.patients],
        "pairs": list(key[0]),
        "metrics": {},
    }
    for board in boards:
        for metric in (*board.metrics, *board.core):
            if metric not in found["metrics"]:
                found["metrics"][metric] = _values(board, metric, methods, names)
    return found


def _values(board: Board, metric: str, methods: list[str], names: list[str]) -> dict[str, Any]:
    """``mean`` over the pairs; ``undefined``: method -> pairs; ``tied``: who may be the best on it. Of metrics that
    a profile ranks by also ``patients`` (see :func:`residuals`), ``counts``, pairs of each patient, where some are undefined
    for all, and ``orders`` (see :func:`orders`)."""
    frame = board.scores[metric][methods]
    undefined = {m: int(n) for m in methods if (n := board.cell(board.undefined, m, metric))}
    own = methods[: len(board.order)]
    tied = board.tests.tied.get(metric, []) if len(own) > 1 else []
    means = [_shown(board.cell(board.means, m, metric)) for m in methods]
    data: dict[str, Any] = {"mean": means}
    if undefined:
        data["undefined"] = undefined
    if tied:
        data["tied"] = [own.index(m) for m in tied]
    if metric in board.core:
        useful = frame.notna().any(axis=1).to_numpy()
        owners = [patient for patient, use in zip(board.patients, useful, strict=True) if use]
        by_patient = stats.by_patient(frame[useful], owners).reindex(names)
        data["patients"] = residuals(by_patient.to_numpy(), np.array([np.nan if m is None else m for m in means]))
        data["orders"] = orders(frame[own], board.better[metric])
        if not useful.all():
            data["counts"] = [owners.count(name) for name in names]
    return data


def orders(frame: pd.DataFrame, better: str) -> list[str]:
    """Each pair's order of the contenders: positions from the best, equal scores sharing one, undefined ones the last. A
    character a contender says how far its position is from that in the pair before (0, -1, 1, -2, 2 ...)."""
    losses = frame * (-1.0 if better == "higher" else 1.0)
    dense = losses.rank(axis=1, method="dense", na_option="bottom").to_numpy().astype(int) - 1
    steps = np.diff(dense, axis=0, prepend=np.zeros((1, dense.shape[1]), dtype=int))
    return ["".join(_ORDER[2 * step if step >= 0 else -2 * step - 1] for step in row) for row in steps]


def residuals(patients: NDArray[np.float64], means: NDArray[np.float64]) -> dict[str, Any]:
    """(patients, methods) means by patient as what they have beyond the method's mean: for each patient the smallest
    (``low``) and a ``step``, LEVELS to the largest, and two characters a method (``codes``) that count steps; one more step
    is undefined."""
    beyond, base = patients - means, len(_DIGITS)
    known = np.isfinite(beyond)
    low = np.where(known, beyond, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, beyond, -np.inf).max(axis=1, initial=-np.inf)
    some = known.any(axis=1)
    low, span = np.where(some, low, 0.0), np.where(some, high - low, 0.0)
    found: dict[str, Any] = {"low": [], "step": [], "codes": []}
    for row, there, start, wide in zip(beyond, known, low, span, strict=True):
        first, step = float(f"{start:.7g}"), float(f"{wide / LEVELS:.5g}")
        counts = np.rint((np.where(there, row, first) - first) / (step or 1.0)).clip(0, LEVELS).astype(int)
        counts = np.where(there, counts, LEVELS + 1)
        found["low"].append(first)
        found["step"].append(step)
        found["codes"].append("".join(_DIGITS[n // base] + _DIGITS[n % base] for n in counts))
    return found


def _profile(board: Board) -> dict[str, Any]:
    """One ranking: lists in the order of ``order`` and then ``controls``."""
    tests, intervals = board.tests, board.tests.bootstrap
    columns = {
        name: [_plain(column.value(board, method)) for method in board.ranked]
        for name, column in BESIDE.items()
        if column.ranking and not column.extra
    }
    places: list[list[list[float]]] = []
    if not isinstance(intervals, str):
        shares = intervals.places.loc[board.order].to_numpy()[:, :PLACES]
        places = [[[n + 1, round(float(v), 3)] for n, v in enumerate(row) if round(float(v), 3) > 0] for row in shares]
    friedman = tests.friedman
    return {
        "name": board.profile,
        "title": board.title,
        "metrics": board.metrics,
        "core": board.core,
        "order": board.order,
        "controls": board.controls,
        "apart": dict(board.apart),
        "total": board.total,
        "columns": {name: values for name, values in columns.items() if any(v is not None for v in values)},
        "places": places,
        "among": [] if tests.undecidable else tests.among_best,
        "undecidable": tests.undecidable,
        "pairs": _letters(board),
        "notes": board.notes,
        "friedman": friedman
        if isinstance(friedman, str)
        else {"f": rounded(friedman.f), "p": p_text(friedman.p), "w": rounded(friedman.w), "units": tests.units},
    }


def _letters(board: Board) -> str:
    """Every two contenders in the board's order, (0, 1), (0, 2) ...: a letter each, of the first against the second."""
    position = {method: n for n, method in enumerate(board.order)}
    letters: dict[tuple[int, int], str] = {}
    for line in board.tests.pairwise.to_dict("records"):
        i, j = position[line["first"]], position[line["second"]]
        letter = LETTERS[line["verdict"]]
        letters[min(i, j), max(i, j)] = letter if i < j else {"b": "w", "w": "b"}.get(letter, letter)
    return "".join(letters[key] for key in sorted(letters))


def _verdict(board: Board, boards: Sequence[Board]) -> dict[str, Any]:
    """``answer``: who is first, and what patients tell of it; ``seen``: who has seen the patients, the first ones foremost;
    ``more``: the other sentences; ``basis``: what it rests on."""
    said = verdict(board, boards)
    own = [text for method in board.first for text in seen(method, {"": board})]
    told = " ".join(filter(None, [*own, exposed(board), unexposed(board)]))
    more = [text for text in said[2:] if text not in own]
    return {"answer": said[:2], "seen": told, "more": more, "basis": summary(board)}


def _method_data(board: Board, method: str) -> dict[str, Any]:
    table = board.tables[method]
    about = table.about
    facts = {
        k: v
        for k, v in about.get("method", {}).items()
        if v not in (None, "", [], False) and k not in ("bibtex", "folder")
    }
    cite = references.of_method(board, method)
    learnt = bool(facts.get("trained") or facts.get("foreign"))
    title = board.name(method)
    data: dict[str, Any] = {
        "title": title,
        "short": acronym(title) or (title if len(title) < 16 else method),
        "control": table.control,
        "origin": table.origin,
        "published": bool(facts.get("foreign")) or table.origin == "authors' weights",
        "ours": table.origin == "trained here",
        "classical": not learnt and not table.control,
        "unexposed": table.exposure.known and not table.exposure.seen and not table.control,
        "sheet": {k: _fact(v) for k, v in facts.items()},
        "settings": {k: str(v) for k, v in about.get("settings", {}).items() if v not in ("", None)},
        "cite": cite.text if cite else "",
        "device": board.device(method),
        "columns": {},
        "errors": table.errors(),
    }
    for name, column in BESIDE.items():
        value = None if column.ranking else column.value(board, method)
        if value is not None:
            shown = significant(value, 3) if isinstance(value, float) else _plain(value)
            data["columns"][name] = {"value": shown, "text": column.show(value)}
    return data


def _fact(value: Any) -> str | int | float | bool:
    """A value of a fact sheet as it is shown: lists as words."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def same_task(place: Key, board: Board) -> bool:
    """Whether a study (by its data set and task) judged fusion of the same kind of pair, fused by the same channel."""
    return place.task == board.task and place.channel == board.place.channel


def _study(judged: Judged) -> dict[str, Any]:
    """Areas under the ROC curve for both findings, (value, low, high) each, by grey observer and by one that sees colour."""
    observers = [name for name in ("cho", "cho colour") if name in judged.observers]
    return {
        "id": f"{judged.dataset}/{judged.task}",
        "subjects": judged.subjects,
        "modalities": list(judged.modalities),
        "observers": {
            name: {
                method: [list(found[name][end]) for end in ("first", "second")]
                for method, found in judged.methods.items()
                if name in found
            }
            for name in observers
        },
        "bounds": {name: stars(judged, name) for name in observers},
    }


def metric_data(board: Board, metric: str) -> dict[str, Any]:
    """A metric's fact sheet, as the page shows it."""
    column = board.column(metric)
    kept = ("title", "range", "unit", "reference", "doi", "formula", "convention")
    data = {k: str(column.facts[k]) for k in kept if column.facts.get(k)}
    return data | {"short": column.short, "better": column.better} | ({"describes": True} if column.describes else {})


def interned(tasks: Sequence[dict[str, Any]]) -> list[Any]:
    """Fact sheets, settings and references that methods of several tasks share, each once: replaced by their position."""
    held: dict[str, int] = {}
    found: list[Any] = []
    for task in tasks:
        for method in task["methods"].values():
            for name in ("sheet", "settings", "cite"):
                text = json.dumps(method[name], sort_keys=True)
                if text not in held:
                    held[text] = len(found)
                    found.append(method[name])
                method[name] = held[text]
    return found


def rounded(value: Any) -> float | None:
    """Four decimals, as every table prints; None where undefined."""
    number = float(value)
    return None if not math.isfinite(number) else round(number, 4)


def _shown(value: float) -> float | None:
    """As many digits as tables print, and as ranks need: four decimals, six significant digits."""
    found = significant(value, 6)
    return rounded(value) if found is not None and abs(value) >= 10 else found


def significant(value: Any, digits: int) -> float | None:
    """So many significant digits; None where undefined. An integer stays one, which is shorter."""
    number = float(value)
    if not np.isfinite(number):
        return None
    short = float(f"{number:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _plain(value: Value) -> Any:
    """A column's value as JSON has it: numbers to four decimals."""
    if isinstance(value, tuple):
        return [rounded(end) for end in value]
    return rounded(value) if isinstance(value, float) else value
