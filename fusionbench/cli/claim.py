"""``claim``: whether "A is better than B" holds, on score files, on a CSV, or on a line of somebody's paper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from fusionbench import stats
from fusionbench.cli.common import DEFAULT_PROFILE, FILE, config_option, options, results_option
from fusionbench.errors import InputError
from fusionbench.report.boards import Board
from fusionbench.report.choice import make_boards
from fusionbench.report.claims import Asked, ask, ask_csv, sentences
from fusionbench.scores import find_tables, read_metric_facts, read_table


@click.command("claim")
@click.argument("methods", nargs=-1)
@results_option
@options(
    click.option("-t", "--task", help="A task, such as pet-mri, or all [default: the only one, else all]."),
    click.option("--dataset", help="The data set, where the results hold several, as they name it."),
    click.option("--profile", default=DEFAULT_PROFILE, show_default=True, help="Ranks by its core metrics."),
    click.option("--metric", help="Compare this metric instead of the mean rank."),
    click.option("--margin", type=float, help="Differences no larger are of no use [default: what JPEG 95 costs]."),
)
@options(
    click.option("--csv", "table", type=FILE, help="Scores from anywhere: pair, method, value; or a column a method."),
    click.option("--patient", help="The column of --csv that says whose a pair is."),
    click.option("--lower", is_flag=True, help="Lower values of --csv or --means are better."),
    click.option(
        "--means", type=float, multiple=True, help="Twice: the means that a paper prints, its own method's first."
    ),
    click.option("--sd", type=float, multiple=True, help="Twice: their standard deviations."),
    click.option("-n", "number", type=int, help="Over how many units: patients, where the paper says."),
    click.option(
        "--congruence", type=click.FloatRange(-1, 1), help="Correlation of the two methods' scores, where known."
    ),
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def claim_command(
    ctx: click.Context,
    methods: Sequence[str],
    results: Path,
    task: str | None,
    dataset: str | None,
    profile: str,
    metric: str | None,
    margin: float | None,
    table: Path | None,
    patient: str | None,
    lower: bool,
    means: Sequence[float],
    sd: Sequence[float],
    number: int | None,
    congruence: float | None,
    as_json: bool,
) -> None:
    """Judge the claim that the first of two METHODS is better than the second, by patient.

    Exit code 0 where it holds, 1 where it does not, 2 for bad input.

    \b
    fusionbench claim dmfnet CDDFuse -t all
    fusionbench claim MyNet CDDFuse --csv scores.csv --patient case --metric ssim
    fusionbench claim --means 0.61 --sd 0.05 --means 0.59 --sd 0.06 -n 24
    """
    if means or sd:
        ctx.exit(_of_a_paper(means, sd, number, congruence, lower, as_json))
    if len(methods) != 2:
        raise InputError(f"a claim is about two methods, {len(methods)} named; or give --means and --sd twice each")
    first, second = methods
    if margin is not None and margin < 0:
        raise InputError(f"--margin {margin}: must not be negative")
    if table is not None:
        if patient is None:
            raise InputError("--csv needs --patient COLUMN: slices of one patient are no independent evidence")
        asked = ask_csv(table, first, second, patient=patient, metric=metric, lower=lower, limit=margin)
    else:
        boards, over_all = _boards(results, task, dataset, profile, metric)
        asked = ask(boards, first, second, metric=metric, over_all=over_all, own_margin=margin)
    _tell(asked, as_json)
    ctx.exit(0 if asked.found.verdict == "better" else 1)


def _tell(asked: Asked, as_json: bool) -> None:
    click.echo(json.dumps(asked.as_dict(), indent=1) if as_json else "\n".join(sentences(asked)))


def _boards(
    results: Path, task: str | None, dataset: str | None, profile: str, metric: str | None
) -> tuple[list[Board], bool]:
    """The boards that a claim is about, and whether it is over all tasks."""
    keys = [key for key in find_tables(results) if not key.flaw]
    there = sorted({key.dataset for key in keys})
    if not there:
        raise InputError(f"{results}: holds no scores; run `fusionbench run` first, or name another --results")
    chosen = dataset or ("harvard" if "harvard" in there else there[0] if len(there) == 1 else None)
    if chosen not in there:
        raise InputError(f"--dataset {chosen or ''}: name one of {', '.join(there)}")
    tables = [read_table(results, key) for key in keys if key.dataset == chosen]
    facts = read_metric_facts(results)
    boards = make_boards(tables, facts, profiles=[profile], beside=[metric] if metric else [])
    tasks = {board.task: board for board in boards if board.order}
    wanted = task.lower() if task else next(iter(tasks)) if len(tasks) == 1 else "all"
    if wanted == "all":
        return list(tasks.values()), len(tasks) > 1
    if wanted not in tasks:
        raise InputError(f"--task {task}: {chosen} has {', '.join(tasks) or 'no board'} under profile {profile}")
    return [tasks[wanted]], False


def _of_a_paper(
    means: Sequence[float],
    deviations: Sequence[float],
    number: int | None,
    congruence: float | None,
    lower: bool,
    as_json: bool,
) -> int:
    """The probability that a printed comparison is false; 0 where it is at most 5 %."""
    if len(means) != 2 or len(deviations) != 2 or number is None:
        raise InputError("a paper's line needs --means twice, --sd twice and -n")
    sign = -1.0 if lower else 1.0
    pair = (sign * means[0], sign * means[1])
    given = [0.0, 0.5, 0.9] if congruence is None else [congruence]
    try:
        found = {r: stats.probability_false(pair, (deviations[0], deviations[1]), number, r) for r in given}
    except ValueError as error:
        raise InputError(str(error)) from None
    holds = max(found.values()) <= stats.ALPHA
    if as_json:
        click.echo(json.dumps({"holds": holds, "probability_false": {str(r): p for r, p in found.items()}}, indent=1))
        return 0 if holds else 1
    told = ", ".join(f"{p:.1%} at congruence {r:g}" for r, p in found.items())
    click.echo(f"The claim {'holds' if holds else 'does not hold'}: the probability that it is false is {told}.")
    if congruence is None:
        click.echo(
            "How far two methods agree over patients (--congruence) is seldom printed; without it the largest counts."
        )
    click.echo(f"If the {number} units are slices of fewer patients, the probability is higher than this.")
    return 0 if holds else 1
