"""Model observers on fused images of tasks with known findings: fuse what is missing, keep the regions, judge them.

A study of 400 subjects is 1,600 images a method and task. Of each only the region around the place of the finding is kept:
observers read nothing else, so what they find is the same to the last bit as from whole images, at a fifteenth of the room.

::

    RESULTS/observed/DATASET/TASK/METHOD/MAKING/ID.png    65 x 65 pixels; MAKING changes with method, weights and pairs
    RESULTS/observed/DATASET/TASK/sources/MAKING/ID-{a,b,color}.png
    RESULTS/truth/DATASET/TASK/METHOD.json                what each observer found, with intervals by subject
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from fusionbench.bench.images import check_name
from fusionbench.bench.ledger import Notify, locked, silent
from fusionbench.bench.plan import resolve_device, task_sources
from fusionbench.bench.pools import Engine, open_engine
from fusionbench.bench.provenance import plain
from fusionbench.bench.work import (
    FuseUnit,
    Row,
    TaskRef,
    failed_row,
    fuse_all,
    opened,
    plugin_source,
)
from fusionbench.datasets import ShowsFindings, task_plugin
from fusionbench.errors import InputError
from fusionbench.methods import Created, create_method
from fusionbench.observers import region
from fusionbench.observers.study import OBSERVERS, Found, Interval, Study, judge, summary
from fusionbench.pairs import Pair, list_pictures, read_picture, recolour, size_text, write_png
from fusionbench.scores import Key, fingerprint, write_json

SIZE = 65
"""Pixels of a region's side: about three times the width of the widest channel."""

SOURCES = "sources"
Floats = NDArray[np.float64]


@dataclasses.dataclass
class Observed:
    """Of each method and task what was found, the bounds of each task, and on which pairs a method failed.

    ``found``: key -> observer (``cho``, ``cho colour``, ...) -> figure -> (value, low, high). ``bounds``: task -> what the
    same observer tells from the sources themselves.
    """

    found: dict[Key, dict[str, dict[str, Interval]]] = dataclasses.field(default_factory=dict)
    bounds: dict[str, dict[str, dict[str, Interval]]] = dataclasses.field(default_factory=dict)
    failed: list[tuple[Key, str, str]] = dataclasses.field(default_factory=list)
    skipped: list[tuple[Key, str]] = dataclasses.field(default_factory=list)
    fused: int = 0


def observe(
    methods: Sequence[str],
    tasks: Sequence[str],
    results: Path,
    *,
    subjects: int = 100,
    split: str = "test",
    observers: Sequence[str] = ("cho", "dog"),
    fused: Mapping[str, Path] | None = None,
    device: str = "auto",
    seed: int = 0,
    engine: str = "serial",
    notify: Notify = silent,
) -> Observed:
    """Judge methods on the first ``subjects`` subjects of tasks of known findings; only missing regions are fused.

    ``fused``: name -> folder of whole images that something else made of the pairs, named after them. Raises InputError for
    a task without findings, fewer than 20 subjects, an unknown observer, a missing image, a name that cannot be a file name.
    """
    for name in observers:
        if name not in OBSERVERS:
            raise InputError(f"unknown observer {name!r}; known: {', '.join(OBSERVERS)}")
    for name in fused or {}:
        check_name(name)
    if subjects < 20:
        raise InputError(f"{subjects} subjects: an observer needs some to learn from; take at least 20")
    created = [create_method(spec) for spec in methods]
    refs = [TaskRef(name, (), split) for name in tasks]
    opened_tasks = [_with_findings(ref) for ref in refs]
    out = Observed()
    where = resolve_device(device)
    with locked(results), open_engine(engine, where) as workers:
        for ref, task in zip(refs, opened_tasks, strict=True):
            job = _Job(ref, task, task.subjects(subjects), results, where, seed, workers, notify, uuid.uuid4().hex)
            seen = _sources(job)
            bounds = {name: _bounds(seen, name) for name in observers}
            out.bounds[ref.name] = {
                f"{kind}, {name}": summary(found) for name, of in bounds.items() for kind, found in of.items()
            }
            write_json(
                ref.key(SOURCES).truth(results), {"about": _about(job), "observers": _plain(out.bounds[ref.name])}
            )
            for item in created:
                key = ref.key(item.label)
                if reason := item.method.supports(key.task):
                    out.skipped.append((key, reason))
                elif folder := _regions(job, item, key, out):
                    _record(job, key, folder, seen, bounds, plain(dataclasses.asdict(item.facts)), out)
            for name, folder in (fused or {}).items():
                key = ref.key(name)
                _record(job, key, _foreign(job, key, folder), seen, bounds, {"name": name, "foreign": True}, out)
    return out


