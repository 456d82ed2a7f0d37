"""``data list``, ``data verify``, ``data download`` and ``data export``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fusionbench.bench.subjects import put_side_by_side
from fusionbench.cli.common import (
    DIRECTORY,
    FILE,
    PLACE,
    chosen_tasks,
    config_option,
    dataset_options,
    make_console,
    plugin_option,
    progress_bar,
)
from fusionbench.datasets import ShowsFindings, Task, create_task, task_plugin
from fusionbench.datasets.checks import Verification, list_data, verify
from fusionbench.datasets.collections import download_collection
from fusionbench.datasets.download import download_harvard
from fusionbench.datasets.layouts import (
    LAYOUTS,
    Layout,
    Volumes,
    differences,
    manifest,
    manifest_text,
    read_layout,
    read_manifest,
)
from fusionbench.errors import InputError
from fusionbench.files import write_text
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
@click.argument("name", type=click.Choice(["harvard", *LAYOUTS]))
@click.option("--to", type=DIRECTORY, help="Folder to put the images in [default of harvard: the user data folder].")
@click.option("--url", default="", help="Volumes: a mirror's address that the archives lie below.")
def download_command(name: str, to: Path | None, url: str) -> None:
    """Fetch the public Harvard pairs and check every image; or volumes whose terms allow it: rire, synthrad.

    Resumes where an earlier try stopped.
    """
    if name != "harvard":
        with progress_bar() as notify:
            place = download_collection(name, Path(name) if to is None else to, base=url, progress=notify)
        click.echo(f"{LAYOUTS[name].title}: in {place}, digests in {place / 'manifest.csv'}; {LAYOUTS[name].terms}")
        return
    if url:
        raise InputError("--url is for volumes; the Harvard pairs are one commit of one repository")
    with progress_bar() as notify:
        root = download_harvard(to, progress=notify)
    click.echo(f"{name} pairs are in {root}; `fusionbench run` finds them there")


@data_command.command("volumes")
@click.argument("folder", type=PLACE)
@click.option("--layout", type=click.Choice(["auto", *LAYOUTS]), default="auto", show_default=True, help="Whose files.")
@click.option("--manifest", "written", type=FILE, help="CSV file to write: a digest of each volume.")
@click.option("--check", "wanted", type=FILE, help="A manifest to check against; exit code 1 where anything differs.")
@click.option("--pair", metavar="FIRST,SECOND", help="With --to: two modalities to put side by side.")
@click.option("--to", type=DIRECTORY, help="New folder: FIRST/SUBJECT.nii.gz and SECOND/SUBJECT.nii.gz.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def volumes_command(
    ctx: click.Context,
    folder: Path,
    layout: str,
    written: Path | None,
    wanted: Path | None,
    pair: str | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Whose volumes lie in FOLDER (BIDS, BraTS, SynthRAD2023, RIRE, CERMEP, BrainWeb), in which modalities; their digests.

    \b
    fusionbench data volumes my-bids-folder
    fusionbench data volumes rire --manifest rire.csv
    fusionbench data volumes my-bids-folder --pair T1,PET --to pairs
    """
    if (pair is None) != (to is None):
        raise InputError("--pair and --to go together: which modalities, and where to put them")
    known = None if wanted is None else read_manifest(wanted)
    found, volumes = read_layout(folder, layout)
    if pair is not None and to is not None:
        with progress_bar() as notify:
            names = put_side_by_side(volumes, pair.split(","), to, notify)
        click.echo(f"{len(names)} subjects in {to}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
        return
    rows = []
    if written is not None or known is not None:
        with progress_bar() as notify:
            rows = manifest(folder, volumes, notify)
    if written is not None:
        write_text(written, manifest_text(rows))
    if known is not None:
        lines = differences(rows, known)
        click.echo("\n".join(lines) or f"{len(rows)} volumes, all as in {wanted}")
        ctx.exit(1 if lines else 0)
    _tell_volumes(found, volumes, as_json)


def _tell_volumes(found: Layout, volumes: Volumes, as_json: bool) -> None:
    if as_json:
        listed = [
            {"subject": s, "session": t, "volumes": {m: str(p) for m, p in of.items()}}
            for (s, t), of in volumes.items()
        ]
        click.echo(
            json.dumps({"layout": found.name, "title": found.title, "terms": found.terms, "subjects": listed}, indent=1)
        )
        return
    table = Table("subject", "session", "modalities", pad_edge=False)
    for (subject, session), of in volumes.items():
        table.add_row(subject, session, ", ".join(of))
    make_console().print(table)
    people = len({subject for subject, _ in volumes})
    click.echo(f"{found.title}: {people} subjects, {sum(map(len, volumes.values()))} volumes; terms: {found.terms}")


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
