"""Regions of fused images around the places of findings: which are missing, made by an engine, kept as files.

A unit holds some pairs and all methods that lack their regions, so that a generated pair is made once for all.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.bench.ledger import Notify
from fusionbench.bench.plan import task_sources
from fusionbench.bench.pools import Engine
from fusionbench.bench.provenance import plain
from fusionbench.bench.work import (
    ContractError,
    Row,
    TaskRef,
    failure,
    fuse_loaded,
    import_plugins,
    opened,
    plugin_source,
    prepared,
)
from fusionbench.datasets import task_plugin
from fusionbench.errors import InputError
from fusionbench.methods import Created
from fusionbench.observers import region
from fusionbench.observers.pixels import label_map
from fusionbench.observers.study import REGION
from fusionbench.pairs import Pair, list_pictures, read_picture, size_text, write_png
from fusionbench.scores import Key, fingerprint

SOURCES = "sources"
CHUNK = 16  # pairs in memory at once


@dataclasses.dataclass(frozen=True)
class RegionJob:
    """What a unit makes of a pair: ``spec`` is the method, "" for the sources themselves."""

    spec: str
    key: Key
    folder: Path


@dataclasses.dataclass(frozen=True)
class RegionUnit:
    """Write the regions of some pairs; of each pair those that it lacks."""

    task: TaskRef
    todo: Mapping[str, tuple[RegionJob, ...]]
    device: str
    seed: int
    plugins: tuple[str, ...] = ()
    run: str = ""

    def split(self) -> list[RegionUnit]:
        """The same work, a unit a pair and method."""
        return [dataclasses.replace(self, todo={pair: (job,)}) for pair, jobs in self.todo.items() for job in jobs]

    def on(self, device: str) -> RegionUnit:
        return dataclasses.replace(self, device=device)

    def lost(self, reason: str) -> Row:
        ((pair, (job,)),) = self.todo.items()
        return Row(job.key, pair, {}, lost=reason)


@dataclasses.dataclass(frozen=True)
class Site:
    """A task of a study and where it is worked on. ``task``: the task itself, by luminance; units open ``ref``."""

    ref: TaskRef
    task: Any  # Task and ShowsFindings
    ids: Sequence[str]
    results: Path
    device: str
    seed: int
    workers: Engine
    notify: Notify
    run: str  # as of a RegionUnit

    def making(self, *parts: Any) -> str:
        """Changes with the pairs and with whatever else made the regions."""
        degraded = [self.ref.open().digest(self.ids[0])] if self.ref.corrupt else []
        pairs = (self.task.digest(self.ids[0]), REGION, self.ref.channel, task_sources(self.ref))
        return fingerprint(*pairs, *degraded, *parts)

    def missing(self, folder: Path, ending: str = ".png") -> list[str]:
        there = {path.name for path in folder.glob("*.png")} if folder.is_dir() else set()
        return [pair for pair in self.ids if pair + ending not in there]


def place_of(pair: Pair) -> tuple[int, int]:
    """Row and column of the place where a finding may be. Raises InputError for a pair without one."""
    if pair.truth is None or "place" not in pair.truth:
        raise InputError(f"pair {pair.id} has no place in its ground truth")
    row, column = np.unravel_index(int(pair.truth["place"].argmax()), pair.a.shape)
    return int(row), int(column)


def region_unit(unit: RegionUnit) -> Iterator[Row]:
    """Fuse pairs and write the region of each; of the sources the first image comes last: where it is, all are."""
    import_plugins(unit.plugins)
    task = opened(unit.task, unit.run)
    method = functools.cache(lambda spec: prepared(spec, unit.device, unit.run))
    todo = iter(unit.todo.items())
    while chunk := dict(itertools.islice(todo, CHUNK)):
        pairs = {pair: task.load(pair) for pair in chunk}
        for job in dict.fromkeys(job for jobs in chunk.values() for job in jobs):
            own = [pairs[pair] for pair, jobs in chunk.items() if job in jobs]
            if not job.spec:
                yield from _sources_rows(job, own)
                continue
            for pair, result in fuse_loaded(method(job.spec), own, unit.device, unit.seed, unit.task.name):
                if isinstance(result, Exception):
                    broken = str(result) if isinstance(result, ContractError) else failure(result)
                    yield Row(job.key, pair.id, {}, broken=broken)
                else:
                    cut = region(result[0], *place_of(pair), REGION)
                    write_png(job.folder / f"{pair.id}.png", cut, durable=False)
                    yield Row(job.key, pair.id, {})


def _sources_rows(job: RegionJob, pairs: Sequence[Pair]) -> Iterator[Row]:
    for pair in pairs:
        images = {"labels": label_map(pair.truth or {}, pair.a.shape), "color": pair.color, "b": pair.b, "a": pair.a}
        for name, image in images.items():
            if image is not None:
                write_png(job.folder / f"{pair.id}-{name}.png", region(image, *place_of(pair), REGION), durable=False)
        yield Row(job.key, pair.id, {})


def make_sources(site: Site) -> Path:
    """The folder with the regions of the sources and of their labels, all there."""
    key = site.ref.key(SOURCES)
    folder = key.regions(site.results) / site.making(SOURCES)
    job = RegionJob("", key, folder.absolute())
    rows = _work(site, {job: site.missing(folder, "-a.png")}, ())
    if bad := [row for row in rows if row.lost]:
        raise InputError(f"{site.ref.name}: pair {bad[0].pair}: {bad[0].lost}")
    return folder


def make_fused(site: Site, items: Mapping[Key, Created]) -> tuple[dict[Key, Path], list[Row], int]:
    """Of each method the folder with the regions of its images, all there; rows of pairs on which one failed, which then has
    no folder; and how many images were fused."""
    folders = {key: key.regions(site.results) / _making(site, item) for key, item in items.items()}
    jobs = {RegionJob(items[key].spec, key, folder.absolute()): site.missing(folder) for key, folder in folders.items()}
    rows = list(_work(site, jobs, [item.plugin.factory for item in items.values()]))
    bad = [row for row in rows if row.broken or row.lost]
    lost = {row.key for row in bad}
    return {key: folder for key, folder in folders.items() if key not in lost}, bad, len(rows) - len(bad)


def _making(site: Site, item: Created) -> str:
    return site.making(
        item.facts.name,
        item.facts.version,
        plain(item.settings),
        item.weights,
        site.seed if item.facts.stochastic else None,
        item.sources(),
    )


def _work(site: Site, jobs: Mapping[RegionJob, Sequence[str]], factories: Sequence[Callable[..., Any]]) -> list[Row]:
    """Rows of units over what is missing; what an earlier making left is removed."""
    for job in jobs:
        for old in job.folder.parent.iterdir() if job.folder.parent.is_dir() else ():
            if old != job.folder:
                shutil.rmtree(old)
    lacking = {job: set(pairs) for job, pairs in jobs.items()}
    todo = {pair: tuple(job for job, lack in lacking.items() if pair in lack) for pair in site.ids}
    todo = {pair: own for pair, own in todo.items() if own}
    sources = (plugin_source(factory) for factory in (*factories, task_plugin(site.ref.name).factory))
    plugins = tuple(source for source in dict.fromkeys(sources) if source)
    names = list(todo)
    size = site.workers.block(len(names))
    units = [
        RegionUnit(
            site.ref,
            {pair: todo[pair] for pair in names[start : start + size]},
            site.device,
            site.seed,
            plugins,
            site.run,
        )
        for start in range(0, len(names), size)
    ]
    rows: list[Row] = []
    total = sum(map(len, todo.values()))
    with closing(site.workers.rows(region_unit, units)) as made:
        for row in made:
            rows.append(row)
            site.notify(f"{site.ref.name}: observing", len(rows), total)
    return rows


def cut_given(site: Site, key: Key, images: Path) -> Path:
    """The folder with the regions of whole images that something else made. Raises InputError for a missing image or one
    of another size."""
    pictures = list_pictures(images)
    lost = [pair for pair in site.ids if pair not in pictures]
    if lost:
        raise InputError(f"{images}: no image for {len(lost)} of {len(site.ids)} pairs ({', '.join(lost[:3])} ...)")
    folder = key.regions(site.results) / "given"
    shutil.rmtree(folder, ignore_errors=True)
    for done, name in enumerate(site.ids, 1):
        pair, image = site.task.load(name), read_picture(pictures[name]).grey
        if image.shape != pair.a.shape:
            raise InputError(f"{pictures[name]}: is {size_text(image)}, its pair is {size_text(pair.a)}")
        write_png(folder / f"{name}.png", region(image, *place_of(pair), REGION), durable=False)
        site.notify(f"{site.ref.name}: {key.method}", done, len(site.ids))
    return folder
