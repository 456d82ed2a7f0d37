"""``doctor``: what an installation has and lacks; what to put into a report of a problem."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click
import platformdirs
import psutil

from fusionbench import __version__
from fusionbench.bench.provenance import commit, device_name
from fusionbench.cli.common import PLACE, make_console
from fusionbench.datasets.checks import list_data
from fusionbench.methods import METHODS, unavailable
from fusionbench.methods._authors import importer, published
from fusionbench.methods._places import weights_folder

NEEDED = ("click", "numba", "numpy", "pandas", "pillow", "piq", "PyWavelets", "scikit-image", "scipy", "torch")
EXTRAS = {
    "train": ("accelerate", "tensorboard"),
    "volumes": ("nibabel", "pydicom"),
    "register": ("SimpleITK",),
    "dask": ("dask", "distributed"),
    "slurm": ("dask-jobqueue",),
    "benchmark": ("torchmetrics",),
}
DISTRIBUTION = "fusionbench-mmif"  # what pip installs; the import and the command are called fusionbench


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found; ``state``: "bad" is what keeps things from working."""

    section: str
    what: str
    found: str
    state: Literal["ok", "missing", "bad"] = "ok"


@click.command("doctor")
@click.option("--data", type=PLACE, multiple=True, help="Where to look for the Harvard pairs.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def doctor_command(ctx: click.Context, data: tuple[Path, ...], as_json: bool) -> None:
    """Versions, devices, data, weights, caches and extras of this installation.

    Exit code 1 where something keeps fusionbench from working; data, weights and extras that are missing do not.
    """
    findings = [*_versions(), *_devices(), *_data(data), *_weights(), *_places(), *_extras()]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    else:
        console, section = make_console(), ""
        for finding in findings:
            if finding.section != section:
                section = finding.section
                click.echo(f"{section}:")
            mark = {"ok": " ", "missing": "-", "bad": "!"}[finding.state]
            console.print(f"  {mark} {finding.what}: {finding.found}", markup=False, soft_wrap=True)
    ctx.exit(1 if any(finding.state == "bad" for finding in findings) else 0)


def _versions() -> Iterator[Finding]:
    here = Path(__file__).resolve().parents[1]
    yield Finding("versions", "fusionbench", f"{__version__} {commit()}".strip() + f", in {here}")
    yield Finding("versions", "python", f"{platform.python_version()} on {platform.platform()}, {sys.executable}")
    for name in NEEDED:
        version = _version(name)
        yield Finding("versions", name, version or "is not installed", "ok" if version else "bad")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _devices() -> Iterator[Finding]:
    import torch  # heavy; the other findings do not need it

    yield Finding("devices", "cpu", f"{device_name('cpu')}, {psutil.cpu_count()} cores")
    count = torch.cuda.device_count()
    for number in range(count):
        memory = torch.cuda.get_device_properties(number).total_memory / 2**30
        yield Finding("devices", f"cuda:{number}", f"{device_name(f'cuda:{number}')}, {memory:.0f} GB")
    if not count:
        yield Finding("devices", "cuda", f"none that torch {torch.__version__} can use", "missing")


def _data(data: tuple[Path, ...]) -> Iterator[Finding]:
    for holding in list_data(data):
        pairs = ", ".join(f"{split} {count}" for split, count in holding.pairs.items())
        found = holding.missing or " ".join(filter(None, (pairs, holding.where and f"({holding.where})")))
        yield Finding("data", holding.task, found, "missing" if holding.missing else "ok")


def _weights() -> Iterator[Finding]:
    for name in METHODS:
        plugin = METHODS[name]
        if plugin.facts.trained:
            reason = unavailable(plugin)
            yield Finding("weights", name, reason or "shipped", "missing" if reason else "ok")
    for entry in published().values():
        if entry.method in METHODS:
            file = importer(entry).authors_file()
            there = file.is_file()
            remedy = f"not fetched; fusionbench weights fetch {entry.name}"
            yield Finding(
                "weights",
                f"{entry.method}:weights=authors",
                str(file) if there else remedy,
                "ok" if there else "missing",
            )


def _places() -> Iterator[Finding]:
    kernels = Path(__file__).resolve().parents[1] / "metrics" / "_kernels"
    caches = [Path(os.environ["NUMBA_CACHE_DIR"])] if os.environ.get("NUMBA_CACHE_DIR") else []
    caches = caches or [kernels / "__pycache__", Path(platformdirs.user_cache_dir("numba", appauthor=False))]
    cache = next((folder for folder in caches if _writable(folder)), None)
    slow = f"none of {', '.join(map(str, caches))} can be written: metrics are compiled anew in each process"
    yield Finding("places", "compiled metrics", str(cache) if cache else slow, "ok" if cache else "bad")
    for what, folder in (
        ("downloads", Path(platformdirs.user_data_dir("fusionbench", appauthor=False))),
        ("weights", weights_folder()),
        ("temporary files", Path(tempfile.gettempdir())),
    ):
        fine = _writable(folder)
        yield Finding("places", what, str(folder) if fine else f"{folder} cannot be written", "ok" if fine else "bad")


def _writable(folder: Path) -> bool:
    """Whether a file can be made in it, or in the folder that it would be made in."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def _extras() -> Iterator[Finding]:
    for extra, packages in EXTRAS.items():
        versions: dict[str, Any] = {name: _version(name) for name in packages}
        lacking = [name for name, version in versions.items() if not version]
        remedy = f"lacks {', '.join(lacking)}; pip install '{DISTRIBUTION}[{extra}]'"
        found = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield Finding("extras", extra, remedy if lacking else found, "missing" if lacking else "ok")
