"""Leaderboards for papers: LaTeX tables (booktabs, siunitx) that cite the methods, metrics and data they show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fusionbench.report import references
from fusionbench.report.boards import Board
from fusionbench.report.columns import DEFAULT_COLUMNS
from fusionbench.report.references import Entry, escaped
from fusionbench.report.tables import Cell, sheet


def table(board: Board, columns: Sequence[str] = DEFAULT_COLUMNS, *, std: bool = False) -> str:
    """A booktabs table; needs \\usepackage{booktabs,siunitx}. Columns align on the decimal point.

    ``std``: standard deviations beside the means.
    """
    data = sheet(board, columns, std=std)
    numeric = [_latex_format([line.cells[i] for line in data.lines if line.cells]) for i in range(len(data.headings))]
    lines = ["% \\usepackage{booktabs,siunitx,graphicx}", "\\begin{table*}", "\\centering"]
    lines += [f"\\caption{{{_latex_caption(board, data.legend)}}}", f"\\label{{tab:{_label(board)}}}"]
    lines += [
        "\\sisetup{table-number-alignment=right,table-text-alignment=right}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
    ]
    lines += [f"\\begin{{tabular}}{{l{''.join(numeric)}}}", "\\toprule"]
    lines += ["Method & " + " & ".join(f"{{{escaped(h)}}}" for h in data.headings) + " \\\\", "\\midrule"]
    for kind in ("contender", "control"):
        block = [line for line in data.lines if line.kind == kind]
        if kind == "control" and block and board.order:
            lines.append("\\midrule")
        for line in block:
            title = f"\\emph{{{escaped(line.title)}}}" if kind == "control" else escaped(line.title)
            title += _cite(references.of_method(board, line.method))
            lines.append(" & ".join([title, *map(_latex_cell, line.cells)]) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}", "\\end{table*}", ""]
    return "\n".join(lines)


def document(names: Iterable[str]) -> str:
    """A complete document that shows the tables of the given files, each put out at once: TeX has no room for many.

    Its bibliography is ``references.bib`` beside it.
    """
    inputs = "\n\\clearpage\n".join(f"\\input{{{name}}}" for name in names)
    return (
        "\\documentclass[10pt]{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage[T1]{fontenc}\n\\usepackage{textcomp}\n"
        "\\usepackage[margin=1.5cm,a3paper]{geometry}\n\\usepackage{booktabs,siunitx,graphicx}\n"
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


def _latex_caption(board: Board, legend: Iterable[str]) -> str:
    data = f"{escaped(board.dataset)}{_cite(references.of_data(board))}"
    metrics = [
        f"{escaped(board.column(m).short)}{_cite(e)}" for m in board.metrics if (e := references.of_metric(board, m))
    ]
    sources = f" Metrics: {', '.join(metrics)}." if metrics else ""
    return (
        f"{escaped(board.task_title)} fusion on {data}, profile {escaped(board.profile)}. {escaped(' '.join(legend))}"
        f"{sources} Computed with fusionbench{_cite(references.itself())}."
    )


def _cite(entry: Entry | None) -> str:
    return f"~\\cite{{{entry.key}}}" if entry else ""


def _label(board: Board) -> str:
    return re.sub(r"[^A-Za-z0-9:-]", "-", f"{board.dataset}:{board.task}:{board.profile}")
