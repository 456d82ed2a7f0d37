"""``run``, ``score`` and ``fuse``: what makes images and numbers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch

from fusionbench.bench import Forecast, Outcome, forecast, resolve_device, run, score_folders
from fusionbench.bench.isolate import parse_limits
from fusionbench.bench.registration import KINDS
from fusionbench.bench.volumes import is_volume, parse_window
from fusionbench.bench.work import Mask, fuse_pair
from fusionbench.cli.common import (
    DEFAULT_PROFILE,
    DIRECTORY,
    FILE,
    METHOD,
    PLACE,
    channel_option,
    chosen_methods,
    chosen_metrics,
    chosen_tasks,
    config_option,
    dataset_options,
    debug_option,
    is_quiet,
    metric_options,
    plugin_option,
    progress_bar,
    results_option,
    tell,
    work_options,
)
from fusionbench.cli.facts import facts_options, stated_facts
from fusionbench.cli.report import print_leaderboard
from fusionbench.cli.volumes import VolumeJob, check_output, fuse_files, is_series
from fusionbench.errors import InputError
from fusionbench.methods import Method, create_method
from fusionbench.metrics import select
from fusionbench.pairs import Pair, read_picture, size_text, write_png
from fusionbench.scores import Column, read_table


@click.command("run")
@click.option(*METHOD, multiple=True, required=True, metavar="METHOD", help="Name[:key=value,...] or all; repeatable.")
@click.option("-t", "--task", multiple=True, required=True, metavar="TASK", help="Task name or all; repeatable.")
@dataset_options
@metric_options
@results_option
@work_options
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of methods that draw noise.")
@click.option(
    "--corrupt",
    multiple=True,
    metavar="KIND[:PARAMETER=VALUE]",
    help="Degrade one source before fusing, and score against the clean pair; repeatable: noise:sigma=0.05, shift:px=2, "
    "rotate:deg=2, rigid:mm=2, elastic:mm=2 (target registration error), jpeg:q=75, blur:sigma=1, bias:strength=0.3, "
    "undersample:accel=4; ,input=a|b chooses the source, and undersample:accel=4,reconstruct=zero-filled|cs|cmdnet what "
    "restores it first.",
)
@channel_option
@click.option(
    "--engine",
    default="serial",
    show_default=True,
    help="Where the work is done: serial, local[:N] (processes), dask[:N|:ADDRESS|:slurm:JOBS].",
)
@click.option(
    "--isolate",
    is_flag=False,
    flag_value="time=600,memory=8G",
    metavar="[time=SECONDS,memory=4G]",
    help="Each method in a process of its own; one that hangs, crashes or takes too much loses that pair only.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be fused and scored, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: for programs.")
@debug_option
@config_option
@plugin_option
@click.pass_context
def run_command(
    ctx: click.Context,
    method: Sequence[str],
    task: Sequence[str],
    dataset: str,
    data: Sequence[Path],
    split: str,
    profiles: Sequence[str],
    metric: Sequence[str],
    mask: str,
    results: Path,
    device: str,
    limit: int | None,
    force: bool,
    seed: int,
    corrupt: Sequence[str],
    channel: str,
    engine: str,
    isolate: str | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Fuse, save and score methods on tasks, doing only what is missing or stale.

    \b
    fusionbench run --method dmfnet --task pet-mri
    fusionbench run -m all -t all --data HARVARD_FOLDER
    fusionbench run -m laplacian:levels=5 -m ./mymethod.py -t ct-mri
    fusionbench run -m ./theirs.toml -t pet-mri --isolate
    fusionbench run -m all -t all --engine local:8
    fusionbench run -m all -t all --corrupt noise:sigma=0.05 --corrupt noise:sigma=0.1
    fusionbench run -m all -t all --dry-run
    """
    methods = chosen_methods(method)
    tasks = chosen_tasks(task, dataset, data)
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run; fusionbench report writes the scores as CSV")
    limits = None if isolate is None else parse_limits(isolate)
    asked: dict[str, Any] = {
        "metrics": chosen_metrics(profiles, metric),
        "data": data,
        "split": split,
        "device": device,
        "seed": seed,
        "limit": limit,
        "force": force,
        "mask": mask,
        "corrupt": corrupt,
        "channel": channel,
    }
    with progress_bar() as notify:
        if dry_run:
            planned = forecast(methods, tasks, results, **asked, notify=notify)
        else:
            outcome = run(methods, tasks, results, **asked, engine=engine, isolate=limits, notify=notify)
    if dry_run:
        _tell_planned(planned, as_json)
        return
    _finish(ctx, outcome, results, profiles, metric, mask, debug)


