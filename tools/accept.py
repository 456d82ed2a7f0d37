"""Check submissions to the public board, score their images again, and add a row a task.

    python tools/accept.py BUNDLE... [--images BUNDLE] [--data HARVARD_FOLDER] [--results results]

BUNDLE is a zip or a folder that ``fusionbench submit`` made, or its submission.json alone, as pull requests hold it; the
images are then taken from the address that it names (``images_at``), or from ``--images``. A bundle that is rejected is told
with a line a reason, exit code 2, and of it nothing is written. Then ``python tools/board.py`` makes the board that travels
with the package.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from fusionbench.audit.submission import Bundle, RejectedError, accept, open_bundle, problems
from fusionbench.cli.common import PLACE, progress_bar
from fusionbench.errors import InputError
from fusionbench.files import fetch
from fusionbench.scores.public import PublicBoard, read_public


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=PLACE)
@click.option("--images", type=PLACE, help="A bundle that holds the images of the only BUNDLE.")
@click.option("--data", type=PLACE, multiple=True, help="The Harvard pairs, for rows on them.")
@click.option("--results", type=PLACE, default=Path("results"), show_default=True, help="Where rows are added.")
def main(bundles: Sequence[Path], images: Path | None, data: Sequence[Path], results: Path) -> None:
    """Check submissions, score their images again, and add a row a task."""
    if images and len(bundles) > 1:
        raise click.UsageError("--images belongs to one bundle; give one")
    board, code = read_public(), 0
    for path in bundles:
        with tempfile.TemporaryDirectory(prefix="fusionbench-") as folder, progress_bar() as notify:
            try:
                bundle = _with_images(open_bundle(path, Path(folder) / "images"), images, Path(folder), board)
                keys = accept(bundle, results, Path(folder) / "again", board, data=data, notify=notify)
            except InputError as error:
                code = 2
                for reason in error.reasons if isinstance(error, RejectedError) else [str(error)]:
                    click.echo(f"{path}: rejected: {reason}", err=True)
                continue
        rows = ", ".join(f"{key.dataset}/{key.task}" for key in keys)
        click.echo(f"{path}: accepted; {bundle.said['facts']['title']} on {rows}")
    raise SystemExit(code)


def _with_images(bundle: Bundle, images: Path | None, work: Path, board: PublicBoard) -> Bundle:
    """The bundle with the images of another one, or of the one at the address that it names, where it has none itself.

    Raises RejectedError before anything is fetched where what it says cannot be taken.
    """
    if bundle.folders:
        return bundle
    if reasons := problems(bundle.said, board):
        raise RejectedError(reasons)
    address = bundle.said.get("images_at")
    if images is None and not address:
        raise RejectedError(["no images: none in the bundle, and no images_at that says where they are"])
    found = images or fetch(str(address), work / "fetched")
    return dataclasses.replace(bundle, folders=open_bundle(found, work / "theirs").folders)


if __name__ == "__main__":
    main()
