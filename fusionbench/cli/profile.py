"""``profile``: what methods cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from fusionbench.audit.profiling import profile, sample_pair, store
from fusionbench.cli.common import (
    METHOD,
    PLACE,
    chosen_methods,
    chosen_tasks,
    config_option,
    plugin_option,
    progress_bar,
    results_option,
    tell,
)
from fusionbench.errors import InputError


@click.command("profile")
@click.option(*METHOD, multiple=True, required=True, metavar="METHOD", help="Name[:key=value,...] or all.")
@click.option("-t", "--task", default="pet-mri", show_default=True, help="Task whose first test pair is fused.")
@click.option("--dataset", default="phantom", show_default=True, help="phantom, harvard, folders, or a plugin's.")
@click.option("--data", type=PLACE, multiple=True, help="Where the images are.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option("--runs", type=click.IntRange(min=1), default=7, show_default=True, help="Timed runs, after two untimed.")
@results_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@plugin_option
@click.pass_context
def profile_command(
    ctx: click.Context,
    method: Sequence[str],
    task: str,
    dataset: str,
    data: Sequence[Path],
    device: str,
    threads: int,
    runs: int,
    results: Path,
    as_json: bool,
) -> None:
    """Measure parameters, FLOPs, seconds a pair and peak memory, each method in a fresh process.

    The figures are entered into the method's score files in --results, where there are any, and `fusionbench report` shows
    them. FLOPs are torch's count; a method written in NumPy has none.

    \b
    fusionbench profile -m laplacian -m dmfnet
    """
    pair = sample_pair(chosen_tasks([task], dataset, data)[0], data)
    found: dict[str, dict[str, Any]] = {}
    failed = 0
    specs = chosen_methods(method)
    with progress_bar() as notify:
        for done, spec in enumerate(specs):
            notify("profiling", done, len(specs), spec)
            try:
                found[spec] = profile(spec, pair, device=device, runs=runs, threads=threads)
            except InputError as error:
                if len(method) == 1 and method[0] != "all":
                    raise
                click.echo(f"failed {error}", err=True)
                failed += 1
                continue
            if not store(results, spec, found[spec]):
                tell(f"{spec}: no scores in {results} to enter this into")
    if as_json:
        click.echo(json.dumps(found, indent=1))
    elif found:
        _print(found)
    ctx.exit(1 if failed else 0)


def _print(found: dict[str, dict[str, Any]]) -> None:
    table = Table("method", "parameters", "GFLOPs", "seconds a pair", "peak memory, MB", pad_edge=False)
    for spec, stats in found.items():
        flops = "–" if stats["flops"] is None else f"{stats['flops'] / 1e9:.3g}"
        memory = f"{stats['peak_memory'] / 1e6:.1f}"
        table.add_row(spec, f"{stats['parameters']:,}", flops, f"{stats['seconds']:.4g}", memory)
    last = next(reversed(found.values()))
    Console(highlight=False).print(table)
    click.echo(
        f"{last['width']} x {last['height']}, {last['threads']} thread(s), {last['device_name']}, median of {last['runs']}"
    )
