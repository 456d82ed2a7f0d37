"""The engine: fuse what is missing or stale, then score what is missing or stale, as a stream of independent units.

Methods and metrics never meet here: between them lie 8-bit PNG files. A unit of fusing is (task, method, some pairs); a
unit of scoring is (task, some pairs, every image to be scored on them), so that what depends on the sources alone is
computed once a pair. Units go to an engine (``engines``), in this process or elsewhere; rows come back in any order to the
only writer of tables (``ledger``).

What makes a stored result stale: the pair's digest, the method's settings, version or weights, the seed (fused image); the
image itself or a metric's version (score). A method that raises on a pair costs that pair only. One that breaks the
contract on a pair (NaN, a wrong shape) is told as broken, and nothing of that pair is written.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch

from fusionbench.bench.isolate import fuse_isolated
from fusionbench.bench.ledger import (
    UNRECORDED,
    Ledger,
    Notify,
    Outcome,
    Scoring,
    applies,
    intact,
    locked,
    metrics_lacking,
    silent,
)
from fusionbench.bench.pools import Engine, open_engine
from fusionbench.bench.provenance import corruption_about, making, plain
from fusionbench.bench.work import (
    FuseUnit,
    Limits,
    Mask,
    Row,
    ScoreJob,
    ScoreUnit,
    TaskRef,
    fuse_unit,
    plugin_source,
    score_unit,
)
from fusionbench.datasets import check_pair, task_plugin
from fusionbench.datasets.degraded import parse_degradation
from fusionbench.errors import InputError
from fusionbench.methods import Created, create_method
from fusionbench.metrics import METRICS, PROFILES
from fusionbench.pairs import is_file_name
from fusionbench.registry import sources_of
from fusionbench.scores import DamagedError, Key, Table, find_tables, fingerprint, read_table

Images = Mapping[Key, Callable[[str], tuple[Path, Path | None]]]
"""Of each table, pair -> (the image that is scored, its coloured version)."""


def run(
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
    engine: str = "serial",
    isolate: Limits | None = None,
    notify: Notify = silent,
) -> Outcome:
    """Fuse, save and score every method on every task; only what is missing or stale is done.

    ``methods``: specs such as ``"laplacian:levels=5"``; ``tasks``: full names such as ``"phantom/pet-mri"``; ``metrics``:
    ids; ``limit``: the first so many pairs of a task; ``force``: redo everything; ``mask``: "none", "foreground" or an image
    file; ``corrupt``: degradations such as ``"noise:sigma=0.05"``, each a run of its own: one source is degraded before
    fusing, and scores are against the clean pair (see ``datasets.degraded``); ``channel``: what is fused and scored of a
    coloured source, "luma" or "level" (see ``datasets.levels``); ``engine``: where the work is done (see
    ``bench.pools``): the numbers do not depend on it; ``isolate``: methods work in processes of their own, under these
    limits (see ``bench.isolate``). ``notify`` is called with (stage, done, total). Raises InputError for bad names, settings
    or data, before anything is written, and when another run is at work in ``results``.
    """
    asked, refs = asked_for(
        methods, tasks, results, metrics=metrics, data=data, split=split, device=device, seed=seed, force=force, mask=mask,
        corrupt=corrupt, channel=channel, isolate=isolate, notify=notify,
    )  # fmt: skip
    digests = {ref: digests_of(ref, limit, results, notify) for ref in refs}
    for ref in refs:
        _try_settings(asked, ref, digests[ref])
    outcome = Outcome(notes=kept_apart(results, refs))  # from here on something may be written
    with locked(results), open_engine(engine, asked.scoring.device) as workers:
        for ref in refs:
            _run_task(asked, ref, digests[ref], outcome, workers)
    return outcome


def asked_for(
    methods: Sequence[str],
    tasks: Sequence[str],
    results: Path,
    *,
    metrics: Sequence[str],
    data: Sequence[Path],
    split: str,
    corrupt: Sequence[str],
    channel: str,
    device: str,
    mask: str,
    **rest: Any,
) -> tuple[Asked, list[TaskRef]]:
    """The arguments of a run made into what they mean. Raises InputError for bad names and settings."""
    places = tuple(Path(folder).absolute() for folder in data)
    flaws = [parse_degradation(text).label for text in corrupt] or [""]
    refs = [TaskRef(name, places, split, flaw, channel) for flaw in dict.fromkeys(flaws) for name in tasks]
    scoring = Scoring(tuple(metrics), Mask.parse(mask), resolve_device(device))
    created = [create_method(spec) for spec in methods]
    return Asked(results, created, {c.spec: c.sources() for c in created}, scoring, **rest), refs


@dataclasses.dataclass(frozen=True)
class Asked:
    """What holds for all tasks of a run."""

    results: Path
    created: Sequence[Created]
    files: Mapping[
        str, Mapping[str, str]
    ]  # of each spec, those that a stranger's method depends on, as they were at the start
    scoring: Scoring
    seed: int
    force: bool
    isolate: Limits | None
    notify: Notify

    def stale(
        self, ref: TaskRef, item: Created, table: Table, digests: Mapping[str, str]
    ) -> dict[str, tuple[str, str]]:
        """Pairs to fuse: (pair digest, fingerprint) of those whose stored image is missing, damaged or of other making."""
        facts, sources = item.facts, self.sources(ref, item)
        todo = {}
        for pair, digest in digests.items():
            made = fingerprint(
                digest,
                facts.name,
                facts.version,
                plain(item.settings),
                item.weights,
                self.seed if facts.stochastic else None,
                *([sources] if sources else []),  # of strangers' methods and tasks alone
            )
            record = table.pairs.get(pair, {})
            if record.get("fused") != made or "error" in record or not intact(self.results, table.key, pair, record):
                todo[pair] = (digest, made)
        return todo

    def sources(self, ref: TaskRef, item: Created) -> dict[str, str]:
        """The files, with their digests, that a stranger's method, or any on a stranger's task, depends on."""
        return {**task_sources(ref), **self.files[item.spec]}

    def unit(self, ref: TaskRef, item: Created, todo: Mapping[str, tuple[str, str]], run: str = "") -> FuseUnit:
        """All that is to be fused of a task with one method."""
        plugins = _sources(item.plugin.factory, task_plugin(ref.name).factory)
        limits = self.isolate or Limits()
        where, device = self.results.absolute(), self.scoring.device
        return FuseUnit(ref, item.spec, ref.key(item.label), todo, where, device, self.seed, plugins, limits, run)

    @property
    def work(self) -> Callable[[FuseUnit], Iterator[Row]]:
        return fuse_unit if self.isolate is None else fuse_isolated


def digests_of(ref: TaskRef, limit: int | None, results: Path, notify: Notify) -> dict[str, str]:
    """The pairs of a run with their digests, every one of them usable, and none under a name that other images have."""
    ids, task = checked_ids(ref, limit, notify), ref.open()
    digests = {pair: task.digest(pair) for pair in ids}
    refuse_other_images(results, ref, digests)
    return digests


def _try_settings(asked: Asked, ref: TaskRef, digests: Mapping[str, str]) -> None:
    """Fuse one pair with each function that has settings of the user's, where any is to be fused: what it refuses is told
    before anything is written.

    A class has seen its settings when it was made. Any other failure is the pair's, and becomes a row of its table.
    """
    for item in asked.created:
        key = ref.key(item.label)
        if isinstance(item.plugin.factory, type) or item.label == item.facts.name or item.method.supports(key.task):
            continue
        table = Table(key)
        with suppress(DamagedError):  # told where the table is opened
            table = table if asked.force else read_table(asked.results, key)
        todo = asked.stale(ref, item, table, digests)
        if not todo:
            continue
        pair = min(todo)
        with tempfile.TemporaryDirectory(prefix="fusionbench-") as folder:
            unit = dataclasses.replace(asked.unit(ref, item, {pair: todo[pair]}), results=Path(folder))
            for row in asked.work(unit):
                if row.refused:
                    raise InputError(f"method {item.spec}: {row.refused}")


def _run_task(asked: Asked, ref: TaskRef, digests: Mapping[str, str], outcome: Outcome, workers: Engine) -> None:
    """Fuse and score one task."""
    with Ledger(asked.results, outcome, asked.scoring, making(asked.scoring.device)) as ledger:
        units: list[FuseUnit] = []
        for item in asked.created:
            key = ref.key(item.label)
            if key in ledger.held:
                continue  # named twice, or with a setting at its default
            reason = item.method.supports(key.task)
            if reason:
                outcome.skipped.append((key, reason))
                continue
            sources = asked.sources(ref, item)
            table = ledger.open(key, _about(ref, item, sources, asked.seed), digests if asked.force else ())
            todo = asked.stale(ref, item, table, digests)
            outcome.notes += _what_changed(item, ledger.before[key], sources, table, todo)
            units += _fuse_units(asked.unit(ref, item, todo, ledger.run), workers)
        total = sum(len(unit.todo) for unit in units)
        with closing(workers.rows(asked.work, units)) as rows:  # an interrupt must not leave a child behind
            ledger.take_fused(rows, _stage(ref, "fusing"), total, asked.notify)
        images = {key: functools.partial(_files, asked.results, key) for key in ledger.held}
        score_missing(ledger, ref, list(digests), images, asked.scoring, workers, asked.notify)


def _files(results: Path, key: Key, pair: str) -> tuple[Path, Path]:
    return key.image(results, pair), key.picture(results, pair)


def _stage(ref: TaskRef, what: str) -> str:
    """What a progress bar is named."""
    key = ref.key("")
    return f"{key.dataset}/{key.task}: {what}"


def refuse_other_images(results: Path, ref: TaskRef, digests: Mapping[str, str]) -> None:
    """Raises InputError when tables of this name hold scores on other folders of the user's, with other images."""
    if not task_plugin(ref.name).facts.named:
        return
    place = ref.key("")
    for table in _tables_at(results, place):
        theirs = table.about.get("data", {}).get("folders")
        known = {pair: record["pair"] for pair, record in table.pairs.items() if "pair" in record}
        if known and theirs != _folders(ref) and not known.items() <= digests.items():
            raise InputError(
                f"{results}: holds scores on other images under the name {place.dataset}/{place.task} "
                f"({', '.join(theirs or [UNRECORDED])}); name this data set, "
                f"--dataset {ref.name.partition('/')[0].partition(':')[0]}:NAME, or take another --results"
            )


