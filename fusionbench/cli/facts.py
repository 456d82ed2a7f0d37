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

TEXTS = (
    "name", "title", "family", "reference", "authors", "venue", "doi", "url", "code", "bibtex", "origin", "licence",
    "note", "pattern",
)  # fmt: skip
LISTS = ("trained_on", "trained_for")

facts_options = options(
    click.option(
        "--facts", "facts_file", type=FILE, help=f"TOML or JSON file of: year, {', '.join((*TEXTS, *LISTS))}."
    ),
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
        help='What the method has seen: "harvard", or "harvard:16,20" (these cases); repeatable.',
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
    given: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in said.items() if v}
    facts_file, bibtex_file = given.pop("facts_file", None), given.pop("bibtex_file", None)
    from_file = _read_facts(facts_file) if facts_file else {}
    if bibtex_file:
        given["bibtex"] = _read(bibtex_file)
    stated = from_file | given
    if "name" not in stated:
        raise InputError("name the method: --name NAME, or name = ... in the file of --facts")
    entry = _of_entry(str(stated["bibtex"]), str(bibtex_file or facts_file)) if "bibtex" in stated else {}
    return _checked({"family": "foreign"} | published_facts(stated["name"]) | entry | stated)


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
        fits = {
            "year": type(value) is int,
            **dict.fromkeys(TEXTS, isinstance(value, str)),
            **dict.fromkeys(LISTS, isinstance(value, list) and all(isinstance(item, str) for item in value)),
        }
        if field not in fits:
            raise InputError(f"{path}: unknown field {field!r}; there are: {', '.join(fits)}")
        if not fits[field]:
            wanted = "a whole number" if field == "year" else "text" if field in TEXTS else "a list of texts"
            raise InputError(f"{path}: {field} = {value!r} has the wrong type; give {wanted}")
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
    if doi := facts.get("doi"):
        facts["doi"] = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", doi.strip(), flags=re.IGNORECASE)
        if not re.fullmatch(r"10\.\d{4,9}/\S+", facts["doi"]):
            raise InputError(f"doi {doi!r}: a DOI looks like 10.1109/TMM.2025.3613156; correct it")
    for field in ("code", "url"):
        if facts.get(field) and not re.fullmatch(r"https?://[^\s<>\"]+", facts[field]):
            raise InputError(f"{field} {facts[field]!r}: give an address that begins with http:// or https://")
    if (year := facts.get("year")) is not None and not 1950 <= year <= 2100:
        raise InputError(f"year {year}: give the year of publication")
    return facts
