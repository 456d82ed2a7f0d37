"""``list``, ``explain`` and ``report``: what is read, not made."""

from __future__ import annotations

import dataclasses
import itertools
import json
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from fusionbench.cli.common import DIRECTORY, config_option, options, plugin_option, progress_bar, results_option
from fusionbench.datasets import TASKS
from fusionbench.methods import METHODS, unavailable
from fusionbench.metrics import METRICS, PROFILES, explain
from fusionbench.report import COLUMNS, DEFAULT_COLUMNS, IMAGES, Cell, Sheet, write_report
from fusionbench.report.boards import make_boards
from fusionbench.report.figures import Box
from fusionbench.report.tables import sheet
from fusionbench.scores import find_tables, read_metric_facts, read_table

_IMAGES_HELP = "auto: the page embeds only what may be passed on; public: figures too; all; none."
KINDS = ("methods", "metrics", "tasks", "profiles")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="All fact sheets, for programs.")
@plugin_option
def list_command(kind: str | None, as_json: bool) -> None:
    """What is registered: methods, metrics, tasks, profiles (all when none is named)."""
    kinds = [kind] if kind else list(KINDS)
    listings = {name: _LISTINGS[name]() for name in kinds}
    if as_json:
        content = listings[kind] if kind else listings
        click.echo(json.dumps(content, indent=1, default=_jsonable, ensure_ascii=False))
        return
    console = _console()
    for name in kinds:
        _print_listing(console, name, listings[name])


@click.command("explain")
@click.argument("metric")
@plugin_option
def explain_command(metric: str) -> None:
    """Formula in words, convention, unit, direction, source and traps of METRIC (such as ssim or mi@bits)."""
    text = explain(metric)
    console = _console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        click.echo(text, nl=False)


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
    click.option("--methods", multiple=True, help="Only these methods; repeatable."),
    click.option("--metrics", multiple=True, help="Only these metrics; repeatable."),
)
@options(
    click.option("--columns", help=f"Columns beside the metrics, by comma, of: {', '.join(COLUMNS)}."),
    click.option("--pairs", help="Pairs of the image grid, by comma."),
    click.option("--zoom", metavar="X,Y,W,H", callback=_zoom, help="Inset of the image grid, in pixels."),
    click.option("--images", type=click.Choice(IMAGES), default="auto", show_default=True, help=_IMAGES_HELP),
    click.option(
        "--data", type=click.Path(path_type=Path, readable=False), multiple=True, help="Where the source images are."
    ),
)
@config_option
@plugin_option
def report_command(
    results: Path,
    out: Path | None,
    profiles: Sequence[str],
    methods: Sequence[str],
    metrics: Sequence[str],
    columns: str | None,
    pairs: str | None,
    zoom: Box | None,
    images: str,
    data: Sequence[Path],
) -> None:
    """Write leaderboards (page, Markdown, CSV, LaTeX) and figures from what is in a results folder."""
    out = out or results / "leaderboard"
    with progress_bar() as notify:
        written = write_report(
            results,
            out,
            profiles=profiles,
            methods=methods,
            metrics=metrics,
            columns=columns.split(",") if columns else DEFAULT_COLUMNS,
            pairs=pairs.split(",") if pairs else (),
            zoom=zoom,
            data=data,
            images=images,
            notify=notify,
        )
    print_leaderboard(results, profiles[0] if profiles else "dmfnet", None, methods, metrics)
    click.echo(f"{len(written)} files in {out}")


def print_leaderboard(
    results: Path,
    profile: str,
    tasks: Collection[tuple[str, str]] | None,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> None:
    """The terminal's leaderboard: one table a (dataset, task); None means all that the results folder has."""
    keys = [key for key in find_tables(results) if tasks is None or (key.dataset, key.task) in tasks]
    tables = [read_table(results, key) for key in keys]
    boards = make_boards(tables, read_metric_facts(results), methods=methods, metrics=metrics)
    console = _console()
    wanted = profile if any(board.profile == profile for board in boards) else None
    sheets = [sheet(board, ("rank",), tests=False) for board in boards if wanted in (None, board.profile)]
    for item in sheets:
        _print_sheet(console, item)
    # What holds for every table is said once, below the last; the rest below its own.
    shared = list(dict.fromkeys(n for item in sheets for n in item.notes))
    for note in shared:
        titles = [item.title for item in sheets if note in item.notes]
        where = "" if len(titles) == len(sheets) else f"{', '.join(title.partition(' · ')[0] for title in titles)}: "
        console.print(Text(where + note, style="dim"))


def _print_sheet(console: Console, board: Sheet) -> None:
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
    return Text(cell.text + ("‡" if cell.undefined else ""), style=style)


def _methods() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in METHODS.names():
        plugin = METHODS[name]
        settings = {key: p.default for key, p in plugin.settings.items()}
        found.append(
            dataclasses.asdict(plugin.facts) | {"settings": settings, "unavailable": unavailable(plugin)},
        )
    found += [{"name": module, "unavailable": reason} for module, reason in METHODS.unavailable.items()]
    return found


def _metrics() -> list[dict[str, Any]]:
    return [dataclasses.asdict(METRICS[name].facts) for name in METRICS.names()]


def _tasks() -> list[dict[str, Any]]:
    return [dataclasses.asdict(TASKS[name].facts) for name in TASKS.names()]


def _profiles() -> list[dict[str, Any]]:
    return [dataclasses.asdict(profile) for profile in PROFILES.values()]


_LISTINGS = {"methods": _methods, "metrics": _metrics, "tasks": _tasks, "profiles": _profiles}
_COLUMNS = {
    "methods": ("name", "title", "family", "year", "reference"),
    "metrics": ("name", "title", "family", "direction", "origin"),
    "tasks": ("name", "title", "modalities", "year", "reference"),
    "profiles": ("name", "title", "metrics"),
}
_NARROW = 120  # columns of a terminal below which listings are stacked


def _print_listing(console: Console, kind: str, rows: Sequence[dict[str, Any]]) -> None:
    *columns, last = _COLUMNS[kind]
    below = console.width < _NARROW  # then the last column stands below the title
    table = Table(title=f"{len(rows)} {kind}", title_justify="left", pad_edge=False, show_lines=below)
    headings = columns if below else [*columns, last]
    for heading in headings:
        table.add_column(heading, no_wrap=heading in ("name", "family"))
    order = (lambda r: (r.get("family", ""), r["name"])) if kind in ("methods", "metrics") else None
    for row in sorted(rows, key=order) if order else rows:
        # A line an entry: long references are cut here; --json has all of them.
        cells = {c: Text(textwrap.shorten(_shown(row.get(c)), 64, placeholder=" …")) for c in (*columns, last)}
        if below and cells[last]:
            cells["title"].append(f"\n{cells[last].plain}", "dim")
        if row.get("unavailable"):
            cells["title"].append(f"\nunavailable: {row['unavailable']}", "yellow")
        table.add_row(*(cells[heading] for heading in headings))
    console.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _jsonable(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)


def _console() -> Console:
    """As wide as the terminal; wide enough for a whole table where the output goes to a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)
