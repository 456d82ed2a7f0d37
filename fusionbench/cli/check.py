"""``check`` (score regression) and ``verify`` (contract tests of a plugin module)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fusionbench.cli.common import DIRECTORY, FILE, METHOD, config_option, options, progress_bar
from fusionbench.contracts import Broken, plugin_checks, registered
from fusionbench.datasets import resolve_tasks
from fusionbench.metrics import select
from fusionbench.registry import import_module
from fusionbench.regression import Drift, Locked, compare, read_lock, recompute, spec_of, write_lock

LOCKED_METHODS = ("average", "maximum", "source-a", "source-b", "pca", "laplacian", "dwt", "guided-filter")


@click.command("check")
@click.option("--baseline", type=FILE, default=Path("results/lock.csv"), show_default=True, help="The lock file.")
@click.option("--results", type=DIRECTORY, help="Keep what was recomputed here (default: a temporary folder).")
@click.option("--update", is_flag=True, help="Rewrite the lock file with what comes out now.")
@options(
    click.option(*METHOD, multiple=True, help="With --update: methods to lock (default: controls and classics)."),
    click.option("--profile", default="dmfnet", show_default=True, help="With --update: metrics to lock."),
    click.option(
        "--limit", type=click.IntRange(min=1), default=2, show_default=True, help="With --update: pairs a task."
    ),
)
@config_option
@click.pass_context
def check_command(
    ctx: click.Context,
    baseline: Path,
    results: Path | None,
    update: bool,
    method: Sequence[str],
    profile: str,
    limit: int,
) -> None:
    """Recompute the locked scores on phantom pairs from scratch and compare: exit code 1 and a table when any drifted."""
    if update:
        tasks = resolve_tasks(["all"], "phantom")
        with progress_bar() as notify:
            locked = recompute(method or LOCKED_METHODS, tasks, select([profile]), limit, notify, results)
        write_lock(baseline, locked)
        click.echo(f"{baseline}: {len(locked)} scores locked")
        return
    locked = read_lock(baseline)
    with progress_bar() as notify:
        now = _recompute_locked(locked, notify, results)
    drifts = compare(locked, now)
    if drifts:
        _print_drifts(drifts)
    click.echo(f"{len(locked)} locked scores, {len(drifts)} drifted ({baseline})")
    ctx.exit(1 if drifts else 0)


def _recompute_locked(locked: Sequence[Locked], notify: object, results: Path | None) -> list[Locked]:
    methods = sorted({spec_of(item.method) for item in locked})
    tasks = sorted({f"{item.dataset}/{item.task}" for item in locked})
    metrics = sorted({item.metric for item in locked})
    limit = max(len({i.pair for i in locked if f"{i.dataset}/{i.task}" == task}) for task in tasks)
    return recompute(methods, tasks, metrics, limit, notify, results)  # type: ignore[arg-type]


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
@click.argument("module")
@click.pass_context
def verify_command(ctx: click.Context, module: str) -> None:
    """Run the contract tests on the plugins that MODULE (a .py file or dotted name) registers."""
    before = registered()
    loaded = import_module(module)
    count = failed = 0
    for plugin, (title, check) in plugin_checks(loaded, before):
        count += 1
        try:
            check()
            click.echo(f"ok      {plugin}: {title}")
        except Exception as error:  # a plugin may raise anything; here that is a finding, not a failure of ours
            failed += 1
            reason = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            click.echo(f"BROKEN  {plugin}: {title}: {' '.join(reason.split())}")
    if not count:
        raise click.UsageError(
            f"{module} registers no plugin; decorate it with METHODS.register, METRICS.register or TASKS.register"
        )
    click.echo(f"{count - failed} of {count} checks hold")
    ctx.exit(1 if failed else 0)
