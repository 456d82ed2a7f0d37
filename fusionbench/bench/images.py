"""Images that something else fused: matched to a task's pairs, checked, and scored like our own."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.bench.ledger import Ledger, Notify, Outcome, Scoring, locked, silent
from fusionbench.bench.plan import (
    checked_ids,
    kept_apart,
    refuse_other_images,
    resolve_device,
    score_missing,
    task_about,
    task_sources,
)
from fusionbench.bench.pools import open_engine
from fusionbench.bench.provenance import making, plain
from fusionbench.bench.work import Mask, Row, TaskRef
from fusionbench.datasets import Task
from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.methods import METHODS
from fusionbench.metrics import PROFILES
from fusionbench.pairs import SUFFIXES, list_pictures, pixel_digest, read_picture, size_text
from fusionbench.scores import FROM_IMAGES, Key, Record, fingerprint

_PLAIN = "{id}"


def score_folders(
    folders: Sequence[tuple[Path, Mapping[str, Any]]],
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
    engine: str = "serial",
    copy: bool = False,
    notify: Notify = silent,
) -> Outcome:
    """Score folders of fused images that something else made, matched to the task's pairs by file stem.

    A folder comes with facts: at least ``name``, which becomes the method's name in the tables, and ``origin`` (who made the
    images); ``pattern`` says how its files are named where that is not after the pairs: ``"{id}_fused.png"``. A coloured
    image is scored on its BT.601 grey, and the record says so; metrics of colour are left out for grey ones. The record
    keeps the path of the image, for reports that show it: absolute, or relative to ``results`` where ``copy`` puts a copy.
    Folders scored together share what is computed from the sources alone. Raises InputError when a
    pair has no image, an image has another size than its pair, or a name cannot be a file name; nothing is written then.
    """
    for _, facts in folders:
        check_name(str(facts["name"]))
    scoring = Scoring(tuple(metrics), Mask.parse(mask), resolve_device(device))
    ref = TaskRef(task_name, tuple(Path(folder).absolute() for folder in data), split)
    task = ref.open()
    wanted = checked_ids(ref, limit, notify)
    refuse_other_images(results, ref, {pair: task.digest(pair) for pair in wanted})
    outcome = Outcome(notes=kept_apart(results, [ref]))
    sources = task_sources(ref)
    found = {
        ref.key(str(facts["name"])): _found(folder, wanted, str(facts.get("pattern") or _PLAIN))
        for folder, facts in folders
    }
    records = {
        key: {pair: _foreign_record(task, pair, own[pair], sources) for pair in wanted} for key, own in found.items()
    }
    made = making(scoring.device)
    with (
        locked(results),
        open_engine(engine, scoring.device) as workers,
        Ledger(results, outcome, scoring, made) as ledger,
    ):
        for key, (folder, facts) in zip(found, folders, strict=True):
            where = {"foreign": True, "folder": "/".join(folder.resolve().parts[-2:])}
            foreign = plain({"origin": FROM_IMAGES, **facts, **where})
            about = task_about(ref) | {"method": foreign, "settings": {}, "seed": 0}
            table = ledger.open(key, about, wanted if force else ())
            for pair, record in records[key].items():
                record["path"] = _reference(results, key, pair, found[key][pair], copy)
                if not record.items() <= table.pairs.get(pair, {}).items():
                    ledger.enter(Row(key, pair, record))
        images = {key: functools.partial(lambda own, pair: (own[pair], None), own) for key, own in found.items()}
        score_missing(ledger, ref, wanted, images, scoring, workers, notify)
    return outcome


def _reference(results: Path, key: Key, pair: str, image: Path, copy: bool) -> str:
    """Where a report finds an image that was scored: its absolute path, or that of a copy below ``results``."""
    if not copy:
        return image.absolute().as_posix()
    path = key.fused(Path()) / f"{pair}{image.suffix.lower()}"
    content = image.read_bytes()
    if not (results / path).is_file() or (results / path).read_bytes() != content:
        write_bytes(results / path, content, durable=False)  # checked against the record whenever it is shown
    return path.as_posix()


def check_images(folder: Path, facts: Mapping[str, Any], ref: TaskRef, wanted: Sequence[str]) -> None:
    """Raises InputError where :func:`score_folders` would for these images of some pairs; nothing is written."""
    check_name(str(facts["name"]))
    found, task = _found(folder, wanted, str(facts.get("pattern") or _PLAIN)), ref.open()
    for pair in wanted:
        _foreign_record(task, pair, found[pair], {})


def check_name(name: str) -> None:
    """Raises InputError for a name that cannot be a file name, or is that of a method of the suite."""
    if told := name_fault(name):
        raise InputError(told)
    if Key("", "", name).method_name in METHODS:
        raise InputError(f"{name!r} is a method of the suite, whose scores would be overwritten; give another name")


def name_fault(name: str) -> str:
    """Why a method's name cannot be a file name; "" where it can."""
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9 ._+@=,-]{0,78}[A-Za-z0-9._+@=,-])?", name):
        return ""
    return f"method name {name!r} cannot be a file name; use at most 80 letters, digits and . _ + @ -"


def _found(folder: Path, wanted: Sequence[str], pattern: str) -> dict[str, Path]:
    """The pictures of a folder by pair; every pair wanted has one. A file named by the pair alone serves as well."""
    pictures = list_pictures(folder)
    found = {pair: pictures[pair] for pair in wanted if pair in pictures} | _by_pattern(pictures.values(), pattern)
    missing = [pair for pair in wanted if pair not in found]
    if missing:
        unmatched = [path.name for path in pictures.values() if path not in {found.get(pair) for pair in wanted}]
        remedy = "name the files after the pairs' ids, or say how they are named: --pattern '{id}_fused.png'"
        raise InputError(
            f"{folder}: no image for {len(missing)} of {len(wanted)} pairs ({_first(missing)}); "
            + (f"files of no pair: {_first(unmatched)}; " if unmatched else "")
            + (remedy if pattern == _PLAIN else f"{remedy}; they are not named {pattern}")
        )
    return found


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _by_pattern(pictures: Collection[Path], pattern: str) -> dict[str, Path]:
    """The pictures whose names fit a pattern, by what stands in the place of ``{id}``. Without a suffix it means any."""
    if pattern.count("{id}") != 1 or set(pattern) & set("/\\"):
        raise InputError(f"pattern {pattern!r}: write a file name with {{id}} once in it, such as '{{id}}_fused.png'")
    before, after = map(re.escape, pattern.split("{id}"))
    whole = Path(pattern).suffix.lower() in SUFFIXES
    found: dict[str, Path] = {}
    for path in pictures:
        fits = re.fullmatch(f"{before}(.+){after}", path.name if whole else path.stem)
        if fits:
            found[fits[1]] = path
    return found


def _foreign_record(task: Task, pair_id: str, path: Path, sources: Mapping[str, str]) -> Record:
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
        "fused": fingerprint(digest, image, *([sources] if sources else [])),
        "image": image,
        "color": picture.color is not None,
        "lossy": picture.lossy,
    }
