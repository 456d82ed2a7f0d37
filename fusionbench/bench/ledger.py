"""The only writer of score tables: takes rows in any order, from any engine, and keeps them through a kill.

A row goes to memory and to the journal of its table at once; CSV and JSON are written when a task is done, sorted, so that
the order in which rows came leaves no trace. One run at a time works in a results folder. A file that was damaged is put
aside and what it held is computed again.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import filelock

from fusionbench.bench.provenance import making_id, plain
from fusionbench.bench.work import Mask, Row, TaskRef
from fusionbench.errors import InputError
from fusionbench.metrics import METRICS, PROFILES, published
from fusionbench.pairs import pixel_digest, read_picture
from fusionbench.registry import sources_of
from fusionbench.scores import (
    Column,
    DamagedError,
    Journal,
    Key,
    Record,
    Table,
    fingerprint,
    forget,
    merge_record,
    read_table,
    salvage_table,
    write_metric_facts,
    write_table,
)


class Notify(Protocol):
    """How progress is told."""

    def __call__(self, stage: str, done: int, total: int, item: str = "") -> None:
        """``stage``: what is done, such as "phantom/pet-mri: fusing"; ``total``: 0 where unknown; ``item``: which one."""


def silent(stage: str, done: int, total: int, item: str = "") -> None:
    """Progress that nobody wants to hear of."""


FAILURES = "failures.log"


UNRECORDED = "made before sources were recorded"


def _source(metric: str) -> str:
    """What tells one state of a stranger's metric from another; "" for the suite's own, whose ``version`` does."""
    files = sources_of(METRICS[metric].factory)
    return f"~{fingerprint(files)}" if files else ""


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What to score, where in the image, and on which device."""

    metrics: tuple[str, ...]
    mask: Mask
    device: str

    def columns(self) -> dict[str, str]:
        """Metric id -> column of the tables."""
        return {name: str(Column.parse(name).inside(self.mask.name)) for name in self.metrics}

    def versions(self) -> dict[str, str]:
        """Column -> what its numbers depend on besides the images; a change makes stored scores stale."""
        shape = self.mask.version()
        return {col: f"{METRICS[name].facts.version}{shape}{_source(name)}" for name, col in self.columns().items()}

    def publish(self, results: Path) -> None:
        """Write what readers of the tables need to know: the fact sheets of all profiles' metrics, and the profiles."""
        columns = {name: name for profile in PROFILES.values() for name in profile.metrics}
        columns |= {col: name for name, col in self.columns().items()}
        facts = {col: plain(published(name)) for col, name in sorted(columns.items())}
        write_metric_facts(results, facts, {name: plain(dataclasses.asdict(p)) for name, p in PROFILES.items()})


@dataclasses.dataclass
class Outcome:
    """What a run did.

    ``failed``: pairs on which a method raised, or whose worker died; ``broken``: methods that broke the contract;
    ``damaged``: files that were put aside and computed again; ``notes``: why images were made again; ``log``: the file with
    the tracebacks of what failed, None when nothing did.
    """

    keys: list[Key] = dataclasses.field(default_factory=list)
    fused: int = 0
    scored: int = 0
    skipped: list[tuple[Key, str]] = dataclasses.field(default_factory=list)
    failed: list[tuple[Key, str, str]] = dataclasses.field(default_factory=list)
    broken: list[tuple[Key, str]] = dataclasses.field(default_factory=list)
    damaged: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    log: Path | None = None

    @property
    def exit_code(self) -> int:
        return 2 if self.broken else 1 if self.failed else 0


@contextmanager
def locked(results: Path) -> Iterator[None]:
    """Keep other runs out of a results folder. The system gives the lock back however this process ends.

    Raises InputError when another run is at work there.
    """
    fresh = not results.exists()
    results.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(results / ".lock", timeout=0)
    try:
        with lock:
            yield
    except filelock.Timeout:
        raise InputError(
            f"{results}: another run is at work in this folder; wait for it, or take another --results"
        ) from None
    finally:
        if fresh and [path.name for path in results.iterdir()] == [".lock"]:  # nothing came of it: leave no trace
            with suppress(OSError):
                (results / ".lock").unlink()
                results.rmdir()


