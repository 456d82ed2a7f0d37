"""Which metric knows the truth: every directed metric against what model observers, or people, found in the same images."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fusionbench import stats
from fusionbench.errors import InputError
from fusionbench.files import write_text
from fusionbench.report.figures import PAGE, ROW, WIDTHS, style
from fusionbench.report.plots import GREY, OKABE_ITO
from fusionbench.report.truth import Judged, read_truth
from fusionbench.scores import Column, Key, find_tables, read_metric_facts, read_table

Facts = Mapping[str, Mapping[str, Any]]
Means = Mapping[Key, pd.DataFrame]
"""Place -> a row a method, a column a metric."""

NEEDED = 3
MOST = 5


@dataclasses.dataclass(frozen=True)
class Validated:
    """One metric on one task (``DATASET/TASK``): how it agrees with the yardstick, in the metric's own direction."""

    task: str
    metric: str
    family: str
    agreement: stats.Agreement


def validate(
    results: Path,
    *,
    observer: str = "cho",
    figure: str = "joint",
    ratings: Path | None = None,
    facts: Facts | None = None,
    means: Means | None = None,
) -> list[Validated]:
    """Metrics of each task that has a yardstick, best agreement first; a metric is the mean over a method's pairs.

    The yardstick is a ``figure`` that an ``observer`` found, or, with ``ratings``, what people said (:func:`read_ratings`).
    ``facts``, ``means``: of the metrics, where they are not those of ``results``. Metrics that only describe an image, and
    those that need ground truth, are left out; so is one that is equal for all methods. Raises InputError where
    nothing was observed or rated, no method has both, or for an observer or figure that no task has.
    """
    known = read_metric_facts(results)["metrics"] if facts is None else facts
    scored = read_means(results) if means is None else means
    yardsticks = _truths(results, observer, figure) if ratings is None else read_ratings(ratings)
    found = []
    for place, yardstick in yardsticks.items():
        frame = scored.get(place, pd.DataFrame())
        for metric in sorted(frame.columns):
            sheet = Column.parse(metric, known).facts
            if sheet.get("direction") not in ("higher", "lower") or "truth" in sheet.get("needs", ()):
                continue
            own = frame[metric] * (1.0 if sheet["direction"] == "higher" else -1.0)
            if own.reindex(yardstick.index).dropna().nunique() > 1:
                agreement = stats.agreement(own, yardstick)
                found.append(
                    Validated(f"{place.dataset}/{place.task}", metric, str(sheet.get("family", "")), agreement)
                )
    if not found:
        raise InputError(
            f"{results}: no metric was scored on the tasks of the yardstick; run fusionbench run -t lesion/... first"
        )
    return sorted(found, key=lambda item: (item.task, -item.agreement.tau, item.metric))


def read_means(results: Path) -> dict[Key, pd.DataFrame]:
    """Mean scores of all tables of a results folder."""
    rows: dict[Key, dict[str, pd.Series[float]]] = {}
    for key in find_tables(results):
        mean = read_table(results, key).frame().mean(axis=0)
        rows.setdefault(Key(key.dataset, key.task), {})[key.method] = mean
    return {place: pd.DataFrame(own).T for place, own in rows.items()}


def write_means(means: Means, folder: Path) -> None:
    """Keep mean scores, seven digits, as FOLDER/DATASET/TASK.csv."""
    for place, frame in means.items():
        ordered = frame.sort_index().sort_index(axis=1)
        ordered.index.name = "method"
        write_text(
            folder / place.dataset / f"{place.task}.csv", ordered.to_csv(float_format="%.7g", lineterminator="\n")
        )


def kept_means(folder: Path) -> dict[Key, pd.DataFrame]:
    """What :func:`write_means` kept."""
    files = sorted(folder.glob("*/*.csv"))
    return {Key(path.parent.name, path.stem): pd.read_csv(path, index_col="method") for path in files}


def _truths(results: Path, observer: str, figure: str) -> dict[Key, pd.Series[float]]:
    studies = read_truth(results)
    if not studies:
        raise InputError(f"{results}: model observers have judged nothing; run fusionbench observe first")
    found = {Key(judged.dataset, judged.task): _yardstick(judged, observer, figure) for judged in studies}
    if all(values.empty for values in found.values()):
        names = list(dict.fromkeys(name for judged in studies for name in judged.observers))
        raise InputError(f"{results}: nothing is known of {figure!r} by {observer!r}; observers: {', '.join(names)}")
    return {place: values for place, values in found.items() if not values.empty}


def _yardstick(judged: Judged, observer: str, figure: str) -> pd.Series[float]:
    """Method -> value, of those that have one; ``efficiency`` is the smaller of the two findings'."""
    parts = ("efficiency-first", "efficiency-second") if figure == "efficiency" else (figure,)
    seen = {method: of[observer] for method, of in judged.methods.items() if observer in of}
    known = {method: own for method, own in seen.items() if all(part in own for part in parts)}
    return pd.Series({method: min(own[part][0] for part in parts) for method, own in known.items()}, dtype=float)


