"""Leaderboards as text for people: a plain sheet, and Markdown.

Best is bold, second underlined, a dagger means "not shown to differ from the best" (Wilcoxon, Holm), a double dagger that
some scores are undefined. Controls and unranked methods stand below the contenders. A legend says what the cells hold.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from fusionbench import stats
from fusionbench.report.boards import Board
from fusionbench.report.columns import BESIDE, DEFAULT_COLUMNS, shown


@dataclasses.dataclass(frozen=True)
class Cell:
    """A formatted value: ``place`` is "best", "second" or ""; ``tied`` with the best; ``undefined`` scores behind it.

    ``std``: the standard deviation that is shown beside it, "" for none.
    """

    text: str
    place: str = ""
    tied: bool = False
    undefined: int = 0
    std: str = ""


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a leaderboard; ``kind`` is "contender", "control" or "apart" (then ``note`` says why)."""

    method: str
    title: str
    kind: str
    cells: tuple[Cell, ...]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A leaderboard as plain lines: what every output prints, and what a terminal can show.

    ``notes``: what a reader must know of the data; ``legend``: what the cells hold and their marks mean.
    """

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    legend: tuple[str, ...] = ()


def sheet(
    board: Board,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    *,
    tests: bool = True,
    std: bool = False,
    styled: bool = True,
) -> Sheet:
    """The leaderboard in plain form.

    ``tests=False`` leaves out the marks that need statistics (and is quicker); ``std``: standard deviations beside the
    means; ``styled``: whether the output can show bold and underlined cells, which the legend then explains.
    """
    headings = [BESIDE[name].title for name in columns] + [metric_heading(board, m) for m in board.metrics]
    places = {metric: board.placing(metric) for metric in board.metrics}
    tied = board.tests.tied if tests and len(board.order) > 1 else {}
    lines = []
    for method in board.ranked:
        kind = "control" if method in board.controls else "contender"
        cells = [_column(board, name, method, tests) for name in columns]
        for metric in board.metrics:
            cells.append(
                Cell(
                    number(board.cell(board.means, method, metric)),
                    places[metric].get(method, ""),
                    method in tied.get(metric, []) and places[metric].get(method) != "best",
                    int(board.cell(board.undefined, method, metric)),
                    _spread(board, method, metric) if std else "",
                )
            )
        lines.append(Line(method, board.name(method), kind, tuple(cells)))
    lines += [Line(m, board.name(m), "apart", (), note) for m, note in board.apart.items()]
    legend = _legend(board, columns, lines, styled)
    return Sheet(heading(board), tuple(headings), tuple(lines), tuple(board.notes), tuple(legend))


def _spread(board: Board, method: str, metric: str) -> str:
    """The standard deviation of a cell; "" where a single pair has none."""
    value = board.cell(board.stds, method, metric)
    return "" if math.isnan(value) else number(value)


def number(value: float, decimals: int = 4) -> str:
    """Four decimals, as the literature prints; fewer for huge values; an en dash where there is no value."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{decimals if abs(value) < 1e5 else 0}f}"


def heading(board: Board) -> str:
    """ "PET–MRI · phantom · profile dmfnet"."""
    return f"{task_title(board)} · {board.dataset} · profile {board.profile}"


def task_title(board: Board) -> str:
    """ "PET–MRI" for ``pet-mri``; other names as they are."""
    parts = board.task.split("-")
    known = {"ct", "mri", "pet", "spect", "us", "t1", "t2"}
    return "–".join(p.upper() for p in parts) if set(parts) <= known else board.task


