"""The score regression: locked scores are recomputed from scratch and compared, each metric within its tolerance.

The lock file is a CSV with one line a number (dataset, task, method, pair, metric, value, rtol), so that a change of
convention shows up in a diff as what it is.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fusionbench.bench import Notify, Outcome, run
from fusionbench.datasets import TASKS
from fusionbench.datasets.degraded import KINDS
from fusionbench.errors import InputError
from fusionbench.files import write_text
from fusionbench.methods import METHODS
from fusionbench.metrics import METRICS, PROFILES
from fusionbench.scores import Key, Table, read_table

LOCKED_METHODS = ("average", "maximum", "source-a", "source-b", "pca", "laplacian", "dwt", "guided-filter")
FIELDS = ("dataset", "task", "method", "pair", "metric", "value", "rtol")
RTOL = 1e-4
"""Wide enough for a pixel that rounds the other way on another processor, far narrower than any change of convention."""


@dataclasses.dataclass(frozen=True, order=True)
class Locked:
    """One locked number; ``value`` and ``rtol`` do not identify it."""

    dataset: str
    task: str
    method: str
    pair: str
    metric: str
    value: float = dataclasses.field(compare=False)
    rtol: float = dataclasses.field(compare=False, default=RTOL)


@dataclasses.dataclass(frozen=True)
class Drift:
    """A locked number and what came out instead (None: nothing came out)."""

    locked: Locked
    now: float | None


def read_lock(path: Path) -> list[Locked]:
    """Raises InputError when the file is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError("no rows")
        return [
            Locked(r["dataset"], r["task"], r["method"], r["pair"], r["metric"], float(r["value"]), float(r["rtol"]))
            for r in rows
        ]
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such lock file; make one with `fusionbench check --update --baseline {path}`"
        ) from None
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged lock file ({error}); restore it or rewrite it with --update") from None


def write_lock(path: Path, locked: Sequence[Locked]) -> None:
    """Write sorted, atomically."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for item in sorted(locked):
        writer.writerow([*(getattr(item, f) for f in FIELDS[:5]), repr(item.value), repr(item.rtol)])
    write_text(path, buffer.getvalue())


def recompute(
    methods: Sequence[str],
    tasks: Sequence[str],
    metrics: Sequence[str],
    limit: int,
    notify: Notify,
    results: Path | None = None,
    *,
    data: Sequence[Path] = (),
    split: str = "test",
    channel: str = "luma",
    corrupt: Sequence[str] = (),
) -> list[Locked]:
    """Fuse and score the first ``limit`` pairs of some tasks from scratch on the CPU.

    ``data``, ``split``, ``channel``, ``corrupt``: as of :func:`fusionbench.bench.run`. Raises InputError when a method
    fails, or has a setting that a lock file cannot name.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = results or Path(temporary)
        outcome: Outcome = run(
            methods,
            tasks,
            folder,
            metrics=metrics,
            data=data,
            split=split,
            channel=channel,
            corrupt=corrupt,
            device="cpu",
            limit=limit,
            force=True,
            notify=notify,
        )
        for key, pair, reason in outcome.failed:
            raise InputError(f"{key.method} failed on {key.dataset}/{key.task} {pair}: {reason}; mend the method first")
        for key, reason in outcome.broken:
            raise InputError(f"{key.method} on {key.dataset}/{key.task}: {reason}")
        for key in outcome.keys:
            spec_of(key.method)
        tables = [read_table(folder, key) for key in outcome.keys]
        return [
            Locked(_dataset(table), table.key.task, table.key.method, pair, metric, value)
            for table in tables
            for pair, record in table.pairs.items()
            for metric, value in record["scores"].items()
            if metric in metrics
        ]


def _dataset(table: Table) -> str:
    """A data set and split as they are named on the command line: ``folders:mine``, ``phantom@train``."""
    return table.task_name.partition("/")[0] + table.key.dataset.removeprefix(table.key.base)


def recompute_standard(notify: Notify, results: Path | None = None) -> list[Locked]:
    """What this package locks: controls and classics by the metrics of dmfnet on two phantom pairs a task; every metric,
    and every degradation at its usual strength, on one pair."""
    tasks = [name for name in TASKS.names() if name.startswith("phantom/")]
    own = [name for name in METRICS if METRICS[name].factory.__module__.startswith("fusionbench.metrics.")]
    own = [name for name in own if "weights" not in METRICS[name].facts.needs]  # files that not everybody has
    one, pair, dmfnet = ["laplacian"], ["phantom/pet-mri"], PROFILES["dmfnet"].metrics
    return [
        *recompute(LOCKED_METHODS, tasks, dmfnet, 2, notify, results),
        *recompute(one, pair, [name for name in own if name not in dmfnet], 1, notify, results),
        *recompute(one, pair, dmfnet, 1, notify, results, corrupt=list(KINDS)),
    ]


def recompute_locked(
    locked: Sequence[Locked], notify: Notify, results: Path | None = None, data: Sequence[Path] = ()
) -> list[Locked]:
    """What a lock file holds, computed anew: in one run whatever has data set, number of pairs and metrics in common."""
    pairs = Counter((item.dataset, item.method, item.task, item.metric) for item in locked)
    metrics: dict[tuple[str, str, str, int], list[str]] = {}
    for (dataset, method, task, metric), count in sorted(pairs.items()):
        metrics.setdefault((dataset, method, task, count), []).append(metric)
    runs: dict[tuple[str, int, tuple[str, ...]], list[tuple[str, str]]] = {}
    for (dataset, method, task, count), names in metrics.items():
        runs.setdefault((dataset, count, tuple(names)), []).append((method, task))
    now: list[Locked] = []
    for (dataset, count, chosen), tables in runs.items():
        place = Key(dataset, "")
        now += recompute(
            sorted({spec_of(method) for method, _ in tables}),
            sorted({f"{place.base}/{task}" for _, task in tables}),
            chosen,
            count,
            notify,
            results,
            data=data,
            split=place.split,
            channel=place.channel,
            corrupt=[place.flaw] if place.flaw else [],
        )
    return now


def spec_of(label: str) -> str:
    """The table name of a method -> what makes it: ``"laplacian@levels=5"`` -> ``"laplacian:levels=5"``.

    Raises InputError for a label whose settings cannot be read back (a path among them).
    """
    if "~" in label:
        raise InputError(f"{label}: a setting that is a path or not plain text cannot be locked; lock the default")
    key = Key("", "", label)
    return label if label in METHODS or not key.settings else f"{key.method_name}:{key.settings}"


def compare(locked: Sequence[Locked], now: Sequence[Locked]) -> list[Drift]:
    """The locked numbers that no longer come out. NaN agrees with NaN."""
    values = {item: item.value for item in now}
    drifts = []
    for item in sorted(locked):
        value = values.get(item)
        same = value is not None and (
            (math.isnan(value) and math.isnan(item.value))
            or abs(value - item.value) <= 1e-12 + item.rtol * abs(item.value)
        )
        if not same:
            drifts.append(Drift(item, value))
    return drifts
