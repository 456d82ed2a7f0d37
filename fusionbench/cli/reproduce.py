"""``reproduce``: do a score file again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fusionbench.audit.reproduction import reproduce
from fusionbench.cli.common import DIRECTORY, FILE, config_option, plugin_option, progress_bar


@click.command("reproduce")
@click.argument("score_file", type=FILE, metavar="METHOD.json")
@click.option("--data", type=click.Path(path_type=Path), multiple=True, help="Where the images are (folders: twice).")
@click.option("--images", type=DIRECTORY, help="The fused images, for a method that was run elsewhere.")
@click.option("--device", default="", help="cpu or cuda [default: as in the file].")
@click.option("--engine", default="serial", show_default=True, help="As in `fusionbench run`.")
@config_option
@plugin_option
@click.pass_context
def reproduce_command(
    ctx: click.Context, score_file: Path, data: Sequence[Path], images: Path | None, device: str, engine: str
) -> None:
    """Do again what METHOD.json says was done, and tell whether the bytes agree: exit code 0 when they do, else 1.

    \b
    fusionbench reproduce results/scores/phantom/pet-mri/laplacian.json
    """
    with progress_bar() as notify:
        found = reproduce(score_file, data=data, images=images, device=device, engine=engine, notify=notify)
    key = found.key
    click.echo(f"{key.method} on {key.dataset}/{key.task}: {'the same bytes' if found.same_csv else 'DIFFERS'}")
    click.echo(
        f"  images: {found.images[0]} of {found.images[1]} agree; values: {found.values[0]} of {found.values[1]}"
    )
    if found.worst[1]:
        click.echo(f"  largest difference: {found.worst[0]:.2e} relative, {found.worst[1]}")
    for suspect in found.suspects:
        click.echo(f"  differs here: {suspect}")
    ctx.exit(0 if found.same_csv else 1)