def read_ratings(path: Path) -> dict[Key, pd.Series[float]]:
    """What people said of fused images: a CSV file with columns ``image``, ``rater``, ``score`` (higher is better).

    ``image`` ends in DATASET/TASK/METHOD/PAIR, as results folders name images; an ending such as .png may follow. Each
    rater's scores are brought to mean 0 and deviation 1 first, as usual with opinion scores (ITU-R BT.500), since people use
    scales differently; a method's value is the mean over raters and images. Raises InputError naming the file and the line.
    """
    try:
        table = pd.read_csv(path, dtype={"image": str, "rater": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); give columns image, rater, score") from None
    if missing := {"image", "rater", "score"} - set(table.columns):
        raise InputError(f"{path}: has no column {', '.join(sorted(missing))}; give image, rater, score")
    table["score"] = pd.to_numeric(table["score"], errors="coerce")
    parts = [PurePosixPath(str(image)).parts for image in table["image"]]
    for line, (part, score) in enumerate(zip(parts, table["score"], strict=True), 2):
        if len(part) < 4 or pd.isna(score):
            raise InputError(f"{path}: line {line}: give DATASET/TASK/METHOD/PAIR, a rater and a number")
    centred = table.groupby("rater")["score"].transform(lambda s: (s - s.mean()) / (s.std(ddof=0) or 1.0))
    keys = [(Key(part[-4], part[-3]), part[-2]) for part in parts]
    found: dict[Key, pd.Series[float]] = {}
    for place in dict.fromkeys(place for place, _ in keys):
        own = [n for n, (at, _) in enumerate(keys) if at == place]
        found[place] = centred.iloc[own].groupby([keys[n][1] for n in own]).mean()
    return found


def recommend(found: Sequence[Validated], tasks: Sequence[str]) -> list[tuple[str, float]]:
    """(metric, merit) of those to report, best first, by the rule of docs/observers.md; [] where there are too few.

    Merit is the smaller of the lower ends of tau over ``tasks``, which must be above 0; the best of each family, up to five.
    """
    ends: dict[str, dict[str, float]] = {}
    family = {}
    for item in found:
        if item.task in tasks:
            ends.setdefault(item.metric, {})[item.task] = item.agreement.low
            family[item.metric] = item.family
    merit = {metric: min(own.values()) for metric, own in ends.items() if len(own) == len(tasks)}
    ordered = sorted((m for m in merit if merit[m] > 0), key=lambda m: (-merit[m], len(m), m))
    best = list({family[m]: m for m in reversed(ordered)}.values())
    chosen = sorted(best, key=ordered.index)[:MOST]
    return [(metric, merit[metric]) for metric in chosen] if len(chosen) >= NEEDED else []


def csv_text(found: Sequence[Validated]) -> str:
    """A line a task and metric, four decimals."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["task", "metric", "tau", "tau_low", "tau_high", "ordered_rightly", "methods"])
    for item in found:
        a = item.agreement
        writer.writerow([item.task, item.metric, *(f"{x:.4f}" for x in (a.tau, a.low, a.high, a.right)), a.methods])
    return buffer.getvalue()


def forest(found: Sequence[Validated]) -> Figure:
    """Tau of every metric with its interval, a panel a task; in the order of the mean over tasks, beside each other in two
    halves where a page is not high enough."""
    tasks = {task: {i.metric: i.agreement for i in items} for task, items in itertools.groupby(found, lambda i: i.task)}
    metrics = sorted({item.metric for item in found})
    level = {m: sum(own[m].tau for own in tasks.values() if m in own) / len(tasks) for m in metrics}
    metrics.sort(key=lambda m: (-level[m], m))
    halves = 1 if len(metrics) * ROW + 0.7 <= PAGE else 2
    rows = -(-len(metrics) // halves)
    panels = [(metrics[n : n + rows], task) for n in range(0, len(metrics), rows) for task in tasks]
    with style():
        figure = Figure(figsize=(WIDTHS["2col"], rows * ROW + 0.7), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (shown, task) in zip(axes, panels, strict=True):
            axis.axvline(0, color=GREY, lw=0.6, ls=":")
            for y, metric in enumerate(shown):
                if metric in tasks[task]:
                    a = tasks[task][metric]
                    color = OKABE_ITO[0] if a.low > 0 else OKABE_ITO[4] if a.high < 0 else GREY
                    axis.plot([a.low, a.high], [y, y], color=color, lw=0.8)
                    axis.plot(a.tau, y, "o", color=color, ms=2.2)
            axis.set_title(task if halves == 1 else task.partition("/")[2], loc="left")
            axis.set_xlabel("tau")
            axis.set_xlim(-1, 1)
            axis.set_ylim(rows - 0.4, -0.6)
            first = task == next(iter(tasks))
            axis.set_yticks(range(len(shown)), shown if first else [""] * len(shown))
    return figure
