"""Diff-IF's quality against sampling steps and noise draws, as a table and the figure of docs/diffif.md.

On generated test pairs, and with --data also on Harvard pairs of the cases that the weights' training held out. For each
setting: the mean of each metric over the pairs, and how much the fused image depends on the seed (root mean squared
difference of two seeds, in grey levels).

    python benchmarks/diffif.py [--data HARVARD_FOLDER] [--weights FILE] [--pairs 2] [--write docs]
"""

import argparse
import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from fusionbench.datasets import create_task
from fusionbench.methods._learned import shipped
from fusionbench.methods.diffif.method import DiffIFMethod
from fusionbench.methods.diffif.spec import SPEC
from fusionbench.metrics import evaluate
from fusionbench.pairs import Pair, to_uint8

TASKS = ("ct-mri", "pet-mri", "spect-mri")
SETTINGS = [(steps, 1) for steps in (1, 2, 4, 8)] + [(4, draws) for draws in (2, 4)]
METRICS = ("ssim", "vif", "qabf", "sf", "mi")


def phantom_pairs(count: int) -> list[Pair]:
    """`count` generated test pairs a task."""
    tasks = [create_task(f"phantom/{name}") for name in TASKS]
    return [task.load(id) for task in tasks for id in itertools.islice(task.ids(), count)]


def held_out_pairs(data: Path, weights: Path, count: int) -> list[Pair]:
    """`count` Harvard training pairs a task, evenly over the cases that the weights' card says were held out."""
    cases = SPEC.load(weights)[1]["validation_cases"]
    chosen: list[Pair] = []
    for name in TASKS:
        task = create_task(f"harvard/{name}", data=[data], split="train")
        pairs = [pair for pair in map(task.load, task.ids()) if pair.case in cases.get(name, [])]
        chosen += [pairs[i] for i in sorted({i * len(pairs) // count for i in range(count)})] if pairs else []
    return chosen


def measure(pairs: list[Pair], weights: Path, steps: int, draws: int) -> dict[str, float]:
    method = DiffIFMethod(weights=str(weights), steps=steps, draws=draws)
    method.prepare(torch.device("cpu"))
    scores, apart = [], []
    for number, pair in enumerate(pairs):
        a, b = (torch.from_numpy(image).float()[None, None] / 255 for image in (pair.a, pair.b))
        seeds = (2 * number, 2 * number + 1)
        first, second = (method.fuse(a, b, torch.Generator().manual_seed(seed))[0, 0].numpy() for seed in seeds)
        values = evaluate(to_uint8(first), pair.a, pair.b, METRICS)
        scores.append({name: float(values[name][0]) for name in METRICS})
        apart.append(255 * float(np.sqrt(((first - second) ** 2).mean())))
    return {"steps": steps, "draws": draws, **pd.DataFrame(scores).mean(), "seed_rms": float(np.mean(apart))}


def figure(tables: dict[str, pd.DataFrame], path: Path) -> None:
    shown = [*METRICS, "seed_rms"]
    _, axes = plt.subplots(1, len(shown), figsize=(2.6 * len(shown), 2.8), layout="constrained")
    for axis, name in zip(axes, shown, strict=True):
        for index, (label, table) in enumerate(tables.items()):
            single, averaged = table[table.draws == 1], table[(table.steps == 4)].sort_values("draws")
            axis.plot(single.steps, single[name], "o-", color=f"C{index}", label=label)
            axis.plot(averaged.steps * averaged.draws, averaged[name], "s:", color=f"C{index}", mfc="white")
        axis.set(
            xscale="log", xticks=[1, 2, 4, 8, 16], xticklabels=[1, 2, 4, 8, 16], xlabel="steps x draws", title=name
        )
        axis.minorticks_off()
    axes[0].plot([], [], "s:", color="grey", mfc="white", label="four steps, more draws")
    axes[0].legend(fontsize=6)
    plt.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path, default=shipped("diffif"))
    parser.add_argument("--pairs", type=int, default=2, help="pairs a task")
    parser.add_argument("--write", type=Path, help="folder for diffif-steps.png")
    options = parser.parse_args()
    sets = {"phantom": phantom_pairs(options.pairs)}
    if options.data:
        sets["held-out cases"] = held_out_pairs(options.data, options.weights, options.pairs)
    tables = {}
    for label, pairs in sets.items():
        rows = [measure(pairs, options.weights, steps, draws) for steps, draws in SETTINGS]
        tables[label] = pd.DataFrame(rows)
        print(f"{label}, {len(pairs)} pairs\n{tables[label].round(3).to_string(index=False)}\n")
    if options.write:
        figure(tables, options.write / "diffif-steps.png")


if __name__ == "__main__":
    main()
