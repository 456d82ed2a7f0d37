"""What a report cites: the methods, metrics and data that it shows, and fusionbench itself.

Entries are found by DOI or, where a paper has none, by the first words of its title; facts may bring their own (``bibtex``).
Anything else that names a source becomes an entry of what its fact sheet says.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from fusionbench.report.boards import Board


@dataclasses.dataclass(frozen=True)
class Entry:
    """A BibTeX entry: what ``\\cite`` takes, and the text."""

    key: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Entry | None:
        """None where the text is no entry."""
        found = re.match(r"\s*@\w+\s*\{\s*([^\s,]+)\s*,", text)
        return cls(found[1], text.strip() + "\n") if found else None

    def field(self, name: str) -> str:
        """A field's value, "" where it has none."""
        found = re.search(rf"(?m)^  {name} = \{{(.*)\}},$", self.text)
        return found[1] if found else ""


def entry(facts: Mapping[str, Any]) -> Entry | None:
    """What to cite for a method, metric or data set; None where its fact sheet names no source."""
    own = Entry.parse(str(facts.get("bibtex") or ""))
    if own is not None:
        return own
    reference, doi = str(facts.get("reference") or ""), str(facts.get("doi") or "")
    found = _by_doi().get(doi.lower())
    if found is not None:
        return found
    words = _words(reference)
    for title, known in _by_title().items():
        if title in words:
            return known
    key = re.sub(r"[^A-Za-z0-9-]", "", str(facts.get("name") or ""))
    if not key or not (doi or reference) or reference.startswith("Defined here"):
        return None
    fields = {"title": f"{{{escaped(str(facts.get('title') or key))}}}", "note": escaped(reference)}
    fields |= {"year": str(facts.get("year") or ""), "doi": doi}
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return Entry(key, f"@misc{{{key},\n{body}}}\n")


def itself() -> Entry:
    """The entry of fusionbench."""
    return next(known for known in _known() if known.key == "fusionbench")


def of_method(board: Board, method: str) -> Entry | None:
    """What to cite for a method of a board."""
    return entry(board.tables[method].about.get("method", {}))


def of_metric(board: Board, metric: str) -> Entry | None:
    """What to cite for a metric of a board."""
    return entry(board.column(metric).facts)


def of_data(board: Board) -> Entry | None:
    """What to cite for the pairs of a board."""
    return entry(next((t.about["task"] for t in board.tables.values() if t.about.get("task")), {}))


def bibliography(boards: Iterable[Board]) -> str:
    """The entries of all that some boards show, by key."""
    found = [itself()]
    for board in boards:
        found += [e for method in board.tables if (e := of_method(board, method))]
        found += [e for metric in (*board.metrics, *board.core) if (e := of_metric(board, metric))]
        found += [e for e in (of_data(board),) if e]
    return "\n".join(text for _, text in sorted({e.key: e.text for e in reversed(found)}.items()))


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "—": "---"}
_TEX |= {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "·": r"$\cdot$", "α": r"$\alpha$"}
_TEX |= {"†": r"\dag{}", "‡": r"\ddag{}", "∞": r"$\infty$", "−": "-", "×": r"$\times$"}
_TEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "≥": r"$\geq$"}
_TEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def escaped(text: str) -> str:
    """Text as LaTeX prints it, on one line."""
    return "".join(_TEX.get(character, character) for character in " ".join(text.split()))


def _words(text: str) -> str:
    return f" {' '.join(re.findall('[a-z0-9]+', text.lower().replace('{', '').replace('}', '')))} "


@functools.cache
def _known() -> tuple[Entry, ...]:
    """The bibliography of the package; published methods bring their own entries in the score files."""
    text = (resources.files("fusionbench.report") / "references.bib").read_text("utf-8")
    texts = [f"@{part}" for part in re.split(r"(?m)^@", text)[1:]]
    return tuple(found for found in map(Entry.parse, texts) if found)


@functools.cache
def _by_doi() -> Mapping[str, Entry]:
    return {known.field("doi").lower(): known for known in reversed(_known()) if known.field("doi")}


@functools.cache
def _by_title() -> Mapping[str, Entry]:
    """First five words of the title -> entry, for those without a DOI."""
    titles = {" ".join(_words(e.field("title")).split()[:5]): e for e in _known() if not e.field("doi")}
    return {f" {title} ": known for title, known in titles.items() if title}