def kept_apart(results: Path, refs: Sequence[TaskRef]) -> list[str]:
    """What to tell of tables of version 0.1.0, which gave folders of the user's no name: nothing says which those were."""
    told = []
    for ref in refs:
        dataset, _, task = ref.name.partition("/")
        base, named, _ = dataset.partition(":")
        old, new = dataclasses.replace(ref, name=f"{base}/{task}").key(""), ref.key("")
        if named and any("data" not in table.about for table in _tables_at(results, old)):
            told.append(f"{old.dataset}/{old.task}: {UNRECORDED}; kept apart from {new.dataset}/{new.task}")
    return told


def _tables_at(results: Path, place: Key) -> Iterator[Table]:
    for key in find_tables(results):
        if (key.dataset, key.task) == (place.dataset, place.task):
            with suppress(DamagedError):  # told where the table is opened
                yield read_table(results, key)


def task_sources(ref: TaskRef) -> dict[str, str]:
    """The files of a stranger's task with their digests: what its pairs are may change with them."""
    return sources_of(task_plugin(ref.name).factory)


def _folders(ref: TaskRef) -> list[str]:
    return [str(folder.resolve()) for folder in ref.data]


def checked_ids(ref: TaskRef, limit: int | None, notify: Notify) -> list[str]:
    """The pairs of a run, every one of them usable: bad input is told before anything is written."""
    task = ref.open()
    ids = task.ids()[:limit]
    for done, pair in enumerate(ids, 1):
        if not is_file_name(pair):
            raise InputError(f"{ref.name}: pair id {pair!r} cannot be a file name; rename the pair")
        check_pair(task, pair)
        notify(f"{ref.name}: checking", done, len(ids))
    return ids