def _tell_planned(planned: Sequence[Forecast], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([item.as_dict() for item in planned], indent=1))
        return
    for item in planned:
        does = f"fuse {item.fuse}, score {item.score} ({item.values} values)" if item.fuse or item.values else "nothing"
        told = f"skip: {item.skipped}" if item.skipped else f"{does} of {item.pairs} pairs"
        click.echo(f"{item.key.dataset}/{item.key.task} {item.key.method}: {told}")
    fuse, values = sum(item.fuse for item in planned), sum(item.values for item in planned)
    click.echo(f"would fuse {fuse} images and compute {values} values; nothing was done")


@click.command("score")
@click.argument("folder", type=DIRECTORY)
@click.option("--name", default="", help="The method's name in the tables.")
@click.option("-t", "--task", required=True, metavar="TASK", help="Task whose pairs the images belong to.")
@facts_options
@click.option("--copy", is_flag=True, help="Keep a copy in the results: reports find the images wherever these go.")
@dataset_options
@metric_options
@results_option
@work_options
@debug_option
@config_option
@plugin_option
@click.pass_context
def score_command(
    ctx: click.Context,
    /,
    folder: Path,
    task: str,
    copy: bool,
    dataset: str,
    data: Sequence[Path],
    split: str,
    profiles: Sequence[str],
    metric: Sequence[str],
    mask: str,
    results: Path,
    device: str,
    limit: int | None,
    force: bool,
    debug: bool,
    **said: Any,
) -> None:
    """Score a folder of images fused elsewhere (any method, any language), matched by file stem or by --pattern.

    \b
    fusionbench score ./outputs --name MyNet -t pet-mri --data HARVARD_FOLDER
    fusionbench score ./outputs --facts mynet.toml --bibtex mynet.bib -t pet-mri --pattern '{id}_fused.png'
    """
    metrics = chosen_metrics(profiles, metric)
    tasks = chosen_tasks([task], dataset, data)
    if len(tasks) != 1:
        raise InputError(f"--task {task}: a folder holds the images of one task; name one")
    facts = stated_facts(said)
    with progress_bar() as notify:
        outcome = score_folders(
            [(folder, facts)],
            tasks[0],
            results,
            metrics=metrics,
            data=data,
            split=split,
            device=device,
            limit=limit,
            force=force,
            mask=mask,
            copy=copy,
            notify=notify,
        )
    records = [record for key in outcome.keys for record in read_table(results, key).pairs.values()]
    for what, why in (
        ("lossy", "JPEG or WebP, whose compression is in the scores"),
        ("color", "coloured, scored on BT.601 grey"),
    ):
        count = sum(bool(record.get(what)) for record in records)
        if count:
            tell(f"note: {count} of {len(records)} images are {why}")
    _finish(ctx, outcome, results, profiles, metric, mask, debug)


