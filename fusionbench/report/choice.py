"""Which boards a results folder holds: tasks, profiles and masks, narrowed to what was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fusionbench.errors import InputError
from fusionbench.report.boards import Board, make_board
from fusionbench.scores import Column, Key, Table


@dataclasses.dataclass(frozen=True)
class Only:
    """Which methods are ranked at all; controls always stay.

    ``unexposed``: those alone that are known to have seen no patient of the board in training. ``origins``: those that come
    from there ("reimplemented", "trained here", "third-party run" ...). ``without_own``: none whose weights fusionbench
    trained itself.
    """

    unexposed: bool = False
    origins: tuple[str, ...] = ()
    without_own: bool = False

    def keeps(self, table: Table) -> bool:
        if table.control:
            return True
        if self.unexposed and (table.exposure.seen or not table.exposure.known):
            return False
        if self.origins and table.origin.lower() not in {name.lower() for name in self.origins}:
            return False
        return not (self.without_own and table.origin == "trained here")


EVERYBODY = Only()


def make_boards(
    tables: Sequence[Table],
    facts: Mapping[str, Any],
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    beside: Sequence[str] = (),
    profiles: Sequence[str] = (),
    only: Only = EVERYBODY,
    findings: Mapping[Key, Mapping[str, float]] | None = None,
) -> list[Board]:
    """All boards of some tables: a task under each profile whose core metrics it has, the default profile first.

    A board shows its profile's metrics, and beside them those that were asked for singly. ``facts``: what
    ``scores.read_metric_facts`` returns. ``methods``, ``profiles`` narrow the choice; ``metrics``: show these alone, the
    mean rank stays on the core; ``beside``: show these columns too; ``only``: which methods are ranked at
    all; ``findings``: place -> what ``truth.findings`` returns. Names are taken in upper or lower case.
    Raises InputError for a name that is nowhere in the results.
    """
    known = {t.key.method for t in tables} | {t.name for t in tables}
    methods = _known("method", methods, known)
    metrics = _known("metric", metrics, _present(tables), "; `fusionbench run --metric ID` adds one")
    profiles = _known("profile", profiles, facts["profiles"])
    named = [t for t in tables if not methods or t.key.method in methods or t.name in methods]
    chosen = [t for t in named if only.keeps(t)]
    if only.origins and all(t.control for t in chosen):
        origins = sorted({t.origin for t in named if not t.control})
        raise InputError(f"no method comes from {' or '.join(only.origins)}; there are: {', '.join(origins)}")
    boards = []
    places = {Key(t.key.dataset, t.key.task) for t in chosen}
    for place in sorted(places, key=lambda key: (bool(key.flaw), key)):
        own = {t.key.method: t for t in chosen if Key(t.key.dataset, t.key.task) == place}
        present = _present(own.values())
        found = _profiles(own.values(), facts, profiles)
        singles = dict.fromkeys([*_singles(own.values(), facts), *(m for m in beside if m in present)])
        masks = {Column.parse(ids[0]).mask for *_, ids in found}
        for name, title, shown, core in found:
            mask = Column.parse(core[0]).mask
            # What was scored inside a mask stands beside a profile inside it, where there is one.
            shown += [m for m in singles if m not in shown and _home(m, masks) == mask]
            if metrics:
                inside = [m if Column.parse(m).mask else str(Column.parse(m).inside(mask)) for m in metrics]
                shown = [m for m in inside if m in present]
            if shown:
                told = (findings or {}).get(place, {})
                boards.append(make_board(place, name, title, shown, core, facts["metrics"], own, told))
    return boards


def _home(column: str, masks: Collection[str]) -> str:
    """The mask whose boards show a column that no profile holds; "", the whole image, where its own has none."""
    mask = Column.parse(column).mask
    return mask if mask in masks else ""


def _present(tables: Iterable[Table]) -> set[str]:
    """The columns that have a score anywhere."""
    return {metric for table in tables for record in table.pairs.values() for metric in record.get("scores", {})}


def _singles(tables: Iterable[Table], facts: Mapping[str, Any]) -> list[str]:
    """The columns that were asked for singly: those that no profile explains whose core was asked for as a whole."""
    tables = list(tables)
    present = _present(tables)
    asked = present | {column for table in tables for column in table.about.get("metric_versions", {})}
    explained: set[str] = set()
    for mask in {Column.parse(column).mask for column in asked}:
        for profile in facts["profiles"].values():
            ids, core = (
                {str(Column.parse(m).inside(mask)) for m in names} for names in (profile["metrics"], _core(profile))
            )
            explained |= ids if core <= asked else set()
    return sorted(present - explained)


def _core(profile: Mapping[str, Any]) -> Sequence[str]:
    """The metrics of a profile that enter the mean rank: all of them, where it does not say."""
    core: Sequence[str] = profile.get("core") or profile["metrics"]
    return core


def why_none(tables: Sequence[Table], facts: Mapping[str, Any], profiles: Sequence[str]) -> str:
    """Why a choice leaves no board, and what to do."""
    present = _present(tables)
    if not present:
        return "no method has a score; run `fusionbench run` again and see why they failed"
    for name in _known("profile", profiles, facts["profiles"]):
        lacking = [metric for metric in _core(facts["profiles"][name]) if metric not in present]
        if lacking:
            return f"profile {name}: not scored, {', '.join(lacking)} lacking; add it: fusionbench run --profile {name}"
    return "no task has what was chosen; choose other methods, profiles or metrics"


def _known(kind: str, wanted: Sequence[str], known: Iterable[str], remedy: str = "") -> list[str]:
    """Names as the results spell them. Raises InputError for one that is not there."""
    spelled = {name.lower(): name for name in sorted(known)}
    for name in wanted:
        if name.lower() not in spelled:
            raise InputError(
                f"{kind} {name!r} is not in these results; there are: {', '.join(sorted(spelled.values()))}{remedy}"
            )
    return [name if name in spelled.values() else spelled[name.lower()] for name in wanted]


def _profiles(
    tables: Iterable[Table], facts: Mapping[str, Any], wanted: Sequence[str]
) -> list[tuple[str, str, list[str], list[str]]]:
    """(name, title, metrics, core) of each profile that the tables hold, also in masked form ("dmfnet+foreground")."""
    present = _present(tables)
    masks = sorted({Column.parse(m).mask for m in present})
    found = []
    for name, profile in facts["profiles"].items():
        core = _core(profile)
        for mask in masks:
            masked, ranked = ([str(Column.parse(m).inside(mask)) for m in ids] for ids in (profile["metrics"], core))
            if (not wanted or name in wanted) and core and present.issuperset(ranked):
                shown = [m for m in masked if m in present]
                # A profile's name takes a mask as a metric's does.
                found.append((str(Column(name, mask=mask)), str(profile.get("title", name)), shown, ranked))
    if not found and present and not wanted:
        # Metrics chosen by hand, or no fact sheets: rank by whatever has a direction.
        core = [m for m in sorted(present) if not Column.parse(m, facts["metrics"]).describes] or sorted(present)
        found = [("chosen", "metrics chosen by hand", sorted(present), core)]
    return sorted(found, key=lambda item: (bool(Column.parse(item[0]).mask), item[0] != "dmfnet"))
