"""Leaderboards as text for people: a plain sheet, and Markdown.

Best is bold, second underlined, a dagger means "in the 95 % confidence set of the best, by patient", a double dagger that
some scores are undefined. Controls and unranked methods stand below the contenders. A legend says what the cells hold.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from fusionbench.report.boards import Board, metric_heading, number
from fusionbench.report.columns import DEFAULT_COLUMNS, filled, shown, title
from fusionbench.report.verdicts import count, summary, verdict


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
    """A line of a leaderboard; ``kind`` is "contender" (with a ``place``, which ties share), "control" or "apart" (then
    ``note`` says why)."""

    method: str
    title: str
    kind: str
    cells: tuple[Cell, ...]
    note: str = ""
    place: int = 0


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
    metrics: Sequence[str] | None = None,
) -> Sheet:
    """The leaderboard in plain form; ``metrics``: these of the board alone.

    ``tests=False`` leaves out the marks that need statistics (and is quicker); ``std``: standard deviations beside the
    means; ``styled``: whether the output can show bold and underlined cells, which the legend then explains.
    """
    columns = filled(board, columns)
    metrics = board.metrics if metrics is None else metrics
    headings = [title(name) for name in columns] + [metric_heading(board, m) for m in metrics]
    places = {metric: board.placing(metric) for metric in metrics}
    tied = board.tests.tied if tests and len(board.order) > 1 else {}
    lines = []
    for method in board.ranked:
        kind = "control" if method in board.controls else "contender"
        cells = [_column(board, name, method, tests) for name in columns]
        for metric in metrics:
            cells.append(
                Cell(
                    number(board.cell(board.means, method, metric)),
                    places[metric].get(method, ""),
                    method in tied.get(metric, []) and places[metric].get(method) != "best",
                    int(board.cell(board.undefined, method, metric)),
                    _spread(board, method, metric) if std else "",
                )
            )
        place = board.place_of(method) if kind == "contender" else 0
        lines.append(Line(method, board.name(method), kind, tuple(cells), place=place))
    lines += [Line(m, board.name(m), "apart", (), note) for m, note in board.apart.items()]
    legend = _legend(board, columns, metrics, lines, styled)
    return Sheet(heading(board), tuple(headings), tuple(lines), tuple(board.notes), tuple(legend))


def _spread(board: Board, method: str, metric: str) -> str:
    """The standard deviation of a cell; "" where a single pair has none."""
    value = board.cell(board.stds, method, metric)
    return "" if math.isnan(value) else number(value)


def heading(board: Board) -> str:
    """ "PET–MRI · phantom · profile dmfnet"."""
    return f"{board.task_title} · {board.dataset} · profile {board.profile}"


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
    for line in data.lines:
        if line.kind == "apart":
            continue
        name = f"*{_md(line.title)}* (control)" if line.kind == "control" else _md(line.title)
        cells = " | ".join(_md_cell(cell) for cell in line.cells)
        lines.append(f"| {line.place or ''} | {name} | {cells} |")
    apart = [f"- {_md(line.title)}: not ranked; {_md(line.note)}" for line in data.lines if line.kind == "apart"]
    return "\n".join([*lines, "", *apart, "", *(f"- {_md(text)}" for text in (*data.notes, *data.legend)), ""])


def _column(board: Board, name: str, method: str, tests: bool) -> Cell:
    text = shown(board, name, method, tests)
    if name != "rank" or method not in board.order:
        return Cell(text)
    level = sorted({round(board.mean_rank[m], 9) for m in board.order}).index(round(board.mean_rank[method], 9))
    place = {0: "best", 1: "second"}.get(level, "") if len(board.order) > 1 else ""
    told = tests and not board.tests.undecidable and method in board.tests.among_best
    return Cell(text, place, told and level != 0)


def _legend(
    board: Board, columns: Sequence[str], metrics: Sequence[str], lines: Sequence[Line], styled: bool
) -> list[str]:
    """What the cells of a sheet hold, and what each mark that is among them means."""
    cells = [cell for line in lines for cell in line.cells]
    what = "Mean ± standard deviation" if any(cell.std for cell in cells) else "Mean"
    text = f"{what} over {count(len(board.pairs), 'pair')}."
    if "rank" in columns:
        core = ", ".join(board.column(m).short for m in board.core)
        text += f" Mean rank over {core}: each metric ranks the methods' means, 1 = best, ties averaged."
    if "findings" in columns:
        text += " Both findings: area under the ROC curve of a model observer for the finding that suffers; 0.5 is guessing."
    styles = {"best": "best bold", "second": "second underlined"}
    used = [words for place, words in styles.items() if styled and any(cell.place == place for cell in cells)]
    if used:
        text += f" {', '.join(used).capitalize()}."
    notes = [text]
    if any(line.kind == "control" for line in lines):
        notes.append("Controls are trivial fusers: their rank is the one they would have, and they never win a place.")
    if any(board.column(m).describes for m in metrics):
        notes.append(
            "* describes the image and is no measure of quality; ranked in the direction customary in the literature."
        )
    if any(cell.tied for cell in cells):
        notes.append(
            "† in the 95 % confidence set of the best in the column, by patient: not shown to be worse than another."
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
