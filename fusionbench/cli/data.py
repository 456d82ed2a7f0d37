"""``data list``, ``data verify``, ``data download`` and ``data export``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fusionbench.cli.common import (
    DIRECTORY,
    PLACE,
    chosen_tasks,
    config_option,
    dataset_options,
    plugin_option,
    progress_bar,
)
from fusionbench.datasets import ShowsFindings, Task, create_task, task_plugin
from fusionbench.datasets.checks import Verification, list_data, verify
from fusionbench.datasets.download import download_harvard
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.pairs import write_png
from fusionbench.scores import Key, exposure, person


@click.group("data")
def data_command() -> None:
    """What data is where; whether it is sound and free of leakage; fetching the public pairs."""


@data_command.command("list")
@click.option(
    "--data",
    type=PLACE,
    multiple=True,
    help="Where to look for the Harvard pairs.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@plugin_option
def list_command(data: Sequence[Path], as_json: bool) -> None:
    """What data is where, and how many pairs it has."""
    holdings = list_data(data)
    if as_json:
        click.echo(json.dumps([holding.as_dict() for holding in holdings], indent=1))
        return
    table = Table("task", "pairs", "where", pad_edge=False)
    for holding in holdings:
        pairs = ", ".join(f"{split} {count}" for split, count in holding.pairs.items())
        table.add_row(holding.task, pairs, holding.missing or holding.where)
    Console(highlight=False, width=None if Console().is_terminal else 160).print(table)


@data_command.command("verify")
@click.option("-t", "--task", multiple=True, default=("all",), show_default=True, help="Task name or all; repeatable.")
@dataset_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@plugin_option
@click.pass_context
def verify_command(
    ctx: click.Context, task: Sequence[str], dataset: str, data: Sequence[Path], split: str, as_json: bool
) -> None:
    """Pairing, sizes, duplicates, and leakage of --split (test or by-case-test) from its train counterpart.

    Exit code 1 when data is unsound; leakage is reported, not failed: the published split leaks, and that is a finding.
    """
    splits = (f"{split.removesuffix('test')}train", split)
    with progress_bar() as notify:
        found = [verify(name, data, splits, notify) for name in chosen_tasks(task, dataset, data)]
    if as_json:
        click.echo(json.dumps([item.as_dict() for item in found], indent=1))
    else:
        for item in found:
            _print(item, splits)
            _print_exposed(create_task(item.task, data=data, split=split), item.task)
    ctx.exit(0 if all(item.sound for item in found) else 1)


@data_command.command("download")
@click.argument("name", type=click.Choice(["harvard"]))
@click.option("--to", type=DIRECTORY, help="Folder to put the images in [default: the user data folder].")
def download_command(name: str, to: Path | None) -> None:
    """Fetch the public Harvard pairs and check every image; resumes where an earlier try stopped."""
    with progress_bar() as notify:
        root = download_harvard(to, progress=notify)
    click.echo(f"{name} pairs are in {root}; `fusionbench run` finds them there")


@data_command.command("export")
@click.argument("task")
@click.option("--subjects", type=click.IntRange(min=1), default=100, show_default=True, help="Four pairs each.")
@click.option("--split", default="test", show_default=True, help="test or train.")
@click.option("--out", type=DIRECTORY, required=True, help="Folder to write: one folder of PNG files a modality.")
@plugin_option
def export_command(task: str, subjects: int, split: str, out: Path) -> None:
    """Write pairs of a generated TASK with known findings as files, for other software to fuse.

    \b
    fusionbench data export lesion/pet-mri --subjects 100 --out pairs
    fusionbench observe --name MyNet --fused fused/ -t pet-mri --subjects 100
    """
    source = create_task(task, split=split)
    if not isinstance(source, ShowsFindings):
        raise InputError(f"{task} has no known findings; export lesion/ct-mri, lesion/pet-mri or lesion/spect-mri")
    first, second = task_plugin(task).facts.modalities
    ids = source.subjects(subjects)
    with progress_bar() as notify:
        for done, name in enumerate(ids, 1):
            pair = source.load(name)
            write_png(out / first / f"{name}.png", pair.a, durable=False)
            write_png(out / second / f"{name}.png", pair.b if pair.color is None else pair.color, durable=False)
            notify(f"{task}: writing pairs", done, len(ids))
    click.echo(f"{len(ids)} pairs of {subjects} subjects in {out}")


def _print_exposed(task: Task, name: str) -> None:
    """Which methods of this package have seen the patients to be tested on, as a board over them would say."""
    facts = dataclasses.asdict(task_plugin(name).facts)
    persons = [person(facts, task.case(id)) for id in task.ids()]
    seen: dict[str, list[str]] = {}
    for method in METHODS:
        found = exposure(dataclasses.asdict(METHODS[method].facts), Key.of(name).base, persons)
        if found.seen:
            seen.setdefault(str(found), []).append(method)
    for share, methods in seen.items():
        click.echo(f"  patients seen in training, {share}: {', '.join(sorted(methods))}")


def _print(item: Verification, splits: tuple[str, str]) -> None:
    train, test = splits
    pairs = ", ".join(f"{split} {count}" for split, count in item.pairs.items())
    sizes = ", ".join(f"{size} ({count})" for size, count in item.sizes.items())
    click.echo(f"{item.task}: {pairs} pairs; sizes {sizes}; {'sound' if item.sound else 'UNSOUND'}")
    for problem in item.problems:
        click.echo(f"  problem: {problem}")
    for kind, names in (("altered", item.altered), ("absent", item.absent)):
        for name in names[:10]:
            click.echo(f"  {kind}: {name}")
        if len(names) > 10:
            click.echo(f"  {kind}: and {len(names) - 10} more")
    if item.duplicates:
        click.echo(
            f"  {len(item.duplicates)} groups of pixel-identical images, such as {' = '.join(item.duplicates[0][:3])}"
        )
    if item.shared_cases:
        click.echo(
            f"  LEAKAGE: {len(item.shared_cases)} cases in both {train} and {test}: {', '.join(item.shared_cases)}"
        )
    if item.near:
        worst = max(item.near, key=lambda near: min(near.first, near.second))
        click.echo(
            f"  LEAKAGE: {item.leaked_pairs} of {item.pairs[test]} {test} pairs have a near-identical {train} pair, "
            f"such as {worst.test} ~ {worst.train} (correlation {worst.first:.2f}, {worst.second:.2f})"
        )
    if not item.leaks and len(item.pairs) > 1:
        click.echo(f"  no leakage from {train} to {test} found")
