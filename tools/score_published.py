"""Score released outputs of published methods under many conventions: the evidence behind docs/metrics/which.md.

    python tools/score_published.py SHARED [--pairs 8]

SHARED holds ``harvard`` (TASK/test/MODALITY/ID.png) and ``published`` (METHOD/TASK/ID.png). Writes the means to
docs/metrics/published.csv and the tables to docs/metrics/which.md; no image is written.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fusionbench.metrics import METRICS, PROFILES, prepare
from fusionbench.pairs import list_pictures, read_picture
from fusionbench.sensitivity import compare_conventions, to_markdown

DOCS = Path(__file__).resolve().parents[1] / "docs" / "metrics"
TASKS = {"CT-MRI": "CT", "PET-MRI": "PET", "SPECT-MRI": "SPECT"}
IDS = [
    "en",
    "sd",
    "sf",
    "ag",
    "mi",
    "nmi",
    "scd",
    "cc",
    "mse",
    "psnr",
    "psnr@255",
    "psnr@meandb",
    "vif",
    "vif@reversed",
    "viff",
    "qabf",
    "qabf@strict",
    "qabf@petrovic",
    "qg",
    "labf",
    "nabf",
    "nabf@tang",
    "ssim",
    "ssim@l2",
    "ssim@strict",
    "ssim@tang",
    "qs",
    "qw",
    "qe",
    "qc@strict",
    "qy@strict",
    "uqi",
    "qcv",
    "qncie",
]
CONTROLS = ("average", "maximum", "MRI alone", "other alone")


def fused_images(
    shared: Path, task: str, stem: str, a: NDArray[np.uint8], b: NDArray[np.uint8]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    yield "average", ((a.astype(np.uint16) + b + 1) // 2).astype(np.uint8)
    yield "maximum", np.maximum(a, b)
    yield "MRI alone", a
    yield "other alone", b
    for method in sorted(p for p in (shared / "published").iterdir() if (p / task).is_dir()):
        picture = list_pictures(method / task).get(stem)
        if picture is not None:
            image = read_picture(picture).grey
            if image.shape == a.shape:
                yield method.name, image


def score(shared: Path, task: str, count: int) -> dict[str, dict[str, float]]:
    """Method -> metric -> mean over the first ``count`` test pairs that the method has."""
    sums: dict[str, list[list[float]]] = {}
    modality = TASKS[task]
    for stem, path in list(list_pictures(shared / "harvard" / task / "test" / "MRI").items())[:count]:
        a, b = read_picture(path).grey, read_picture(shared / "harvard" / task / "test" / modality / path.name).grey
        sources = prepare(a, b)
        for method, image in fused_images(shared, task, stem, a, b):
            sums.setdefault(method, []).append([float(v[0]) for v in sources.score(image, IDS).values()])
    return {
        method: dict(zip(IDS, np.mean(rows, axis=0).tolist(), strict=True))
        for method, rows in sums.items()
        if len(rows) == count
    }


def redundancy(means: Mapping[str, Mapping[str, float]], ids: tuple[str, ...]) -> list[tuple[float, str, str]]:
    """Spearman correlation over methods of every two metrics, strongest first, controls left out."""
    methods = [m for m in means if m not in CONTROLS]
    found = []
    for i, first in enumerate(ids):
        for second in ids[i + 1 :]:
            rho = float(stats.spearmanr(*([means[m][c] for m in methods] for c in (first, second))).statistic)
            found.append((rho, first, second))
    return sorted((f for f in found if not math.isnan(f[0])), key=lambda f: -abs(f[0]))


def controls_ahead(means: Mapping[str, Mapping[str, float]], ids: tuple[str, ...]) -> list[tuple[str, str, int, int]]:
    """(metric, best control, published methods that it beats, published methods) where a control leads."""
    found = []
    for name in ids:
        sign = 1 if METRICS[name].facts.customary == "higher" else -1
        known = {m: sign * s[name] for m, s in means.items() if not math.isnan(s[name])}
        methods = [m for m in known if m not in CONTROLS]
        best = max((m for m in known if m in CONTROLS), key=lambda m: known[m])
        beaten = sum(known[best] > known[m] for m in methods)
        if beaten == len(methods):
            found.append((name, best, beaten, len(methods)))
    return found


def page(results: Mapping[str, Mapping[str, Mapping[str, float]]], count: int) -> str:
    customary = {name: METRICS[name].facts.customary for name in IDS}
    core = PROFILES["dmfnet"].metrics
    lines = [
        "# Which metric should I report?",
        "",
        f"Evidence: released outputs of {max(map(len, results.values())) - len(CONTROLS)} published methods and four "
        f"controls on the first {count} Harvard test pairs a task, scored by `tools/score_published.py`; the means are in "
        "[published.csv](published.csv).",
        "",
        "## The advice",
        "",
        "1. Name the convention. Report the profile (`dmfnet`, `strict`, ...) with every table; two tables of "
        "unnamed conventions "
        "cannot be compared.",
        "2. Show the controls (average, maximum, each source alone) in the same table. A metric that ranks one "
        "of them first says "
        "nothing about the methods below it.",
        "3. Take one metric from each group that moves together (below), not five from one.",
        "4. For PET and SPECT add colour and tracer fidelity, and score inside the foreground: most of a slice "
        "is background.",
        "5. EN, SD, SF, AG, EI and MLI describe an image. Noise and contrast stretching raise them; do not "
        "rank by them alone.",
        "6. A set that covers what differs, one number each: `qabf@strict` (gradients kept), `nabf` (artefacts "
        "made), `vif` "
        "(information), `ssim@strict` inside the foreground (structure), and `ciede2000` with "
        "`tracer-correlation` where there is "
        "colour; on generated pairs `lesion-recovery` and `tissue-edge-recall`.",
        "",
    ]
    for task, means in results.items():
        lines += [f"## {task}", "", "### Conventions that rank methods differently (Kendall tau below 0.9)", ""]
        unstable = [c for c in compare_conventions(means, customary, controls=CONTROLS) if not c.tau >= 0.9]
        lines += [to_markdown(unstable).rstrip(), "", "### Controls that beat every published method", ""]
        lines += ["| metric | control | methods beaten |", "| --- | --- | ---: |"]
        lines += [f"| {name} | {control} | {n} of {of} |" for name, control, n, of in controls_ahead(means, tuple(IDS))]
        lines += ["", "### Metrics of profile dmfnet that say the same (Spearman over methods)", ""]
        lines += ["| metric | metric | rho |", "| --- | --- | ---: |"]
        lines += [f"| {x} | {y} | {rho:.2f} |" for rho, x, y in redundancy(means, core) if abs(rho) >= 0.85]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    results = {task: score(options.shared, task, options.pairs) for task in TASKS}
    DOCS.mkdir(parents=True, exist_ok=True)
    with (DOCS / "published.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "method", *IDS])
        for task, means in results.items():
            writer.writerows([task, m, *(f"{s[i]:.6g}" for i in IDS)] for m, s in sorted(means.items()))
    (DOCS / "which.md").write_text(page(results, options.pairs), encoding="utf-8")


if __name__ == "__main__":
    main()
