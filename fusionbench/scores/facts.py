"""What may be said of a method that was run elsewhere: the fields, what each may hold, and what cannot be right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TEXTS = (
    "name", "title", "family", "reference", "authors", "venue", "doi", "url", "code", "bibtex", "origin", "licence",
    "note", "pattern",
)  # fmt: skip
LISTS = ("trained_on", "trained_for")
FIELDS = ("year", *TEXTS, *LISTS)


def fault(field: str, value: Any) -> str:
    """Why a field cannot hold a value, with what to do about it; "" where it can."""
    if field not in FIELDS:
        return f"unknown field {field!r}; there are: {', '.join(FIELDS)}"
    if field == "year":
        fits, wanted = type(value) is int, "a whole number"
    elif field in TEXTS:
        fits, wanted = isinstance(value, str), "text"
    else:
        fits, wanted = isinstance(value, list) and all(isinstance(item, str) for item in value), "a list of texts"
    if not fits:
        return f"{field} = {value!r} has the wrong type; give {wanted}"
    if field == "year" and not 1950 <= value <= 2100:
        return f"year {value}: give the year of publication"
    if field == "doi" and value and not re.fullmatch(r"10\.\d{4,9}/\S+", bare_doi(value)):
        return f"doi {value!r}: a DOI looks like 10.1109/TMM.2025.3613156; correct it"
    if field in ("code", "url") and value and not re.fullmatch(r"https?://[^\s<>\"]+", value):
        return f"{field} {value!r}: give an address that begins with http:// or https://"
    return ""


def bare_doi(text: str) -> str:
    """``https://doi.org/10.1/x`` -> ``10.1/x``."""
    return re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", text.strip(), flags=re.IGNORECASE)


def faults(facts: Mapping[str, Any]) -> list[str]:
    """A line for each field that cannot be right."""
    return [told for field, value in facts.items() if (told := fault(field, value))]
