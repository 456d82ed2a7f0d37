"""``compare``: where a method of one's own stands on the public board, which travels with the package."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fusionbench.audit.entry import Entry, Placed, place
from fusionbench.cli.common import (
    DIRECTORY,
    METHOD,
    chosen_methods,
    chosen_tasks,
    config_option,
    dataset_options,
    is_quiet,
    make_console,
    options,
    plugin_option,
    progress_bar,
    results_option,
    tell,
    work_options,
)
from fusionbench.cli.facts import OPTIONS, facts_options, given_facts, stated_facts
from fusionbench.cli.report import print_sheet
from fusionbench.errors import InputError
from fusionbench.report import Cell, Line, Sheet
from fusionbench.report.boards import Board
from fusionbench.report.choice import EVERYBODY, Only, make_boards
from fusionbench.report.standing import Standing, sentences, standing
from fusionbench.report.tables import sheet
from fusionbench.scores import read_metric_facts
from fusionbench.scores.public import PublicBoard, read_public

AROUND = 2
"""So many methods before and behind one's own are shown."""
LEADERS_SHOWN = 5

entry_options = options(
    click.option(*METHOD, metavar="METHOD", help="Name[:key=value,...], or a .py or .toml file: fusionbench runs it."),
    click.option(
        "--fused", type=DIRECTORY, help="Instead: images that something else fused; of several tasks a folder each."
    ),
    click.option("--name", default="", help="With --fused: the method's name in the tables."),
    click.option("-t", "--task", multiple=True, metavar="TASK", help="Task name or all; repeatable."),
    facts_options,
    dataset_options,
    results_option,
    work_options,
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of methods that draw noise."),
)


@click.command("compare")
@entry_options
@options(
    click.option("--unexposed", is_flag=True, help="Beside those alone that have seen no patient of the board."),
    click.option("--without-own", is_flag=True, help="Leave out networks that fusionbench trained itself."),
    click.option(
        "--top", type=click.IntRange(min=1), default=LEADERS_SHOWN, show_default=True, help="So many leaders are shown."
    ),
)
@click.option("--json", "as_json", is_flag=True, help="For programs, with every comparison.")
@config_option
@plugin_option
@click.pass_context
def compare_command(
    ctx: click.Context, /, unexposed: bool, without_own: bool, top: int, as_json: bool, **said: Any
) -> None:
    """Run or score one method, and show where it would stand on the public board.

    The board's scores come with the package; in --results nothing is written but the method's own. Say what it was trained
    on: what nobody says counts as having seen every patient.

    \b
    fusionbench compare -m mynet.py -t pet-mri --trained-on nothing
    fusionbench compare -m mynet.py -t all --data HARVARD_FOLDER --trained-on harvard
    fusionbench compare --fused ./outputs --name MyNet -t pet-mri --trained-on harvard:16,20
    """
    board = read_public()
    placed, code = placed_as_said(said, board)
    only = Only(unexposed, (), without_own)
    told, found = show(placed, said["results"], board, only=only, top=top, silent=as_json)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        tell("next: fusionbench submit, with the same options, makes a bundle for the board")
    ctx.exit(max(code, told))


def show(
    placed: Sequence[Placed],
    results: Path,
    public: PublicBoard,
    *,
    only: Only = EVERYBODY,
    top: int = LEADERS_SHOWN,
    silent: bool = False,
) -> tuple[int, list[dict[str, Any]]]:
    """Print where a method stands on each task; (1 where it has no place on one, the standings for programs)."""
    code, rows = 0, []
    for item in placed:
        boards = boards_of(item, results, only)
        method = item.own.key.method
        if reason := boards[0].apart.get(method):
            click.echo(f"{method} has no place on {boards[0].dataset}/{boards[0].task}: {reason}", err=True)
            code = 1
            continue
        found = standing(boards[0], method)
        rows.append({"dataset": boards[0].dataset, "task": boards[0].task, "made": public.made, **found.as_dict()})
        if not silent:
            _show(item, boards, found, public, top)
    return code, rows


