"""Does restoring an undersampled MRI before fusion help? Prints the tables of docs/reconstruction.md.

    python tools/reconstruction.py RESULTS [--pairs 4] [--acceleration 2 4 8] [--method laplacian ...]

RESULTS: a scratch folder, in which a stopped run goes on. On the first pairs of phantom's CT-MRI and PET-MRI: the restored
MRI itself against the clean one, and every method's image, fused from the restored MRI, scored on the clean pair.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fusionbench.bench import run
from fusionbench.bench.work import TaskRef
from fusionbench.datasets.degraded import parse_degradation
from fusionbench.scores import read_table

TASKS = ("phantom/ct-mri", "phantom/pet-mri")
METRICS = ("qabf", "ssim", "vif", "lesion-recovery")
WAYS = ("zero-filled", "cs", "cmdnet")


def flaws(accelerations: Sequence[float], way: str) -> list[str]:
    return [f"undersample:accel={accel:g},reconstruct={way}" for accel in accelerations]


def reconstructions(accelerations: Sequence[float], pairs: int) -> list[str]:
    """A line a way: PSNR and SSIM of the restored MRI at each acceleration, means over all pairs of all tasks."""
    lines = []
    for way in WAYS:
        cells = []
        for flaw in flaws(accelerations, way):
            found = []
            for name in TASKS:
                clean, bad = TaskRef(name).open(), TaskRef(name, corrupt=flaw).open()
                for id in clean.ids()[:pairs]:
                    a, restored = clean.load(id).a, bad.load(id).a
                    found.append((peak_signal_noise_ratio(a, restored), structural_similarity(a, restored)))
            psnr, ssim = np.mean(found, axis=0)
            cells.append(f"{psnr:.2f} / {ssim:.3f}")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def fused(results: Path, methods: Sequence[str], accelerations: Sequence[float], pairs: int) -> list[str]:
    """A line a method and metric and way, the clean pair first: means over all pairs of all tasks."""
    means: dict[tuple[str, str], dict[str, list[float]]] = {}
    for way in ("", *WAYS):
        corrupt = flaws(accelerations, way) if way else []
        outcome = run(methods, TASKS, results, metrics=METRICS, limit=pairs, corrupt=corrupt, device="cpu")
        for key in outcome.keys:
            for record in read_table(results, key).pairs.values():
                for metric, value in record.get("scores", {}).items():
                    place = means.setdefault((key.method, metric), {})
                    place.setdefault(key.flaw, []).append(float(value))
    lines = []
    for (method, metric), values in means.items():
        for way in WAYS:
            labels = [parse_degradation(flaw).label for flaw in flaws(accelerations, way)]
            cells = " | ".join(f"{np.nanmean(values[label]):.3f}" for label in labels)
            lines.append(f"| `{method}` | {metric} | {way} | {np.nanmean(values['']):.3f} | {cells} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--acceleration", type=float, nargs="+", default=[2, 4, 8])
    parser.add_argument("--method", nargs="+", default=["laplacian", "guided-filter"])
    options = parser.parse_args()
    heads = " | ".join(f"x{accel:g}" for accel in options.acceleration)
    rule = "---:|" * len(options.acceleration)
    print(f"| restored by | {heads} |\n|---|{rule}")
    print("\n".join(reconstructions(options.acceleration, options.pairs)), flush=True)
    print(f"\n| method | metric | restored by | clean | {heads} |\n|---|---|---|---:|{rule}")
    print("\n".join(fused(options.results, options.method, options.acceleration, options.pairs)))


if __name__ == "__main__":
    main()
