"""The engine: fuse what is missing or stale, then score what is missing or stale, as a stream of independent units.

Methods and metrics never meet here: between them lie 8-bit PNG files. A unit of fusing is (task, method, some pairs); a
unit of scoring is (task, some pairs, every image to be scored on them), so that what depends on the sources alone is
computed once a pair. Each finished row goes to the journal of its table at once; tables are folded into CSV and JSON when a task is done.

What makes a stored result stale: the pair's digest, the method's settings, version or weights, the seed (fused image); the
image itself or a metric's version (score). A method that raises on a pair costs that pair only. One that breaks the
contract (NaN, a wrong shape) is dropped from the run, and nothing of that pair is written.
"""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fusionbench.datasets import TASKS, Task
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, create_method
from fusionbench.metrics import METRICS, PROFILES, column
from fusionbench.pairs import is_file_name, list_pictures, pixel_digest, read_picture, size_text
from fusionbench.scores import (
    Journal,
    Key,
    Table,
    fingerprint,
    forget,
    merge_record,
    read_table,
    write_metric_facts,
    write_table,
)
from fusionbench.work import FuseUnit, Row, ScoreJob, ScoreUnit, TaskRef, fuse_unit, image_paths, score_unit

_MAKING = ("versions", "device", "device_name")
Notify = Callable[[str, int, int], None]
Images = Mapping[Key, Mapping[str, tuple[Path, Path | None]]]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What to score, where in the image, and on which device. ``mask``: "none", "foreground" or an image file."""

    metrics: tuple[str, ...]
    mask: str
    device: str

    def columns(self) -> dict[str, str]:
        """Metric id -> column of the tables."""
        kind = self.mask if self.mask in ("none", "foreground") else "mask"
        return {name: column(name, kind) for name in self.metrics}

    def versions(self) -> dict[str, str]:
        """Column -> what its numbers depend on besides the images; a change makes stored scores stale."""
        shape = (
            "" if self.mask in ("none", "foreground") else "/" + pixel_digest(read_picture(Path(self.mask)).grey)[:16]
        )
        return {col: f"{METRICS[name].facts.version}{shape}" for name, col in self.columns().items()}

    def publish(self, results: Path) -> None:
        """Write what readers of the tables need to know: the fact sheets of all profiles' metrics, and the profiles."""
        columns = {name: name for profile in PROFILES.values() for name in profile.metrics}
        columns |= {col: name for name, col in self.columns().items()}
        facts = {col: _plain(dataclasses.asdict(METRICS[name].facts)) for col, name in sorted(columns.items())}
        write_metric_facts(results, facts, {name: _plain(dataclasses.asdict(p)) for name, p in PROFILES.items()})