def resolve_device(device: str) -> str:
    """ "auto" -> "cuda" where there is one, else "cpu". Raises InputError for "cuda" without a card."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch("cpu|cuda(:[0-9]+)?", device):
        raise InputError(f"unknown device {device!r}; use auto, cpu or cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device!r}: no CUDA device is available; use --device cpu")
    return device


def _what_changed(
    item: Created, before: Mapping[str, Any], sources: Mapping[str, str], table: Table, todo: Collection[str]
) -> list[str]:
    """Why a stranger's method, or any on a stranger's task, fuses again. before: the table's head as it was."""
    again = sum("image" in table.pairs.get(pair, {}) for pair in todo)
    if not again or not sources:
        return []
    if "sources" not in before:
        return [f"{item.label}: {UNRECORDED}: fusing {again} again"]
    changed = sorted({name for name, _ in before["sources"].items() ^ sources.items()})
    return [f"{', '.join(changed)} changed since these images were fused: fusing {again} again"] if changed else []


def _fuse_units(whole: FuseUnit, workers: Engine) -> Iterator[FuseUnit]:
    pairs = sorted(whole.todo)
    size = workers.block(len(pairs))
    for start in range(0, len(pairs), size):
        yield dataclasses.replace(whole, todo={pair: whole.todo[pair] for pair in pairs[start : start + size]})


