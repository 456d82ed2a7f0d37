"""A submission to the public board: what a bundle holds, and what must hold of it. Both sides run this very code: who
submits before the bundle is written, who accepts before a row is added.

A bundle is a zip or a folder: ``submission.json`` says everything (facts, terms, provenance; of each pair the digests of
source and image, and the scores), ``images/DATASET/TASK/ID.png`` are the fused images. The JSON file alone is a bundle whose
images are elsewhere: the digests tell whether they are the ones.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fusionbench.audit.entry import Placed
from fusionbench.audit.regression import RTOL
from fusionbench.bench import Notify, score_folders, silent
from fusionbench.bench.images import name_fault
from fusionbench.bench.ledger import locked
from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.pairs import SUFFIXES, list_pictures, pixel_digest, read_picture
from fusionbench.scores import Key, Record, Table, find_tables, read_table, write_json, write_table
from fusionbench.scores.facts import FIELDS, faults
from fusionbench.scores.public import PublicBoard

FORMAT = 1
SAID, IMAGES = "submission.json", "images"
TERMS_VERSION = 1
TERMS = (
    "The images were made from the named pairs by the named method, all alike, and none was changed by hand.",
    "What the submission says of the method, its training data among it, is true as far as I know.",
    "Scores and facts may be published under the licence of this repository; images are scored and not published.",
    "What turns out to be wrong is corrected or withdrawn in public, with author and reason, and stays on record.",
)
"""What whoever submits accepts."""
LARGEST = 64 << 20
"""Bytes of an image, at most."""
PROVENANCE = ("spec", "settings", "seed", "weights", "sources", "versions", "commit", "device", "device_name")
OF_A_RUN = ("versions", "commit", "device", "device_name", "makings")
OF_A_PAIR = ("seconds", "made_by", "scored_by", "path")
"""What a score file says of the run that made it; committed ones do not hold it."""

Images = Mapping[str, Mapping[str, Path]]
"""``DATASET/TASK`` -> pair -> fused image."""


class RejectedError(InputError):
    """A bundle that is not taken; ``reasons``: a line each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = list(reasons)


def compose(placed: Sequence[Placed], by: str, board: PublicBoard, *, day: str, images_at: str = "") -> dict[str, Any]:
    """What a bundle says of a method that was placed on the board. ``by``: who submits, and so accepts the terms; ``day``:
    of that, ``2026-12-31``; ``images_at``: where a bundle with the images is to be had."""
    first = placed[0].own
    unsaid = {"pattern", "licence"} if "spec" in first.about else {"pattern"}  # a fact sheet's licence is a default
    known = {field: first.about["method"].get(field) for field in FIELDS if field not in unsaid}
    facts = {field: value for field, value in known.items() if value or value == []}
    settings = f" ({first.key.settings})" if first.key.settings else ""
    facts |= {"name": first.key.method, "title": first.name + settings}
    tasks = {}
    for item in placed:
        about, pairs = item.own.about, item.own.pairs
        tasks[f"{item.own.key.dataset}/{item.own.key.task}"] = {
            "provenance": {field: about[field] for field in PROVENANCE if about.get(field)},
            "pairs": {
                pair: {"source": r.get("pair"), "image": r.get("image"), "scores": _undefined(r.get("scores", {}))}
                for pair, r in sorted(pairs.items())
            },
        }
    return {
        "format": FORMAT,
        "facts": facts,
        "terms": {"version": TERMS_VERSION, "accepted_by": by, "day": day},
        "board": {field: board.made[field] for field in ("date", "commit") if field in board.made},
        "images_at": images_at,
        "tasks": tasks,
    }


