"""What a run would do: which images it would fuse, which values it would compute. Writes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusionbench.bench.ledger import Notify, applies, metrics_lacking, silent
from fusionbench.bench.plan import Asked, asked_for, digests_of
from fusionbench.bench.work import TaskRef
from fusionbench.methods import Created
from fusionbench.metrics import PROFILES
from fusionbench.scores import DamagedError, Key, Table, read_table


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Of one method on one task: how many ``pairs`` there are, how many it would ``fuse``, how many images it would
    ``score``, and how many ``values`` that computes. ``skipped``: why it would not run, "" otherwise."""

    key: Key
    pairs: int
    fuse: int = 0
    score: int = 0
    values: int = 0
    skipped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"task": f"{self.key.dataset}/{self.key.task}", "method": self.key.method} | {
            name: getattr(self, name) for name in ("pairs", "fuse", "score", "values", "skipped")
        }


def forecast(
    methods: Sequence[str],
    tasks: Sequence[str],
    results: Path,
    *,
    metrics: Sequence[str] = PROFILES["dmfnet"].metrics,
    data: Sequence[Path] = (),
    split: str = "test",
    device: str = "auto",
    seed: int = 0,
    limit: int | None = None,
    force: bool = False,
    mask: str = "none",
    corrupt: Sequence[str] = (),
    channel: str = "luma",
    notify: Notify = silent,
) -> list[Forecast]:
    """What ``bench.run`` with the same arguments would do, by task and method. Raises what that would of names and data."""
    asked, refs = asked_for(
        methods, tasks, results, metrics=metrics, data=data, split=split, device=device, seed=seed, force=force, mask=mask,
        corrupt=corrupt, channel=channel, isolate=None, notify=notify,
    )  # fmt: skip
    found: dict[Key, Forecast] = {}
    for ref in refs:
        digests = digests_of(ref, limit, results, notify)
        for item in asked.created:
            key = ref.key(item.label)
            if key not in found:  # else named twice, or with a setting at its default
                found[key] = _of_method(asked, ref, item, digests)
    return list(found.values())


def _of_method(asked: Asked, ref: TaskRef, item: Created, digests: dict[str, str]) -> Forecast:
    key = ref.key(item.label)
    if reason := item.method.supports(key.task):
        return Forecast(key, len(digests), skipped=reason)
    try:
        table = Table(key) if asked.force else read_table(asked.results, key)
    except DamagedError:  # a run would put it aside and compute what it held again
        table = Table(key)
    todo = asked.stale(ref, item, table, digests)
    columns = {name: col for name, col in asked.scoring.columns().items() if applies(name, ref.clean, list(digests))}
    known, now = table.about.get("metric_versions", {}), asked.scoring.versions()
    stale = {column for column in columns.values() if known.get(column) != now[column]}
    values = 0
    images = 0
    for pair in digests:
        record = {} if pair in todo else table.pairs.get(pair, {})
        kept = {column: value for column, value in record.get("scores", {}).items() if column not in stale}
        lacking = len(metrics_lacking({**record, "scores": kept}, columns))
        values += lacking
        images += lacking > 0
    return Forecast(key, len(digests), len(todo), images, values)