def score_missing(
    ledger: Ledger,
    ref: TaskRef,
    ids: Sequence[str],
    images: Images,
    scoring: Scoring,
    workers: Engine,
    notify: Notify,
) -> None:
    """Score every image on whatever it lacks, pair by pair, against the clean sources. Units are made as they are sent."""
    columns = {name: col for name, col in scoring.columns().items() if applies(name, ref.clean, ids)}

    def lacking(key: Key, pair: str) -> tuple[str, ...]:
        return metrics_lacking(ledger.held[key].pairs.get(pair, {"error": "not fused"}), columns)

    def jobs(pair: str) -> Iterator[ScoreJob]:
        for key, files in images.items():
            if metrics := lacking(key, pair):
                path, color = files(pair)
                yield ScoreJob(key, path.absolute(), None if color is None else color.absolute(), metrics)

    counts = {pair: sum(bool(lacking(key, pair)) for key in images) for pair in sorted(ids)}
    pairs = [pair for pair, count in counts.items() if count]
    plugins = _sources(task_plugin(ref.name).factory, *(METRICS[name].factory for name in columns))
    size = workers.block(len(pairs), len(images))
    units = (
        ScoreUnit(
            ref.clean,
            {pair: tuple(jobs(pair)) for pair in pairs[n : n + size]},
            scoring.device,
            scoring.mask,
            plugins,
            ledger.run,
        )
        for n in range(0, len(pairs), size)
    )
    with closing(workers.rows(score_unit, units)) as rows:
        ledger.take_scored(rows, _stage(ref, "scoring"), sum(counts.values()), notify)


def _sources(*factories: Any) -> tuple[str, ...]:
    return tuple(sorted({plugin_source(factory) for factory in factories} - {""}))


def _about(ref: TaskRef, item: Created, sources: Mapping[str, str], seed: int) -> dict[str, Any]:
    return task_about(ref) | {
        "spec": item.spec,
        "method": plain(dataclasses.asdict(item.facts)),
        "settings": plain(item.settings),
        "weights": item.weights,
        "seed": seed,
        **({"sources": dict(sources)} if sources else {}),
    }


def task_about(ref: TaskRef) -> dict[str, Any]:
    key = ref.key("")
    task = dataclasses.asdict(task_plugin(ref.name).facts) | {"dataset": key.dataset, "task": key.task}
    own = {"data": {"folders": _folders(ref)}} if task_plugin(ref.name).facts.named else {}
    flaw = {"corruption": plain(corruption_about(ref.corrupt))} if ref.corrupt else {}
    channel = {"channel": ref.channel} if ref.channel != "luma" else {}
    return {"task": plain(task), "split": ref.split} | channel | own | flaw
