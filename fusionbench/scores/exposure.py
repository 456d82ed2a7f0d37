"""Who has seen the patients that a table is about, and who was made for the metrics that it ranks by.

A method's facts hold ``trained_on``: entries ``DATASET`` (all its patients, or nobody knows which) and
``DATASET:PERSON,PERSON`` (these alone); () for one that learnt nothing, None for one whose training is not known, which
counts as having seen everybody. ``trained_for`` names the metrics (as papers print them: "ssim", "qabf") that its loss, its
search or the choice of its weights contains; None where that is not known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fusionbench.scores.keys import Column


def person(task: Mapping[str, Any], case: str) -> str:
    """Who a case of a task is, one name for one person in all tasks of a data set; "" where that is not known.

    ``task``: facts of a task; where ``people`` says so, its numbers name other persons than those of other tasks.
    """
    return f"{task.get('people') or ''} {case}".strip() if case else ""


def entry(dataset: str, persons: Iterable[str]) -> str:
    """What ``trained_on`` holds for these persons of a data set; for all of it where one of them is not known."""
    names = sorted(set(persons))
    return f"{dataset}:{','.join(names)}" if names and all(names) else dataset


@dataclasses.dataclass(frozen=True)
class Exposure:
    """How many of some persons a method has seen in training; ``known``: whether that is on record (else all count)."""

    seen: int
    persons: int
    known: bool = True

    def __str__(self) -> str:
        if not self.known:
            return "unknown"
        return "none" if not self.seen else "all" if self.seen == self.persons else f"{self.seen} of {self.persons}"


def exposure(method: Mapping[str, Any], dataset: str, persons: Iterable[str]) -> Exposure:
    """Of these persons of a data set, how many a method (its facts) was trained on. ``dataset``: without split."""
    everybody = set(persons)
    trained_on = training(method)
    if trained_on is None:
        return Exposure(len(everybody), len(everybody), known=False)
    seen: set[str] = set()
    for name in trained_on:
        source, colon, names = name.partition(":")
        if source == dataset:
            # A person without a name may be one of those seen.
            seen |= {p for p in everybody if not p or p in names.split(",")} if colon else everybody
    return Exposure(len(seen), len(everybody))


def training(method: Mapping[str, Any]) -> list[str] | None:
    """``trained_on`` of a method's facts; None, not known, for one that was trained and does not say on what. Of a foreign
    one nothing is known that nobody says; that it learnt nothing can be said, by an empty list."""
    stated = method.get("trained_on")
    if stated is None:
        return None if method.get("trained") or method.get("foreign") else []
    return None if method.get("trained") and not stated else list(stated)


def conflicts(method: Mapping[str, Any], columns: Sequence[str]) -> list[str] | None:
    """Those of some columns whose metric, in any convention, a method was made for; None where that is not known."""
    stated = method.get("trained_for")
    if stated is None:
        return None if method.get("trained") or method.get("foreign") else []
    return [column for column in columns if Column.parse(column).heading in stated]
