"""``report``, and the leaderboard that a terminal shows: what is read, not made."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusionbench.cli.common import (
    DEFAULT_PROFILE,
    DIRECTORY,
    METHOD,
    METRIC,
    PLACE,
    config_option,
    is_quiet,
    make_console,
    options,
    plugin_option,
    progress_bar,
    results_option,
    tell,
)
from fusionbench.report import COLUMNS, DEFAULT_COLUMNS, IMAGES, Cell, Sheet, truth, write_report
from fusionbench.report.choice import EVERYBODY, Only, make_boards
from fusionbench.report.figures import WIDTHS, Box, Paper
from fusionbench.report.tables import sheet
from fusionbench.scores import find_tables, read_metric_facts, read_table

_IMAGES_HELP = "auto: the page embeds only what may be passed on; public: figures too; all; none."


def _zoom(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Box | None:
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not X,Y,W,H in whole pixels") from None
    return x, y, width, height


@click.command("report")
@results_option
@click.option("--out", type=DIRECTORY, help="Where to write [default: RESULTS/leaderboard].")
@options(
    click.option("--profile", "profiles", multiple=True, help="Only these profiles; repeatable."),
    click.option(*METHOD, multiple=True, help="Only these methods; repeatable."),
    click.option(*METRIC, multiple=True, help="Only these metrics; repeatable."),
)
@options(
    click.option("--columns", help=f"Columns beside the metrics, by comma, of: {', '.join(COLUMNS)}."),
    click.option("--std", is_flag=True, help="Standard deviations beside the means, in Markdown, LaTeX and here."),
    click.option("--pairs", help="Pairs of the image grid, by comma."),
    click.option("--zoom", metavar="X,Y,W,H", callback=_zoom, help="Inset of the image grid, in pixels."),
    click.option("--images", type=click.Choice(IMAGES), default="auto", show_default=True, help=_IMAGES_HELP),
    click.option("--data", type=PLACE, multiple=True, help="Where the source images are."),
    click.option(
        "--width", type=click.Choice(list(WIDTHS)), help="Figures and LaTeX: 88 or 181 mm [default: what suits each]."
    ),
    click.option(
        "--top", type=click.IntRange(min=1), help="Figures and LaTeX: the first so many methods, and controls."
    ),
)
@options(
    click.option(
        "--unexposed", is_flag=True, help="Rank those alone that have seen no patient of the board in training."
    ),
    click.option("--origin", multiple=True, help='Rank those alone that come from there, such as "reimplemented".'),
    click.option("--without-own", is_flag=True, help="Leave out networks that fusionbench trained itself."),
)
@config_option
@plugin_option
def report_command(
    results: Path,
    out: Path | None,
    profiles: Sequence[str],
    method: Sequence[str],
    metric: Sequence[str],
    columns: str | None,
    std: bool,
    pairs: str | None,
    zoom: Box | None,
    images: str,
    data: Sequence[Path],
    width: Literal["1col", "2col"] | None,
    top: int | None,
    unexposed: bool,
    origin: Sequence[str],
    without_own: bool,
) -> None:
    """Write leaderboards (page, Markdown, CSV, LaTeX) and figures from what is in a results folder."""
    out = out or results / "leaderboard"
    notes: list[str] = []
    only = Only(unexposed, tuple(origin), without_own)
    with progress_bar() as notify:
        written = write_report(
            results,
            out,
            profiles=profiles,
            methods=method,
            metrics=metric,
            only=only,
            columns=columns.split(",") if columns else DEFAULT_COLUMNS,
            std=std,
            pairs=pairs.split(",") if pairs else (),
            zoom=zoom,
            data=data,
            images=images,
            paper=Paper(width or "", top),
            notify=notify,
            tell=notes.append,
        )
    for note in notes:
        tell(f"note: {note}")
    if is_quiet():
        return
    print_leaderboard(results, None, profiles=profiles, methods=method, metrics=metric, only=only, std=std)
    click.echo(f"{len(written)} files in {out}")


def print_leaderboard(
    results: Path,
    tasks: Collection[tuple[str, str]] | None,
    *,
    profiles: Sequence[str] = (),
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    beside: Sequence[str] = (),
    only: Only = EVERYBODY,
    std: bool = False,
) -> None:
    """The terminal's leaderboard: a table for each of ``profiles`` (default: dmfnet) on every (dataset, task).

    None means all tasks that the results folder has. A task without any of the profiles shows what it has instead.
    ``methods``, ``metrics``, ``beside``, ``only``: see :func:`fusionbench.report.boards.make_boards`.
    """
    keys = [key for key in find_tables(results) if tasks is None or (key.dataset, key.task) in tasks]
    tables = [read_table(results, key) for key in keys]
    facts = read_metric_facts(results)
    seen = truth.findings(results)
    boards = make_boards(tables, facts, methods=methods, metrics=metrics, beside=beside, only=only, findings=seen)
    console = make_console()
    wanted = {name.lower() for name in profiles} or {DEFAULT_PROFILE}
    full = {(board.dataset, board.task) for board in boards if board.profile in wanted}
    shown = [board for board in boards if board.profile in wanted or (board.dataset, board.task) not in full]
    sheets = [sheet(board, ("findings", "rank"), tests=False, std=std, styled=console.is_terminal) for board in shown]
    for item in sheets:
        print_sheet(console, item)
    # What holds for every table is said once, below the last.
    told = {item.title: (*item.notes, *item.legend) for item in sheets}
    for note in dict.fromkeys(note for notes in told.values() for note in notes):
        titles = [title for title, notes in told.items() if note in notes]
        where = "" if len(titles) == len(sheets) else f"{', '.join(title.partition(' · ')[0] for title in titles)}: "
        console.print(Text(where + note, style="dim"))


def print_sheet(console: Console, board: Sheet) -> None:
    """A leaderboard; one below the other where its columns are more than the terminal is wide."""
    lines = [line for line in board.lines if line.cells]
    names = [line.title + (" (control)" if line.kind == "control" else "") for line in lines]
    room = max(16, min(max(map(len, names), default=0), console.width // 3))
    widths = [max(len(h), *(_cell(line.cells[i]).cell_len for line in lines), 0) for i, h in enumerate(board.headings)]
    for number, part in enumerate(_blocks(widths, console.width - room - 3)):
        table = Table(title=None if number else board.title, title_justify="left", header_style="bold", pad_edge=False)
        table.add_column("Method", max_width=room)
        for heading in board.headings[part]:
            table.add_column(heading, justify="right", no_wrap=True)
        section = None
        for name, line in zip(names, lines, strict=True):
            if section not in (None, line.kind):
                table.add_section()
            section = line.kind
            style = "dim" if line.kind != "contender" else ""
            table.add_row(Text(name, style=style), *map(_cell, line.cells[part]))
        console.print(table)
    for line in board.lines:
        if not line.cells:
            console.print(Text(f"{line.title}: {line.note}", style="dim"))


def _blocks(widths: Sequence[int], room: int) -> list[slice]:
    """Runs of columns of these widths that fit side by side into ``room`` characters, borders counted."""
    starts, used = [0], 0
    for index, width in enumerate(widths):
        used += width + 3
        if used > room and index > starts[-1]:
            starts.append(index)
            used = width + 3
    return [slice(first, last) for first, last in itertools.pairwise([*starts, len(widths)])]


def _cell(cell: Cell) -> Text:
    style = {"best": "bold green", "second": "underline"}.get(cell.place, "")
    return Text(cell.text + ("‡" if cell.undefined else ""), style=style).append(
        f" ± {cell.std}" if cell.std else "", "dim"
    )