def placed_as_said(said: Mapping[str, Any], board: PublicBoard) -> tuple[list[Placed], int]:
    """Do what the values of ``entry_options`` ask for, and tell what went wrong: (what is to be placed, exit code)."""
    entry = _entry(said)
    if not said["task"]:
        raise InputError("name a task of the board: -t pet-mri, or all")
    tasks = chosen_tasks(said["task"], said["dataset"], said["data"])
    asked = {name: said[name] for name in ("data", "split", "device", "seed", "limit", "force")}
    with progress_bar() as notify:
        placed, outcomes = place(entry, tasks, said["results"], board, **asked, notify=notify)
    for outcome in outcomes:
        for key, reason in outcome.skipped:
            tell(f"skipped {key.method} on {key.dataset}/{key.task}: {reason}")
        for key, pair, reason in outcome.failed:
            click.echo(f"failed {key.method} on {key.dataset}/{key.task} {pair}: {reason}", err=True)
        for key, reason in outcome.broken:
            raise InputError(f"method {key.method} on {key.dataset}/{key.task}: {reason}")
    if not placed:
        raise InputError("nothing to place: the method was skipped on every task; name another task")
    return placed, max(outcome.exit_code for outcome in outcomes)


def _entry(said: Mapping[str, Any]) -> Entry:
    """What is to be placed."""
    method, images, name = said["method"], said["fused"], said["name"]
    facts = {option: said[option] for option in OPTIONS}
    if bool(method) == bool(images):
        raise InputError("name what is to be placed: -m METHOD, which is run here, or --fused FOLDER with --name NAME")
    if images:
        return Entry(images=images, facts=stated_facts({**facts, "name": name}))
    if name or said["pattern"]:
        raise InputError("--name and --pattern go with --fused; a method that is run here has its name")
    specs = [] if method.lower() == "all" else chosen_methods([method])
    if len(specs) != 1:
        raise InputError(f"--method {method}: stands for several methods; name one")
    return Entry(specs[0], facts=given_facts(facts))


def boards_of(item: Placed, results: Path, only: Only = EVERYBODY) -> list[Board]:
    """The public boards of one task, the default profile's first, with the method on them."""
    tables = [item.own, *filter(only.keeps, item.others)]
    return make_boards(tables, read_metric_facts(results))


def _show(item: Placed, boards: Sequence[Board], found: Standing, public: PublicBoard, top: int) -> None:
    console = make_console()
    board = boards[0]
    data = sheet(board, ("exposed", "rank"), tests=False, styled=console.is_terminal)
    title = f"{data.title} · public board of {public.made.get('date', 'an unknown day')}"
    if not is_quiet():
        print_sheet(console, dataclasses.replace(data, title=title, lines=tuple(_around(data, found, top))))
    for text in sentences(found, board, boards[1:]):
        click.echo(text)
    notes = [note for note in board.notes if note.startswith("compared on") or found.title in note]
    if item.again:
        notes.append(f"the board has a {item.own.key.method} of its own, in whose place yours stands")
    if item.few:
        notes.append(f"a first look: the board has more pairs than these {found.pairs}; leave out --limit to be placed")
    for note in notes:
        tell(f"note: {note}")


def _around(data: Sheet, found: Standing, top: int) -> Iterator[Line]:
    """The first lines of a board and those around a method, by place; a line for those left out; then the controls."""
    lines = [line for line in data.lines if line.kind == "contender"]
    own = next(i for i, line in enumerate(lines) if line.method == found.method)
    kept = [i for i in range(len(lines)) if i < top or abs(i - own) <= AROUND]
    blank = tuple(Cell("") for _ in data.headings)
    last = -1
    for i in [*kept, len(lines)]:
        if i > last + 1:
            yield dataclasses.replace(lines[0], title=f"... {i - last - 1} more", cells=blank)
        if i < len(lines):
            mark = "> " if i == own else ""
            yield dataclasses.replace(lines[i], title=f"{mark}{lines[i].place}. {lines[i].title}")
        last = i
    yield from (line for line in data.lines if line.kind == "control")