class Ledger:
    """The open tables of one task."""

    def __init__(self, results: Path, outcome: Outcome, scoring: Scoring, made: dict[str, Any]) -> None:
        self.held: dict[Key, Table] = {}
        self.run = uuid.uuid4().hex  # tells workers that outlive a run that this is another one
        self.before: dict[Key, Mapping[str, Any]] = {}  # the tables' heads as they were
        self._results = results
        self._outcome = outcome
        self._scoring = scoring
        self._versions = scoring.versions()
        self._made = made
        self._journals: dict[Key, Journal] = {}
        self._changed: set[Key] = set()
        self._forgotten: dict[Key, dict[str, list[str]]] = {}
        self._broken: dict[Key, dict[str, str]] = {}
        self._files = ExitStack()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()
        # After an interrupt the journals stay, and the next run goes on from them.
        if error[0] is not None:
            return
        for key in sorted(self._changed):
            # A method that broke at its first pair leaves no empty table behind.
            if self.held[key].pairs or key.json(self._results).exists():
                write_table(self._results, self.held[key])
        self._outcome.broken += [(key, of_pair[min(of_pair)]) for key, of_pair in sorted(self._broken.items())]
        self._outcome.failed.sort()

    def open(self, key: Key, about: dict[str, Any], forced: Collection[str]) -> Table:
        """Read a table, forget pairs that are to be redone and scores that a metric's new version makes stale."""
        try:
            table = read_table(self._results, key)
        except DamagedError as error:
            table, moved = salvage_table(self._results, key)
            self._outcome.damaged.append(f"{error}; put aside as {moved}")
            self._changed.add(key)
        for folder in (key.csv(self._results).parent, key.fused(self._results), key.fused(self._results) / "rgb"):
            _sweep(folder)
        known = table.about.get("metric_versions", {})
        stale = [metric for metric, version in self._versions.items() if known.get(metric) != version]
        self._tell_edited(table, stale)
        self._forgotten[key] = {"pairs": sorted(table.pairs.keys() & forced), "metrics": stale}
        forget(table, **self._forgotten[key])
        about["metric_versions"] = {**known, **self._versions}
        self.before[key] = dict(table.about)
        # How the stored rows were made stays on record until a row is made anew.
        before, table.about = table.about, {**about, **self._made, **_kept(table.about, about)}
        if before != table.about or key.journal(self._results).exists():
            self._changed.add(key)
        self.held[key] = table
        if key not in self._outcome.keys:
            self._outcome.keys.append(key)
        return table

    def _tell_edited(self, table: Table, stale: Sequence[str]) -> None:
        """Why a stranger's metric scores again what is there."""
        known = table.about.get("metric_versions", {})
        for column in stale:
            (version, _, source), (now, own, _) = (v.get(column, "").partition("~") for v in (known, self._versions))
            if own and version == now:
                why = "its source changed since these images were scored" if source else UNRECORDED
                note = f"metric {column}: {why}: scoring again"
                self._outcome.notes += [] if note in self._outcome.notes else [note]

    def enter(self, row: Row) -> None:
        """Take a row into memory and onto the disk."""
        table = self.held[row.key]
        if not self._journals:
            self._scoring.publish(self._results)
        if row.key not in self._journals:
            table.about = {**table.about, **self._made}
            self._note_making(table, self._made)
            journal = Journal(self._results, row.key)
            self._files.callback(journal.close)
            self._journals[row.key] = journal
            # What was forgotten in memory must not come back from the CSV after a kill.
            journal.add({"about": table.about, "forget": self._forgotten[row.key]})
        if row.made is not None and self._note_making(table, row.made):
            self._journals[row.key].add({"about": table.about})
        merge_record(table.pairs, row.pair, row.record)
        self._journals[row.key].add({"pair": row.pair, "record": dict(row.record)})
        self._changed.add(row.key)
        if "error" in row.record:
            self._outcome.failed.append((row.key, row.pair, row.record["error"]))
            self._log(row, row.record["error"])

    def _log(self, row: Row, reason: str) -> None:
        """Keep a failure with its traceback; the file holds those of one run."""
        path = self._results / FAILURES
        with path.open("w" if self._outcome.log is None else "a", encoding="utf-8") as file:
            file.write(
                f"{row.key.method} on {row.key.dataset}/{row.key.task}, pair {row.pair}: {reason}\n{row.trace}\n"
            )
        self._outcome.log = path

    def _by(self, row: Row) -> str:
        return making_id(self._made if row.made is None else row.made)

    def _note_making(self, table: Table, made: Mapping[str, Any]) -> bool:
        """Keep what rows were made by in the table's head; whether it is new there."""
        makings = {**table.about.get("makings", {}), making_id(made): dict(made)}
        new = makings != table.about.get("makings")
        table.about["makings"] = dict(sorted(makings.items()))
        return new

    def take_fused(self, rows: Iterable[Row], stage: str, total: int, notify: Notify) -> None:
        """Enter the rows of fusing units."""
        for done, row in _counted(rows, stage, total, notify):
            if row.broken:
                self._broken.setdefault(row.key, {})[row.pair] = row.broken
            else:
                self.enter(dataclasses.replace(row, record={**row.record, "made_by": self._by(row)}))
                self._outcome.fused += "error" not in row.record
            notify(stage, done, total, row.key.method)

    def take_scored(self, rows: Iterable[Row], stage: str, total: int, notify: Notify) -> None:
        """Enter the rows of scoring units, beside what is known of their images."""
        for done, row in _counted(rows, stage, total, notify):
            if row.lost:
                self._outcome.failed.append((row.key, row.pair, f"not scored: {row.lost}"))
                self._log(row, f"not scored: {row.lost}")
            else:
                known = self.held[row.key].pairs[row.pair]
                self.enter(dataclasses.replace(row, record={**known, **row.record, "scored_by": self._by(row)}))
                self._outcome.scored += 1
            notify(stage, done, total, row.key.method)