@dataclasses.dataclass(frozen=True)
class _Job:
    """A task of a study."""

    ref: TaskRef
    task: Any  # Task and ShowsFindings
    ids: Sequence[str]
    results: Path
    device: str
    seed: int
    workers: Engine
    notify: Notify
    run: str  # as of a FuseUnit

    def making(self, *parts: Any) -> str:
        """Changes with the pairs and with whatever else made the regions."""
        return fingerprint(self.task.digest(self.ids[0]), SIZE, task_sources(self.ref), *parts)

    def missing(self, folder: Path, ending: str = ".png") -> list[str]:
        there = {path.name for path in folder.glob("*.png")} if folder.is_dir() else set()
        return [pair for pair in self.ids if pair + ending not in there]


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """The regions of the sources and what is known of them."""

    study: Study
    a: Floats
    b: Floats
    color: NDArray[np.uint8] | None
    level: Floats | None


def _with_findings(ref: TaskRef) -> Any:
    task = ref.open()
    if not isinstance(task, ShowsFindings):
        raise InputError(f"{ref.name}: nobody knows what can be found in it; observe lesion/ct-mri and its like")
    return task


def _place(pair: Pair) -> tuple[int, int]:
    if pair.truth is None or "place" not in pair.truth:
        raise InputError(f"pair {pair.id} has no place in its ground truth")
    row, column = np.unravel_index(int(pair.truth["place"].argmax()), pair.a.shape)
    return int(row), int(column)


def observe_unit(unit: FuseUnit) -> Iterator[Row]:
    """Fuse pairs and write the region of each into ``unit.results``."""
    for pair, result in fuse_all(unit):
        if isinstance(result, Exception):
            yield failed_row(unit, pair, result)
            continue
        write_png(unit.results / f"{pair.id}.png", region(result[0], *_place(pair), SIZE), durable=False)
        yield Row(unit.key, pair.id, {})


def sources_unit(unit: FuseUnit) -> Iterator[Row]:
    """Write the regions of the sources; the first image last, so that where it is, all are."""
    task = opened(unit.task, unit.run)
    for pair in map(task.load, unit.todo):
        images = {"color": pair.color, "b": pair.b, "a": pair.a}
        for name, image in images.items():
            if image is not None:
                write_png(unit.results / f"{pair.id}-{name}.png", region(image, *_place(pair), SIZE), durable=False)
        yield Row(unit.key, pair.id, {})


def _work(
    job: _Job,
    key: Key,
    folder: Path,
    missing: Sequence[str],
    work: Callable[[FuseUnit], Iterator[Row]],
    item: Created | None,
) -> list[Row]:
    """Rows of units over the missing pairs; what an earlier making left is removed."""
    for old in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if old != folder:
            shutil.rmtree(old)
    plugins: tuple[str, ...] = ()
    if item is not None:
        sources = (plugin_source(item.plugin.factory), plugin_source(task_plugin(job.ref.name).factory))
        plugins = tuple(source for source in dict.fromkeys(sources) if source)
    size = job.workers.block(len(missing))
    units = [
        FuseUnit(
            job.ref,
            "" if item is None else item.spec,
            key,
            dict.fromkeys(missing[start : start + size], ("", "")),
            folder.absolute(),
            job.device,
            job.seed,
            plugins,
            run=job.run,
        )
        for start in range(0, len(missing), size)
    ]
    rows = []
    with closing(job.workers.rows(work, units)) as made:
        for row in made:
            rows.append(row)
            job.notify(f"{job.ref.name}: {key.method}", len(rows), len(missing))
    return rows


