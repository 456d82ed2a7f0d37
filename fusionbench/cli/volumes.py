"""Volumes on the command line: ``register``, and what ``fuse`` does with volumes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fusionbench.bench.dicom import Making, read_series, write_series
from fusionbench.bench.registration import KINDS, Registration, about, apply, register, simple_itk, write_transform
from fusionbench.bench.rire import Checked, Truth, check_registration, measure, read_any, read_truth
from fusionbench.bench.volumes import NIFTI, FusedVolume, Volume, Window, fuse_volumes, write_volume
from fusionbench.cli.common import FILE, PLACE, config_option, make_console, progress_bar
from fusionbench.datasets.levels import TABLES, color_table
from fusionbench.errors import InputError
from fusionbench.files import package_version, write_text
from fusionbench.methods import Method
from fusionbench.metrics import PROFILES
from fusionbench.scores import write_json


@dataclasses.dataclass(frozen=True)
class VolumeJob:
    """What ``fuse`` was asked for. ``register``: a kind of transform or None; ``colors``: a colour table's name or ""."""

    mri: Path
    other: Path
    output: Path
    spec: str
    windows: Any
    register: str | None = None
    colors: str = ""
    rgb: bool = False
    scores: Path | None = None


def is_series(output: Path) -> bool:
    """Whether an output means a folder for a DICOM series: a name without suffix, or a folder that is there."""
    return output.is_dir() or not output.suffix


def check_output(output: Path, source: Path) -> None:
    """Raises InputError for a name that says neither NIfTI nor DICOM."""
    if not is_series(output) and not output.name.lower().endswith(NIFTI):
        raise InputError(
            f"{output}: {source} is a volume (NIfTI file or DICOM folder), and so is the result; name it *.nii.gz or *.nii, "
            "or a new folder for DICOM"
        )
    if output.is_dir() and any(output.iterdir()):
        raise InputError(f"{output}: is there already; name a new folder for the DICOM series")


def fuse_files(job: VolumeJob, fuser: Method, device: str, seed: int) -> None:
    """Read, register if asked to, fuse, score, write; nothing is written where anything is refused."""
    if job.register:
        simple_itk()
    first, second = read_any(job.mri), read_any(job.other)
    metrics = PROFILES["dmfnet"].metrics if job.scores else ()
    registration = None
    with progress_bar() as notify:
        if job.register:
            registration = register(first, second, job.register, seed=seed, notify=notify)
            second = apply(registration, first, second)
        fused = fuse_volumes(
            first, second, fuser, device=device, seed=seed, windows=job.windows, metrics=metrics, notify=notify
        )
    _write_fused(job, fused, first, registration)
    if registration:
        _write_registration(job.output, registration, first, job.mri, job.other)
    if job.scores:
        lines = [",".join(fused.scores[0]), *(",".join(map(repr, row.values())) for row in fused.scores)]
        write_text(job.scores, "\n".join(lines) + "\n")
    shown = ", ".join(f"{low:g} to {high:g}" for low, high in fused.windows)
    grid = "OTHER resampled to the MRI's grid" if fused.resampled else "one grid"
    if registration:
        grid = f"OTHER registered ({job.register}), transform in {_beside(job.output, '.tfm')}"
    click.echo(f"{job.output}: {job.spec}, {fused.levels.shape[first.slice_axis]} slices; windows {shown}; {grid}")


def _write_fused(job: VolumeJob, fused: FusedVolume, mri: Volume, registration: Registration | None) -> None:
    if not is_series(job.output):
        write_volume(job.output, fused.levels, fused.affine)
        return
    windows: tuple[Window, Window] = fused.windows
    making = Making(
        job.spec,
        windows,
        registered=f"{registration.kind}, mutual information" if registration else "",
        table=f"{job.colors.upper()} of fusionbench" if job.colors else "",
    )
    sources = [series for path in (job.mri, job.other) if (series := read_series(path)) is not None]
    if job.mri.is_file() and sources:  # the patient is the MRI's, and a file does not say who it is
        sources = []
    table = color_table(TABLES[job.colors.upper()]) if job.colors else None
    write_series(
        job.output, fused.levels, fused.affine, mri.slice_axis, making, sources=sources, colors=table, rgb=job.rgb
    )


def _beside(output: Path, suffix: str) -> Path:
    """``fused.nii.gz`` -> ``fused.tfm``, and of a folder ``fused`` too: beside it."""
    name = next((output.name[: -len(end)] for end in reversed(NIFTI) if output.name.lower().endswith(end)), output.name)
    return output.with_name(name + suffix)