def _undefined(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Scores as JSON holds them: None where one is undefined."""
    return {name: None if math.isnan(value) else value for name, value in scores.items()}


def problems(said: Any, board: PublicBoard) -> list[str]:
    """Why a submission cannot be taken, whatever its images are: a line a reason, [] where there is none."""
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        return [f"{SAID} is not a submission of format {FORMAT}; make it with fusionbench submit"]
    facts, terms, tasks = said.get("facts"), said.get("terms"), said.get("tasks")
    if not (isinstance(facts, dict) and isinstance(terms, dict) and isinstance(tasks, dict)):
        return [f"{SAID} lacks facts, terms or tasks; make it with fusionbench submit"]
    found = [*faults(facts), *_name_problems(facts.get("name"), board)]
    if not isinstance(facts.get("title"), str) or not facts["title"].strip():
        found.append("the method has no title")
    if terms.get("version") != TERMS_VERSION or not str(terms.get("accepted_by") or "").strip():
        found.append(f"version {TERMS_VERSION} of the terms is not accepted by anybody; see fusionbench submit --terms")
    if not isinstance(said.get("images_at", ""), str) or not re.match("(https?://|$)", said.get("images_at", "")):
        found.append("images_at is no address that begins with http:// or https://")
    if not tasks:
        found.append("it holds no task")
    for task, held in tasks.items():
        found += [f"{task}: {reason}" for reason in _task_problems(task, held, board)]
    return found


def _name_problems(name: Any, board: PublicBoard) -> list[str]:
    if not isinstance(name, str):
        return ["the method has no name"]
    taken = {table.key.method.casefold() for table in board.tables}
    if {name.casefold(), Key("", "", name).method_name.casefold()} & taken:
        return [f"{name} is on the board already; a new version takes another name, what is wrong there is corrected"]
    return [told] if (told := name_fault(name)) else []


def _task_problems(task: str, held: Any, board: PublicBoard) -> Iterator[str]:
    known = {f"{key.dataset}/{key.task}": key for key in board.places}
    pairs = held.get("pairs") if isinstance(held, dict) else None
    if task not in known:
        yield f"has no public board; there are: {', '.join(known)}"
    elif not isinstance(pairs, dict) or not all(isinstance(record, dict) for record in pairs.values()):
        yield "holds no pairs"
    else:
        sources = {p: r.get("pair") for table in board.at(known[task]) for p, r in table.pairs.items()}
        missing, more = sorted(sources.keys() - pairs.keys()), sorted(pairs.keys() - sources.keys())
        both = sorted(sources.keys() & pairs.keys())
        yield from _told("pairs are missing", missing, len(sources))
        yield from _told("pairs are not on the board", more, len(pairs))
        other = [pair for pair in both if pairs[pair].get("source") != sources[pair]]
        yield from _told("pairs are of other source images than the board's", other, len(both))
        blank = [pair for pair in both if not re.fullmatch("[0-9a-f]{64}", str(pairs[pair].get("image")))]
        yield from _told("pairs have no digest of an image", blank, len(both))
        unscored = [pair for pair in both if not _scored(pairs[pair].get("scores"), board.columns)]
        yield from _told(f"pairs lack a score of {', '.join(board.columns)}", unscored, len(both))


def _scored(scores: Any, columns: Sequence[str]) -> bool:
    """Whether it holds a number, or None for an undefined one, of every column and of nothing else."""
    if not isinstance(scores, dict) or scores.keys() != set(columns):
        return False
    return all(v is None or (type(v) in (int, float) and math.isfinite(v)) for v in scores.values())


def _told(what: str, pairs: Sequence[str], of: int) -> list[str]:
    more = "" if len(pairs) <= 3 else " ..."
    return [f"{len(pairs)} of {of} {what} ({', '.join(pairs[:3])}{more})"] if pairs else []


def image_problems(said: Mapping[str, Any], images: Images) -> list[str]:
    """What is wrong with the images of a submission without :func:`problems`: a line a reason."""
    found = []
    for task, held in said["tasks"].items():
        pictures = images.get(task, {})
        missing = [pair for pair in held["pairs"] if pair not in pictures]
        other, lossy, unread = [], [], []
        for pair, record in held["pairs"].items():
            try:
                picture = read_picture(pictures[pair]) if pair in pictures else None
            except InputError as error:
                unread.append(str(error))
                continue
            if picture is not None and pixel_digest(picture.pixels) != record["image"]:
                other.append(pair)
            if picture is not None and picture.lossy:
                lossy.append(pair)
        told = [
            *_told("images are missing", missing, len(held["pairs"])),
            *unread[:3],
            *_told("images are not those of the submission, by their digests", other, len(held["pairs"])),
            *_told("images are JPEG or WebP, whose losses would be scored; give PNG", lossy, len(held["pairs"])),
        ]
        found += [f"{task}: {reason}" for reason in told]
    return found


@dataclasses.dataclass(frozen=True)
class Bundle:
    """``said``: what submission.json holds; ``folders``: task -> where its images are, {} where it has none."""

    said: dict[str, Any]
    folders: Mapping[str, Path]

    @property
    def images(self) -> Images:
        return {task: list_pictures(folder) for task, folder in self.folders.items()}


def pack_bundle(said: Mapping[str, Any], images: Images) -> dict[str, bytes]:
    """Name -> content of the files of a bundle."""
    files = {SAID: (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()}
    for task, own in images.items():
        for pair, path in sorted(own.items()):
            files[f"{IMAGES}/{task}/{pair}{path.suffix.lower()}"] = path.read_bytes()
    return files


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """A zip where the name ends so, else a folder; the same bytes for the same files."""
    if path.suffix.lower() != ".zip":
        for name, content in files.items():
            write_bytes(path / name, content)
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    write_bytes(path, buffer.getvalue())


def open_bundle(path: Path, into: Path) -> Bundle:
    """A bundle that is a zip, a folder or the JSON file alone; ``into``: an empty folder for the images of a zip.

    Raises InputError for anything else. Of a zip no name is trusted: the images are written under names of our own.
    """
    if not path.exists():
        raise InputError(f"{path}: no such bundle; check the path")
    if path.is_dir():
        if not (path / SAID).is_file():
            raise InputError(f"{path}: no {SAID} in it; make a bundle with fusionbench submit")
        places = {f"{p.parent.name}/{p.name}": p for p in (path / IMAGES).glob("*/*") if p.is_dir()}
        return Bundle(_read_said((path / SAID).read_bytes(), path), places)
    if not zipfile.is_zipfile(path):
        return Bundle(_read_said(path.read_bytes(), path), {})
    try:
        with zipfile.ZipFile(path) as file:
            said = _read_said(_member(file, SAID), path)
            return Bundle(said, _unzipped(file, into))
    except (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path}: not a bundle ({' '.join(str(error).split())}); make it again") from None


def _read_said(content: bytes, path: Path) -> dict[str, Any]:
    try:
        said = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {SAID} is no JSON ({error}); make it with fusionbench submit") from None
    return said if isinstance(said, dict) else {}


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    if file.getinfo(name).file_size > LARGEST:
        raise InputError(f"{name}: larger than {LARGEST >> 20} MB; no file of a bundle is")
    return file.read(name)


def _unzipped(file: zipfile.ZipFile, into: Path) -> dict[str, Path]:
    """The images of a zip, whose names are ``images/DATASET/TASK/ID.SUFFIX``; others are passed over."""
    folders: dict[str, Path] = {}
    for name in file.namelist():
        found = re.fullmatch(rf"{IMAGES}/([a-z0-9-]+)/([a-z0-9-]+)/([A-Za-z0-9._-]+)(\.[a-z]+)", name)
        if found and found[4] in SUFFIXES:
            folder = folders.setdefault(f"{found[1]}/{found[2]}", into / found[1] / found[2])
            write_bytes(folder / (found[3] + found[4]), _member(file, name), durable=False)
    return folders


def rescore(
    bundle: Bundle, into: Path, *, metrics: Sequence[str], data: Sequence[Path] = (), notify: Notify = silent
) -> tuple[list[Table], list[str]]:
    """Score the images of a bundle without problems in an empty folder: (tables, what differs from what was said).

    ``metrics``: the board's columns and whatever else the tables are to hold. Raises InputError where the pairs are not at
    hand.
    """
    tables, found = [], []
    for task, held in bundle.said["tasks"].items():
        outcome = score_folders(
            [(bundle.folders[task], bundle.said["facts"])], task, into, metrics=metrics, data=data, device="cpu",
            limit=len(held["pairs"]), notify=notify,
        )  # fmt: skip
        table = read_table(into, outcome.keys[0])
        apart = [
            (pair, name)
            for pair, record in held["pairs"].items()
            for name, value in record["scores"].items()
            if not _equal(value, table.pairs[pair].get("scores", {}).get(name, math.nan))
        ]
        if apart:
            pair, name = apart[0]
            now = table.pairs[pair].get("scores", {}).get(name)
            values = sum(len(record["scores"]) for record in held["pairs"].values())
            found.append(
                f"{task}: {len(apart)} of {values} scores come out otherwise; {name} of {pair} is {now}, not "
                f"{held['pairs'][pair]['scores'][name]}"
            )
        tables.append(table)
    return tables, found


def _equal(said: float | None, now: float) -> bool:
    if said is None or math.isnan(now):
        return said is None and math.isnan(now)
    return abs(said - now) <= RTOL * abs(now) + 1e-9


def settle(table: Table) -> None:
    """Take out of a table what differs from run to run; what is left has one order."""
    for name in OF_A_RUN:
        table.about.pop(name, None)
    table.about["metric_versions"] = dict(sorted(table.about["metric_versions"].items()))
    for record in table.pairs.values():
        for name in OF_A_PAIR:
            cast(dict[str, Any], record).pop(name, None)
    table.pairs.update({pair: cast(Record, dict(sorted(record.items()))) for pair, record in table.pairs.items()})


def record_path(results: Path, name: str) -> Path:
    """Where an accepted submission stays on record."""
    return results / "submissions" / f"{name}.json"


def published_place(key: Key) -> Path:
    """Where ``tools/leaderboard.py`` looks for the images of a method that was not run here, below its --published."""
    task = key.task.upper()
    return Path(key.method, task) if key.dataset == "harvard" else Path(key.method, key.dataset, task)


def _there(said: Mapping[str, Any], results: Path) -> list[str]:
    """The tasks on which the results have a method of that name."""
    name = said["facts"]["name"]
    there = [task for task in said["tasks"] if Key.of(task, method=name).json(results).exists()]
    return [f"{task}: {results} has a row {name} already; what is wrong in it is corrected" for task in there]


def accept(
    bundle: Bundle, results: Path, into: Path, board: PublicBoard, *, data: Sequence[Path] = (), notify: Notify = silent
) -> list[Key]:
    """Check a bundle, score its images, and add a row a task to the score files; ``into``: an empty folder to work in.

    The submission itself stays on record in RESULTS/submissions. Raises RejectedError with every reason found; nothing is
    written to ``results`` then.
    """
    said = bundle.said
    if reasons := problems(said, board) or _there(said, results) or image_problems(said, bundle.images):
        raise RejectedError(reasons)
    held = [read_table(results, key).about for key in find_tables(results) if not key.flaw and key.split == "test"]
    asked = {name for about in held if about["method"].get("foreign") for name in about["metric_versions"]}
    metrics = [*board.columns, *sorted(asked - set(board.columns))]
    tables, reasons = rescore(bundle, into, metrics=metrics, data=data, notify=notify)
    if reasons:
        raise RejectedError(reasons)
    with locked(results):
        for table in tables:
            # As where the images are in the end, so that the leaderboard's tool computes the same bytes.
            table.about["method"]["folder"] = "/".join(published_place(table.key).parts[-2:])
            settle(table)
            write_table(results, table)
        write_json(record_path(results, said["facts"]["name"]), said)
    return [table.key for table in tables]
