"""``list`` and ``explain``: what is there, and what it is."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import textwrap
from collections.abc import Sequence
from typing import Any

import click
from rich import markdown
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fusionbench.cli.common import make_console, plugin_option
from fusionbench.datasets import TASKS
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts, unavailable
from fusionbench.methods.reconstruction import RECONSTRUCTIONS
from fusionbench.metrics import METRICS, PROFILES, Profile, explain
from fusionbench.registry import Plugin
from fusionbench.scores import Column

KINDS = ("methods", "metrics", "tasks", "profiles", "reconstructions")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS, case_sensitive=False), required=False)
@click.option("--json", "as_json", is_flag=True, help="All fact sheets, for programs.")
@plugin_option
def list_command(kind: str | None, as_json: bool) -> None:
    """What is registered: methods, metrics, tasks, profiles, reconstructions (all when none is named)."""
    kinds = [kind] if kind else list(KINDS)
    listings = {name: _LISTINGS[name]() for name in kinds}
    if as_json:
        content = listings[kind] if kind else listings
        click.echo(json.dumps(content, indent=1, default=_jsonable, ensure_ascii=False))
        return
    console = make_console()
    for name in kinds:
        (_print_profiles if name == "profiles" else _print_listing)(console, name, listings[name])


@click.command("explain")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The fact sheets, for programs.")
@plugin_option
def explain_command(name: str, as_json: bool) -> None:
    """What a metric, a profile or a method is.

    A metric (ssim, mi@bits): formula in words, convention, unit, direction, source and traps. A profile (cddfuse): its
    metrics, and which of them enter the mean rank. A method (laplacian): source, settings, what it does.
    """
    text = "\n".join(_stories(name))
    if as_json:
        wanted = {Column.parse(name.lower()).metric, name.partition(":")[0].lower()}
        found = {kind: [row for row in _LISTINGS[kind]() if row["name"] in wanted] for kind in KINDS}
        click.echo(
            json.dumps({k: rows for k, rows in found.items() if rows}, indent=1, default=_jsonable, ensure_ascii=False)
        )
        return
    console = make_console()
    if console.is_terminal:
        console.print(markdown.Markdown(text))
    else:
        click.echo(text, nl=False)


def _stories(name: str) -> list[str]:
    """Markdown texts of all that goes by a name, in upper or lower case. Raises InputError with the nearest known names."""
    wanted = Column.parse(name.lower()).metric
    if wanted in METRICS:
        return [explain(wanted)]
    found = [_explain_profile(PROFILES[wanted])] if wanted in PROFILES else []
    method = name.partition(":")[0].lower()
    if method in METHODS:
        found.append(_explain_method(METHODS[method]))
    if method in RECONSTRUCTIONS:
        found.append(_explain_method(RECONSTRUCTIONS[method], fuses=False))
    if not found:
        near = difflib.get_close_matches(wanted, {*METRICS, *PROFILES, *METHODS, *RECONSTRUCTIONS}, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "`fusionbench list` shows all there are"
        raise InputError(f"no metric, profile or method is called {name!r}; {hint}")
    return found


def _explain_profile(profile: Profile) -> str:
    lines = [f"# {profile.name}: {profile.title}", "", "A profile: a named set of metrics in named conventions.", ""]
    for metric in profile.metrics:
        facts = METRICS[metric].facts
        lines.append(f"- {metric}: {facts.title}" + (f" ({facts.convention})" if facts.convention else ""))
    return "\n".join([*lines, "", f"The mean rank is over: {' '.join(profile.core)}", ""])


def _explain_method(plugin: Plugin[MethodFacts], fuses: bool = True) -> str:
    facts = plugin.facts
    settings = ", ".join(f"{key}={p.default}" for key, p in plugin.settings.items())
    sources = "interchangeable" if facts.symmetric else "not interchangeable: the first is the structural image"
    rows = (
        ("Family", facts.family + (" (a control: never ranked as a winner)" if facts.control else "")),
        ("Reference", facts.reference + (f", https://doi.org/{facts.doi}" if facts.doi else "")),
        ("Settings", settings),
        ("Needs trained weights", "yes" if facts.trained else "no"),
        ("Draws noise", "yes, from --seed" if facts.stochastic else ""),
        ("Sources", sources if fuses else "one image, from undersampled k-space, before it is fused"),
        ("The authors' code", facts.theirs),
        ("This code", facts.ours),
        ("Licence", facts.licence),
        ("Unavailable here", unavailable(plugin) or ""),
    )
    lines = [f"# {facts.name}: {facts.title}", "", *(f"- {name}: {value}" for name, value in rows if value)]
    text = inspect.getdoc(plugin.factory)
    return "\n".join([*lines, *(["", text] if text else []), ""])


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


def _reconstructions() -> list[dict[str, Any]]:
    return [
        dataclasses.asdict(RECONSTRUCTIONS[name].facts) | {"unavailable": unavailable(RECONSTRUCTIONS[name])}
        for name in RECONSTRUCTIONS.names()
    ]


_LISTINGS = {
    "methods": _methods,
    "metrics": _metrics,
    "tasks": _tasks,
    "profiles": _profiles,
    "reconstructions": _reconstructions,
}
_COLUMNS = {
    "methods": ("name", "title", "family", "year", "reference"),
    "metrics": ("name", "title", "family", "direction", "origin"),
    "tasks": ("name", "title", "modalities", "year", "reference"),
    "reconstructions": ("name", "title", "family", "year", "reference"),
}
_NARROW = 120  # columns of a terminal below which listings are stacked


def _print_profiles(console: Console, kind: str, rows: Sequence[dict[str, Any]]) -> None:
    """A paragraph each: lists of metrics are longer than a cell of a table has room for."""
    console.print(f"{len(rows)} {kind}; the metrics in bold enter the mean rank")
    for row in rows:
        metrics = Text(" ").join(Text(m, style="bold" if m in row["core"] else "") for m in row["metrics"])
        console.print(Text.assemble((row["name"], "bold cyan"), f": {row['title']}"))
        console.print(Padding(metrics, (0, 0, 0, 2), expand=False))


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