def _write_registration(output: Path, found: Registration, fixed: Volume, mri: Path, other: Path) -> None:
    transform = _beside(output, ".tfm")
    write_transform(transform, found)
    sources = {name: {"path": str(path), "sha256": _digest(path)} for name, path in (("fixed", mri), ("moving", other))}
    said = {"transform": transform.name, "fusionbench": package_version(), **about(found, fixed), **sources}
    write_json(_beside(output, ".registration.json"), said)


def _digest(path: Path) -> str:
    """SHA-256 of a file, or over the names and digests of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(p for p in path.rglob("*") if p.is_file())
    listed = [f"{p.relative_to(path).as_posix()} {_digest(p)}" for p in files]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


@click.command("register")
@click.argument("fixed", type=PLACE, required=False)
@click.argument("moving", type=PLACE, required=False)
@click.option("-o", "--output", type=FILE, help="MOVING on the grid of FIXED, .nii or .nii.gz.")
@click.option("--kind", type=click.Choice(KINDS), default="rigid", show_default=True, help="Kind of transform.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Which voxels mutual information is estimated from."
)
@click.option("--truth", type=FILE, help="A RIRE FROM_TO.standard file, MOVING to FIXED: tell the error.")
@click.option(
    "--rire", type=PLACE, help="A folder of RIRE's training_001: register what has a true transform, tell the errors."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def register_command(
    fixed: Path | None,
    moving: Path | None,
    output: Path | None,
    kind: str,
    seed: int,
    truth: Path | None,
    rire: Path | None,
    as_json: bool,
) -> None:
    """Register MOVING to FIXED by mutual information, and write it on FIXED's grid.

    Beside the output: the transform as ITK's text (NAME.tfm) and what was done (NAME.registration.json).

    \b
    fusionbench register mri.nii.gz ct.nii.gz -o ct-registered.nii.gz
    fusionbench register mri_series/ pet_series/ -o pet.nii.gz --kind affine
    fusionbench register --rire training_001
    """
    simple_itk()
    if rire is not None:
        if fixed or output or truth:
            raise InputError("--rire takes a folder alone; leave out FIXED, MOVING, --output and --truth")
        if not rire.is_dir():
            raise InputError(f"{rire}: no such folder; fetch it with fusionbench data download rire")
        with progress_bar() as notify:
            _tell(check_registration(rire, kind, seed=seed, notify=notify), as_json)
        return
    if fixed is None or moving is None or output is None:
        raise InputError("give FIXED, MOVING and --output, or --rire FOLDER")
    if not output.name.lower().endswith(NIFTI):
        raise InputError(f"{output}: the result is a volume; name it *.nii.gz or *.nii")
    _register_files(fixed, moving, output, kind, seed, None if truth is None else read_truth(truth), as_json)


def _register_files(
    fixed: Path, moving: Path, output: Path, kind: str, seed: int, truth: Truth | None, as_json: bool
) -> None:
    still, other = read_any(fixed), read_any(moving)
    with progress_bar() as notify:
        checked = None if truth is None else measure(truth, still, other, kind, seed)
        found = register(still, other, kind, seed=seed, notify=notify) if checked is None else checked.found
        moved = apply(found, still, other)
    write_volume(output, moved.data, moved.affine)
    _write_registration(output, found, still, fixed, moving)
    if checked:
        _tell([checked], as_json)
        return
    said = about(found, still)
    if as_json:
        click.echo(json.dumps(said))
        return
    far = said["moved_mm"]
    click.echo(
        f"{output}: {kind}, the head moved by {far['mean']:.2f} mm on average, {far['most']:.2f} at most; transform in "
        f"{_beside(output, '.tfm')}"
    )


def _tell(checked: list[Checked], as_json: bool) -> None:
    if as_json:
        rows = [{k: v for k, v in vars(item).items() if k != "found"} for item in checked]
        click.echo(
            json.dumps([{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows])
        )
        return
    table = Table("from", "to", "kind", "before", "head, mean", "head, most", "corners, mean", pad_edge=False)
    for item in checked:
        numbers = (item.before, item.head_mean, item.head_most, item.corners_mean)
        table.add_row(item.source, item.target, item.kind, *(f"{value:.2f} mm" for value in numbers))
    make_console().print(table)
