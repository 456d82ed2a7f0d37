"""``fusionbench reproduce METHOD.json``: do again what a score file says was done, and tell whether the bytes agree.

A score file names everything that its numbers depend on: method, settings, version and weights; task, split, degradation
and the digest of every pair; seed; metrics and their versions; packages, commit and device. All of it is looked at: what
differs here is listed beside the verdict, so that a disagreement has suspects.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.bench import Notify, run, score_folders, silent
from fusionbench.bench.work import TaskRef
from fusionbench.errors import InputError
from fusionbench.scores import Column, Key, Table, read_table


@dataclasses.dataclass
class Reproduction:
    """``same_csv``: the CSV came out byte for byte. ``images``, ``values``: how many agree, of how many.

    ``worst``: largest relative difference of a value, and where. ``suspects``: what was otherwise when the file was made.
    """

    key: Key
    same_csv: bool
    images: tuple[int, int]
    values: tuple[int, int]
    worst: tuple[float, str]
    suspects: list[str]


def reproduce(
    path: Path,
    *,
    data: Sequence[Path] = (),
    images: Path | None = None,
    device: str = "",
    engine: str = "serial",
    notify: Notify = silent,
) -> Reproduction:
    """Fuse and score from scratch what the score file ``path`` holds, in a temporary folder.

    ``images``: the folder of fused images of a method that was run elsewhere, unless they are still where the file says that
    they were. ``device``: that of the file unless given.
    Raises InputError when the file, the data or the method is not at hand.
    """
    key, results = Key.locate(path)
    before = read_table(results, key)
    about = before.about
    if not before.pairs or "task" not in about:
        raise InputError(f"{path}: holds no scores; give the METHOD.json of a finished run")
    metrics, mask = _metrics(path, before)
    name, split = str(about["task"]["name"]), str(about.get("split", "test"))
    options: dict[str, Any] = {"metrics": metrics, "data": data, "split": split, "mask": mask, "notify": notify}
    options["device"] = device or about.get("device", "auto")
    options["limit"] = _limit(path, TaskRef(name, tuple(data), split), before)
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as temporary:
        again = Path(temporary)
        if about["method"].get("foreign"):
            folder = images or _recorded_folder(results, before)
            if folder is None:
                raise InputError(f"{path}: these images were fused elsewhere; give their folder with --images")
            score_folders([(folder, about["method"])], name, again, **options)
        else:
            spec = str(about.get("spec") or about["method"]["name"])
            seed = int(about.get("seed", 0))
            flaws = [key.flaw] if key.flaw else []
            run([spec], [name], again, seed=seed, corrupt=flaws, channel=key.channel, engine=engine, **options)
        after = read_table(again, key)
        same = key.csv(results).read_bytes() == key.csv(again).read_bytes()
    return _compare(before, after, same)


def _recorded_folder(results: Path, table: Table) -> Path | None:
    """The folder of the images that were scored, if the score file tells of one that is there."""
    folders = {(results / record["path"]).parent for record in table.pairs.values() if "path" in record}
    return next((folder for folder in folders if folder.is_dir()), None) if len(folders) == 1 else None


def _metrics(path: Path, table: Table) -> tuple[list[str], str]:
    """Metric ids and mask from the columns of the table."""
    names = sorted({column for record in table.pairs.values() for column in record.get("scores", {})})
    columns = [Column.parse(name) for name in names]
    masks = {column.mask for column in columns}
    if len(masks) > 1 or "mask" in masks:
        raise InputError(f"{path}: scored under a mask file or several masks; run each with `fusionbench run --mask`")
    return [column.metric for column in columns], (masks.pop() if masks else "") or "none"


def _limit(path: Path, ref: TaskRef, table: Table) -> int | None:
    """How many of the task's pairs reach to the last one of the table."""
    ids = ref.open().ids()
    missing = sorted(set(table.pairs) - set(ids))
    if missing:
        raise InputError(f"{path}: pair {missing[0]} is not in the data at hand; give the right --data")
    return ids.index(max(table.pairs)) + 1


def _compare(before: Table, after: Table, same: bool) -> Reproduction:
    images = values = images_of = values_of = 0
    worst = (0.0, "")
    for pair, record in sorted(before.pairs.items()):
        now = after.pairs.get(pair, {})
        images_of += 1
        images += record.get("image") == now.get("image")
        for metric, value in record.get("scores", {}).items():
            values_of += 1
            other = now.get("scores", {}).get(metric)
            if other is None:
                worst = (float("inf"), f"{metric} of {pair}")
            elif repr(other) == repr(value):
                values += 1
            elif (off := abs(other - value) / (abs(value) or 1.0)) > worst[0]:
                worst = (off, f"{metric} of {pair}")
    return Reproduction(before.key, same, (images, images_of), (values, values_of), worst, _suspects(before, after))


def _suspects(before: Table, after: Table) -> list[str]:
    found = []
    for name in ("commit", "weights", "settings", "seed", "device", "device_name", "versions", "metric_versions"):
        old, new = before.about.get(name), after.about.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{name} {k}: {old[k]}, now {new.get(k)}" for k in sorted(old) if old[k] != new.get(k)]
        elif old is not None and old != new:
            found.append(f"{name}: {old or 'unknown'}, now {new or 'unknown'}")
    if "sources" in after.about and "sources" not in before.about:
        found.append("the method's files: made before sources were recorded")
    else:
        old_files, new_files = (table.about.get("sources", {}) for table in (before, after))
        found += [f"{file}: changed" for file in sorted({name for name, _ in old_files.items() ^ new_files.items()})]
    old_version, new_version = (table.about["method"].get("version") for table in (before, after))
    if old_version != new_version:
        found.append(f"method version: {old_version}, now {new_version}")
    changed = [p for p, r in before.pairs.items() if r.get("pair") != after.pairs.get(p, {}).get("pair")]
    if changed:
        found.append(f"data: {len(changed)} of {len(before.pairs)} pairs differ, such as {min(changed)}")
    return found
