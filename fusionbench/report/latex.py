"""Leaderboards for papers: LaTeX tables (booktabs, siunitx) that cite the methods, metrics and data they show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fusionbench.report import references
from fusionbench.report.boards import Board
from fusionbench.report.columns import DEFAULT_COLUMNS, filled
from fusionbench.report.figures import PAPER, WIDTHS, Paper
from fusionbench.report.plots import shortened
from fusionbench.report.references import Entry, escaped
from fusionbench.report.tables import Cell, Line, sheet

GAP = 6.0
"""Points between two columns."""
CITED = 16.0
"""Points of a citation behind a method's name."""


def table(board: Board, columns: Sequence[str] = DEFAULT_COLUMNS, *, std: bool = False, paper: Paper = PAPER) -> str:
    """A booktabs table in 8 points; needs \\usepackage{booktabs,siunitx}. Columns align on the decimal point.

    ``std``: standard deviations beside the means. ``paper``: one column of a page or two (the default), and how many
    contenders; columns that this has no room for are left out, which the caption says: never the mean rank, the metrics
    beside the core first, then those that describe.
    """
    columns = filled(board, columns)
    kept = _fitting(board, columns, std, paper)
    shown = [name for name in board.metrics if name in kept]
    left_out = [board.column(name).short for name in board.metrics if name not in kept]
    data = sheet(board, [name for name in columns if name in kept], std=std, metrics=shown)
    lines = [line for line in data.lines if _among(line, paper)]
    numeric = [_latex_format([line.cells[i] for line in lines]) for i in range(len(data.headings))]
    star = "" if paper.width == "1col" else "*"
    told = [*data.legend, *([f"No room for {', '.join(left_out)}."] if left_out else [])]
    text = ["% \\usepackage{booktabs,siunitx}", f"\\begin{{table{star}}}", "\\centering"]
    text += [f"\\caption{{{_latex_caption(board, shown, told)}}}", f"\\label{{tab:{_label(board)}}}"]
    text += ["\\sisetup{table-number-alignment=right,table-text-alignment=right}"]
    text += [f"\\fontsize{{8}}{{9.5}}\\selectfont\\setlength{{\\tabcolsep}}{{{GAP / 2:g}pt}}"]
    text += [f"\\begin{{tabular}}{{l{''.join(numeric)}}}", "\\toprule"]
    text += ["Method & " + " & ".join(f"{{{escaped(h)}}}" for h in data.headings) + " \\\\", "\\midrule"]
    for kind in ("contender", "control"):
        block = [line for line in lines if line.kind == kind]
        if kind == "control" and block and board.order:
            text.append("\\midrule")
        for line in block:
            name = escaped(shortened(board, line.method, _name_width(paper)))
            title = f"\\emph{{{name}}}" if kind == "control" else name
            title += _cite(references.of_method(board, line.method))
            text.append(" & ".join([title, *map(_latex_cell, line.cells)]) + " \\\\")
    return "\n".join([*text, "\\bottomrule", "\\end{tabular}", f"\\end{{table{star}}}", ""])


def _among(line: Line, paper: Paper) -> bool:
    """Whether a line is among those asked for."""
    return bool(line.cells) and (line.kind == "control" or paper.top is None or 0 < line.place <= paper.top)


def _name_width(paper: Paper) -> int:
    """Characters that the name of a method may have."""
    return 20 if paper.width == "1col" else 34


