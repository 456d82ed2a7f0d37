"""LKC-FUNet's ablation, normalisation x kernel, at one small budget: the table in docs/lkcfunet.md.

    nice -n 15 python benchmarks/lkcfunet_ablation.py --data HARVARD_FOLDER --out runs/ablation [--steps 500] [--write]

Trains the six networks one after another (same seed, crops and number of steps; the published three-term loss) and scores
them on held-out cases of the training split; test pairs are never opened but to leave their copies out. Start it again with
the same options to go on where it stopped: a finished training or scoring is passed over.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import pandas as pd
import torch

from fusionbench.bench.training import USUAL_VALIDATION, training_pairs
from fusionbench.datasets import resolve_tasks
from fusionbench.files import write_bytes, write_text
from fusionbench.methods.lkcfunet.network import Kernel, Normalisation, fuse
from fusionbench.methods.lkcfunet.spec import SPEC
from fusionbench.metrics import PROFILES, evaluate
from fusionbench.pairs import to_uint8
from fusionbench.training import Split, TrainingPair, split_by_case

DOC = Path(__file__).parents[1] / "docs" / "lkcfunet.md"
BEGIN, END = "<!-- ablation:begin -->", "<!-- ablation:end -->"
METRICS = PROFILES["dmfnet"].core
INTRODUCTION = """## Ablation: normalisation and kernels

The paper's claim is that instance + group normalisation beats batch normalisation, and large kernels small ones. All six
combinations, trained at the same small budget on the published loss without dropout (`benchmarks/lkcfunet_ablation.py`):
"""
PUBLISHED_LOSS = {"fidelity": 0.0, "similarity": 0.0, "border": "zero"}


def some_of_each_task(pairs: Sequence[TrainingPair], count: int) -> list[TrainingPair]:
    """At most `count` pairs of each task, evenly spread over its cases and slices."""
    chosen = []
    for task in sorted({pair.task for pair in pairs}):
        of_task = [pair for pair in pairs if pair.task == task]
        chosen += [of_task[i * len(of_task) // count] for i in range(count)] if len(of_task) > count else of_task
    return chosen


def train_one(out: Path, split: Split, network: dict[str, Any], steps: int, seed: int) -> Path:
    """The weights file of one network, trained now if it is not there; an unfinished training goes on."""
    file = out / "lkcfunet.safetensors"
    if not file.is_file():
        settings = {"steps": steps, "batch": 4, "seed": seed, "validate_every": steps}
        SPEC.train(
            Split(split.train, some_of_each_task(split.validation, 4)),
            out,
            overrides=settings,
            loss=PUBLISHED_LOSS,
            network=network,
            resume=(out / "state.pt").is_file(),
        )
    return file


def score_one(out: Path, file: Path, pairs: Sequence[TrainingPair]) -> dict[str, float]:
    """Means of the core metrics over the pairs, kept in ``scores.json`` beside the weights."""
    kept = out / "scores.json"
    if not kept.is_file():
        network = SPEC.load(file)[0].eval().requires_grad_(False)
        rows = []
        with torch.inference_mode():
            for pair in pairs:
                a, b = (torch.from_numpy(image.copy())[None, None].float() / 255 for image in (pair.a, pair.b))
                fused = to_uint8(fuse(network, a, b).clamp(0, 1)[0, 0].double().numpy())
                rows.append({key: value[0] for key, value in evaluate(fused, pair.a, pair.b, METRICS).items()})
        means: dict[str, Any] = pd.DataFrame(rows).mean().to_dict()
        means["parameters"] = sum(p.numel() for p in network.parameters())
        write_bytes(kept, json.dumps(means, indent=2).encode())
    scores: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
    return scores


def table(results: pd.DataFrame) -> str:
    """Markdown: a row a network, seeds averaged, with the mean rank among the six over the core metrics."""
    means = results.groupby(["normalisation", "kernel"], sort=False).mean(numeric_only=True)
    ranks = means[list(METRICS)].rank(ascending=False)  # all seven: higher is better
    lines = [
        "| normalisation | kernel | parameters | "
        + " | ".join(metric.upper() for metric in METRICS)
        + " | mean rank |",
        "|---|---|---:|" + "---:|" * (len(METRICS) + 1),
    ]
    for (normalisation, kernel), row in means.iterrows():
        values = " | ".join(f"{row[metric]:.3f}" for metric in METRICS)
        rank = np.mean(ranks.loc[(normalisation, kernel)])
        lines.append(f"| {normalisation} | {kernel} | {row['parameters']:,.0f} | {values} | {rank:.2f} |")
    return "\n".join(lines)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), multiple=True, help="Folder of the Harvard pairs.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/ablation"), show_default=True)
@click.option("--steps", default=500, show_default=True, help="Optimiser steps of each network.")
@click.option("--inner", default=4, show_default=True, help="Width of the networks is four times this.")
@click.option("--pairs", "count", default=12, show_default=True, help="Held-out pairs a task to score.")
@click.option("--seed", "seeds", type=int, multiple=True, default=(0,), show_default=True, help="Repeatable: averaged.")
@click.option("--write", is_flag=True, help="Put the table into docs/lkcfunet.md.")
def main(
    data: Sequence[Path], out: Path, steps: int, inner: int, count: int, seeds: Sequence[int], write: bool
) -> None:
    """Train, score and tabulate the six networks."""
    torch.set_num_threads(1)
    pairs = training_pairs(resolve_tasks(["all"], "harvard", data), data)[0]
    split = split_by_case(pairs, USUAL_VALIDATION)
    held_out = some_of_each_task(split.validation, count)
    rows = []
    for seed, kernel, normalisation in itertools.product(seeds, get_args(Kernel), get_args(Normalisation)):
        network = {"inner": inner, "normalisation": normalisation, "kernel": kernel}
        folder = out / f"inner{inner}-steps{steps}" / f"{normalisation}-{kernel}-{seed}"
        file = train_one(folder, split, network, steps, seed)
        scores = score_one(folder, file, held_out)
        rows.append({"normalisation": normalisation, "kernel": kernel, **scores})
        click.echo(f"{normalisation:15} {kernel:6} seed {seed}  " + " ".join(f"{scores[m]:.4f}" for m in METRICS))
    trainings = "one training" if len(seeds) == 1 else f"{len(seeds)} trainings"
    text = (
        f"{INTRODUCTION}\n"
        f"Width {4 * inner}, {steps} steps of 4 crops of 64 x 64, {trainings} a row; means over {len(held_out)} pairs of "
        f"{len(USUAL_VALIDATION)} held-out cases of the training split.\n\n{table(pd.DataFrame(rows))}"
    )
    click.echo(text)
    if write:
        before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
        write_text(DOC, f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
