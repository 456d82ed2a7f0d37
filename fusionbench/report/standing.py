"""Where one method stands on a board: its place, how sure that is, and how it does against the leaders.

The tests are those of ``stats``, by patient, of this method against each other contender: they answer for one method, and
are therefore adjusted for so many comparisons as there are others, not for those of every two on the board.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from fusionbench import stats
from fusionbench.errors import InputError
from fusionbench.report.boards import Board
from fusionbench.report.inference import undecidable
from fusionbench.report.verdicts import and_, count, exposed, p_text, seen
from fusionbench.scores import Exposure

LEADERS = 3
"""With so many of the first the method is compared in words."""


@dataclasses.dataclass(frozen=True)
class Rival:
    """Another contender: its ``place`` and mean rank, the ``difference`` (mean over patients of the rank of the method
    within pairs minus the rival's: above 0 the method is behind), adjusted ``p``, the share of patients that ``agree`` with
    its sign, and the ``verdict`` on the method."""

    method: str
    title: str
    place: int
    mean_rank: float
    difference: float
    p: float
    agree: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Standing:
    """``interval``: 95 % of its mean rank by patient, or the reason why there is none; ``among_best``: whether it is in the
    95 % confidence set of the best; ``undecidable``: why so few patients cannot tell any two apart, "" where they can;
    ``rivals``: every other contender, best first; ``exposure``: the patients that it has seen in training; ``made_for``: the
    core metrics that it was made for, None where that is not known; ``controls``: controls with a better mean rank."""

    method: str
    title: str
    place: int
    ranked: int
    mean_rank: float
    interval: tuple[float, float] | str
    patients: int
    pairs: int
    among_best: bool
    undecidable: str
    margin: float
    rivals: list[Rival]
    exposure: Exposure
    made_for: list[str] | None
    controls: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For programs; NaN is None."""
        found = dataclasses.asdict(self) | {"exposure": str(self.exposure)}
        found["margin"] = None if math.isnan(self.margin) else self.margin
        found["rivals"] = [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in rival.items()}
            for rival in found["rivals"]
        ]
        return found


def standing(board: Board, method: str) -> Standing:
    """Where a contender of a board stands. Raises InputError for one that is not ranked, with the reason."""
    if method not in board.order:
        reason = board.apart.get(method) or ("a control" if method in board.controls else "not on the board")
        raise InputError(f"{method} cannot be placed on {board.dataset}/{board.task}: {reason}")
    own = {metric: board.scores[metric][board.order] for metric in board.core}
    by_patient = stats.by_patient(stats.pair_ranks(own, board.better), board.patients)
    few = undecidable(len(by_patient))
    known = all(metric in board.margins for metric in board.core) and len(board.order) > 1
    margin = stats.rank_margin(own, board.better, board.margins) if known else math.nan
    every = {metric: board.scores[metric][board.ranked] for metric in board.core}
    drawn = stats.bootstrap(every, board.core, board.better, board.patients, board.controls)
    return Standing(
        method=method,
        title=board.name(method),
        place=board.place_of(method),
        ranked=len(board.order),
        mean_rank=float(board.mean_rank[method]),
        interval=drawn if isinstance(drawn, str) else (float(drawn.rank_low[method]), float(drawn.rank_high[method])),
        patients=len(by_patient),
        pairs=len(board.pairs),
        among_best=bool(stats.confidence_set(by_patient)[method] > stats.ALPHA),
        undecidable=few,
        margin=margin,
        rivals=_rivals(board, method, by_patient, margin),
        exposure=board.tables[method].exposure,
        made_for=board.conflicts(method),
        controls=[board.name(c) for c in board.controls if board.mean_rank[c] < board.mean_rank[method]],
    )


def _rivals(board: Board, method: str, by_patient: pd.DataFrame, margin: float) -> list[Rival]:
    others = [name for name in board.order if name != method]
    if not others:
        return []
    apart = -by_patient[others].sub(by_patient[method], axis=0)
    adjusted = stats.max_t(apart)
    nan = pd.Series(math.nan, index=others)
    same = nan if math.isnan(margin) else pd.Series(stats.equivalence(apart.to_numpy(), margin), index=others)
    rivals = []
    for name in others:
        mean = float(apart[name].mean())
        agree = float((apart[name] * mean > 0).mean())
        word = stats.verdict(-mean, float(adjusted[name]), float(same[name]), len(by_patient))
        place, rank = board.place_of(name), float(board.mean_rank[name])
        rivals.append(Rival(name, board.name(name), place, rank, mean, float(adjusted[name]), agree, word))
    return rivals


def sentences(found: Standing, board: Board, siblings: Sequence[Board] = ()) -> list[str]:
    """A standing in plain words; ``siblings``: boards of the same task under other profiles."""
    name = found.title
    between = ""
    if not isinstance(found.interval, str):
        between = f" (95 % interval by patient {found.interval[0]:.2f} to {found.interval[1]:.2f})"
    of = f" of {count(found.patients, 'patient')}" if board.patients_known else ""
    said = [
        f"For {board.task_title} on {board.dataset}, {name} is {ordinal(found.place)} of {found.ranked} ranked methods "
        f"under profile {board.profile}, at mean rank {found.mean_rank:.2f}{between}, on {count(found.pairs, 'pair')}{of}."
    ]
    if found.undecidable:
        said.append(f"Whether any difference is more than chance: {found.undecidable}.")
    elif found.among_best:
        said.append("It is in the 95 % confidence set of the best, by patient.")
    else:
        said.append("It is not in the 95 % confidence set of the best, by patient.")
    said += [_against(found, rival) for rival in found.rivals[:LEADERS]]
    if found.rivals[:LEADERS] and not found.undecidable:
        said.append(f"p: by patient, adjusted for the comparisons with each of {count(len(found.rivals), 'other')}.")
    if found.controls:
        said.append(f"Controls, which are trivial fusers, ahead of it by mean rank: {and_(found.controls)}.")
    places = [
        f"{ordinal(other.place_of(found.method))} of {len(other.order)} under {other.profile}"
        for other in siblings
        if found.method in other.order
    ]
    if places:
        said.append(f"By other conventions: {and_(places)}.")
    return [*said, *exposure_told(found, board)]


def _against(found: Standing, rival: Rival) -> str:
    way = "behind" if rival.difference > 0 else "ahead of"
    size = f"{abs(rival.difference):.2f} ranks {way} it within pairs, {rival.agree:.0%} of the patients agree"
    if not rival.difference:
        size = "level with it within pairs"
    sure = "" if found.undecidable else f", p {p_text(rival.p)}"
    return f"Against {rival.title}, {ordinal(rival.place)} at {rival.mean_rank:.2f}: {rival.verdict}; {size}{sure}."


def exposure_told(found: Standing, board: Board) -> list[str]:
    """What the place owes to having seen the patients; plainly, where nobody says so."""
    said = seen(found.method, {"": board})
    if found.exposure.known and not found.exposure.seen:
        said.insert(0, f"{found.title} has seen none of these patients in training, as its facts say.")
    if not found.exposure.known:
        said.insert(1, "Unknown counts as having seen them all: say --trained-on, or --trained-on nothing.")
    if any(board.tables[rival.method].exposure.seen for rival in found.rivals):
        said.append(f"{exposed(board)} --unexposed compares with the others alone.")
    return said


def ordinal(number: int) -> str:
    """ "1st", "12th", "23rd"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
