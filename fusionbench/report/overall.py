"""One board over all tasks of a data set: who is ahead where all tasks count alike.

The pool are the contenders that every task ranks; *each task is ranked again within the pool*, for a rank depends on who
else is there, and an average of ranks among different rivals means nothing. The mean over tasks of the mean rank orders the
board. A person is one unit, whatever tasks he or she was imaged for.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fusionbench import stats
from fusionbench.report.boards import Board
from fusionbench.report.inference import judged, undecidable
from fusionbench.report.verdicts import and_, count, listed, seen


@dataclasses.dataclass(frozen=True)
class Overall:
    """``boards``: task -> its board. ``pool``: methods, best first; ``left_out``: method -> the tasks that do not rank it.
    ``ranks``: method x task, mean rank within the pool; ``mean``: over tasks."""

    dataset: str
    profile: str
    boards: Mapping[str, Board]
    pool: list[str]
    left_out: Mapping[str, list[str]]
    ranks: pd.DataFrame
    mean: pd.Series

    def name(self, method: str) -> str:
        return next(iter(self.boards.values())).name(method)

    def place_of(self, method: str) -> int:
        """1 the first; those that tie share the best of theirs."""
        own = round(float(self.mean[method]), 9)
        return 1 + sum(round(float(other), 9) < own for other in self.mean)

    def left_out_name(self, method: str) -> str:
        """Its title, by a board that ranks it."""
        return next(board.name(method) for board in self.boards.values() if method in board.tables)

    @property
    def first(self) -> list[str]:
        return [method for method in self.pool if self.place_of(method) == 1]

    @functools.cached_property
    def tests(self) -> Tests:
        """The statistics, computed when first asked for."""
        return _run_tests(self)


@dataclasses.dataclass(frozen=True)
class Tests:
    """``number``: of persons. ``best``: p that a method is among the best; ``pairwise``: as on a board. ``low``, ``high``:
    95 % interval of the mean rank, ``places``: method x place, share of resamples; a string says why there are none.
    ``wins``: mean over metrics of the share of persons' pairs on which a method beats one drawn from the pool at random
    (ties half), and ``wins_low``, ``wins_high``: its interval, likewise. ``without``: method x method left out: mean rank.
    """

    number: int
    best: pd.Series
    pairwise: pd.DataFrame
    low: pd.Series | str
    high: pd.Series | str
    places: pd.DataFrame | str
    wins: pd.Series
    wins_low: pd.Series | str
    wins_high: pd.Series | str
    without: pd.DataFrame


def overall(boards: Sequence[Board]) -> list[Overall]:
    """The boards over all tasks: one for each data set (clean inputs) and profile that has two tasks or more."""
    groups: dict[tuple[str, str], dict[str, Board]] = {}
    for board in boards:
        if not board.place.flaw and board.order:
            groups.setdefault((board.dataset, board.profile), {})[board.task] = board
    return [_overall(*key, own) for key, own in groups.items() if len(own) > 1]


def _overall(dataset: str, profile: str, boards: dict[str, Board]) -> Overall:
    every = dict.fromkeys(method for board in boards.values() for method in board.order)
    lacking = {m: [task for task, board in boards.items() if m not in board.order] for m in every}
    pool = [method for method, tasks in lacking.items() if not tasks]
    ranks = pd.DataFrame(
        {task: stats.mean_rank(_means(board, pool), board.better) for task, board in boards.items()}, index=pool
    )
    mean = ranks.mean(axis=1)
    order = sorted(pool, key=lambda m: (round(float(mean[m]), 9), m))
    left_out = {method: tasks for method, tasks in lacking.items() if tasks}
    return Overall(dataset, profile, boards, order, left_out, ranks.loc[order], mean[order])


def _means(board: Board, pool: Sequence[str]) -> pd.DataFrame:
    """Means on the core metrics, NaN where a score is undefined, which ranks last."""
    return board.means.where(board.undefined == 0).loc[list(pool), board.core]


def by_person(overall: Overall) -> pd.DataFrame:
    """Person x method: mean rank within pairs, so weighted that the mean over persons is the mean over tasks."""
    each = {t: stats.by_patient(blocks(b, overall.pool), b.persons) for t, b in overall.boards.items()}
    return stats.over_tasks(each)


def blocks(board: Board, pool: Sequence[str]) -> pd.DataFrame:
    """Pair x method: mean rank within each pair among the pool."""
    return stats.pair_ranks({m: board.scores[m][list(pool)] for m in board.core}, board.better)


def margin(board: Board, pool: Sequence[str]) -> float:
    """The mean rank within the pool that JPEG at quality 95 costs; NaN where a metric has no margin."""
    if any(metric not in board.margins for metric in board.core) or len(pool) < 2:
        return float("nan")
    return stats.rank_margin({m: board.scores[m][list(pool)] for m in board.core}, board.better, board.margins)


def margin_over_all(found: Overall) -> float:
    """The same over all tasks: their mean."""
    return float(np.mean([margin(board, found.pool) for board in found.boards.values()]))


def _run_tests(found: Overall) -> Tests:
    persons = by_person(found)
    number, size = len(persons), len(found.pool)
    drawn = stats.resamples({task: board.persons for task, board in found.boards.items()})
    ranks, shares = [], []
    for task, board in found.boards.items():
        scores = {metric: board.scores[metric][found.pool] for metric in board.core}
        ranks.append(stats.resampled_ranks(stats.resampled_means(scores, drawn[task]), board.better))
        wins = (size - blocks(board, found.pool)) / max(1, size - 1)
        shares.append(stats.resampled_means({"": wins}, drawn[task])[""])
    few = stats.too_few(number)
    low, high = (pd.Series(row, index=found.pool) for row in np.percentile(np.mean(ranks, axis=0), [2.5, 97.5], axis=0))
    ends = [pd.Series(row, index=found.pool) for row in np.percentile(np.mean(shares, axis=0), [2.5, 97.5], axis=0)]
    without = [stats.without_each_method(_means(board, found.pool), board.better) for board in found.boards.values()]
    return Tests(
        number=number,
        best=stats.confidence_set(persons),
        pairwise=judged(stats.pairwise_by_patient(persons), persons, margin_over_all(found)),
        low=few or low,
        high=few or high,
        places=few or stats.places(pd.DataFrame(np.mean(ranks, axis=0), columns=found.pool)),
        wins=(size - persons.mean()) / max(1, size - 1),
        wins_low=few or ends[0],
        wins_high=few or ends[1],
        without=sum(without[1:], start=without[0]) / len(without),
    )


def verdict(found: Overall) -> list[str]:
    """Who is first over all tasks, what persons can tell about it, and what the place owes to who else is there."""
    tasks = and_([board.task_title for board in found.boards.values()])
    if len(found.pool) < 2:
        return [f"Over {tasks} on {found.dataset}: fewer than two methods are ranked in all tasks."]
    tests, first = found.tests, found.first
    names = and_([found.name(m) for m in first])
    interval = ""
    if not isinstance(tests.low, str) and not isinstance(tests.high, str):
        interval = f" (95 % interval by person {tests.low[first[0]]:.2f} to {tests.high[first[0]]:.2f})"
    said = [
        f"Over {tasks} on {found.dataset}, {names} {'is first' if len(first) == 1 else 'share the first place'} by mean "
        f"rank, {found.mean[first[0]]:.2f}{interval} among the {len(found.pool)} methods that all tasks rank, profile "
        f"{found.profile}, {count(tests.number, 'person')}."
    ]
    if reason := undecidable(tests.number):
        said.append(f"Whether that is more than chance: {reason}.")
    else:
        among = [m for m in found.pool if tests.best[m] > stats.ALPHA]
        word = "is" if len(among) == 1 else "are"
        said.append(f"In the 95 % confidence set of the best {word} {listed([found.name(m) for m in among])}.")
    if not isinstance(tests.places, str):
        likely = tests.places[1].sort_values(ascending=False, kind="stable")
        told = [f"{found.name(str(m))} {share:.0%}" for m, share in likely.items() if share >= 0.05][:4]
        said.append(f"First when persons are drawn anew: {and_(told)}.")
    boards = {f" in {board.task_title}": board for board in found.boards.values()}
    return [*said, *(text for method in found.first for text in seen(method, boards)), *_depends(found)]


def _depends(found: Overall) -> list[str]:
    """Whose absence would make another method first."""
    changed: dict[str, list[str]] = {}
    for out in found.pool:
        rest = found.tests.without[out].drop(index=out).round(9)
        firsts = sorted(rest.index[rest == rest.min()], key=found.pool.index)
        if firsts != [m for m in found.first if m != out] and out not in found.first:
            changed.setdefault(and_([found.name(m) for m in firsts]), []).append(found.name(out))
    return [
        f"Without {listed(outs, 'or')}, the first would be {names}: a rank depends on who else is there."
        for names, outs in changed.items()
    ]


def markdown(found: Overall) -> str:
    """The board as a GitHub table, the verdict above."""
    said, tests = verdict(found), found.tests if len(found.pool) > 1 else None
    lines = [f"### All tasks · {found.dataset} · profile {found.profile}", "", f"**{said[0]}**", *said[1:], ""]
    if tests is None:
        return "\n".join(lines)
    heads = ["#", "Method", "Mean rank", "95 % interval", "P(first)", "Win rate"]
    heads += [board.task_title for board in found.boards.values()]
    lines += [f"| {' | '.join(heads)} |", "|--:|:--|" + "--:|" * (len(heads) - 2)]
    for method, row in zip(found.pool, rows(found), strict=True):
        ends = f"{row['low']:.2f}–{row['high']:.2f}" if row["low"] is not None else "–"
        share = f"{row['first_share']:.2f}" if row["first_share"] is not None else "–"
        mark = "†" if not undecidable(tests.number) and tests.best[method] > stats.ALPHA else ""
        cells = [
            str(row["place"]),
            found.name(method).replace("|", "\\|"),
            f"{row['mean_rank']:.2f}{mark}",
            ends,
            share,
        ]
        cells += [f"{row['win_rate']:.2f}", *(f"{row[f'rank:{task}']:.2f}" for task in found.boards)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Mean over tasks of the mean rank within this pool. † in the 95 % confidence set of the best, by person.",
    ]
    lines += [
        "Win rate: share of persons' pairs, metric by metric, on which it beats a method of the pool drawn at random."
    ]
    if found.left_out:
        lines.append(
            f"Not ranked in all tasks, and left out: {listed([found.left_out_name(m) for m in found.left_out])}."
        )
    return "\n".join([*lines, ""])


def rows(found: Overall) -> list[dict[str, Any]]:
    """A record a method; None where there is no interval."""
    tests = found.tests

    def ends(series: pd.Series | str, method: str) -> float | None:
        return None if isinstance(series, str) else float(series[method])

    rows = []
    for n, method in enumerate(found.pool):
        row: dict[str, Any] = {
            "place": found.place_of(method),
            "method": method,
            "mean_rank": float(found.mean[method]),
        }
        row |= {"low": ends(tests.low, method), "high": ends(tests.high, method)}
        row["first_share"] = None if isinstance(tests.places, str) else float(tests.places.to_numpy()[n, 0])
        row |= {"among_best_p": float(tests.best[method]), "win_rate": float(tests.wins[method])}
        row |= {"win_low": ends(tests.wins_low, method), "win_high": ends(tests.wins_high, method)}
        rows.append(row | {f"rank:{task}": float(found.ranks[task][method]) for task in found.boards})
    return rows


def csv_text(found: Overall) -> str:
    """Every number in full precision, a line a method; the last columns: mean rank without each other method."""
    lines = rows(found)
    for row in lines:
        method = row["method"]
        row |= {f"without:{out}": found.tests.without[out][method] for out in found.pool if out != method}
    fields = [
        *(name for name in lines[0] if not name.startswith("without:")),
        *(f"without:{out}" for out in found.pool),
    ]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([{k: "" if v is None else v for k, v in row.items()} for row in lines])
    return buffer.getvalue()