@dataclasses.dataclass
class Outcome:
    """What a run did. ``failed``: pairs on which a method raised; ``broken``: methods that broke the contract."""

    keys: list[Key] = dataclasses.field(default_factory=list)
    fused: int = 0
    scored: int = 0
    skipped: list[tuple[Key, str]] = dataclasses.field(default_factory=list)
    failed: list[tuple[Key, str, str]] = dataclasses.field(default_factory=list)
    broken: list[tuple[Key, str]] = dataclasses.field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 2 if self.broken else 1 if self.failed else 0


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
    notify: Notify = lambda stage, done, total: None,
) -> Outcome:
    """Fuse, save and score every method on every task; only what is missing or stale is done.

    ``methods``: specs such as ``"laplacian:levels=5"``; ``tasks``: full names such as ``"phantom/pet-mri"``; ``metrics``:
    ids; ``limit``: the first so many pairs of a task; ``force``: redo everything; ``mask``: "none", "foreground" or an image
    file. ``notify`` is called with (stage, done, total). Raises InputError for bad names, settings or data, before anything
    is written.
    """
    scoring = Scoring(tuple(metrics), mask, resolve_device(device))
    created = [(spec, *create_method(spec)) for spec in methods]
    refs = [TaskRef(name, tuple(data), split) for name in tasks]
    ids = {ref: _checked_ids(ref, limit, notify) for ref in refs}  # before the first write
    outcome = Outcome()
    for ref in refs:
        task = ref.open()
        digests = {pair: task.digest(pair) for pair in ids[ref]}
        with _Tables(results, outcome, scoring) as tables:
            for spec, plugin, settings, method in created:
                key = ref.key(label(plugin.facts.name, settings, plugin.settings))
                reason = method.supports(key.task)
                if reason:
                    outcome.skipped.append((key, reason))
                    continue
                about = _about(ref, dataclasses.asdict(plugin.facts), settings, seed, scoring.device)
                table = tables.open(key, about, digests if force else ())
                todo = _stale(table, results, digests, plugin.facts, settings, getattr(method, "digest", str)(), seed)
                if todo:
                    unit = FuseUnit(ref, spec, key, todo, results, scoring.device, seed)
                    tables.take(fuse_unit(unit), f"{key.task}: {table.name}", len(todo), notify)
            images = {
                k: {p: image_paths(results, k, p) for p in t.pairs if p in digests} for k, t in tables.held.items()
            }
            tables.score(ref, images, notify)
    return outcome


def score_folder(
    folder: Path,
    facts: Mapping[str, Any],
    task_name: str,
    results: Path,
    *,
    metrics: Sequence[str] = PROFILES["dmfnet"].metrics,
    data: Sequence[Path] = (),
    split: str = "test",
    device: str = "auto",
    limit: int | None = None,
    force: bool = False,
    mask: str = "none",
    notify: Notify = lambda stage, done, total: None,
) -> Outcome:
    """Score a folder of fused images that something else made, matched to the task's pairs by file stem.

    ``facts``: at least ``name``, which becomes the method's name in the tables. A coloured image is scored on its BT.601
    grey, and the record says so. Raises InputError when a pair has no image, an image has another size than its pair, or
    the name cannot be a file name; nothing is written then.
    """
    name = str(facts["name"])
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9 ._+@=,-]{0,78}[A-Za-z0-9._+@=,-])?", name):
        raise InputError(
            f"method name {name!r} is not usable as a file name; use at most 80 letters, digits and . _ + @ -"
        )
    if name.partition("@")[0] in METHODS:
        raise InputError(
            f"{name!r} is a method of the suite itself, whose scores would be overwritten; give another name"
        )
    scoring = Scoring(tuple(metrics), mask, resolve_device(device))
    ref = TaskRef(task_name, tuple(data), split)
    task = ref.open()
    wanted = _checked_ids(ref, limit, notify)
    pictures = list_pictures(folder)
    missing = [pair for pair in wanted if pair not in pictures]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InputError(
            f"{folder}: no image for {len(missing)} of {len(wanted)} pairs ({shown}); name the files after the pairs' ids"
        )
    key = ref.key(name)
    records = {pair: _foreign_record(task, pair, pictures[pair]) for pair in wanted}
    outcome = Outcome()
    with _Tables(results, outcome, scoring) as tables:
        made_by: dict[str, Any] = {**facts, "foreign": True, "folder": "/".join(folder.resolve().parts[-2:])}
        table = tables.open(key, _about(ref, made_by, {}, 0, scoring.device), wanted if force else ())
        for pair, record in records.items():
            if table.pairs.get(pair, {}).get("fused") != record["fused"]:
                tables.enter(Row(key, pair, record))
        tables.score(ref, {key: {pair: (pictures[pair], None) for pair in wanted}}, notify)
    return outcome


def _checked_ids(ref: TaskRef, limit: int | None, notify: Notify) -> list[str]:
    """The pairs of a run, every one of them usable: bad input is told before anything is written."""
    task = ref.open()
    ids = task.ids()[:limit]
    check = getattr(task, "check", task.load)
    for done, pair in enumerate(ids, 1):
        if not is_file_name(pair):
            raise InputError(f"{ref.name}: pair id {pair!r} cannot be a file name; rename the pair")
        check(pair)
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


