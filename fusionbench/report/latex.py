"""Leaderboards for papers: LaTeX tables (booktabs, siunitx) and BibTeX of the methods shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fusionbench.report.boards import Board
from fusionbench.report.tables import DEFAULT_COLUMNS, Cell, sheet, task_title


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
    lines += ["Method & " + " & ".join(f"{{{_tex(h)}}}" for h in data.headings) + " \\\\", "\\midrule"]
    for kind in ("contender", "control"):
        block = [line for line in data.lines if line.kind == kind]
        if kind == "control" and block and board.order:
            lines.append("\\midrule")
        for line in block:
            title = f"\\emph{{{_tex(line.title)}}}" if kind == "control" else _tex(line.title)
            lines.append(" & ".join([title, *map(_latex_cell, line.cells)]) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}", "\\end{table*}", ""]
    return "\n".join(lines)


def document(names: Iterable[str]) -> str:
    """A complete document that shows the tables of the given files, each put out at once: TeX has no room for many."""
    inputs = "\n\\clearpage\n".join(f"\\input{{{name}}}" for name in names)
    return (
        "\\documentclass[10pt]{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage[T1]{fontenc}\n\\usepackage{textcomp}\n"
        "\\usepackage[margin=1.5cm,a3paper]{geometry}\n\\usepackage{booktabs,siunitx,graphicx}\n"
        f"\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
    )


def bibtex(boards: Iterable[Board]) -> str:
    """An entry for every method shown that has a reference; the entry's key is the method's name."""
    entries = {}
    for board in boards:
        for method, table in board.tables.items():
            facts = table.about.get("method", {})
            name = re.sub(r"[^A-Za-z0-9-]", "", str(facts.get("name") or method.partition("@")[0]))
            if name and name not in entries:
                entries[name] = _bibtex_entry(name, facts)
    return "\n".join(text for _, text in sorted(entries.items()) if text)


def _bibtex_entry(name: str, facts: Mapping[str, Any]) -> str:
    if facts.get("bibtex"):
        return str(facts["bibtex"]).strip() + "\n"
    if not facts.get("reference") and not facts.get("doi"):
        return ""
    fields = {"title": f"{{{_tex(str(facts.get('title') or name))}}}", "note": _tex(str(facts.get("reference") or ""))}
    fields |= {"year": str(facts.get("year") or ""), "doi": str(facts.get("doi") or "")}
    body = "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items() if value)
    return f"@misc{{{name},\n{body}}}\n"


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "—": "---"}
_TEX |= {
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "α": r"$\alpha$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
}
_TEX |= {"∞": r"$\infty$", "−": "-", "×": r"$\times$", "<": r"\textless{}", ">": r"\textgreater{}", "≥": r"$\geq$"}
_TEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in " ".join(text.split()))


def _latex_cell(cell: Cell) -> str:
    plain = re.fullmatch(r"-?\d+(\.\d+)?", cell.text)
    marks = ("\\dag" if cell.tied else "") + ("\\ddag" if cell.undefined else "")
    if plain and not cell.place and not marks and not cell.std:
        return cell.text
    text = _tex(cell.text)
    text = {"best": f"\\textbf{{{text}}}", "second": f"\\underline{{{text}}}"}.get(cell.place, text)
    raised = f"\\rlap{{\\textsuperscript{{{marks}}}}}" if marks else ""
    spread = f" $\\pm$ {_tex(cell.std)}" if cell.std else ""
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
    return _tex(f"{task_title(board)} fusion on {board.dataset}, profile {board.profile}. {' '.join(legend)}")


def _label(board: Board) -> str:
    return re.sub(r"[^A-Za-z0-9:-]", "-", f"{board.dataset}:{board.task}:{board.profile}")