def _counted(rows: Iterable[Row], stage: str, total: int, notify: Notify) -> Iterator[tuple[int, Row]]:
    if total:
        notify(stage, 0, total)
    return iter(enumerate(rows, 1))


def applies(metric: str, ref: TaskRef, ids: Sequence[str]) -> bool:
    """Whether a task's pairs have what a metric needs: ground truth, colour. Told by the first pair."""
    needs = METRICS[metric].facts.needs
    if not needs or not ids:
        return True
    first = ref.open().load(min(ids))
    return not ("truth" in needs and first.truth is None) and not (needs & {"color", "rgb"} and first.color is None)


def metrics_lacking(record: Record, columns: Mapping[str, str]) -> tuple[str, ...]:
    """Of some metrics (id -> column), those that an image has no value of yet; none for one that could not be made."""
    todo = [name for name, col in columns.items() if col not in record.get("scores", {})]
    if record.get("color") is False:  # made elsewhere, in grey: has no colour to be scored
        todo = [name for name in todo if "rgb" not in METRICS[name].facts.needs]
    return () if "error" in record else tuple(todo)


def intact(results: Path, key: Key, pair: str, record: Record) -> bool:
    """Whether the image of a row is there and has the pixels that were recorded."""
    try:
        return bool(pixel_digest(read_picture(key.image(results, pair)).pixels) == record["image"])
    except (InputError, KeyError):
        return False


_SAME: Sequence[str] = ("method", "settings", "weights")


def _kept(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What stays of a table's head: how its rows were made, and its profile while the method is the same."""
    kept: dict[str, Any] = {
        k: before[k] for k in ("versions", "commit", "device", "device_name", "makings") if k in before
    }
    if all(before.get(k) == now.get(k) for k in _SAME) and "profile_stats" in before:
        kept["profile_stats"] = before["profile_stats"]
    if "corrections" in before:
        # Of what was corrected later, all stands that nobody says otherwise now.
        corrected = {
            field: before["method"].get(field) for entry in before["corrections"] for field in entry["changed"]
        }
        kept["corrections"] = before["corrections"]
        stated = {field: value for field, value in now["method"].items() if value is not None}
        kept["method"] = {**now["method"], **corrected, **stated}
    return kept


def _sweep(folder: Path) -> None:
    """Remove the temporary files of a run that was killed; nobody else is at work here."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
