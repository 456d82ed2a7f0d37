"""``prior``: the images that Diff-IF learns from, chosen among the suite's own fusers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fusionbench.bench.prior import CANDIDATES, build_prior
from fusionbench.cli.common import (
    DIRECTORY,
    METHOD,
    chosen_tasks,
    config_option,
    dataset_options,
    plugin_option,
    progress_bar,
)


@click.command("prior")
@click.option(
    *METHOD,
    multiple=True,
    default=CANDIDATES,
    show_default=True,
    metavar="METHOD",
    help="Candidate, name[:key=value,...]; repeatable. Of equally good ones the first is chosen.",
)
@click.option("-t", "--task", multiple=True, default=("all",), show_default=True, help="Task name or all; repeatable.")
@dataset_options
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N pairs of each task.")
@click.option("--engine", default="serial", show_default=True, help="Where the work is done, as in fusionbench run.")
@click.option("--out", type=DIRECTORY, default=Path("prior"), show_default=True, help="Folder to write.")
@config_option
@plugin_option
def prior_command(
    method: Sequence[str],
    task: Sequence[str],
    dataset: str,
    data: Sequence[Path],
    split: str,
    limit: int | None,
    engine: str,
    out: Path,
) -> None:
    """Fuse each training pair by several methods and keep the best by 2 SSIM + VIF + 3 Qabf, for `train diffif --prior`.

    What is already there is not done again.

    \b
    fusionbench prior --split train --data HARVARD_FOLDER --out prior
    """
    with progress_bar() as notify:
        counts = build_prior(
            method,
            chosen_tasks(task, dataset, data),
            out,
            data=data,
            split=split,
            limit=limit,
            engine=engine,
            notify=notify,
        )
    for name, of_method in counts.items():
        click.echo(f"{name}: " + ", ".join(f"{label} {count}" for label, count in of_method.items()))