def verdict(board: Board, siblings: Sequence[Board] = ()) -> list[str]:
    """The answer in plain words: who is first, who is not separated from it, on how much data, and whether others agree.

    ``siblings``: boards of the same task under other profiles.
    """
    if not board.order:
        return [f"No method is ranked under profile {board.profile}."]
    best = board.order[0]
    where = f"For {task_title(board)} on {board.dataset}"
    if len(board.order) == 1:
        said = [
            f"{where}, {board.name(best)} is the only method under profile {board.profile}, {_sample(board)}: "
            "a verdict needs two, and controls do not count."
        ]
        return [*said, *_controls_ahead(board)]
    said = [
        f"{where}, {board.name(best)} is first by mean rank, {_interval(board, best)} among "
        f"{_count(len(board.order), 'ranked method')} under profile {board.profile}, {_sample(board)}."
    ]
    others = [board.name(m) for m in board.tests.tied_first[1:]]
    more = f" and {len(others) - 8} more" if len(others) > 8 else ""
    if len(others) == len(board.order) - 1:
        said.append("No other method is separated from it, so the order may be chance.")
    else:
        not_separated = f"Not separated from it: {', '.join(others[:8])}{more}. " if others else ""
        said.append(
            f"{not_separated}A signed-rank test over the {_count(len(board.pairs), 'pair')} separates it from "
            f"{'the rest' if others else 'every other method'}{_caveat(board)}."
        )
    firsts: dict[str, list[str]] = {}
    for other in siblings:
        if other.order and other.profile != board.profile:
            firsts.setdefault(other.name(other.order[0]), []).append(other.profile)
    same = firsts.pop(board.name(best), [])
    told = [f"it is first under {_and(same)} too"] if same else []
    told += [f"{name} is first under {_and(names)}" for name, names in firsts.items()]
    if told:
        said.append(f"By other conventions: {'; '.join(told)}.")
    return [*said, *_controls_ahead(board)]


def _controls_ahead(board: Board) -> list[str]:
    """The metrics on which a control beats every method, in a sentence; none where there are none."""
    won = [m for m in board.core if any(board.ranks.loc[control, m] == 1.0 for control in board.controls)]
    if not won:
        return []
    named = _and([board.column(m).short for m in won])
    return [
        f"A control is ahead of every method on {named}: {'these do' if len(won) > 1 else 'this does'} not reward "
        "what a reader would call a good fusion."
    ]


def summary(board: Board) -> list[str]:
    """What the verdict rests on: convention, overall test, test of the ties, and what weakens them."""
    if not board.order:
        return []
    core = ", ".join(board.column(m).short for m in board.core)
    said = [
        f"Convention: profile {board.profile} ({board.title}); mean rank over its {len(board.core)} core metrics: {core}."
    ]
    tests = board.tests
    if isinstance(tests.friedman, str):
        said.append(f"No overall test: {tests.friedman}.")
    else:
        word = "differ" if tests.friedman.p < stats.ALPHA else "are not shown to differ"
        said.append(
            f"The methods {word} overall (Friedman / Iman–Davenport over pairs, p {p_text(tests.friedman.p)}, "
            f"Kendall's W {tests.friedman.w:.2f})."
        )
    if len(board.order) > 1:
        said.append(
            f"Tied means not shown to differ: Wilcoxon's signed-rank test on ranks within pairs, Holm over "
            f"{_count(len(tests.pairwise), 'comparison')}, α = {stats.ALPHA:g}."
        )
        smallest = min(1.0, 2.0 ** (1 - len(board.pairs)) * len(tests.pairwise))
        if smallest >= stats.ALPHA:
            said.append(
                f"With {len(board.pairs)} pairs no difference can be significant after that correction (smallest p "
                f"{smallest:.2f}): use more pairs or compare fewer methods."
            )
    if board.cases_known and len(set(board.clusters)) < len(board.pairs):
        said.append(
            f"The pairs come from {len(set(board.clusters))} cases only: slices of one case resemble each other, so the p "
            "values are optimistic; the intervals resample whole cases."
        )
    return said


