"""Correct what score files say of a method, without scoring anything again; who did it and why stays in the file.

Facts such as ``trained_on`` become known after the scores are made. A correction changes the method's facts in the head of
its tables and nothing else: scores, digests and fingerprints stay. It is kept when the table is scored on, and holds
wherever nobody says something else. Images that turn out to be wrong (of other weights, in another convention) are
``withdrawn``, with the reason: their row stays on record, and is ranked no more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fusionbench.bench.ledger import locked
from fusionbench.bench.provenance import plain
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.scores import find_tables, read_table, write_table

CORRECTED = (
    "title", "origin", "reference", "doi", "year", "code", "url", "note", "trained_on", "trained_for", "withdrawn",
)  # fmt: skip
"""What may be corrected: words about a method, none of which a score depends on."""


def correct(
    results: Path, author: str, reason: str, *, methods: Collection[str] = (), facts: Mapping[str, Any] | None = None
) -> list[str]:
    """Correct the tables of some methods (all where none is named) in a results folder; returns a line a table changed.

    ``facts``: field -> value, of CORRECTED; None gives the methods of this package what their own fact sheets say now, for
    tables made before those said it. Raises InputError for an unknown field, an empty author or reason, or a name that has
    no table.
    """
    wrong = [field for field in facts or {} if field not in CORRECTED]
    if wrong:
        raise InputError(f"{wrong[0]!r} cannot be corrected; there are: {', '.join(CORRECTED)}")
    if not author.strip() or not reason.strip():
        raise InputError("a correction needs --author and --reason: both stay in the score files")
    keys = [key for key in find_tables(results) if not methods or key.method in methods]
    missing = sorted(set(methods) - {key.method for key in keys})
    if missing:
        raise InputError(f"{results}: no scores of {', '.join(missing)}; name methods as their score files do")
    told = []
    with locked(results):
        for key in keys:
            table = read_table(results, key)
            method = dict(table.about.get("method", {}))
            now = _sheet(key.method_name, method) if facts is None else plain(dict(facts))
            changed = {field: [method.get(field), value] for field, value in now.items() if method.get(field) != value}
            if changed:
                entry = {"author": author, "reason": reason, "changed": changed}
                table.about["method"] = method | {field: now[field] for field in changed}
                table.about["corrections"] = [*table.about.get("corrections", []), entry]
                write_table(results, table)
                told.append(f"{key.dataset}/{key.task}/{key.method}: {', '.join(changed)}")
    return told


def _sheet(name: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a method's fact sheet says now of the fields that its table does not have; nothing for one with other weights."""
    if name not in METHODS or stored.get("foreign") or stored.get("origin"):
        return {}
    facts = plain(dataclasses.asdict(METHODS[name].facts))
    return {field: facts[field] for field in ("origin", "trained_on", "trained_for") if field not in stored}
