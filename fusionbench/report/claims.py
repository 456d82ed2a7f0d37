""" "A is better than B", asked of score tables (one task or all, by mean rank or one metric) or of a CSV of scores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fusionbench import stats
from fusionbench.errors import InputError
from fusionbench.report.boards import Board
from fusionbench.report.inference import undecidable
from fusionbench.report.overall import blocks, by_person, margin, margin_over_all, overall


@dataclasses.dataclass(frozen=True)
class Asked:
    """A claim and what became of it. ``quantity``: what was compared, in words; ``where``: on what; ``unit``: who the units
    are; ``congruence``: correlation of the two methods' values over them."""

    first: str
    second: str
    quantity: str
    where: str
    unit: str
    congruence: float
    found: stats.Claim
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For programs; what is not a number is None."""
        flat = dataclasses.asdict(self) | dataclasses.asdict(self.found)
        del flat["found"]
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in flat.items()}


def ask(
    boards: Sequence[Board],
    first: str,
    second: str,
    *,
    metric: str | None = None,
    over_all: bool = False,
    own_margin: float | None = None,
) -> Asked:
    """Whether ``first`` is better than ``second`` on the board, or over all tasks of the boards.

    By mean rank within pairs among the contenders (over all tasks: among those that all tasks rank), or by ``metric``, a
    column of the boards. ``own_margin``: instead of what JPEG at quality 95 costs. Raises InputError for a method that is
    not ranked, or a metric that was not scored.
    """
    board = boards[0]
    names = [_method(boards, name) for name in (first, second)]
    if names[0] == names[1]:
        raise InputError(f"{first} and {second} are one method; name two")
    if metric is None and over_all:
        found = overall(boards)
        if len(found) != 1:
            raise InputError(
                "a claim over all tasks needs one data set with two tasks or more; name one task by --task"
            )
        values, limit = -by_person(found[0])[names], margin_over_all(found[0])
        quantity = f"mean rank among the {len(found[0].pool)} methods that all tasks rank"
    elif metric is None:
        values = -stats.by_patient(blocks(board, board.order), board.patients)[names]
        quantity, limit = f"mean rank among the {len(board.order)} ranked methods", margin(board, board.order)
    else:
        values, limit = _by_metric(boards, metric, names)
        quantity = board.column(metric).short
    used = boards if over_all else boards[:1]
    tasks = ", ".join(b.task_title for b in used)
    where = f"{tasks} on {board.dataset}, profile {board.profile}, {sum(len(b.pairs) for b in used)} pairs"
    known = all(b.patients_known for b in used)
    judged = _judge(values, limit if own_margin is None else own_margin)
    a, b = (board.name(name) for name in names)
    notes = [] if known else ["Whose the pairs are is not known: each counts as a patient of its own."]
    notes += _interests(used, names)
    # Over several tasks persons weigh unlike, which would pass for agreement.
    together = math.nan if len(used) > 1 else stats.congruence(values[names[0]], values[names[1]])
    return Asked(a, b, quantity, where, "patient" if known else "pair", together, judged, tuple(notes))


def _judge(values: pd.DataFrame, limit: float) -> stats.Claim:
    """Two columns, higher is better, a row a patient."""
    differences = (values.iloc[:, 0] - values.iloc[:, 1]).to_numpy(dtype=float)
    if np.isnan(differences).all():
        raise InputError("no patient has a defined difference between the two; score both on the same pairs")
    return stats.claim(differences, limit)


def _by_metric(boards: Sequence[Board], metric: str, names: Sequence[str]) -> tuple[pd.DataFrame, float]:
    """(patient x method, higher is better; margin) of one metric, over the tasks of the boards."""
    for board in boards:
        if metric not in board.scores:
            raise InputError(
                f"metric {metric!r} is not scored on {board.task_title}: fusionbench run --metric {metric}"
            )
    sign = 1.0 if boards[0].column(metric).better == "higher" else -1.0
    each = {b.task: stats.by_patient(sign * b.scores[metric][list(names)], b.persons) for b in boards}
    return stats.over_tasks(each), boards[0].margins.get(metric, math.nan)


def _method(boards: Sequence[Board], name: str) -> str:
    """A contender of all the boards by its name in files or its title, in upper or lower case."""
    wanted = name.lower()
    for board in boards:
        for method in board.order:
            if wanted in (method.lower(), board.name(method).lower()):
                missing = [other.task_title for other in boards if method not in other.order]
                if missing:
                    raise InputError(f"{name} is not ranked on {', '.join(missing)}; name a task that ranks it")
                return method
    raise InputError(f"{name!r} is not ranked here; there are: {', '.join(boards[0].order)}")


def _interests(boards: Sequence[Board], names: Sequence[str]) -> list[str]:
    """What the two owe to training on these patients or for these metrics."""
    told = []
    for name in names:
        title = boards[0].name(name)
        seen = [board.tables[name].exposure for board in boards]
        if any(not e.known for e in seen):
            told.append(f"Whether {title} has seen these patients in training is not known.")
        elif any(e.seen for e in seen):
            told.append(f"{title} has seen patients of these in training.")
        made_for = list(dict.fromkeys(m for board in boards for m in board.conflicts(name) or ()))
        if made_for:
            told.append(f"{title} was made for {', '.join(made_for)}.")
    return told


def sentences(asked: Asked) -> list[str]:
    """The answer in plain words, the verdict first."""
    c, unit = asked.found, asked.unit
    units = f"{c.patients} {unit}{'' if c.patients == 1 else 's'}"
    verdicts = {
        "better": f"{asked.first} is better than {asked.second}.",
        "worse": f"{asked.first} is worse than {asked.second}.",
        "equivalent": f"{asked.first} and {asked.second} are equivalent: their difference lies within {c.margin:.3g}.",
        "not separable": f"{units} do not separate {asked.first} from {asked.second}.",
        "not decidable": f"{undecidable(c.patients).replace('patient', unit)}.",
    }
    said = [verdicts[c.verdict], f"Compared: {asked.quantity}, {asked.where}, by {unit}."]
    ends = f", 95 % interval {c.low:+.3g} to {c.high:+.3g}" if math.isfinite(c.low) else ""
    said.append(f"Effect {c.effect:+.3g} (positive: {asked.first} ahead){ends}; p = {c.p:.3g}.")
    said.append(f"{c.agree:.0%} of the {units} agree with its sign.")
    if c.verdict not in ("better", "worse"):
        more = f"about {c.needed} {unit}s" if c.needed is not None else f"more than 1,000 {unit}s"
        said.append(f"If others are like these, {more} would show a difference with 80 % power.")
    if not math.isnan(c.margin):
        said.append(f"Equivalent means within {c.margin:.3g}: p = {c.p_equivalent:.3g}.")
    if not math.isnan(asked.congruence):
        said.append(f"Congruence (correlation of the two over {unit}s): {asked.congruence:.2f}.")
    return [*said, *asked.notes]


def read_csv(path: Path, patient: str, metric: str | None) -> tuple[pd.DataFrame, list[str]]:
    """(pair x method, patients) of anybody's scores.

    Long: columns ``pair``, ``method``, ``value`` and, with several metrics, ``metric``. Wide: a column a method. Either has
    the column that ``patient`` names. Raises InputError naming file and column.
    """
    try:
        table = pd.read_csv(path, dtype={patient: str})
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None
    if patient not in table:
        raise InputError(f"{path}: has no column {patient!r}; its columns: {', '.join(map(str, table.columns))}")
    if table[patient].isna().any():
        raise InputError(f"{path}: {patient} is empty in some rows; give each pair its patient")
    if {"method", "value"} <= set(table.columns):
        if "metric" in table:
            there = sorted(map(str, table["metric"].unique()))
            if metric is None and len(there) > 1:
                raise InputError(f"{path}: holds several metrics; name one by --metric: {', '.join(there)}")
            table = table[table["metric"].astype(str) == (metric or there[0])]
            if table.empty:
                raise InputError(f"{path}: no metric {metric!r}; there are: {', '.join(there)}")
        if "pair" not in table:
            raise InputError(f"{path}: has no column 'pair'; each value needs the pair it was scored on")
        if table.duplicated(["pair", "method"]).any():
            raise InputError(f"{path}: a pair has two values of one method; leave one")
        whose = table.groupby("pair")[patient]
        if (whose.nunique() > 1).any():
            raise InputError(f"{path}: a pair belongs to two patients; correct {patient}")
        wide = table.pivot(index="pair", columns="method", values="value")
        return wide.astype(float), [str(name) for name in whose.first()[wide.index]]
    values = table.drop(columns=[c for c in (patient, "pair") if c in table])
    return values.select_dtypes("number").astype(float), [str(name) for name in table[patient]]


def ask_csv(
    path: Path, first: str, second: str, *, patient: str, metric: str | None, lower: bool, limit: float | None
) -> Asked:
    """The same of a CSV; ``lower``: whether lower values are better. Raises InputError naming file and column."""
    values, patients = read_csv(path, patient, metric)
    for name in (first, second):
        if name not in values:
            raise InputError(f"{path}: no method {name!r}; there are: {', '.join(map(str, values.columns))}")
    each = stats.by_patient(values[[first, second]] * (-1.0 if lower else 1.0), patients)
    judged = _judge(each, math.nan if limit is None else limit)
    missing = int(values[[first, second]].isna().any(axis=1).sum())
    notes = [f"{missing} pairs lack a value of either; their patients are left out."] if missing else []
    together = stats.congruence(each[first], each[second])
    where = f"{path.name}, {len(values)} pairs"
    return Asked(first, second, metric or "values", where, "patient", together, judged, tuple(notes))