def p_text(p: float) -> str:
    """ "= 0.032" or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def markdown(
    board: Board,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    siblings: Sequence[Board] = (),
    *,
    std: bool = False,
) -> str:
    """A GitHub table with verdict and summary above, notes and legend below; ``siblings``: see :func:`verdict`."""
    data = sheet(board, columns, std=std)
    width = len(data.headings)
    said = verdict(board, siblings)
    lines = [f"### {_md(data.title)}", "", f"**{_md(said[0])}**", *map(_md, said[1:]), ""]
    lines += [*(f"- {_md(text)}" for text in summary(board)), ""]
    lines += ["| # | Method | " + " | ".join(map(_md, data.headings)) + " |"]
    lines += ["|--:|:--|" + "--:|" * width]
    place = 0
    for line in data.lines:
        if line.kind == "apart":
            continue
        place += line.kind == "contender"
        name = f"*{_md(line.title)}* (control)" if line.kind == "control" else _md(line.title)
        cells = " | ".join(_md_cell(cell) for cell in line.cells)
        lines.append(f"| {place if line.kind == 'contender' else ''} | {name} | {cells} |")
    apart = [f"- {_md(line.title)}: not ranked; {_md(line.note)}" for line in data.lines if line.kind == "apart"]
    return "\n".join([*lines, "", *apart, "", *(f"- {_md(text)}" for text in (*data.notes, *data.legend)), ""])


def metric_heading(board: Board, metric: str) -> str:
    """ "SSIM ↑", "EN* ↑": the asterisk stands for a metric that describes."""
    arrow = {"higher": "↑", "lower": "↓"}[board.better[metric]]
    column = board.column(metric)
    return f"{column.short}{'*' if column.describes else ''} {arrow}"


def _column(board: Board, name: str, method: str, tests: bool) -> Cell:
    text = shown(board, name, method, tests)
    if name != "rank" or method not in board.order:
        return Cell(text)
    level = sorted({round(board.mean_rank[m], 9) for m in board.order}).index(round(board.mean_rank[method], 9))
    place = {0: "best", 1: "second"}.get(level, "") if len(board.order) > 1 else ""
    return Cell(text, place, tests and method in board.tests.tied_first and level != 0)


def _interval(board: Board, method: str) -> str:
    """The mean rank of a method with its interval, where cases are enough for one."""
    text = f"{board.mean_rank[method]:.2f}"
    if isinstance(board.tests.bootstrap, str):
        return text
    low, high = board.tests.bootstrap.rank_low[method], board.tests.bootstrap.rank_high[method]
    return f"{text} (95 % interval over {_count(board.tests.bootstrap.clusters, 'case')}: {low:.2f} to {high:.2f})"


def _caveat(board: Board) -> str:
    """What a test over pairs leaves open where they are slices of fewer cases, or where nobody knows."""
    if not board.cases_known:
        return ", if the pairs are independent; whose they are is not known"
    cases = len(set(board.clusters))
    if cases == len(board.pairs):
        return ""
    return f"; slices of {_count(cases, 'case')} are not independent, so this claims nothing about other patients"


def _sample(board: Board) -> str:
    cases = f" of {_count(len(set(board.clusters)), 'case')}" if board.cases_known else ""
    return f"on {_count(len(board.pairs), 'pair')}{cases}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _and(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _legend(board: Board, columns: Sequence[str], lines: Sequence[Line], styled: bool) -> list[str]:
    """What the cells of a sheet hold, and what each mark that is among them means."""
    cells = [cell for line in lines for cell in line.cells]
    what = "Mean ± standard deviation" if any(cell.std for cell in cells) else "Mean"
    text = f"{what} over {_count(len(board.pairs), 'pair')}."
    if "rank" in columns:
        core = ", ".join(board.column(m).short for m in board.core)
        text += f" Mean rank over {core}: each metric ranks the methods' means, 1 = best, ties averaged."
    styles = {"best": "best bold", "second": "second underlined"}
    used = [words for place, words in styles.items() if styled and any(cell.place == place for cell in cells)]
    if used:
        text += f" {', '.join(used).capitalize()}."
    notes = [text]
    if any(line.kind == "control" for line in lines):
        notes.append("Controls are trivial fusers: their rank is the one they would have, and they never win a place.")
    if any(board.column(m).describes for m in board.metrics):
        notes.append(
            "* describes the image and is no measure of quality; ranked in the direction customary in the literature."
        )
    if any(cell.tied for cell in cells):
        notes.append(
            "† not shown to differ from the best in the column (two-sided Wilcoxon signed-rank over pairs, Holm, α = 0.05)."
        )
    origins: dict[str, list[str]] = {}
    for line in lines:
        if line.cells and (origin := board.origin(line.method)):
            origins.setdefault(origin, []).append(line.title)
    notes += [f"Fused elsewhere ({origin}): {', '.join(own)}." for origin, own in origins.items()]
    if any(cell.undefined for cell in cells):
        notes.append("‡ undefined on some pairs, which are left out of this mean.")
    return notes


def _md(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", " ".join(text.split()))


def _md_cell(cell: Cell) -> str:
    text = _md(cell.text)
    text = {"best": f"**{text}**", "second": f"<u>{text}</u>"}.get(cell.place, text)
    text += ("†" if cell.tied else "") + ("‡" if cell.undefined else "")
    return f"{text} ± {cell.std}" if cell.std else text
