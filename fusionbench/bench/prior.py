"""Fusion knowledge prior: of several methods' fused images of each training pair the best, as a target to learn from.

Targeted search of Diff-IF (Yi et al., Information Fusion 2024, doi 10.1016/j.inffus.2024.102450): each candidate is
scored by 2 SSIM + VIF + 3 Qabf, SSIM and VIF summed over both sources, as profile "dmfnet" defines them; the first of the
best wins. The candidates there are four published networks, here methods of this suite.

::

    FOLDER/runs/                          the candidates' fused images and scores, as `fusionbench run` keeps them
    FOLDER/targets/DATASET/TASK/ID.png    the chosen image, 8-bit
    FOLDER/targets/DATASET/TASK.json      by pair: the method chosen, all scores, fingerprints of sources and target
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.bench.ledger import Notify, silent
from fusionbench.bench.plan import run
from fusionbench.bench.work import TaskRef
from fusionbench.errors import InputError
from fusionbench.methods import create_method
from fusionbench.pairs import UInt8, pixel_digest, read_picture, write_png
from fusionbench.scores import Key, Table, read_table, write_json

CANDIDATES = ("cnn-fuse", "guided-filter", "cbf", "lp-sr", "laplacian", "dtcwt")
SCORE = {"ssim": 2.0, "vif": 1.0, "qabf": 3.0}


def build_prior(
    methods: Sequence[str],
    tasks: Sequence[str],
    folder: Path,
    *,
    data: Sequence[Path] = (),
    split: str = "train",
    limit: int | None = None,
    engine: str = "serial",
    notify: Notify = silent,
) -> dict[str, dict[str, int]]:
    """Fuse and score what is missing, write the targets; returns task -> method -> how often it was chosen.

    ``methods``: specs, without the trivial fusers: the pixel maximum alone would win most pairs by SSIM and VIF.
    ``tasks``: full names. Raises InputError for a control, the test split, a pair on which a method failed, a score that
    is not a number.
    """
    if split == "test":
        raise InputError("--split test: a prior is for training; take a split for that, such as train")
    for spec in methods:
        facts = create_method(spec).facts
        if facts.control:
            raise InputError(f"{facts.name} is a control, which a prior would collapse to; leave it out")
    outcome = run(
        methods,
        tasks,
        folder / "runs",
        metrics=tuple(SCORE),
        data=data,
        split=split,
        limit=limit,
        engine=engine,
        notify=notify,
    )
    for key, pair, reason in outcome.failed:
        raise InputError(f"{key.method} failed on {key.task}/{pair} ({reason}); leave the method out")
    for key, reason in [*outcome.broken, *outcome.skipped]:
        raise InputError(f"{key.method} gives no images of {key.task} ({reason}); leave it out")
    return {name: _choose(TaskRef(name, tuple(data), split), outcome.keys, folder, limit) for name in tasks}


def _choose(ref: TaskRef, keys: Sequence[Key], folder: Path, limit: int | None) -> dict[str, int]:
    task, runs = ref.open(), folder / "runs"
    wanted = ref.key("")
    tables = [read_table(runs, k) for k in keys if (k.dataset, k.task) == (wanted.dataset, wanted.task)]
    counts = {table.key.method: 0 for table in tables}
    records: dict[str, Any] = {}
    for pair in task.ids()[:limit]:
        scores = {table.key.method: _scores(table, pair) for table in tables}
        totals = {name: sum(SCORE[metric] * value for metric, value in of.items()) for name, of in scores.items()}
        chosen = max(totals, key=lambda name: totals[name])  # the first of the best
        table = next(t for t in tables if t.key.method == chosen)
        source, target = table.key.image(runs, pair), target_path(folder, ref.name, pair)
        pixels = read_picture(source).grey
        if not target.is_file() or pixel_digest(read_picture(target).grey) != pixel_digest(pixels):
            write_png(target, pixels, durable=False)
        counts[chosen] += 1
        loaded = task.load(pair)
        records[pair] = {
            "chosen": chosen,
            "score": totals,
            "metrics": scores,
            "fused": table.pairs[pair]["fused"],
            "sources": pixel_digest(loaded.a, loaded.b),
            "target": pixel_digest(pixels),
        }
    about = {"weights": SCORE, "candidates": list(counts), "split": ref.split, "chosen": counts}
    write_json(_record_path(folder, ref.name), {"about": about, "pairs": records})
    return counts


def _scores(table: Table, pair: str) -> dict[str, float]:
    scores = {metric: float(table.pairs[pair]["scores"][metric]) for metric in SCORE}
    for metric, value in scores.items():
        if math.isnan(value):
            raise InputError(f"{table.key.method} has no {metric} on {table.key.task}/{pair}; leave the method out")
    return scores


def target_path(folder: Path, task: str, pair: str) -> Path:
    return folder / "targets" / task / f"{pair}.png"


def _record_path(folder: Path, task: str) -> Path:
    return folder / "targets" / f"{task}.json"


def read_targets(folder: Path, task: str, sources: Mapping[str, tuple[UInt8, UInt8]]) -> dict[str, UInt8]:
    """The target of each pair of a task. sources: pair -> (a, b), which must be those that the target was made from.

    Raises InputError for a pair without a target, or one made from other images, or an image that was changed.
    """
    path = _record_path(folder, task)
    try:
        records = json.loads(path.read_text(encoding="utf-8"))["pairs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no readable prior of {task} ({error}); make it with fusionbench prior") from None
    targets = {}
    for pair, images in sources.items():
        record = records.get(pair)
        if record is None or record["sources"] != pixel_digest(*images):
            raise InputError(f"{path}: has no target made from the pair {pair}; run fusionbench prior again")
        file = target_path(folder, task, pair)
        targets[pair] = read_picture(file).grey
        if pixel_digest(targets[pair]) != record["target"]:
            raise InputError(f"{file}: is not the image that was chosen; run fusionbench prior again")
    return targets
