"""``sensitivity``: do the rankings of a results folder survive another convention of the same metric?"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from fusionbench.audit.regression import spec_of
from fusionbench.cli.common import METRIC, config_option, plugin_option, results_option
from fusionbench.errors import InputError
from fusionbench.metrics import METRICS
from fusionbench.report.conventions import compare_tables, to_csv
from fusionbench.scores import Column, Table, read_metric_facts, read_results
from fusionbench.stats.conventions import MIN_METHODS, Comparison

_TELLING = {"psnr", "qabf", "ssim", "vif"}
"""Metrics whose conventions rank methods most differently: named first where a convention is missing."""


@click.command("sensitivity")
@results_option
@click.option("-t", "--task", "wanted", multiple=True, metavar="TASK", help="Only these tasks; repeatable.")
@click.option(*METRIC, multiple=True, metavar="NAME", help="Only these metrics, such as ssim; repeatable.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: all comparisons of all tasks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@config_option
@plugin_option
def sensitivity_command(
    results: Path, wanted: Sequence[str], metric: Sequence[str], as_csv: bool, as_json: bool
) -> None:
    """Compare the rankings that two conventions of one metric give to the methods of a results folder.

    Kendall's tau is 1 where both rank alike, 0 where they have nothing in common, -1 where one turns the other round.
    It needs three methods or more, scored under two conventions: `fusionbench run --metric ID` adds one to what is there.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    tables = _by_task(read_results(results), wanted)
    facts = read_metric_facts(results)["metrics"]
    found = {task: compare_tables(own, facts) for task, own in tables.items()}
    if metric:
        _check_names(metric, tables)
        found = {t: [c for c in cs if c.metric in map(_heading, metric)] for t, cs in found.items()}
    if not any(found.values()):
        raise InputError(_nothing(tables, results, metric))
    if as_csv:
        click.echo(to_csv(found), nl=False)
    elif as_json:
        click.echo(json.dumps({task: [_plain(c) for c in cs] for task, cs in found.items()}, indent=1))
    else:
        _print(found, tables, results, metric)


def _by_task(tables: Iterable[Table], wanted: Sequence[str]) -> dict[str, list[Table]]:
    """ "dataset/task" -> its tables. Raises InputError for a task that is not there."""
    found: dict[str, list[Table]] = {}
    for table in tables:
        found.setdefault(f"{table.key.dataset}/{table.key.task}", []).append(table)
    for name in wanted:
        if name != "all" and not any(name.lower() in (task, task.partition("/")[2]) for task in found):
            raise InputError(f"task {name!r} is not in these results; there are: {', '.join(found)}")
    chosen = {name.lower() for name in wanted} or {"all"}
    return {task: own for task, own in found.items() if chosen & {"all", task, task.partition("/")[2]}}


def _check_names(names: Sequence[str], tables: Mapping[str, Sequence[Table]]) -> None:
    there = _headings(column for own in tables.values() for table in own for column in _columns(table))
    for name in names:
        if _heading(name) not in there:
            raise InputError(f"metric {name!r} is not in these results; there are: {', '.join(there)}")


def _heading(column: str) -> str:
    return Column.parse(column).heading


def _headings(columns: Iterable[str]) -> dict[str, list[str]]:
    """Name that papers print -> the columns that go by it, both sorted."""
    ordered = sorted(set(columns), key=lambda name: (_heading(name), name))
    return {name: list(group) for name, group in itertools.groupby(ordered, key=_heading)}


def _columns(table: Table) -> set[str]:
    return {column for record in table.pairs.values() for column in record.get("scores", {})}


def _nothing(tables: Mapping[str, Sequence[Table]], results: Path, names: Sequence[str]) -> str:
    """Why there is nothing to compare, and the command that changes it."""
    task, own = max(tables.items(), key=lambda item: len(item[1]))
    if len(own) < MIN_METHODS:
        return (
            f"{results}: {len(own)} method{'s' * (len(own) > 1)} on {task}, and a comparison of rankings needs "
            f"{MIN_METHODS}; add some: fusionbench run -m METHOD -t {own[0].task_name} --results {results}"
        )
    columns = set.union(*map(_columns, own))
    missing = _missing(columns, names)
    if not missing:
        return f"{results}: no metric here has a second convention that {MIN_METHODS} methods have on all their pairs"
    example = min(missing, key=lambda name: (name not in _TELLING, name))
    remedy = _remedy(own, missing[example], results)
    return f"{results}: no metric under two conventions; add one: {remedy}"


