"""Which metric knows the truth: every directed metric of a results folder against what model observers found."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fusionbench import stats
from fusionbench.errors import InputError
from fusionbench.report.truth import Judged, read_truth
from fusionbench.scores import Column, Table, read_metric_facts, read_results


@dataclasses.dataclass(frozen=True)
class Validated:
    """One metric on one task: how it agrees with the yardstick, in the metric's own direction."""

    task: str
    metric: str
    agreement: stats.Agreement


def validate(results: Path, *, observer: str = "cho", figure: str = "joint") -> list[Validated]:
    """Metrics of each task of known findings, best agreement first; a metric is the mean over a method's pairs.

    Metrics that only describe an image, and those that need ground truth, are left out; so is one that is equal for all
    methods. Raises InputError where nothing was observed, no method has both, or for an unknown observer or figure.
    """
    studies = read_truth(results)
    if not studies:
        raise InputError(f"{results}: model observers have judged nothing; run fusionbench observe first")
    facts = read_metric_facts(results)["metrics"]
    tables = read_results(results)
    found = []
    for judged in studies:
        yardstick = _yardstick(judged, observer, figure)
        own = [table for table in tables if (table.key.dataset, table.key.task) == (judged.dataset, judged.task)]
        for metric in sorted({column for table in own for column in table.frame().columns}):
            column = Column.parse(metric, facts)
            if column.facts.get("direction") not in ("higher", "lower") or "truth" in column.facts.get("needs", ()):
                continue
            sign = 1.0 if column.facts["direction"] == "higher" else -1.0
            means = sign * _means(own, metric)
            if means.reindex(yardstick.index).dropna().nunique() > 1:
                found.append(Validated(f"{judged.dataset}/{judged.task}", metric, stats.agreement(means, yardstick)))
    if not found:
        raise InputError(
            f"{results}: no metric was scored on the tasks that were observed; run fusionbench run -t lesion/... first"
        )
    return sorted(found, key=lambda item: (item.task, -item.agreement.tau, item.metric))


def _yardstick(judged: Judged, observer: str, figure: str) -> pd.Series[float]:
    values = {m: of[observer][figure][0] for m, of in judged.methods.items() if figure in of.get(observer, {})}
    if not values:
        raise InputError(
            f"{judged.task}: nothing is known of {figure!r} by {observer!r}; observers: {judged.observers}"
        )
    return pd.Series(values, dtype=float)


def _means(tables: Sequence[Table], metric: str) -> pd.Series[float]:
    frames = {table.key.method: table.frame() for table in tables}
    return pd.Series({m: float(f[metric].mean()) for m, f in frames.items() if metric in f}, dtype=float)


def csv_text(found: Sequence[Validated]) -> str:
    """A line a task and metric, four decimals."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["task", "metric", "tau", "tau_low", "tau_high", "ordered_rightly", "methods"])
    for item in found:
        a = item.agreement
        writer.writerow([item.task, item.metric, *(f"{x:.4f}" for x in (a.tau, a.low, a.high, a.right)), a.methods])
    return buffer.getvalue()
