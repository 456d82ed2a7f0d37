"""``list``, ``explain`` and ``report``: what is read, not made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from fusionbench.cli.common import DIRECTORY, config_option, options, plugin_option, results_option
from fusionbench.datasets import TASKS
from fusionbench.methods import METHODS, unavailable
from fusionbench.metrics import METRICS, PROFILES, explain
from fusionbench.report import write_report
from fusionbench.report.boards import make_boards
from fusionbench.report.tables import Cell, Sheet, sheet
from fusionbench.scores import find_tables, read_metric_facts, read_table

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


@click.command("report")
@results_option
@click.option("--out", type=DIRECTORY, help="Where to write [default: RESULTS/leaderboard].")
@options(
    click.option("--profile", "profiles", multiple=True, help="Only these profiles; repeatable."),
    click.option("--methods", multiple=True, help="Only these methods; repeatable."),
    click.option("--metrics", multiple=True, help="Only these metrics; repeatable."),
)
@click.option(
    "--data", type=click.Path(path_type=Path), multiple=True, help="Where the source images are, for the figures."
)
@config_option
@plugin_option
def report_command(
    results: Path,
    out: Path | None,
    profiles: Sequence[str],
    methods: Sequence[str],
    metrics: Sequence[str],
    data: Sequence[Path],
) -> None:
    """Write leaderboards (page, Markdown, CSV, LaTeX) and figures from what is in a results folder."""
    out = out or results / "leaderboard"
    written = write_report(results, out, profiles=profiles, methods=methods, metrics=metrics, data=data)
    print_leaderboard(results, profiles[0] if profiles else "dmfnet", None)
    click.echo(f"{len(written)} files in {out}")


def print_leaderboard(results: Path, profile: str, tasks: Collection[tuple[str, str]] | None) -> None:
    """The terminal's leaderboard: one table a (dataset, task); None means all that the results folder has."""
    keys = [key for key in find_tables(results) if tasks is None or (key.dataset, key.task) in tasks]
    tables = [read_table(results, key) for key in keys]
    boards = make_boards(tables, read_metric_facts(results))
    console = _console()
    for board in boards:
        if board.profile == profile or not any(b.profile == profile for b in boards):
            _print_sheet(console, sheet(board, ("rank",), tests=False))


def _print_sheet(console: Console, board: Sheet) -> None:
    table = Table(title=board.title, title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("Method", no_wrap=True)
    for heading in board.headings:
        table.add_column(heading, justify="right", no_wrap=True)
    section = None
    for line in board.lines:
        if section not in (None, line.kind):
            table.add_section()
        section = line.kind
        name = line.title + (" (control)" if line.kind == "control" else "")
        cells = [_cell(cell) for cell in line.cells] or [Text(line.note, style="dim")]
        table.add_row(Text(name, style="dim" if line.kind != "contender" else ""), *cells)
    console.print(table)
    for note in board.notes:
        console.print(Text(note, style="dim"))


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


def _print_listing(console: Console, kind: str, rows: Sequence[dict[str, Any]]) -> None:
    table = Table(*_COLUMNS[kind], title=f"{len(rows)} {kind}", title_justify="left", pad_edge=False)
    order = (lambda r: (r.get("family", ""), r["name"])) if kind in ("methods", "metrics") else None
    for row in sorted(rows, key=order) if order else rows:
        values = [_shown(row.get(column)) for column in _COLUMNS[kind]]
        if row.get("unavailable"):
            values[1] = f"unavailable: {row['unavailable']}"
        table.add_row(*map(Text, values))
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