def label(name: str, settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """File-name-safe label of a method with settings: its name alone when all are at their defaults."""
    changed = {k: v for k, v in sorted(settings.items()) if v != parameters[k].default}
    if not changed:
        return name
    text = ",".join(f"{k}={Path(v).stem if isinstance(v, Path) else v}" for k, v in changed.items())
    safe = re.sub(r"[^A-Za-z0-9._=,+-]", "_", text)
    exact = (
        "" if safe == text and not any(isinstance(v, Path) for v in changed.values()) else fingerprint(str(changed))[:6]
    )
    return f"{name}@{safe}{'~' + exact if exact else ''}"


class _Tables:
    """The open tables of one task: rows go to memory and journal, and to CSV and JSON on leaving."""

    def __init__(self, results: Path, outcome: Outcome, scoring: Scoring) -> None:
        self.held: dict[Key, Table] = {}
        self._results = results
        self._outcome = outcome
        self._scoring = scoring
        self._versions = scoring.versions()
        self._journals: dict[Key, Journal] = {}
        self._changed: set[Key] = set()
        self._made_here: dict[Key, dict[str, Any]] = {}
        self._forgotten: dict[Key, dict[str, list[str]]] = {}
        self._files = ExitStack()

    def __enter__(self) -> _Tables:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()
        # After an interrupt the journals stay, and the next run goes on from them.
        if error[0] is None:
            for key in sorted(self._changed):
                # A method that broke at its first pair leaves no empty table behind.
                if self.held[key].pairs or key.json(self._results).exists():
                    write_table(self._results, self.held[key])

    def open(self, key: Key, about: dict[str, Any], forced: Collection[str]) -> Table:
        """Read a table, forget pairs that are to be redone and scores that a metric's new version makes stale."""
        table = read_table(self._results, key)
        known = table.about.get("metric_versions", {})
        stale = [metric for metric, version in self._versions.items() if known.get(metric) != version]
        self._forgotten[key] = {"pairs": sorted(table.pairs.keys() & forced), "metrics": stale}
        forget(table, **self._forgotten[key])
        about["metric_versions"] = {**known, **self._versions}
        self._made_here[key] = {name: about[name] for name in _MAKING}
        # How the stored rows were made stays on record until a row is made anew.
        before, table.about = table.about, {**about, **{k: table.about[k] for k in _MAKING if k in table.about}}
        if before != table.about or key.journal(self._results).exists():
            self._changed.add(key)
        self.held[key] = table
        if key not in self._outcome.keys:
            self._outcome.keys.append(key)
        return table

    def enter(self, row: Row) -> None:
        """Take a row into memory and onto the disk."""
        table = self.held[row.key]
        if not self._journals:
            self._scoring.publish(self._results)
        if row.key not in self._journals:
            table.about = {**table.about, **self._made_here[row.key]}
            journal = Journal(self._results, row.key)
            self._files.callback(journal.close)
            self._journals[row.key] = journal
            # What was forgotten in memory must not come back from the CSV after a kill.
            journal.add({"about": table.about, "forget": self._forgotten[row.key]})
        merge_record(table.pairs, row.pair, row.record)
        self._journals[row.key].add({"pair": row.pair, "record": dict(row.record)})
        self._changed.add(row.key)
        if "error" in row.record:
            self._outcome.failed.append((row.key, row.pair, row.record["error"]))

    def take(self, rows: Iterator[Row], stage: str, total: int, notify: Notify) -> None:
        """Enter the rows of a fusing unit."""
        notify(stage, 0, total)
        for done, row in enumerate(rows, 1):
            if row.broken:
                self._outcome.broken.append((row.key, row.broken))
            else:
                self.enter(row)
                self._outcome.fused += "error" not in row.record
            notify(stage, done, total)

    def score(self, ref: TaskRef, images: Images, notify: Notify) -> None:
        """Score every image on whatever it lacks, pair by pair."""
        scoring = self._scoring
        todo: dict[str, list[ScoreJob]] = {}
        columns = {name: col for name, col in scoring.columns().items() if _applies(name, ref, images)}
        for key, of_pair in images.items():
            for pair, (path, color) in of_pair.items():
                record = self.held[key].pairs[pair]
                lacking = tuple(name for name, col in columns.items() if col not in record.get("scores", {}))
                if lacking and "error" not in record:
                    todo.setdefault(pair, []).append(ScoreJob(key, path, color, lacking))
        stage = f"{ref.key('').task}: scoring"
        total = sum(map(len, todo.values()))
        unit = ScoreUnit(ref, {pair: tuple(jobs) for pair, jobs in sorted(todo.items())}, scoring.device, scoring.mask)
        for done, row in enumerate(score_unit(unit), 1):
            self.enter(Row(row.key, row.pair, {**self.held[row.key].pairs[row.pair], **row.record}))
            self._outcome.scored += 1
            notify(stage, done, total)


def _applies(metric: str, ref: TaskRef, images: Images) -> bool:
    """Whether a task's pairs have what a metric needs: ground truth, colour. Told by the first pair."""
    needs = METRICS[metric].facts.needs
    pairs = [pair for of_pair in images.values() for pair in of_pair]
    if not needs or not pairs:
        return True
    first = ref.open().load(min(pairs))
    return not ("truth" in needs and first.truth is None) and not (needs & {"color", "rgb"} and first.color is None)


def _stale(
    table: Table,
    results: Path,
    digests: Mapping[str, str],
    facts: Any,
    settings: Mapping[str, Any],
    weights: str,
    seed: int,
) -> dict[str, tuple[str, str]]:
    """Pairs to fuse: (pair digest, fingerprint) of those whose stored image is missing, damaged or of other making."""
    todo = {}
    for pair, digest in digests.items():
        made = fingerprint(
            digest, facts.name, facts.version, _plain(settings), weights, seed if facts.stochastic else None
        )
        record = table.pairs.get(pair, {})
        if record.get("fused") != made or "error" in record or not _intact(results, table.key, pair, record):
            todo[pair] = (digest, made)
    return todo


def _intact(results: Path, key: Key, pair: str, record: Mapping[str, Any]) -> bool:
    try:
        return bool(pixel_digest(read_picture(image_paths(results, key, pair)[0]).pixels) == record["image"])
    except (InputError, KeyError):
        return False


def _foreign_record(task: Task, pair_id: str, path: Path) -> dict[str, Any]:
    pair = task.load(pair_id)
    picture = read_picture(path)
    if picture.grey.shape != pair.a.shape:
        raise InputError(
            f"{path}: is {size_text(picture.grey)}, its pair {pair_id} is {size_text(pair.a)}; "
            "score images at the size of their pair"
        )
    digest = task.digest(pair_id)
    image = pixel_digest(picture.pixels)
    return {
        "case": pair.case,
        "pair": digest,
        "fused": fingerprint(digest, image),
        "image": image,
        "color": picture.color is not None,
        "lossy": picture.lossy,
    }


def _about(
    ref: TaskRef, facts: Mapping[str, Any], settings: Mapping[str, Any], seed: int, device: str
) -> dict[str, Any]:
    key = ref.key("")
    task = dataclasses.asdict(TASKS[ref.name].facts) | {"dataset": key.dataset, "task": key.task}
    return {
        "method": _plain(facts),
        "settings": _plain(settings),
        "task": _plain(task),
        "split": ref.split,
        "seed": seed,
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if device.startswith("cuda") else _cpu_name(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("fusionbench", "torch", "numpy", "scipy", "pillow")},
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _plain(value: Any) -> Any:
    """The same thing in what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(v) for v in value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