@click.command("fuse")
@click.argument("mri", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=PLACE, required=True, help="PNG to write; of volumes .nii, .nii.gz or a folder for DICOM."
)
@click.option(*METHOD, default="laplacian", show_default=True, metavar="METHOD", help="Name[:key=value,...].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of methods that draw noise.")
@click.option(
    "--window-mri", metavar="LOW,HIGH", help="Volumes: grey values shown as 0 and 255 [default: percentiles]."
)
@click.option("--window-other", metavar="LOW,HIGH", help="The same for OTHER, such as 0,80 for a CT of the brain.")
@click.option("--register", type=click.Choice(KINDS), help="Volumes: register OTHER to the MRI first (SimpleITK).")
@click.option("--colors", type=click.Choice(["pet", "spect"]), help="DICOM: through this table, as a palette.")
@click.option("--rgb", is_flag=True, help="DICOM: with --colors, written as RGB instead of a palette.")
@click.option("--scores", type=FILE, help="Volumes: CSV file for the scores of every slice (profile dmfnet).")
@config_option
@plugin_option
def fuse_command(
    mri: Path,
    other: Path,
    output: Path,
    method: str,
    device: str,
    seed: int,
    window_mri: str | None,
    window_other: str | None,
    register: str | None,
    colors: str | None,
    rgb: bool,
    scores: Path | None,
) -> None:
    """Fuse MRI with OTHER: CT, PET or SPECT; two pictures, or two volumes (NIfTI files or folders of a DICOM series).

    Colour of a picture is kept. Volumes are fused slice by slice on the MRI's grid, OTHER is resampled to it; an output
    without a suffix is a folder for a DICOM series.

    \b
    fusionbench fuse mri.png pet.png -o fused.png -m laplacian
    fusionbench fuse mri.nii.gz pet.nii.gz -o fused.nii.gz
    fusionbench fuse mri_series/ ct_series/ -o fused_series --register rigid
    """
    volumes = is_volume(mri) or is_volume(other)
    if not volumes and (window_mri or window_other or scores or register or colors):
        raise InputError(
            "--window-mri, --window-other, --register, --colors and --scores are for volumes; a picture is 8-bit already"
        )
    if not volumes and output.suffix.lower() != ".png":
        raise InputError(f"{output}: the result is written as PNG, which loses nothing; name it *.png")
    if volumes:
        check_output(output, mri if is_volume(mri) else other)
    if (colors and not (volumes and is_series(output))) or (rgb and not colors):
        raise InputError(
            "--colors is for DICOM (-o names a folder) and --rgb goes with --colors; NIfTI keeps plain levels"
        )
    specs = [] if method.lower() == "all" else chosen_methods([method])
    if len(specs) != 1:
        raise InputError(f"--method {method}: stands for several methods; name one")
    if volumes:
        windows = tuple(None if text is None else parse_window(text) for text in (window_mri, window_other))
        fuser = _prepared(specs[0], resolve_device(device))
        job = VolumeJob(mri, other, output, specs[0], windows, register, colors or "", rgb, scores)
        fuse_files(job, fuser, resolve_device(device), seed)
    else:
        _fuse_pictures(mri, other, output, specs[0], resolve_device(device), seed)


def _fuse_pictures(mri: Path, other: Path, output: Path, spec: str, device: str, seed: int) -> None:
    first, second = read_picture(mri), read_picture(other)
    if first.grey.shape != second.grey.shape:
        raise InputError(
            f"{mri} is {size_text(first.grey)}, {other} is {size_text(second.grey)}; register and resample them to one grid"
        )
    pair = Pair(id=f"{mri.stem}+{other.stem}", a=first.grey, b=second.grey, color=second.color)
    fuser = _prepared(spec, device)
    try:
        fused, seconds = fuse_pair(fuser, pair, device, seed)
    except InputError:
        raise
    except Exception as error:  # whatever a method raises is a failed result, told in one line
        raise click.ClickException(f"{spec} failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
    shown = pair.show(fused)
    write_png(output, fused if shown is None else shown)
    click.echo(f"{output}: {spec}, {seconds:.2f} s")


def _prepared(spec: str, device: str) -> Method:
    fuser = create_method(spec).method
    fuser.prepare(torch.device(device))
    return fuser


def _finish(
    ctx: click.Context,
    outcome: Outcome,
    results: Path,
    profiles: Sequence[str],
    metric: Sequence[str],
    mask: str,
    debug: bool,
) -> None:
    """Tell what went wrong, show the tables with all that was asked for, and end with the exit code."""
    for line in outcome.damaged:
        click.echo(f"damaged {line}", err=True)
    for line in outcome.notes:
        tell(line)
    for key, reason in outcome.skipped:
        tell(f"skipped {key.method} on {key.dataset}/{key.task}: {reason}")
    for key, pair, reason in outcome.failed:
        click.echo(f"failed {key.method} on {key.dataset}/{key.task} {pair}: {reason}", err=True)
    for key, reason in outcome.broken:
        click.echo(f"Error: method {key.method} on {key.dataset}/{key.task}: {reason}", err=True)
    if outcome.log is not None:
        if debug:
            click.echo(outcome.log.read_text(encoding="utf-8"), err=True, nl=False)
        click.echo(f"tracebacks: {outcome.log}", err=True)
    if is_quiet():
        ctx.exit(outcome.exit_code)
    inside = Mask.parse(mask).name
    print_leaderboard(
        results,
        {(key.dataset, key.task) for key in outcome.keys},
        profiles=[str(Column(name.lower()).inside(inside)) for name in profiles or [DEFAULT_PROFILE]],
        beside=[str(Column.parse(name).inside(inside)) for name in select([], metric)] if metric else [],
    )
    click.echo(f"{outcome.fused} images fused, {outcome.scored} scored; results in {results}")
    if outcome.keys and not outcome.broken:
        where = "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
        click.echo(f"next: fusionbench report{where}", err=True)
    ctx.exit(outcome.exit_code)
