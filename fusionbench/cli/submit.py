"""``submit``: ``compare``, and then a bundle for the public board; or a bundle that is there, checked."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fusionbench.audit.entry import Placed
from fusionbench.audit.submission import (
    SAID,
    TERMS,
    TERMS_VERSION,
    Bundle,
    compose,
    image_problems,
    open_bundle,
    pack_bundle,
    problems,
    rescore,
    write_bundle,
)
from fusionbench.cli.common import PLACE, config_option, is_quiet, options, plugin_option, progress_bar, tell
from fusionbench.cli.compare import entry_options, placed_as_said, show
from fusionbench.errors import InputError
from fusionbench.scores.public import PublicBoard, read_public


@click.command("submit")
@entry_options
@options(
    click.option("--by", default="", metavar="NAME", help="Who submits: a name, an address or a GitHub handle."),
    click.option("--accept-terms", is_flag=True, help="Accept what --terms prints."),
    click.option("--images-at", default="", metavar="URL", help="Where the bundle will be to be had, images and all."),
    click.option("--out", type=PLACE, help="The bundle: a .zip, or a folder [default: NAME.zip]."),
)
@click.option("--terms", "print_terms", is_flag=True, help="Print the terms, and do nothing.")
@click.option(
    "--check", "checked", type=PLACE, metavar="BUNDLE", help="Check a bundle that is there, and do nothing else."
)
@config_option
@plugin_option
@click.pass_context
def submit_command(
    ctx: click.Context,
    /,
    by: str,
    accept_terms: bool,
    images_at: str,
    out: Path | None,
    print_terms: bool,
    checked: Path | None,
    **said: Any,
) -> None:
    """Make a bundle for the public board: compare, then pack facts, scores, digests and images; or check one.

    What is checked here is what is checked when the bundle is accepted; --check scores its images again as well.

    \b
    fusionbench submit --terms
    fusionbench submit -m mynet.py -t all --data HARVARD_FOLDER --trained-on harvard --by "Jane Doe" --accept-terms
    fusionbench submit --check mynet.zip --data HARVARD_FOLDER
    """
    board = read_public()
    if print_terms:
        click.echo("\n".join([f"Terms, version {TERMS_VERSION}:", *(f"- {line}" for line in TERMS)]))
        return
    if checked is not None:
        ctx.exit(_check(checked, board, said["data"]))
    if not accept_terms or not by.strip():
        raise InputError("a submission needs --by NAME and --accept-terms; fusionbench submit --terms prints them")
    if said["limit"]:
        raise InputError("--limit: a submission covers every pair of the board; leave it out")
    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; remove it, or name another --out")
    placed, code = placed_as_said(said, board)
    day = str(datetime.datetime.now(datetime.UTC).date())
    bundle = compose(placed, by.strip(), board, day=day, images_at=images_at)
    images = {f"{i.own.key.dataset}/{i.own.key.task}": _images(i, said["results"]) for i in placed}
    if reasons := problems(bundle, board) or image_problems(bundle, images):
        ctx.exit(_rejected(reasons))
    show(placed, said["results"], board, silent=is_quiet())
    target = out or Path(f"{bundle['facts']['name']}.zip")
    if target.exists():
        raise InputError(f"{target}: exists already; remove it, or name another --out")
    write_bundle(target, pack_bundle(bundle, images))
    click.echo(f"{target}: {sum(map(len, images.values()))} images, {SAID}; fusionbench submit --check {target}")
    if not placed[0].own.exposure.known:
        tell(
            "note: nobody says what it was trained on; it will stand as one that has seen every patient (--trained-on)"
        )
    ctx.exit(code)


def _images(item: Placed, results: Path) -> dict[str, Path]:
    """Pair -> the image that was scored."""
    key = item.own.key
    return {
        pair: results / record["path"] if "path" in record else key.image(results, pair)
        for pair, record in item.own.pairs.items()
        if "image" in record
    }


def _check(path: Path, board: PublicBoard, data: Sequence[Path]) -> int:
    """Tell what is wrong with a bundle; the exit code."""
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as folder:
        bundle = open_bundle(path, Path(folder) / "images")
        reasons = problems(bundle.said, board)
        if not reasons and bundle.folders:
            reasons = image_problems(bundle.said, bundle.images) or _otherwise(
                bundle, board, data, Path(folder) / "again"
            )
    if reasons:
        return _rejected(reasons)
    pairs = sum(len(held["pairs"]) for held in bundle.said["tasks"].values())
    scored = "scored again, alike" if bundle.folders else "its images are elsewhere: not scored again"
    click.echo(f"{path}: sound; {bundle.said['facts']['title']}, {pairs} pairs, {scored}")
    return 0


def _otherwise(bundle: Bundle, board: PublicBoard, data: Sequence[Path], into: Path) -> list[str]:
    with progress_bar() as notify:
        return rescore(bundle, into, metrics=board.columns, data=data, notify=notify)[1]


def _rejected(reasons: Sequence[str]) -> int:
    for reason in reasons:
        click.echo(f"rejected: {reason}", err=True)
    return 2