def _regions(job: _Job, item: Created, key: Key, out: Observed) -> Path | None:
    """The folder with the regions of a method's images, all there; None where it failed on a pair."""
    making = job.making(
        item.facts.name,
        item.facts.version,
        plain(item.settings),
        item.weights,
        job.seed if item.facts.stochastic else None,
        item.sources(),
    )
    folder = key.regions(job.results) / making
    missing = job.missing(folder)
    if missing:
        rows = _work(job, key, folder, missing, observe_unit, item)
        bad = [(row.pair, row.broken or row.record.get("error", "")) for row in rows if row.record or row.broken]
        out.fused += len(rows) - len(bad)
        out.failed += [(key, pair, reason) for pair, reason in bad]
        if bad:
            return None
    return folder


def _foreign(job: _Job, key: Key, images: Path) -> Path:
    """The regions of whole images that something else made."""
    pictures = list_pictures(images)
    lost = [pair for pair in job.ids if pair not in pictures]
    if lost:
        raise InputError(f"{images}: no image for {len(lost)} of {len(job.ids)} pairs ({', '.join(lost[:3])} ...)")
    folder = key.regions(job.results) / "given"
    shutil.rmtree(folder, ignore_errors=True)
    for done, name in enumerate(job.ids, 1):
        pair, image = job.task.load(name), read_picture(pictures[name]).grey
        if image.shape != pair.a.shape:
            raise InputError(f"{pictures[name]}: is {size_text(image)}, its pair is {size_text(pair.a)}")
        write_png(folder / f"{name}.png", region(image, *_place(pair), SIZE), durable=False)
        job.notify(f"{job.ref.name}: {key.method}", done, len(job.ids))
    return folder


def _sources(job: _Job) -> _Seen:
    key = job.ref.key(SOURCES)
    folder = key.regions(job.results) / job.making(SOURCES)
    if missing := job.missing(folder, "-a.png"):
        _work(job, key, folder, missing, sources_unit, None)
    a, b = (np.stack([read_picture(folder / f"{pair}-{x}.png").grey for pair in job.ids]).astype(float) for x in "ab")
    color = level = None
    if (folder / f"{job.ids[0]}-color.png").exists():
        pictures = [read_picture(folder / f"{pair}-color.png").pixels for pair in job.ids]
        color = np.stack(pictures)
        level = job.task.level(color).astype(float)
    study = Study(
        shows=np.array([job.task.shows(pair) for pair in job.ids]),
        subjects=np.array([job.task.case(pair) for pair in job.ids]),
        widths=job.task.widths,
    )
    return _Seen(study, a, b, color, level)


def _bounds(seen: _Seen, observer: str) -> dict[str, Found]:
    """What the sources show: each alone, both side by side; of a tracer also its level, and both with that."""
    stacks = {"first source": [seen.a], "second source": [seen.b], "both sources": [seen.a, seen.b]}
    if seen.level is not None:
        stacks |= {"level": [seen.level], "both sources, level": [seen.a, seen.level]}
    return {name: judge(regions, seen.study, observer) for name, regions in stacks.items()}


def _record(
    job: _Job,
    key: Key,
    folder: Path,
    seen: _Seen,
    bounds: Mapping[str, Mapping[str, Found]],
    facts: Mapping[str, Any],
    out: Observed,
) -> None:
    """Judge one method's regions and write what was found."""
    grey = np.stack([read_picture(folder / f"{pair}.png").grey for pair in job.ids])
    found: dict[str, dict[str, Interval]] = {}
    for name in bounds:
        # A tracer's information is its level: what is lost on the way to luminance is lost.
        both = bounds[name].get("both sources, level", bounds[name]["both sources"])
        found[name] = summary(judge([grey.astype(float)], seen.study, name), both)
        if seen.color is not None:
            shown = np.stack([rgb2lab(recolour(x, c)) for x, c in zip(grey, seen.color, strict=True)])
            found[f"{name} colour"] = summary(judge([shown], seen.study, name), both)
    out.found[key] = found
    write_json(key.truth(job.results), {"about": _about(job) | {"method": dict(facts)}, "observers": _plain(found)})


def _about(job: _Job) -> dict[str, Any]:
    facts = task_plugin(job.ref.name).facts
    return {
        "task": plain(dataclasses.asdict(facts)),
        "split": job.ref.split,
        "subjects": len(job.ids) // 4,
        "seed": job.seed,
    }


def _plain(found: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, list[float]]]:
    return {name: {figure: list(values) for figure, values in of.items()} for name, of in found.items()}
