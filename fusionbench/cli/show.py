"""``list`` and ``explain``: what is there, and what it is."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from fusionbench.cli.common import make_console, plugin_option
from fusionbench.datasets import TASKS
from fusionbench.methods import METHODS, unavailable
from fusionbench.metrics import METRICS, PROFILES, explain

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
    console = make_console()
    for name in kinds:
        _print_listing(console, name, listings[name])


@click.command("explain")
@click.argument("metric")
@plugin_option
def explain_command(metric: str) -> None:
    """Formula in words, convention, unit, direction, source and traps of METRIC (such as ssim or mi@bits)."""
    text = explain(metric)
    console = make_console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        click.echo(text, nl=False)


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
