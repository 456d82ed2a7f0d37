"""From score tables to leaderboards: which methods are compared on which pairs, their means, and their ranks.

A *board* is one task under one profile. Rules, told again in every output:

* Methods are compared on the pairs that all ranked methods share. One that covers fewer than half of a task's pairs, or
  lacks a core metric, is listed apart with the reason and takes no part.
* Controls get the rank they would have among the contenders, and never a place.
* An undefined score (NaN) is counted and shown; a mean over the rest is printed with a mark, and ranks last. A pair on
  which a metric is undefined for every method says nothing of the methods, and is left out for that metric.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fusionbench import stats
from fusionbench.errors import InputError
from fusionbench.scores import FROM_IMAGES, Column, Key, Table


@dataclasses.dataclass(frozen=True)
class Board:
    """One task under one profile. Frames have a row a method (``Table.key.method``) and a column a metric.

    ``place``: data set and task. ``order``: contenders, best first; ``controls``: likewise by the rank they would have;
    ``apart``: method -> why it is not ranked. ``pairs``: the common pairs; ``total``: all pairs of the task. ``means``,
    ``stds`` (n - 1), ``ranks`` and ``undefined`` (NaN counts) are over the common pairs. ``scores``: metric -> frame of
    common pairs x ranked methods.
    """

    place: Key
    profile: str
    title: str
    metrics: list[str]
    core: list[str]
    facts: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Table]
    order: list[str]
    controls: list[str]
    apart: Mapping[str, str]
    pairs: list[str]
    total: int
    scores: Mapping[str, pd.DataFrame]
    means: pd.DataFrame
    stds: pd.DataFrame
    ranks: pd.DataFrame
    undefined: pd.DataFrame
    mean_rank: pd.Series
    borda: pd.Series
    wins: pd.Series
    notes: list[str]

    @property
    def dataset(self) -> str:
        """The data set as results name it, with split and degradation."""
        return self.place.dataset

    @property
    def task(self) -> str:
        return self.place.task

    @property
    def ranked(self) -> list[str]:
        """Contenders, then controls."""
        return [*self.order, *self.controls]

    @property
    def better(self) -> dict[str, str]:
        return {metric: self.column(metric).better for metric in (*self.metrics, *self.core)}

    def column(self, metric: str) -> Column:
        """A column of the board with its fact sheet."""
        return Column.parse(metric, self.facts)

    @property
    def clusters(self) -> list[str]:
        """The case of each common pair; a pair without a known case is a case of its own."""
        table = self.tables[self.ranked[0]]
        return [str(table.pairs[pair].get("case") or f"pair {pair}") for pair in self.pairs]

    @property
    def cases_known(self) -> bool:
        table = self.tables[self.ranked[0]] if self.ranked else None
        return table is not None and all(table.pairs[pair].get("case") for pair in self.pairs)

    def cell(self, frame: pd.DataFrame, method: str, metric: str) -> float:
        """One number of ``means``, ``stds``, ``ranks`` or ``undefined``."""
        return float(frame.to_numpy()[frame.index.get_loc(method), frame.columns.get_loc(metric)])

    def name(self, method: str) -> str:
        """The title of a method, made unique on this board by its file name where two share one."""
        title = self.tables[method].name
        shared = sum(table.name == title for table in self.tables.values()) > 1
        settings = self.tables[method].key.settings
        return f"{title} ({settings or method})" if shared or settings else title

    def origin(self, method: str) -> str:
        """Where images come from that were made elsewhere and scored here, as whoever scored them said; else ""."""
        facts = self.tables[method].about.get("method", {})
        if not facts.get("foreign"):
            return ""
        # Version 0.1.0 wrote it at the head of the note, if at all.
        before = "third-party run" if str(facts.get("note", "")).startswith("third-party run") else FROM_IMAGES
        return str(facts.get("origin") or before)

    def seconds(self, method: str) -> float:
        """Median seconds a pair: as profiled where ``fusionbench profile`` has run, else as recorded while fusing."""
        profiled = self.tables[method].about.get("profile_stats") or {}
        if profiled.get("seconds") is not None:
            return float(profiled["seconds"])
        seconds = [float(r["seconds"]) for r in self.tables[method].pairs.values() if r.get("seconds") is not None]
        return float(np.median(seconds)) if seconds else math.nan

    def device(self, method: str) -> str:
        """Where :meth:`seconds` were measured; "" where that is not on record."""
        about = self.tables[method].about
        profiled = about.get("profile_stats") or {}
        return str((profiled if profiled.get("seconds") is not None else about).get("device_name") or "")

    def cost(self, method: str, what: str) -> float:
        """``parameters``, ``flops`` or ``peak_memory`` (bytes) as profiled; NaN where not measured."""
        value = (self.tables[method].about.get("profile_stats") or {}).get(what)
        return math.nan if value is None else float(value)

    @functools.cached_property
    def tests(self) -> Tests:
        """The statistics, computed when first asked for."""
        return _run_tests(self)

    def placing(self, metric: str) -> dict[str, str]:
        """Contender -> "best" or "second" on a metric, by mean; ties share a place.

        None where nothing is defined, nor for a single contender, who beats nobody.
        """
        if len(self.order) < 2:
            return {}
        ranks = self.ranks.loc[self.order, metric][self.undefined.loc[self.order, metric] == 0]
        ranks = ranks[self.means.loc[ranks.index, metric].notna()]
        levels = sorted(ranks.unique())[:2]
        words = dict(zip(levels, ("best", "second"), strict=False))
        # Two methods that tie for the first place leave no second.
        if len(levels) == 2 and (ranks == levels[0]).sum() > 1:
            words.pop(levels[1])
        return {str(method): words[value] for method, value in ranks.items() if value in words}


@dataclasses.dataclass(frozen=True)
class Tests:
    """Statistics among the contenders of a board, over its common pairs; a string is the reason why there are none.

    ``blocks``: mean rank over the core metrics within each pair. ``pairwise``: Wilcoxon on ``blocks``, Holm over all
    comparisons. ``tied``: metric -> contenders not shown to differ from the best one (Holm over the comparisons with it);
    ``tied_first``: contenders that ``pairwise`` does not tell from the first by mean rank, that one first.
    """

    blocks: pd.DataFrame
    friedman: stats.Friedman | str
    nemenyi: stats.Nemenyi | str
    pairwise: pd.DataFrame
    tied: Mapping[str, list[str]]
    tied_first: list[str]
    bootstrap: stats.Bootstrap | str


def make_boards(
    tables: Sequence[Table],
    facts: Mapping[str, Any],
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    beside: Sequence[str] = (),
    profiles: Sequence[str] = (),
) -> list[Board]:
    """All boards of some tables: a task under each profile whose core metrics it has, the default profile first.

    A board shows its profile's metrics, and beside them those that were asked for singly. ``facts``: what
    ``scores.read_metric_facts`` returns. ``methods``, ``profiles`` narrow the choice; ``metrics``: show these alone, the
    mean rank stays on the core; ``beside``: show these columns too. Names are taken in upper or lower case.
    Raises InputError for a name that is nowhere in the results.
    """
    known = {t.key.method for t in tables} | {t.name for t in tables}
    methods = _known("method", methods, known)
    metrics = _known("metric", metrics, _present(tables), "; `fusionbench run --metric ID` adds one")
    profiles = _known("profile", profiles, facts["profiles"])
    chosen = [t for t in tables if not methods or t.key.method in methods or t.name in methods]
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
                boards.append(_make_board(place, name, title, shown, core, facts["metrics"], own))
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


def narrowed(board: Board, methods: Sequence[str], pairs: Sequence[str]) -> Board:
    """The same board over some of its methods and pairs alone: their means, and their ranks among themselves."""
    tables = {m: board.tables[m] for m in methods}
    few = {m: dataclasses.replace(t, pairs={pair: t.pairs[pair] for pair in pairs}) for m, t in tables.items()}
    return _make_board(board.place, board.profile, board.title, board.metrics, board.core, board.facts, few)


def acronym(title: str) -> str:
    """ "LP" of "Laplacian pyramid (LP)": what brackets at the end hold, if it has two capitals; "" for "Net (compact)"."""
    found = re.fullmatch(r".*\(([^()]{2,12})\)", title)
    return found[1] if found and len(re.findall("[A-Z]", found[1])) > 1 else ""


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


def _make_board(
    place: Key,
    profile: str,
    title: str,
    metrics: list[str],
    core: list[str],
    facts: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, Table],
) -> Board:
    pairs, total, apart, notes = _common_pairs(tables, core)
    ranked = [method for method in tables if method not in apart]
    controls = [method for method in ranked if tables[method].control]
    frames = {method: tables[method].frame().reindex(index=pairs) for method in ranked}
    wanted = list(dict.fromkeys([*metrics, *core]))
    scores = {
        metric: pd.DataFrame({m: frame.get(metric, np.nan) for m, frame in frames.items()}, index=pairs, dtype=float)
        for metric in wanted
    }
    better = {metric: Column.parse(metric, facts).better for metric in wanted}
    means, stds, undefined = (pd.DataFrame(index=ranked, columns=wanted, dtype=float) for _ in range(3))
    ranks = pd.DataFrame(index=ranked, columns=wanted, dtype=float)
    for metric, frame in scores.items():
        useful = frame.loc[frame.notna().any(axis=1)]
        means[metric], stds[metric] = useful.mean(axis=0), useful.std(axis=0, ddof=1)
        undefined[metric] = useful.isna().sum(axis=0)
        if len(useful) < len(frame):
            notes.append(f"{metric} is undefined for every method on {len(frame) - len(useful)} pairs, left out for it")
        ranks[metric] = stats.rank_beside(means[metric].where(undefined[metric] == 0), better[metric], set(controls))
    mean_rank = ranks[core].mean(axis=1)
    contenders = [m for m in ranked if m not in controls]
    full = means.where(undefined == 0)
    order = sorted(contenders, key=lambda m: (mean_rank[m], tables[m].name, m))
    board = Board(
        place=place,
        profile=profile,
        title=title,
        metrics=metrics or wanted,
        core=core,
        facts=facts,
        tables=tables,
        order=order,
        controls=sorted(controls, key=lambda m: (mean_rank[m], tables[m].name, m)),
        apart=apart,
        pairs=pairs,
        total=total,
        scores=scores,
        means=means,
        stds=stds,
        ranks=ranks,
        undefined=undefined.fillna(0).astype(int),
        mean_rank=mean_rank,
        borda=stats.borda({m: scores[m][contenders] for m in core}, better),
        wins=stats.share_of_wins(full.loc[contenders, core], better),
        notes=notes,
    )
    notes.extend(_warnings(board))
    return board


def _common_pairs(tables: Mapping[str, Table], core: Sequence[str]) -> tuple[list[str], int, dict[str, str], list[str]]:
    """(common pairs, number of all pairs, method -> why it is not ranked, notes)."""
    every = sorted({pair for table in tables.values() for pair in table.pairs})
    covered: dict[str, set[str]] = {}
    apart: dict[str, str] = {}
    notes: list[str] = []
    for method, table in tables.items():
        held = {m for record in table.pairs.values() for m in record.get("scores", {})}
        lacking = [m for m in core if m not in held]
        done = {pair for pair, record in table.pairs.items() if all(m in record.get("scores", {}) for m in core)}
        if table.pairs and len(table.errors()) == len(table.pairs):
            apart[method] = f"failed on all {len(table.pairs)} pairs ({next(iter(table.errors().values()))})"
        elif lacking:
            apart[method] = f"not scored under this profile (lacks {', '.join(lacking)})"
        elif 2 * len(done) < len(every):
            apart[method] = f"covers {len(done)} of {len(every)} pairs, fewer than half"
        else:
            covered[method] = done
            if table.errors():
                notes.append(f"{table.name} failed on {len(table.errors())} of {len(every)} pairs")
    common = [pair for pair in every if covered and all(pair in done for done in covered.values())]
    same = [p for p in common if len({tables[m].pairs[p].get("pair") for m in covered}) == 1]
    if len(same) < len(common):
        notes.append(f"{len(common) - len(same)} pairs were scored against different source images; left out")
    if covered and not same:
        apart |= dict.fromkeys(covered, "no pair is common to all methods")
    elif len(same) < len(every):
        notes.append(f"compared on the {len(same)} of {len(every)} pairs that all ranked methods share")
    return same, len(every), apart, notes


def _warnings(board: Board) -> list[str]:
    """What a reader of the table must not miss."""
    found = []
    for control in board.controls:
        won = [m for m in board.metrics if board.order and board.ranks.loc[control, m] == 1.0]
        if won:
            names = ", ".join(board.column(m).short for m in won)
            found.append(f"the control {board.name(control)} is ahead of every method on {names}")
    for method in board.ranked:
        cells = board.undefined.loc[method]
        for metric in [m for m in board.metrics if cells[m] > 0]:
            found.append(
                f"{board.column(metric).short} of {board.name(method)} is undefined on {cells[metric]} of "
                f"{len(board.pairs)} pairs; ranked last on it"
            )
    return found


def _run_tests(board: Board) -> Tests:
    own = {metric: frame[board.order] for metric, frame in board.scores.items()}
    better = {metric: board.column(metric).better for metric in board.scores}
    blocks = stats.pair_ranks({m: own[m] for m in board.core}, better)
    tied = {metric: stats.tied_with_best(own[metric], better[metric]) for metric in own if board.pairs}
    pairwise = stats.pairwise(blocks, "lower")
    ranked = {metric: board.scores[metric][board.ranked] for metric in board.scores}
    intervals: stats.Bootstrap | str = "no method is ranked"
    if board.order:
        intervals = stats.bootstrap(ranked, board.core, better, board.clusters, board.controls)
    return Tests(
        blocks=blocks,
        friedman=stats.friedman(blocks),
        nemenyi=stats.nemenyi(blocks),
        pairwise=pairwise,
        tied=tied,
        tied_first=_tied_with_first(board.order, pairwise),
        bootstrap=intervals,
    )


def _tied_with_first(order: Sequence[str], pairwise: pd.DataFrame) -> list[str]:
    lines = pairwise[((pairwise["first"] == order[0]) | (pairwise["second"] == order[0]))] if order else pairwise[:0]
    apart = lines[lines["p_holm"] < stats.ALPHA]
    told = {*apart["first"], *apart["second"]}
    return [method for method in order if method == order[0] or method not in told]
