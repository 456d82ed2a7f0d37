"""Score released outputs of published methods under many conventions: the evidence behind docs/metrics/which.md.

    python tools/score_published.py SHARED [--pairs 24] [--journal runs/published.jsonl] [--add ID ...]

SHARED holds ``harvard`` (TASK/test/MODALITY/ID.png) and ``published`` (METHOD/TASK/ID.png). Writes the means to
docs/metrics/published.csv, from which tools/make_metric_docs.py makes the page; no image is written. What is scored goes to
the journal, line by line: a stopped run goes on where it was, and a new id costs that id only. ``--add`` scores these ids
alone and appends them to the table that is there, which needs no journal of the rest.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionbench.metrics import METRICS, PROFILES, Sources, prepare
from fusionbench.pairs import Picture, list_pictures, read_picture, recolour
from fusionbench.scores import Column

TABLE = Path(__file__).resolve().parents[1] / "docs" / "metrics" / "published.csv"
TASKS = {"CT-MRI": "CT", "PET-MRI": "PET", "SPECT-MRI": "SPECT"}
OTHER_CONVENTIONS = (
    "mi nmi psnr psnr@meandb psnr@vifb mse vif vif@reversed qabf qabf@petrovic qg nabf@tang ssim ssim@l2 ssim@tang "
    "mef-ms-ssim sf@mn ag@inner qc qy qcb"
)
SLOW = ("qp", "fsim", "fmi@pixel", "fmi@gradient")
IDS = [i for i in dict.fromkeys([*PROFILES["strict"].metrics, *OTHER_CONVENTIONS.split()]) if i not in SLOW]
FOREGROUND = ["en", "sd", "ssim@strict", "qabf@strict", "vif@strict", "mi@strict", "cc"]
COLOR = ["ciede2000", "chroma-correlation", "tracer-correlation", "tracer-error"]

Scores = dict[tuple[str, str, str], dict[str, float]]


def fused_images(
    shared: Path, task: str, stem: str, a: NDArray[np.uint8], b: Picture
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8] | None]]:
    """(method, grey levels, colours where it has its own) of the controls and of every published method with the pair."""
    yield "average", ((a.astype(np.uint16) + b.grey + 1) // 2).astype(np.uint8), None
    yield "maximum", np.maximum(a, b.grey), None
    yield "MRI alone", a, None
    yield "other alone", b.grey, b.color
    for folder in sorted(p for p in (shared / "published").iterdir() if (p / task).is_dir()):
        path = list_pictures(folder / task).get(stem)
        if path is not None:
            picture = read_picture(path)
            if picture.grey.shape == a.shape:
                yield folder.name, picture.grey, picture.color


def read_journal(path: Path) -> Scores:
    """(task, pair, method) -> column -> score; a torn last line is passed over."""
    found: Scores = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            task, pair, method, scores = json.loads(line)
        except ValueError:
            continue
        found.setdefault((task, pair, method), {}).update(scores)
    return found


def score(
    shared: Path, task: str, count: int, ids: list[str], known: Scores, journal: Path, *, alone: bool = False
) -> None:
    """Add what is missing for the first ``count`` test pairs of a task to ``known`` and to the journal; ``alone``: of the
    given ids only, nothing of colours or inside the foreground."""
    foreground, color = ([], []) if alone else (FOREGROUND, COLOR)
    test = shared / "harvard" / task / "test"
    for stem, path in list(list_pictures(test / "MRI").items())[:count]:
        a, b = read_picture(path).grey, read_picture(test / TASKS[task] / path.name)
        plain = prepare(a, b.grey, color=b.color)
        inside = prepare(a, b.grey, mask="foreground")
        with journal.open("a", encoding="utf-8") as file:
            for method, grey, rgb in fused_images(shared, task, stem, a, b):
                have = known.setdefault((task, stem, method), {})
                wanted = [i for i in ids if i not in have]
                colored = [i for i in color if i not in have and b.color is not None]
                masked = [i for i in foreground if str(Column.parse(i).inside("foreground")) not in have]
                if colored and rgb is None:  # a grey image gets the colours of the functional source, as our own do
                    rgb = recolour(grey, b.color)
                new = _values(plain, grey, wanted + colored, rgb if colored else None)
                new |= _values(inside, grey, masked, None)
                if new:
                    have.update(new)
                    file.write(json.dumps([task, stem, method, new]) + "\n")
                    file.flush()


def _values(
    sources: Sources, grey: NDArray[np.uint8], ids: list[str], rgb: NDArray[np.uint8] | None
) -> dict[str, float]:
    if not ids:
        return {}
    return {name: float(value[0]) for name, value in sources.score(grey, ids, fused_rgb=rgb).items()}


def write_table(known: Scores, kept: list[dict[str, str]] | None = None) -> None:
    """Means a task over the pairs that all its methods have; nothing where a score is undefined or missing on any.

    ``kept``: lines of the table that is there; the new columns are put behind theirs.
    """
    of_line = {(row["task"], row["method"], row["pairs"]): row for row in kept or []}
    before = list(kept[0])[3:] if kept else []
    names = list(dict.fromkeys(name for scores in known.values() for name in scores))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "method", "pairs", *before, *names])
        for task in TASKS:
            methods = sorted({m for t, _, m in known if t == task})
            every = {p for t, p, _ in known if t == task}
            pairs = [p for p in sorted(every) if all((task, p, m) in known for m in methods)]
            for method in methods:
                rows = [known[task, pair, method] for pair in pairs]
                means = [float(np.mean([row.get(name, np.nan) for row in rows])) for name in names]
                held = [of_line[task, method, str(len(pairs))][name] for name in before]
                writer.writerow([task, method, len(pairs), *held, *("" if np.isnan(v) else f"{v:.6g}" for v in means)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--journal", type=Path, default=Path("runs/published.jsonl"))
    parser.add_argument("--add", nargs="+", default=[], metavar="ID")
    options = parser.parse_args()
    options.journal.parent.mkdir(parents=True, exist_ok=True)
    known = read_journal(options.journal)
    if options.add:
        with TABLE.open(encoding="utf-8") as file:
            kept = [{k: v for k, v in row.items() if k not in options.add} for row in csv.DictReader(file)]
        for task in TASKS:
            score(options.shared, task, options.pairs, options.add, known, options.journal, alone=True)
        write_table(known, kept)
        return
    for ids in (IDS, [*IDS, *SLOW]):  # what is quick first: the table is whole after the first round
        for task in TASKS:
            score(options.shared, task, options.pairs, [i for i in ids if i in METRICS], known, options.journal)
        write_table(known)


if __name__ == "__main__":
    main()
