"""``validate``: which metric orders methods as the model observers, or people, do."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import click
from rich.table import Table

from fusionbench.cli.common import FILE, config_option, make_console, results_option
from fusionbench.files import write_text
from fusionbench.report.figures import save
from fusionbench.report.validation import csv_text, forest, validate


@click.command("validate")
@results_option
@click.option(
    "--observer", default="cho", show_default=True, help="Whose truth; 'cho colour' for the coloured picture."
)
@click.option(
    "--figure",
    default="joint",
    show_default=True,
    help="joint, states, first, second, efficiency (the smaller of the two) ...; of pixels: dice-finding ...",
)
@click.option("--ratings", type=FILE, help="What people said instead: CSV with columns image, rater, score.")
@click.option("--csv", "out", type=FILE, help="Write the table to a file too.")
@click.option("--plot", type=FILE, help="Draw tau with intervals: NAME.png and NAME.pdf.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def validate_command(
    results: Path,
    observer: str,
    figure: str,
    ratings: Path | None,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Compare every directed metric of a results folder with what model observers found there.

    Kendall's tau over methods with its 95 % interval, and the share of pairs of methods that the metric orders rightly.

    \b
    fusionbench run -m all -t lesion/ct-mri --limit 100
    fusionbench observe -m all -t ct-mri
    fusionbench validate
    fusionbench validate --ratings opinions.csv     # image is DATASET/TASK/METHOD/PAIR
    """
    found = validate(results, observer=observer, figure=figure, ratings=ratings)
    if out is not None:
        write_text(out, csv_text(found))
    if plot is not None:
        save(forest(found), plot.with_suffix(""))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(item) for item in found], indent=1))
        return
    yardstick = f"{figure}, {observer}" if ratings is None else f"ratings of {ratings.name}"
    for task, items in itertools.groupby(found, key=lambda item: item.task):
        table = Table("metric", "tau", "95 %", "ordered rightly", "methods", title=f"{task}: {yardstick}")
        for item in items:
            a = item.agreement
            table.add_row(
                item.metric, f"{a.tau:+.2f}", f"{a.low:+.2f} to {a.high:+.2f}", f"{a.right:.0%}", str(a.methods)
            )
        make_console().print(table)
