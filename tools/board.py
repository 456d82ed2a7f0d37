"""Make the public board that travels with the package of the committed scores, or check that the two agree.

    python tools/board.py [--results results]
    python tools/board.py --check

It holds the published split of the Harvard pairs and the generated pairs, all methods, the core metrics of PROFILES, rounded
to float32: what ``fusionbench compare`` needs. ``--check`` compares what is said, not bytes, which are zlib's; exit code 1
when anything differs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fusionbench.files import write_bytes
from fusionbench.metrics import PROFILES
from fusionbench.scores import find_tables, read_table
from fusionbench.scores.public import PublicBoard, pack, unpack

BOARD = Path(__file__).resolve().parents[1] / "fusionbench" / "scores" / "data" / "board.npz"
PLACES = ("harvard", "phantom")
PROFILED = ("dmfnet", "cddfuse")
"""The board's own profile, and the one that differs from it in SSIM's range alone and yet has another winner."""


@click.command()
@click.option("--results", type=click.Path(path_type=Path, exists=True), default=BOARD.parents[3] / "results")
@click.option("--board", type=click.Path(path_type=Path), default=BOARD, help="The file, where it is another.")
@click.option("--check", is_flag=True, help="Change nothing; tell whether the file says what the results say.")
def main(results: Path, board: Path, check: bool) -> None:
    """Make the public board's file, or check it."""
    columns = list(dict.fromkeys(metric for name in PROFILED for metric in PROFILES[name].core))
    tables = [read_table(results, key) for key in find_tables(results) if key.dataset in PLACES]
    made = json.loads((results / "made.json").read_text("utf-8"))
    content = pack(tables, columns, made)
    if not check:
        write_bytes(board, content)
        click.echo(f"{board}: {len(tables)} tables, {len(content):,} bytes")
        return
    said, now = said_by(unpack(board.read_bytes())), said_by(unpack(content))
    apart = sorted(name for name in said.keys() | now.keys() if said.get(name) != now.get(name))
    for name in apart:
        click.echo(
            f"{name}: {'not in the file' if name not in said else 'not in the results' if name not in now else 'differs'}"
        )
    click.echo(f"{len(now)} entries, {len(apart)} differ" + ("; run python tools/board.py" if apart else ""))
    raise SystemExit(1 if apart else 0)


def said_by(board: PublicBoard) -> dict[str, Any]:
    """Everything that a board says, by name, in text, where an undefined score equals another."""
    said: dict[str, Any] = {"columns": board.columns, "versions": dict(board.versions), "made": dict(board.made)}
    for table in board.tables:
        key = table.key
        said[f"{key.dataset}/{key.task}/{key.method}"] = repr((table.about, table.pairs))
    return said


if __name__ == "__main__":
    main()
