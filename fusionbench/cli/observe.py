"""``observe``: what a reader can find in fused images, on pairs with known findings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.table import Table

from fusionbench.bench.observe import READERS, Observed, observe, place_name
from fusionbench.cli.common import (
    DIRECTORY,
    METHOD,
    channel_option,
    chosen_methods,
    chosen_tasks,
    config_option,
    make_console,
    options,
    plugin_option,
    progress_bar,
    results_option,
    tell,
)
from fusionbench.errors import InputError
from fusionbench.observers.study import Interval

FIGURES = {
    "first": "MRI's finding",
    "second": "other's finding",
    "joint": "both (smaller)",
    "states": "four states",
    "efficiency-first": "efficiency, MRI",
    "efficiency-second": "other",
}


@click.command("observe")
@click.option(*METHOD, multiple=True, metavar="METHOD", help="Method, name[:key=value,...], or all; repeatable.")
@click.option("-t", "--task", multiple=True, default=("all",), show_default=True, help="Task name or all; repeatable.")
@options(
    click.option("--dataset", default="lesion", show_default=True, help="A data set of known findings."),
    click.option("--split", default="test", show_default=True, help="test or train."),
    channel_option,
    click.option(
        "--corrupt",
        multiple=True,
        metavar="KIND[:PARAMETER=VALUE]",
        help="Degrade one source first, as run does; repeatable.",
    ),
    click.option("--subjects", type=click.IntRange(min=20), default=100, show_default=True, help="Four images each."),
)
@click.option(
    "--observer",
    multiple=True,
    type=click.Choice(READERS),
    default=("cho", "dog"),
    show_default=True,
    help="Who reads; repeatable.",
)
@options(
    click.option("--name", help="What to call the images of --fused."),
    click.option("--fused", type=DIRECTORY, help="Images that other software made of the pairs, named after them."),
)
@results_option
@options(
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of methods that draw noise."),
    click.option(
        "--engine", default="serial", show_default=True, help="Where the work is done, as in fusionbench run."
    ),
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@plugin_option
@click.pass_context
def observe_command(
    ctx: click.Context,
    method: Sequence[str],
    task: Sequence[str],
    dataset: str,
    split: str,
    channel: str,
    corrupt: Sequence[str],
    subjects: int,
    observer: Sequence[str],
    name: str | None,
    fused: Path | None,
    results: Path,
    device: str,
    seed: int,
    engine: str,
    as_json: bool,
) -> None:
    """Can the findings be made in the fused images? Model observers on generated pairs with known truth.

    Of each method: the area under the ROC curve for the MRI's finding and for the other image's (0.5 is guessing), the
    smaller of the two, the share of images whose state is named rightly, and how much of the information survived.

    \b
    fusionbench observe -m dmfnet -m laplacian -t pet-mri
    fusionbench data export lesion/pet-mri --subjects 100 --out pairs
    fusionbench observe --name MyNet --fused mynet/ -t pet-mri
    fusionbench observe -m all -t pet-mri --corrupt rigid:mm=2 --corrupt rigid:mm=4
    """
    if (name is None) != (fused is None):
        raise InputError("--name and --fused go together: a name for the images, and the folder that holds them")
    if not method and fused is None:
        raise InputError("name a method with -m, or the folder of images to be judged with --name and --fused")
    tasks = chosen_tasks(task, dataset, ())
    if fused is not None and (corrupt or len(tasks) != 1):
        raise InputError("--fused holds images of one task's clean pairs; name it with -t, leave out --corrupt")
    with progress_bar() as notify:
        out = observe(
            chosen_methods(method),
            tasks,
            results,
            subjects=subjects,
            split=split,
            channel=channel,
            corrupt=corrupt,
            observers=observer,
            fused=None if fused is None or name is None else {name: fused},
            device=device,
            seed=seed,
            engine=engine,
            notify=notify,
        )
    _tell(out, as_json)
    for key, reason in out.skipped:
        tell(f"skipped {key.method} on {key.dataset}/{key.task}: {reason}")
    for key, pair, reason in out.failed:
        click.echo(f"failed {key.method} on {key.dataset}/{key.task} {pair}: {reason}", err=True)
    tell(f"{out.fused} images fused; what was found is in {results / 'truth'}")
    ctx.exit(1 if out.failed else 0)


def _tell(out: Observed, as_json: bool) -> None:
    by_task = {
        task: {key.method: found for key, found in out.found.items() if place_name(key) == task} for task in out.bounds
    }
    if as_json:
        click.echo(json.dumps({task: {"bounds": out.bounds[task], "methods": of} for task, of in by_task.items()}))
        return
    for task, of in by_task.items():
        for observer in dict.fromkeys(name for found in of.values() for name in found):
            rows = {method: found[observer] for method, found in of.items()}
            own = {
                kind.rpartition(", ")[0]: figures
                for kind, figures in out.bounds[task].items()
                if kind.rpartition(", ")[2] == observer
            }
            make_console().print(_table(f"{task}, observer {observer}", rows, own))


def _table(
    title: str, rows: Mapping[str, Mapping[str, Interval]], bounds: Mapping[str, Mapping[str, Interval]]
) -> Table:
    heads = dict.fromkeys(name for figures in rows.values() for name in figures)
    table = Table("", *(FIGURES.get(name, name) for name in heads), title=title, title_justify="left", pad_edge=False)
    for kind, figures in bounds.items():
        table.add_row(kind, *(_cell(figures.get(name)) for name in heads), style="dim")
    leading = "joint" if "joint" in heads else "dice-finding"
    for method in sorted(rows, key=lambda name: -rows[name][leading][0]):
        table.add_row(method, *(_cell(rows[method].get(name)) for name in heads))
    return table


def _cell(values: Interval | None) -> str:
    return "" if values is None else f"{values[0]:.3f} [{values[1]:.2f}, {values[2]:.2f}]"