def _missing(columns: Iterable[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Heading -> conventions that could be added, for the headings that have but one column."""
    known = _headings(name for name in METRICS.names() if not METRICS[name].facts.needs)
    return {
        name: sorted(
            (other for other in known[name] if other not in own), key=lambda i: (Column.parse(i).name != name, i)
        )
        for name, own in _headings(columns).items()
        if len(own) == 1 and len(known.get(name, ())) > 1 and (not names or name in map(_heading, names))
    }


def _remedy(tables: Sequence[Table], ids: Sequence[str], results: Path) -> str:
    """The command that scores what is there under a further convention; images that are there are not fused again."""
    ours = [t.key.method for t in tables if t.about.get("method", {}).get("family") != "foreign"]
    task, metric = tables[0].task_name, " ".join(f"--metric {i}" for i in ids[:2])
    if not ours:
        return f"fusionbench score FOLDER --name NAME -t {task} {metric} --results {results}"
    methods = " ".join(f"-m {label if '~' in label else spec_of(label)}" for label in ours)
    return f"fusionbench run {methods} -t {task} {metric} --results {results}"


def _plain(c: Comparison) -> dict[str, object]:
    return dataclasses.asdict(c) | {"tau": None if math.isnan(c.tau) else c.tau}


def _print(
    found: Mapping[str, Sequence[Comparison]],
    tables: Mapping[str, Sequence[Table]],
    results: Path,
    names: Sequence[str],
) -> None:
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=160)
    for task, comparisons in found.items():
        own = tables[task]
        if not comparisons:
            why = f"{len(own)} methods" if len(own) < MIN_METHODS else "no metric under two conventions"
            console.print(Text(f"{task}: nothing to compare ({why})", style="dim"))
            continue
        console.print(_grid(task, comparisons, {t.key.method: t.name for t in own}))
        console.print(Text(_summary(comparisons), style="dim"))
    single: dict[str, list[str]] = {}
    for own in tables.values():
        single |= _missing(set.union(*map(_columns, own)), names)
    if single:
        listed = ", ".join(f"{name} ({' '.join(ids)})" for name, ids in single.items())
        console.print(Text(f"One convention only; fusionbench run --metric ID adds: {listed}", style="dim"))


def _grid(task: str, comparisons: Sequence[Comparison], titles: Mapping[str, str]) -> Grid:
    grid = Grid(title=task, title_justify="left", header_style="bold", pad_edge=False)
    for name in ("Metric", "Convention", "Other convention"):
        grid.add_column(name, no_wrap=True)
    grid.add_column("Kendall tau", justify="right", no_wrap=True)
    grid.add_column("Methods", justify="right", no_wrap=True)
    grid.add_column("First")
    grid.add_column("First under the other")
    for c in comparisons:
        style = "" if c.winners[0] == c.winners[1] else "bold"
        winners = []
        for winner, ahead in zip(c.winners, c.leading_controls, strict=True):
            text = Text(titles.get(winner, winner), style=style)
            winners.append(text.append(_behind([titles.get(m, m) for m in ahead]), style="dim"))
        tau = "tie" if math.isnan(c.tau) else f"{c.tau:.2f}"
        colour = "red" if c.tau < 0.5 else "yellow" if c.tau < 0.9 else ""
        grid.add_row(c.metric, c.first, c.second, Text(tau, style=colour), str(c.methods), *winners)
    return grid


def _behind(controls: Sequence[str]) -> str:
    return f" (behind {', '.join(controls)})" if controls else ""


def _summary(comparisons: Sequence[Comparison]) -> str:
    crowned = sum(c.winners[0] != c.winners[1] for c in comparisons)
    apart = sum(c.tau < 0.5 for c in comparisons)
    behind = sum(any(c.leading_controls) for c in comparisons)
    return (
        f"{len(comparisons)} comparisons: {crowned} put another method first, {apart} have a tau below 0.5, "
        f"in {behind} a control is ahead of the first method"
    )
