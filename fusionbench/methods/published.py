"""What is known of published fusion methods whose images others have released: paper, authors, venue, DOI.

Looked up, never guessed: a field that could not be found is absent. Who made the images is not known here: whoever scores
them says so (``origin``), and every table repeats it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any


def published_facts(name: str) -> dict[str, Any]:
    """Facts of a method by name, upper or lower case; at least ``name``, ``title`` and ``foreign``.

    Where the name is known, also ``reference`` (one line), ``year``, ``family``, ``authors``, ``venue``, ``doi``, ``url``,
    ``bibtex`` and ``note``, as far as they are known. Ready to be stored as the method's facts beside its scores.
    """
    facts: dict[str, Any] = {"name": name, "title": name, "foreign": True}
    found = _table().get(name.lower())
    if found is None:
        return facts
    title, entry = found
    kept = {k: entry[k] for k in ("year", "family", "authors", "venue", "doi", "url", "note") if k in entry}
    return (
        facts | {"title": title, "trained": True, "reference": _reference(entry), "bibtex": bibtex(title, entry)} | kept
    )


def published_names() -> list[str]:
    """Names of all methods known, sorted as printed."""
    return sorted((title for title, _ in _table().values()), key=str.lower)


def bibtex(name: str, entry: Mapping[str, Any]) -> str:
    """A BibTeX entry from a record of the table; empty when not even a paper is known."""
    if "paper" not in entry:
        return ""
    venue = {"article": "journal", "inproceedings": "booktitle"}.get(entry["kind"], "howpublished")
    fields = {"title": f"{{{entry['paper']}}}", "author": entry.get("authors"), venue: entry.get("venue")}
    fields |= {key: entry.get(key) for key in ("volume", "number", "pages", "year", "doi", "url")}
    if "arxiv" in entry:
        fields |= {"eprint": entry["arxiv"], "archiveprefix": "arXiv"}
    body = "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items() if value)
    return f"@{entry['kind']}{{{name},\n{body}}}\n"


def _reference(entry: Mapping[str, Any]) -> str:
    if "paper" not in entry:
        return ""
    first = str(entry.get("authors", "")).split(" and ")
    who = first[0].split()[-1] + (" et al." if len(first) > 1 else "") if first[0] else ""
    where = " ".join(str(entry[k]) for k in ("venue", "volume") if k in entry) or (
        f"arXiv {entry['arxiv']}" if "arxiv" in entry else ""
    )
    return ", ".join(part for part in (who, entry["paper"], where, str(entry.get("year", ""))) if part)


@functools.cache
def _table() -> dict[str, tuple[str, dict[str, Any]]]:
    text = (resources.files("fusionbench.methods") / "published.json").read_text("utf-8")
    return {name.lower(): (name, entry) for name, entry in json.loads(text).items()}
