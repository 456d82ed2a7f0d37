"""What ``score`` is told of a foreign method: options, a file of facts, a BibTeX entry, and how its images are named."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.common import FILE, options
from fusionbench.errors import InputError
from fusionbench.methods.published import published_facts
from fusionbench.report.references import Entry
from fusionbench.scores import FROM_IMAGES
from fusionbench.scores.facts import FIELDS, bare_doi, fault

NOTHING = "nothing"
"""What --trained-on says of a method that learnt nothing."""

OPTIONS = (
    "facts_file", "title", "year", "reference", "doi", "bibtex_file", "code", "origin", "trained_on", "trained_for", "note",
    "pattern",
)  # fmt: skip
"""The parameters of facts_options."""

facts_options = options(
    click.option("--facts", "facts_file", type=FILE, help=f"TOML or JSON file of: {', '.join(FIELDS)}."),
    click.option("--title", help="Name shown to people, if another."),
    click.option("--year", type=int, help="Year of publication."),
    click.option("--reference", default="", help="Citation [default: made of --bibtex]."),
    click.option("--doi", default="", help="DOI of the publication."),
    click.option("--bibtex", "bibtex_file", type=FILE, help="File with its BibTeX entry, for references.bib."),
    click.option("--code", default="", metavar="URL", help="Where its code is."),
    click.option(
        "--origin", default="", help=f"Who made the images, such as: authors' release [default: {FROM_IMAGES}]."
    ),
    click.option(
        "--trained-on",
        multiple=True,
        help='What the method has seen: "harvard", or "harvard:16,20" (these cases), "nothing"; repeatable.',
    ),
    click.option(
        "--trained-for", multiple=True, help="A metric that its loss or choice contains, such as ssim; repeatable."
    ),
    click.option("--note", default="", help="What else a reader must know of them."),
    click.option("--pattern", default="", help="How the images are named, such as '{id}_fused.png' [default: {id}]."),
)


def stated_facts(said: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a foreign method from the values of ``facts_options`` and ``name``.

    What an option says comes before what the file of facts says, that before what the BibTeX entry says, and that before
    what is known here of a method of that name. Raises InputError for a file that cannot be read, a field that there is
    not, or a value that cannot be right.
    """
    given = given_facts(said)
    if "name" not in given:
        raise InputError("name the method: --name NAME, or name = ... in the file of --facts")
    return {"family": "foreign"} | published_facts(given["name"]) | given


def given_facts(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the options, the file of facts and the BibTeX entry say, and nothing else; raises as :func:`stated_facts`."""
    given: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in said.items() if v}
    facts_file, bibtex_file = given.pop("facts_file", None), given.pop("bibtex_file", None)
    from_file = _read_facts(facts_file) if facts_file else {}
    if bibtex_file:
        given["bibtex"] = _read(bibtex_file)
    if given.get("trained_on") == [NOTHING]:
        given["trained_on"] = []
    stated = from_file | given
    entry = _of_entry(str(stated["bibtex"]), str(bibtex_file or facts_file)) if "bibtex" in stated else {}
    return _checked(entry | stated)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text in UTF-8; save it as that") from None


def _read_facts(path: Path) -> dict[str, Any]:
    text = _read(path)
    try:
        table = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as TOML (or, named *.json, JSON): {error}; correct it") from None
    for field, value in table.items() if isinstance(table, dict) else [("the whole", table)]:
        if told := fault(field, value):
            raise InputError(f"{path}: {told}")
    return dict(table)


def _of_entry(text: str, where: str) -> dict[str, Any]:
    """What a BibTeX entry says: year, doi and a citation in one line."""
    if Entry.parse(text) is None or len(re.findall(r"(?m)^\s*@\w+\s*\{", text)) != 1:
        raise InputError(f"{where}: not one BibTeX entry (@article{{key, ...}}); give a file that holds just it")
    fields = bibtex_fields(text)
    authors = [person for person in re.split(r"\s+and\s+", fields.get("author", "")) if person]
    first = authors[0].partition(",")[0].split()[-1:] if authors else []
    venue = next((fields[name] for name in ("journal", "booktitle", "howpublished", "publisher") if name in fields), "")
    who = " ".join(first) + (" et al." if len(authors) > 1 else "")
    parts = (who, fields.get("title", ""), venue, fields.get("year", ""))
    found: dict[str, Any] = {"reference": ", ".join(filter(None, parts)), "doi": fields.get("doi", "")}
    if re.fullmatch(r"\d{4}", fields.get("year", "")):
        found["year"] = int(fields["year"])
    return {field: value for field, value in found.items() if value}


def bibtex_fields(text: str) -> dict[str, str]:
    """The fields of one BibTeX entry by name in lower case, on one line each, without braces and quotes."""
    fields: dict[str, str] = {}
    place = text.find(",") + 1
    while found := re.compile(r"\s*(\w+)\s*=\s*").match(text, place):
        begin = place = found.end()
        depth, quoted = 0, text[begin : begin + 1] == '"'
        while place < len(text):
            letter = text[place]
            depth += (letter == "{") - (letter == "}")
            if depth < 0 or (letter == "," and not depth and not (quoted and text[begin:place].count('"') < 2)):
                break
            place += 1
        fields[found[1].lower()] = " ".join(text[begin:place].translate(dict.fromkeys(map(ord, '{}"'))).split())
        place += 1
    return fields


def _checked(facts: dict[str, Any]) -> dict[str, Any]:
    for field, value in facts.items():
        if told := fault(field, value):
            raise InputError(told)
    return facts | ({"doi": bare_doi(facts["doi"])} if facts.get("doi") else {})
