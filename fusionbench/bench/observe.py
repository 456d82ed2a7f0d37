"""Model observers on fused images of tasks with known findings: fuse what is missing, keep the regions, judge them.

A study of 400 subjects is 1,600 images a method and task. Of each only the region around the place of the finding is kept:
observers read nothing else, so what they find is the same to the last bit as from whole images, at a seventh of the room.

::

    RESULTS/observed/DATASET/TASK/METHOD/MAKING/ID.png    97 x 97 pixels; MAKING changes with method, weights and pairs
    RESULTS/observed/DATASET/TASK/sources/MAKING/ID-{a,b,color,labels}.png
    RESULTS/truth/DATASET/TASK/METHOD.json                what each observer found, with intervals by subject
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from fusionbench.bench.images import check_name
from fusionbench.bench.ledger import Notify, locked, silent
from fusionbench.bench.plan import resolve_device
from fusionbench.bench.pools import open_engine
from fusionbench.bench.provenance import corruption_about, plain
from fusionbench.bench.regions import SOURCES, Site, cut_given, make_fused, make_sources
from fusionbench.bench.work import TaskRef
from fusionbench.datasets import ShowsFindings, task_plugin
from fusionbench.datasets.degraded import parse_degradation
from fusionbench.datasets.levels import color_table, table_of
from fusionbench.errors import InputError
from fusionbench.methods import Created, create_method
from fusionbench.observers.study import OBSERVERS, Found, Interval, Study, judge, label, summary
from fusionbench.pairs import read_picture, recolour
from fusionbench.scores import Key, write_json

PIXELS = "pixels"
READERS = (*OBSERVERS, PIXELS)
"""Ids of observers; ``pixels`` labels tissues and findings instead of detecting them."""

Floats = NDArray[np.float64]
Figures = dict[str, Interval]


@dataclasses.dataclass
class Observed:
    """Of each method and task what was found, the bounds of each task, and on which pairs a method failed.

    ``found``: key -> observer (``cho``, ``cho colour``, ...) -> figure -> (value, low, high). ``bounds``: task -> what the
    same observer tells from the sources themselves.
    """

    found: dict[Key, dict[str, Figures]] = dataclasses.field(default_factory=dict)
    bounds: dict[str, dict[str, Figures]] = dataclasses.field(default_factory=dict)
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
    channel: str = "luma",
    corrupt: Sequence[str] = (),
    observers: Sequence[str] = ("cho", "dog"),
    fused: Mapping[str, Path] | None = None,
    device: str = "auto",
    seed: int = 0,
    engine: str = "serial",
    notify: Notify = silent,
) -> Observed:
    """Judge methods on the first ``subjects`` subjects of tasks of known findings; only missing regions are fused.

    ``channel``: what is fused of a coloured source, "luma" or "level" (see ``datasets.levels``). ``corrupt``: degradations,
    each a study of its own: one source is degraded before fusing, and findings are looked for where they truly are.
    ``fused``: name -> folder of whole images that something else made of the pairs, named after them. Raises InputError for
    a task without findings, fewer than 20 subjects, an unknown observer, a missing image, a name that cannot be a file name.
    """
    for name in observers:
        if name not in READERS:
            raise InputError(f"unknown observer {name!r}; known: {', '.join(READERS)}")
    for name in fused or {}:
        check_name(name)
    if subjects < 20:
        raise InputError(f"{subjects} subjects: an observer needs some to learn from; take at least 20")
    created = [create_method(spec) for spec in methods]
    flaws = [parse_degradation(text).label for text in corrupt] or [""]
    refs = [TaskRef(name, (), split, corrupt=flaw, channel=channel) for name in tasks for flaw in flaws]
    opened_tasks = [_with_findings(ref) for ref in refs]
    out = Observed()
    where = resolve_device(device)
    with locked(results), open_engine(engine, where) as workers:
        for ref, task in zip(refs, opened_tasks, strict=True):
            site = Site(ref, task, task.subjects(subjects), results, where, seed, workers, notify, uuid.uuid4().hex)
            _observe_task(site, created, observers, fused or {}, out)
    return out


def _observe_task(
    site: Site, created: Sequence[Created], observers: Sequence[str], given: Mapping[str, Path], out: Observed
) -> None:
    seen = _read_sources(site)
    bounds = _Bounds.of(seen, observers)
    out.bounds[place_name(site.ref.key(SOURCES))] = bounds.figures
    _write(site, site.ref.key(SOURCES), _about(site), bounds.figures)
    items: dict[Key, Created] = {}
    for item in created:
        key = site.ref.key(item.label)
        if reason := item.method.supports(key.task):
            out.skipped.append((key, reason))
        else:
            items[key] = item
    folders, bad, done = make_fused(site, items)
    out.fused += done
    out.failed += [(row.key, row.pair, row.broken or row.lost) for row in bad]
    facts = {key: plain(dataclasses.asdict(items[key].facts)) for key in folders}
    for name, folder in given.items():
        key = site.ref.key(name)
        folders[key] = cut_given(site, key, folder)
        facts[key] = {"name": name, "foreign": True}
    for key, folder in folders.items():
        out.found[key] = _read_fused(site, folder, seen, bounds, observers)
        _write(site, key, _about(site) | {"method": facts[key]}, out.found[key])


def place_name(key: Key) -> str:
    """A task as it is told: ``lesion/pet-mri``, with its degradation where there is one."""
    return f"{key.base}{f'+{key.flaw}' if key.flaw else ''}/{key.task}"


def _with_findings(ref: TaskRef) -> Any:
    ref.open()  # a channel that the task has not is told
    task = dataclasses.replace(ref, channel="luma", corrupt="").open()
    if not isinstance(task, ShowsFindings):
        raise InputError(f"{ref.name}: nobody knows what can be found in it; observe lesion/ct-mri and its like")
    return task


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """The regions of the sources and what is known of them. ``level``: of a tracer fused by luminance; ``table``: its
    colours where it is fused by level."""

    study: Study
    a: Floats
    b: Floats
    labels: NDArray[np.uint8]
    color: NDArray[np.uint8] | None
    level: Floats | None
    table: NDArray[np.uint8] | None

    def shown(self, grey: NDArray[np.uint8]) -> Floats | None:
        """(M, H, W) fused images as people see them, in CIELAB; None where nothing is coloured."""
        if self.color is None:
            return None
        if self.table is not None:
            return np.asarray(rgb2lab(self.table[None])[0][grey])
        return np.stack([rgb2lab(recolour(x, c)) for x, c in zip(grey, self.color, strict=True)])


def _read_sources(site: Site) -> _Seen:
    folder = make_sources(site)

    def stack(name: str) -> NDArray[np.uint8]:
        return np.stack([read_picture(folder / f"{pair}-{name}.png").pixels for pair in site.ids])

    color = stack("color") if (folder / f"{site.ids[0]}-color.png").exists() else None
    by_level = site.ref.channel == "level"
    study = Study(
        shows=np.array([site.task.shows(pair) for pair in site.ids]),
        subjects=np.array([site.task.case(pair) for pair in site.ids]),
        widths=site.task.widths,
    )
    return _Seen(
        study,
        stack("a").astype(np.float64),
        stack("b").astype(np.float64),
        stack("labels"),
        color,
        None if color is None or by_level else site.task.level(color).astype(np.float64),
        color_table(table_of(site.ref.name)) if by_level else None,
    )


@dataclasses.dataclass(frozen=True)
class _Bounds:
    """What the sources show. ``best``: observer -> from both sources, a tracer by its level: what is lost on the way to
    luminance is lost."""

    figures: dict[str, Figures]
    best: dict[str, Found]

    @classmethod
    def of(cls, seen: _Seen, observers: Sequence[str]) -> _Bounds:
        stacks = {"first source": [seen.a], "second source": [seen.b], "both sources": [seen.a, seen.b]}
        if seen.level is not None:
            stacks |= {"level": [seen.level], "both sources, level": [seen.a, seen.level]}
        figures: dict[str, Figures] = {}
        best: dict[str, Found] = {}
        for name in observers:
            for kind, regions in stacks.items():
                if name == PIXELS:
                    figures[f"{kind}, {name}"] = label(regions, seen.labels, seen.study)
                else:
                    found = judge(regions, seen.study, name)
                    figures[f"{kind}, {name}"] = summary(found)
                    if kind.startswith("both"):
                        best[name] = found
        return cls(figures, best)


def _read_fused(site: Site, folder: Path, seen: _Seen, bounds: _Bounds, observers: Sequence[str]) -> dict[str, Figures]:
    """What each observer finds in the regions of one method."""
    grey = np.stack([read_picture(folder / f"{pair}.png").grey for pair in site.ids])
    shown = seen.shown(grey)
    found: dict[str, Figures] = {}
    for name in observers:
        if name == PIXELS:
            found[name] = label([grey.astype(np.float64)], seen.labels, seen.study)
            continue
        found[name] = summary(judge([grey.astype(np.float64)], seen.study, name), bounds.best[name])
        if shown is not None:
            found[f"{name} colour"] = summary(judge([shown], seen.study, name), bounds.best[name])
    return found


def _about(site: Site) -> dict[str, Any]:
    facts = task_plugin(site.ref.name).facts
    return {
        "task": plain(dataclasses.asdict(facts)),
        "split": site.ref.split,
        "channel": site.ref.channel,
        **({"corruption": corruption_about(site.ref.corrupt)} if site.ref.corrupt else {}),
        "subjects": len(site.ids) // 4,
        "seed": site.seed,
    }


def _write(site: Site, key: Key, about: Mapping[str, Any], found: Mapping[str, Figures]) -> None:
    """Keep what was found; bounds on more subjects than these stay, as slow methods may be judged on fewer."""
    path = key.truth(site.results)
    if key.method == SOURCES and path.exists():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged file is written anew
            held = json.loads(path.read_text(encoding="utf-8"))["about"]
            if held["subjects"] > about["subjects"] and held["task"] == about["task"]:
                return
    write_json(
        path,
        {
            "about": dict(about),
            "observers": {name: {figure: list(v) for figure, v in of.items()} for name, of in found.items()},
        },
    )
