"""``check`` (score regression) and ``verify`` (contract tests of a plugin module)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table

from fusionbench.audit.contracts import Broken, plugin_checks, registered
from fusionbench.audit.corrections import CORRECTED, correct
from fusionbench.audit.regression import (
    LOCKED_METHODS,
    Drift,
    compare,
    read_lock,
    recompute,
    recompute_locked,
    recompute_standard,
    write_lock,
)
from fusionbench.cli.common import (
    DIRECTORY,
    FILE,
    METHOD,
    METRIC,
    PLACE,
    chosen_methods,
    chosen_metrics,
    chosen_tasks,
    config_option,
    options,
    plugin_option,
    progress_bar,
    results_option,
)
from fusionbench.errors import InputError
from fusionbench.registry import import_module

_SELECTION = ("method", "task", "dataset", "split", "profiles", "metric", "limit", "data")


@click.command("check")
@click.option("--baseline", type=FILE, default=Path("results/lock.csv"), show_default=True, help="The lock file.")
@click.option("--results", type=DIRECTORY, help="Keep what was recomputed here (default: a temporary folder).")
@click.option("--data", type=PLACE, multiple=True, help="Where the images of the locked tasks are (folders: twice).")
@click.option("--update", is_flag=True, help="Rewrite the lock file with what comes out now.")
@options(
    click.option(
        *METHOD, multiple=True, help="With --update: methods to lock (default: controls and classics); repeatable."
    ),
    click.option(
        "-t", "--task", multiple=True, default=("all",), show_default=True, help="With --update: tasks; repeatable."
    ),
    click.option("--dataset", default="phantom", show_default=True, help="With --update: whose tasks."),
    click.option("--split", default="test", show_default=True, help="With --update: test or train, or another."),
    click.option(
        "--profile", "profiles", multiple=True, help="With --update: metrics to lock [default: dmfnet]; repeatable."
    ),
    click.option(*METRIC, multiple=True, metavar="ID", help="With --update: single metrics to lock; repeatable."),
    click.option(
        "--limit", type=click.IntRange(min=1), default=2, show_default=True, help="With --update: pairs a task."
    ),
)
@click.option("--json", "as_json", is_flag=True, help="The scores that drifted, for programs.")
@config_option
@plugin_option
@click.pass_context
def check_command(
    ctx: click.Context,
    baseline: Path,
    results: Path | None,
    data: Sequence[Path],
    update: bool,
    method: Sequence[str],
    task: Sequence[str],
    dataset: str,
    split: str,
    profiles: Sequence[str],
    metric: Sequence[str],
    limit: int,
    as_json: bool,
) -> None:
    """Recompute locked scores from scratch and compare: exit code 1 and a table when any drifted.

    The lock file names data set, task, method and metric of every score: your own methods (--plugin), on your own images
    (--data), can be locked like those of this package. --update alone locks what this package does: controls and classics
    on every phantom task, every metric and every degradation on one pair.

    \b
    fusionbench check
    fusionbench check --update --baseline my-lock.csv -m mynet.py -t pet-mri
    fusionbench check --baseline my-lock.csv --plugin mynet.py
    """
    if update:
        methods = chosen_methods(method) if method else LOCKED_METHODS
        tasks = chosen_tasks(task, dataset, data)
        metrics = chosen_metrics(profiles, metric)
        standard = all(ctx.get_parameter_source(name) is ParameterSource.DEFAULT for name in _SELECTION)
        with progress_bar() as notify:
            if standard:
                locked = recompute_standard(notify, results)
            else:
                locked = recompute(methods, tasks, metrics, limit, notify, results, data=data, split=split)
        write_lock(baseline, locked)
        click.echo(f"{baseline}: {len(locked)} scores locked")
        return
    locked = read_lock(baseline)
    try:
        with progress_bar() as notify:
            now = recompute_locked(locked, notify, results, data)
    except InputError as error:
        raise InputError(
            f"{baseline}: {error} (a method of your own: --plugin FILE; images of your own: --data)"
        ) from None
    drifts = compare(locked, now)
    if as_json:
        rows = [{**dataclasses.asdict(drift.locked), "now": drift.now} for drift in drifts]
        click.echo(json.dumps({"locked": len(locked), "drifted": rows}, indent=1))
        ctx.exit(1 if drifts else 0)
    if drifts:
        _print_drifts(drifts)
    click.echo(f"{len(locked)} locked scores, {len(drifts)} drifted ({baseline})")
    ctx.exit(1 if drifts else 0)


def _print_drifts(drifts: Sequence[Drift]) -> None:
    table = Table(
        "task", "method", "pair", "metric", "locked", "now", "relative", "allowed", title="Scores that drifted"
    )
    for drift in drifts[:40]:
        item = drift.locked
        change = "" if drift.now is None else f"{(drift.now - item.value) / (abs(item.value) or 1):+.2e}"
        now = "missing" if drift.now is None else f"{drift.now:.8g}"
        name = f"{item.dataset}/{item.task}"
        table.add_row(name, item.method, item.pair, item.metric, f"{item.value:.8g}", now, change, f"{item.rtol:.0e}")
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    if len(drifts) > 40:
        console.print(f"... and {len(drifts) - 40} more")


@click.command("verify")
@click.argument("modules", nargs=-1, required=True, metavar="MODULE...")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def verify_command(ctx: click.Context, modules: Sequence[str], as_json: bool) -> None:
    """Run the contract tests on the plugins that each MODULE (a .py file or dotted name) registers."""
    found = [row for module in modules for row in _verified(module, as_json)]
    failed = sum(bool(row["broken"]) for row in found)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        click.echo(f"{len(found) - failed} of {len(found)} checks hold")
    ctx.exit(1 if failed else 0)


def _verified(module: str, silent: bool) -> list[dict[str, str]]:
    """Each check on each plugin of a module, told as it is done: "broken" is "" where it holds."""
    before = registered()
    found: list[dict[str, str]] = []
    for plugin, (title, check) in plugin_checks(import_module(module), before):
        broken = ""
        try:
            check()
        except Exception as error:  # a plugin may raise anything; here that is a finding, not a failure of ours
            reason = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            broken = " ".join(reason.split())
        found.append({"plugin": plugin, "check": title, "broken": broken})
        if not silent:
            click.echo(f"BROKEN  {plugin}: {title}: {broken}" if broken else f"ok      {plugin}: {title}")
    if not found:
        raise click.UsageError(
            f"{module} registers no plugin; decorate it with METHODS.register, METRICS.register or TASKS.register"
        )
    return found


@click.command("correct")
@results_option
@click.option(
    *METHOD, multiple=True, help="Only the tables of these methods, as their score files name them; repeatable."
)
@click.option("--set", "pairs", multiple=True, metavar="FIELD=VALUE", help=f"What is right; of {', '.join(CORRECTED)}.")
@click.option("--author", required=True, help="Who corrects; stays in the score files.")
@click.option("--reason", required=True, help="Why; stays in the score files.")
def correct_command(results: Path, method: Sequence[str], pairs: Sequence[str], author: str, reason: str) -> None:
    """Correct what score files say of a method, without scoring anything again.

    Without --set the methods of this package get what their fact sheets say now of their origin and training. Several
    entries go by semicolon; "unknown" is a value. What was made with wrong weights or in a wrong convention is withdrawn: it
    stays on record, and is ranked no more.

    \b
    fusionbench correct -m MyNet --set "trained_on=harvard:16,20;NYU-D2" --set "trained_for=ssim;vif" \\
        --author "A. Author" --reason "stated in our paper"
    fusionbench correct -m MyNet --set "withdrawn=images of other weights" --author "A. Author" --reason "our mistake"
    """
    told = correct(results, author, reason, methods=method, facts=dict(map(_fact, pairs)) if pairs else None)
    click.echo("\n".join([*told, f"{len(told)} tables corrected"]))


def _fact(text: str) -> tuple[str, Any]:
    """``trained_on=a;b`` -> ("trained_on", ["a", "b"])."""
    field, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: give FIELD=VALUE")
    if value == "unknown":
        return field, None
    if field in ("trained_on", "trained_for"):
        return field, [part.strip() for part in value.split(";") if part.strip()]
    return field, int(value) if field == "year" and value.isdigit() else value
