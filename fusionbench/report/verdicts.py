"""What a board shows, in plain words: who is first, what patients can tell about it, and what that rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fusionbench import stats
from fusionbench.report.boards import Board

_NAMED = 8
"""So many methods are named in a sentence, more are counted."""


def verdict(board: Board, siblings: Sequence[Board] = ()) -> list[str]:
    """The answer: who is first, who may be the best as well, on how many patients, and whether other profiles agree.

    No sentence claims more than the tests by patient carry. ``siblings``: boards of the same task under other profiles.
    """
    if not board.order:
        return [f"No method is ranked under profile {board.profile}."]
    where = f"For {board.task_title} on {board.dataset}"
    if len(board.order) == 1:
        said = [
            f"{where}, {board.name(board.order[0])} is the only method under profile {board.profile}, {_sample(board)}: "
            "a verdict needs two, and controls do not count."
        ]
        return [*said, *_controls_ahead(board)]
    names = and_([board.name(m) for m in board.first])
    shared = "is first" if len(board.first) == 1 else "share the first place"
    said = [
        f"{where}, {names} {shared} by mean rank, {_interval(board, board.order[0])} among "
        f"{count(len(board.order), 'ranked method')} under profile {board.profile}, {_sample(board)}."
    ]
    said += [*_separated(board), *_resampled(board), *_seen(board), *_elsewhere(board, siblings)]
    return [*said, *_controls_ahead(board)]


def _separated(board: Board) -> list[str]:
    """Whom patients tell apart from the first, and who is as good."""
    tests = board.tests
    units = "" if board.patients_known else " Whose the pairs are is not known: each counts as a patient of its own."
    if tests.undecidable:
        return [f"Whether that is more than chance: {tests.undecidable}.{units}"]
    first = set(board.first)
    among = [m for m in tests.among_best if m not in first]
    if first <= set(tests.among_best):
        others = f" besides {'it' if len(first) == 1 else 'them'}"
    else:
        others = ", the first by mean rank not among them"
    if not among:
        told = f"Patients show {'it' if len(first) == 1 else 'them'} to be better than every other method"
        said = f"{told}: the 95 % confidence set of the best holds no other."
    elif len(among) + len(first) == len(board.order):
        said = "No method is separable from it by patient, so the order may be chance."
    else:
        said = f"The 95 % confidence set of the best, by patient, holds{others}: {_listed(board, among)}."
    return [said + units, *_equivalent(board)]


def _equivalent(board: Board) -> list[str]:
    """The methods whose distance from the first is too small to be of use."""
    lines, first = board.tests.pairwise, board.order[0]
    same = lines[lines["verdict"] == "equivalent"]
    found = {*same.loc[same["first"] == first, "second"], *same.loc[same["second"] == first, "first"]}
    equal = [m for m in board.order if m in found]
    if not equal:
        return []
    margin = f"{board.tests.margin:.2f} ranks, what JPEG at quality 95 costs"
    return [f"Equivalent to {board.name(first)} (within {margin}): {_listed(board, equal)}."]


def _resampled(board: Board) -> list[str]:
    """How often each of the likeliest is first when patients are drawn anew."""
    found = board.tests.bootstrap
    if isinstance(found, str):
        return []
    likely = found.first.sort_values(ascending=False, kind="stable")
    told = [f"{board.name(str(m))} {share:.0%}" for m, share in likely.items() if share >= 0.05][:4]
    return [f"First when patients are drawn anew: {and_(told)}."] if told else []


def _seen(board: Board) -> list[str]:
    """What the first places owe to having seen the patients, or to being made for what is ranked."""
    return [text for method in board.first for text in seen(method, {"": board})]


def seen(method: str, boards: Mapping[str, Board]) -> list[str]:
    """What a place of a method owes to having seen the patients, or to being made for what is ranked; ``boards``: by what
    is told of where, "" for nothing."""
    first = next(iter(boards.values()))
    name, exposures = first.name(method), {where: board.tables[method].exposure for where, board in boards.items()}
    told = [f"{e.seen} of {count(e.persons, 'patient')}{where}" for where, e in exposures.items() if e.seen]
    said = []
    if not all(e.known for e in exposures.values()):
        said.append(f"Whether {name} has seen these patients in training is not known.")
    elif told:
        said.append(f"{name} has seen in training {and_(told)}.")
    made_for = list(dict.fromkeys(metric for board in boards.values() for metric in board.conflicts(method) or ()))
    if made_for:
        said.append(f"{name} was made for {and_(made_for)}, by which this board ranks.")
    return said


def _elsewhere(board: Board, siblings: Sequence[Board]) -> list[str]:
    """Who is first under other profiles."""
    firsts: dict[str, list[str]] = {}
    for other in siblings:
        if other.order and other.profile != board.profile:
            firsts.setdefault(and_([other.name(m) for m in other.first]), []).append(other.profile)
    same = firsts.pop(and_([board.name(m) for m in board.first]), [])
    told = [f"{'it is' if len(board.first) == 1 else 'they are'} first under {and_(same)} too"] if same else []
    told += [f"{name} {'are' if ' and ' in name else 'is'} first under {and_(names)}" for name, names in firsts.items()]
    return [f"By other conventions: {'; '.join(told)}."] if told else []


def _controls_ahead(board: Board) -> list[str]:
    """The metrics on which a control beats every method, in a sentence; none where there are none."""
    won = [m for m in board.core if any(board.ranks.loc[control, m] == 1.0 for control in board.controls)]
    if not won:
        return []
    named = and_([board.column(m).short for m in won])
    return [
        f"A control is ahead of every method on {named}: {'these do' if len(won) > 1 else 'this does'} not reward "
        "what a reader would call a good fusion."
    ]


def summary(board: Board) -> list[str]:
    """What the verdict rests on: convention, unit, tests; and the tests that reviewers ask for beside them."""
    if not board.order:
        return []
    core = ", ".join(board.column(m).short for m in board.core)
    said = [
        f"Convention: profile {board.profile} ({board.title}); mean rank over its {len(board.core)} core metrics: {core}."
    ]
    tests = board.tests
    if len(board.order) > 1:
        known = "" if board.patients_known else " (each pair counts as one: whose they are is not known)"
        said.append(
            f"Unit: the patient{known}; {_sample(board)}. Ranks within pairs, averaged over each patient's; sign-flip "
            f"permutation, step-down max-T over {count(len(tests.pairwise), 'comparison')}, α = {stats.ALPHA:g}."
        )
        if tests.undecidable:
            said.append(f"No two methods can be told apart: {tests.undecidable}.")
        if isinstance(tests.bootstrap, str):
            said.append(f"No intervals: {tests.bootstrap}.")
        if not math.isnan(tests.margin):
            said.append(
                f"Equivalent: the 90 % interval lies within {tests.margin:.2f} ranks, what JPEG at quality 95 costs."
            )
    if told := exposed(board):
        said.append(f"Exposure: {told} `fusionbench report --unexposed` ranks the others.")
    if isinstance(tests.friedman, str):
        said.append(f"No overall test: {tests.friedman}.")
    else:
        word = "differ" if tests.friedman.p < stats.ALPHA else "are not shown to differ"
        said.append(
            f"Beside: the methods {word} overall (Friedman / Iman–Davenport over {tests.units}, p "
            f"{p_text(tests.friedman.p)}, Kendall's W {tests.friedman.w:.2f}){_independent(board)}."
        )
    return said


def exposed(board: Board) -> str:
    """How many methods have seen the patients of a board; "" where none has."""
    may = [m for m in board.order if board.tables[m].exposure.seen]
    if not may:
        return ""
    number = count(len(board.order), "ranked method")
    return f"{len(may)} of {number} have seen patients of this board in training, or may have."


def unexposed(board: Board) -> str:
    """Of how many methods the training data are not known, and who comes first of those that have seen nobody of a board;
    "" where no method has, or may have."""
    exposures = {m: board.tables[m].exposure for m in board.order}
    unknown = sum(not e.known for e in exposures.values())
    if not unknown and not any(e.seen for e in exposures.values()):
        return ""
    said = [f"Of {count(unknown, 'method')} it is not known."] if unknown else []
    free = next((m for m, e in exposures.items() if e.known and not e.seen), None)
    said += [f"The first that has seen none is {board.name(free)}, at place {board.place_of(free)}."] if free else []
    return " ".join(said)


def _independent(board: Board) -> str:
    """The warning of a test that counts pairs where patients are too few."""
    if board.tests.units == "patients" or not board.patients_known:
        return ""
    return "; this counts pairs of one patient as independent, which they are not"


def p_text(p: float) -> str:
    """ "= 0.032" or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _interval(board: Board, method: str) -> str:
    """The mean rank of a method with its interval, where patients are enough for one."""
    text = f"{board.mean_rank[method]:.2f}"
    found = board.tests.bootstrap
    if isinstance(found, str):
        return text
    return f"{text} (95 % interval by patient {found.rank_low[method]:.2f} to {found.rank_high[method]:.2f})"


def _sample(board: Board) -> str:
    patients = f" of {count(board.tests.number, 'patient')}" if board.patients_known else ""
    return f"on {count(len(board.pairs), 'pair')}{patients}"


def _listed(board: Board, methods: Sequence[str]) -> str:
    return listed([board.name(m) for m in methods])


def listed(names: Sequence[str], word: str = "and") -> str:
    """ "a, b and c"; of many names the first ones and how many more."""
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return and_([*names[:_NAMED], *more], word)


def count(number: int, noun: str) -> str:
    """ "1 pair", "24 pairs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def and_(names: Sequence[str], word: str = "and") -> str:
    """ "a, b and c"."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
