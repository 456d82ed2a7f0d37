"""Speed of the metrics, side by side with a transcription of their definitions, piq and (where installed) torchmetrics.

    python benchmarks/metrics.py [--pairs 3] [--rounds 7] [--write]

The transcription is what papers' scripts do: full two-dimensional windows through scipy.signal.convolve2d, scikit-learn's
mutual_info_score, scikit-image's SSIM. Ours and theirs take turns, so that other load on the machine meets both alike;
medians are printed, of wall time and of processor time. ``--write`` puts the table into docs/metrics/speed.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity
from sklearn.metrics import mutual_info_score

from fusionbench.datasets import create_task
from fusionbench.metrics import PROFILES, evaluate, perceptual, prepare

Grey = NDArray[np.float64]
METHODS = 20
DOCS = Path(__file__).resolve().parents[1] / "docs"


def entropy(f: Grey) -> float:
    share = np.bincount(f.astype(np.uint8).ravel(), minlength=256) / f.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def spatial_frequency(f: Grey) -> float:
    return math.sqrt(np.mean(np.diff(f, axis=0) ** 2) + np.mean(np.diff(f, axis=1) ** 2))


def average_gradient(f: Grey) -> float:
    gy, gx = np.gradient(f)
    return float(np.mean(np.sqrt((gx**2 + gy**2) / 2)))


def correlation(x: Grey, y: Grey) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / math.sqrt((x**2).sum() * (y**2).sum()))


def vif(reference: Grey, distorted: Grey) -> float:
    kept = total = 0.0
    for scale, size in enumerate((17, 9, 5, 3)):
        axis = np.arange(size) - size // 2
        window = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * (size / 5) ** 2))
        window /= window.sum()

        def mean(x: Grey, window: Grey = window) -> Grey:
            return convolve2d(x, window, mode="valid")

        if scale:
            reference, distorted = mean(reference)[::2, ::2], mean(distorted)[::2, ::2]
        m1, m2 = mean(reference), mean(distorted)
        v1 = np.maximum(mean(reference * reference) - m1 * m1, 0)
        v2 = np.maximum(mean(distorted * distorted) - m2 * m2, 0)
        c = mean(reference * distorted) - m1 * m2
        gain = c / (v1 + 1e-10)
        noise = np.maximum(v2 - gain * c, 1e-10)
        gain = np.where((v1 < 1e-10) | (v2 < 1e-10) | (gain < 0), 0, gain)
        v1 = np.where(v1 < 1e-10, 0, v1)
        kept += np.log10(1 + gain * gain * v1 / (noise + 2)).sum()
        total += np.log10(1 + v1 / 2).sum()
    return float(kept / total)


def gradient(x: Grey) -> tuple[Grey, Grey]:
    gx = convolve2d(x, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], mode="same")
    gy = convolve2d(x, [[1, 2, 1], [0, 0, 0], [-1, -2, -1]], mode="same")
    return np.hypot(gx, gy), np.where(gx == 0, np.pi / 2, np.arctan(gy / np.where(gx == 0, 1, gx)))


def edge_preservation(source: tuple[Grey, Grey], fused: tuple[Grey, Grey]) -> Grey:
    (g, a), (gf, af) = source, fused
    high = np.maximum(g, gf)
    strength = np.where(g == gf, gf, np.minimum(g, gf) / np.where(high == 0, 1, high))
    turn = 1 - np.abs(a - af) / (np.pi / 2)
    return 0.9994 / (1 + np.exp(-15 * (strength - 0.5))) * 0.9879 / (1 + np.exp(-22 * (turn - 0.8)))


def transcription(f8: NDArray[np.uint8], a8: NDArray[np.uint8], b8: NDArray[np.uint8]) -> dict[str, float]:
    """The twelve metrics of profile dmfnet from their definitions."""
    f, a, b = (x.astype(np.float64) for x in (f8, a8, b8))
    mse = (np.mean((a - f) ** 2) + np.mean((b - f) ** 2)) / 2
    ga, gb, gf = gradient(a), gradient(b), gradient(f)
    kept = (edge_preservation(ga, gf) * ga[0] + edge_preservation(gb, gf) * gb[0]).sum()
    return {
        "en": entropy(f),
        "sd": float(f.std()),
        "sf": spatial_frequency(f),
        "ag": average_gradient(f),
        "mi": mutual_info_score(f8.ravel(), a8.ravel()) + mutual_info_score(f8.ravel(), b8.ravel()),
        "scd": correlation(f - b, a) + correlation(f - a, b),
        "cc": (correlation(a, f) + correlation(b, f)) / 2,
        "psnr": 10 * math.log10(f.max() ** 2 / mse),
        "mse": float(mse),
        "vif": vif(a, f) + vif(b, f),
        "qabf": float(kept / (ga[0] + gb[0]).sum()),
        "ssim": sum(float(structural_similarity(f, x, data_range=255)) for x in (a, b)),
    }


def pairs(count: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], list[NDArray[np.uint8]]]]:
    """Phantom pairs, each with METHODS weighted averages as fused images."""
    task = create_task("phantom/ct-mri")
    made = []
    for name in task.ids()[:count]:
        pair = task.load(name)
        weights = np.linspace(0.2, 0.8, METHODS)
        fused = [np.rint(w * pair.a + (1 - w) * pair.b).astype(np.uint8) for w in weights]
        made.append((pair.a, pair.b, fused))
    return made


def in_turns(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Name -> median (wall, processor) milliseconds; all tasks once, then all again."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for run in tasks.values():
        run()  # compile, fill caches
    for _ in range(rounds):
        for name, run in tasks.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (statistics.median(w for w, _ in t) * 1e3, statistics.median(c for _, c in t) * 1e3)
        for name, t in times.items()
    }


def others(a: NDArray[np.uint8], b: NDArray[np.uint8], f: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
    """The same definitions in other libraries, for one pair, in float64."""
    piq = {name: perceptual.piq_module(name) for name in ("vif", "ssim", "ms_ssim", "fsim")}

    def unit(x: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(x).double()[None, None] / 255

    a1, b1, f1 = unit(a), unit(b), unit(f)
    found: dict[str, Callable[[], object]] = {
        "ours: vif": lambda: evaluate(f, a, b, "vif"),
        "piq: vif_p, twice": lambda: [piq["vif"].vif_p(x, f1, data_range=1.0) for x in (a1, b1)],
        "ours: ssim@vifb": lambda: evaluate(f, a, b, "ssim@vifb"),
        "piq: ssim, twice": lambda: [piq["ssim"].ssim(f1, x, data_range=1.0, downsample=False) for x in (a1, b1)],
        "ours: ms-ssim@sum": lambda: evaluate(f, a, b, "ms-ssim@sum"),
        "piq: multi_scale_ssim, twice": lambda: [
            piq["ms_ssim"].multi_scale_ssim(f1, x, data_range=1.0) for x in (a1, b1)
        ],
        "ours: fsim": lambda: evaluate(f, a, b, "fsim"),
        "piq: fsim, twice": lambda: [piq["fsim"].fsim(f1, x, data_range=1.0, chromatic=False) for x in (a1, b1)],
    }
    if importlib.util.find_spec("torchmetrics") is not None:
        from torchmetrics.functional.image import visual_information_fidelity

        found["torchmetrics: visual_information_fidelity, twice"] = lambda: [
            visual_information_fidelity(f1 * 255, x * 255) for x in (a1, b1)
        ]
    return found


def _apart(a: Grey, b: Grey, fused: Sequence[Grey]) -> float:
    """Largest relative difference of ours from the transcription."""
    ours, theirs = evaluate(fused[3], a, b, "dmfnet"), transcription(fused[3], a, b)
    return max(abs(float(ours[k][0]) / v - 1) for k, v in theirs.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write docs/metrics/speed.md")
    options = parser.parse_args()
    triples = pairs(options.pairs)
    worst = max(_apart(*triple) for triple in triples)
    if worst > 1e-9:
        raise SystemExit(f"ours and the transcription differ by {worst:.1e}; the times would mean nothing")

    def each(score: Callable[..., object]) -> Callable[[], object]:
        return lambda: [score(fused[3], a, b) for a, b, fused in triples]

    def many() -> None:
        for a, b, fused in triples:
            sources = prepare(a, b)
            for image in fused:
                sources.score(image, "dmfnet")

    timed = in_turns(
        {"transcription": each(transcription), "ours": each(lambda f, a, b: evaluate(f, a, b, "dmfnet")), "many": many},
        options.rounds,
    )
    n = len(triples)
    plain, one, shared = (
        tuple(x / d for x in timed[key]) for key, d in (("transcription", n), ("ours", n), ("many", n * METHODS))
    )
    a, b, fused = triples[0]
    sets: dict[str, Callable[[], object]] = {
        f"profile {name}": (lambda name=name: evaluate(fused[3], a, b, name)) for name in PROFILES if name != "medical"
    }
    sets["FMI, all five features"] = lambda: evaluate(
        fused[3], a, b, [f"fmi@{k}" for k in ("pixel", "gradient", "edge", "dct", "wavelet")]
    )
    rest = in_turns(sets | others(a, b, fused[3]), max(3, options.rounds // 2))
    lines = [
        "# Speed of the metrics",
        "",
        f"256 x 256 pairs, one process, {os.cpu_count()} cores ({platform.processor() or platform.machine()}), "
        f"medians of {options.rounds} rounds in which ours and the others took turns; made by "
        "`python benchmarks/metrics.py --write`.",
        f"Load average at the end: {os.getloadavg()[1]:.1f}; on a busy machine the caches are shared, which costs ours "
        "more than the transcription, whose windows stay in the first-level cache.",
        f"The twelve metrics agree with the transcription to {worst:.0e} (relative).",
        "",
        "| twelve metrics of profile dmfnet | wall, ms a pair | processor, ms a pair | times faster (wall) | (processor) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for label, (wall, cpu) in (
        ("transcription", plain),
        ("fusionbench, one method", one),
        (f"fusionbench, each of {METHODS} methods on one pair", shared),
    ):
        lines.append(f"| {label} | {wall:.2f} | {cpu:.2f} | {plain[0] / wall:.0f} | {plain[1] / cpu:.0f} |")
    lines += ["", "| one pair | wall, ms | processor, ms |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {wall:.1f} | {cpu:.1f} |" for name, (wall, cpu) in rest.items()]
    print("\n".join(lines))
    if options.write:
        (DOCS / "metrics" / "speed.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