def _fitting(board: Board, columns: Sequence[str], std: bool, paper: Paper) -> set[str]:
    """The columns that fit beside the methods' names: mean rank first, then the core, then the others."""
    data = sheet(board, columns, std=std)
    lines = [line for line in data.lines if _among(line, paper)]
    names = [_points(shortened(board, line.method, _name_width(paper))) for line in lines]
    left = WIDTHS[paper.width or "2col"] * 72.27 - max(names, default=0.0) - CITED
    every = [*columns, *board.metrics]
    kept = set()

    def wish(name: str) -> tuple[bool, bool, bool]:
        return name != "rank", name not in board.core, name in board.metrics and board.column(name).describes

    for name in sorted(every, key=wish):
        index = every.index(name)
        cells = [line.cells[index] for line in lines]
        widths = [_points(cell.text + (f" ± {cell.std}" if cell.std else ""), cell.place == "best") for cell in cells]
        width = max([_points(data.headings[index]), *widths]) + GAP
        if width <= left or name == "rank":
            kept.add(name)
            left -= width
    return kept


def _points(text: str, bold: bool = False) -> float:
    """How wide 8-point text is, in points: about the widths of Computer Modern, whose figures are 4.25 and 4.9 in bold."""
    width = sum(6.2 if c.isupper() else 2.4 if c in "., ()il" else 4.25 for c in text)
    return width * (1.16 if bold else 1.0)


def document(names: Iterable[str]) -> str:
    """A complete document that shows the tables of the given files, each put out at once: TeX has no room for many.

    Its bibliography is ``references.bib`` beside it.
    """
    inputs = "\n\\clearpage\n".join(f"\\input{{{name}}}" for name in names)
    return (
        "\\documentclass[10pt]{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage[T1]{fontenc}\n\\usepackage{textcomp}\n"
        "\\usepackage[a4paper,textwidth=181mm,textheight=265mm]{geometry}\n\\usepackage{booktabs,siunitx}\n"
        "\\IfFileExists{lmodern.sty}{\\usepackage{lmodern}}{}\n"
        f"\\begin{{document}}\n{inputs}\n\\clearpage\n"
        "\\bibliographystyle{unsrt}\n\\bibliography{references}\n\\end{document}\n"
    )


def _latex_cell(cell: Cell) -> str:
    plain = re.fullmatch(r"-?\d+(\.\d+)?", cell.text)
    marks = ("\\dag" if cell.tied else "") + ("\\ddag" if cell.undefined else "")
    if plain and not cell.place and not marks and not cell.std:
        return cell.text
    text = escaped(cell.text)
    text = {"best": f"\\textbf{{{text}}}", "second": f"\\underline{{{text}}}"}.get(cell.place, text)
    raised = f"\\rlap{{\\textsuperscript{{{marks}}}}}" if marks else ""
    spread = f" $\\pm$ {escaped(cell.std)}" if cell.std else ""
    return f"{{{text}{raised}{spread}}}"


def _latex_format(cells: Sequence[Cell]) -> str:
    """ "S[table-format=2.4]" for a column of numbers, "r" for one that holds none, or standard deviations beside them."""
    found = [re.fullmatch(r"(-?\d+)(?:\.(\d+))?", cell.text) for cell in cells]
    whole = [len(match[1]) for match in found if match]
    if not whole or any(cell.std for cell in cells):
        return "r"
    decimals = max(len(match[2] or "") for match in found if match)
    return f"S[table-format={max(whole)}.{decimals}]" if decimals else f"S[table-format={max(whole)}]"


def _latex_caption(board: Board, shown: Sequence[str], legend: Iterable[str]) -> str:
    data = f"{escaped(board.dataset)}{_cite(references.of_data(board))}"
    metrics = [f"{escaped(board.column(m).short)}{_cite(e)}" for m in shown if (e := references.of_metric(board, m))]
    sources = f" Metrics: {', '.join(metrics)}." if metrics else ""
    return (
        f"{escaped(board.task_title)} fusion on {data}, profile {escaped(board.profile)}. {escaped(' '.join(legend))}"
        f"{sources} Computed with fusionbench{_cite(references.itself())}."
    )


def _cite(entry: Entry | None) -> str:
    return f"~\\cite{{{entry.key}}}" if entry else ""


def _label(board: Board) -> str:
    return re.sub(r"[^A-Za-z0-9:-]", "-", f"{board.dataset}:{board.task}:{board.profile}")
