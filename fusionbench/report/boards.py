"""From score tables to leaderboards: which methods are compared on which pairs, their means, and their ranks.

A *board* is one task under one profile. Rules, told again in every output:

* Methods are compared on the pairs that all ranked methods share. One that covers fewer than half of a task's pairs, or
  lacks a core metric, or was withdrawn, is listed apart with the reason and takes no part.
* Controls get the rank they would have among the contenders, and never a place.
* An undefined score (NaN) is counted and shown; a mean over the rest is printed with a mark, and ranks last. A pair on
  which a metric is undefined for every method says nothing of the methods, and is left out for that metric.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import math
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fusionbench import stats
from fusionbench.report.inference import Tests, run_tests
from fusionbench.scores import Column, Key, Table, conflicts, person

SOURCES_ALONE = ("source-a", "source-b")
"""The controls that return a source."""


@dataclasses.dataclass(frozen=True)
class Board:
    """One task under one profile. Frames have a row a method (``Table.key.method``) and a column a metric.

    ``place``: data set and task. ``order``: contenders, best first; ``controls``: likewise by the rank they would have;
    ``apart``: method -> why it is not ranked. ``pairs``: the common pairs; ``total``: all pairs of the task. ``means``,
    ``stds`` (n - 1), ``ranks`` and ``undefined`` (NaN counts) are over the common pairs. ``scores``: metric -> frame of
    common pairs x ranked methods. ``findings``: method -> joint area of a model observer on pairs with known truth, made by
    the same generator; {} where nothing was observed.
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
    findings: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """The data set as results name it, with split and degradation."""
        return self.place.dataset

    @property
    def task(self) -> str:
        return self.place.task

    @property
    def task_title(self) -> str:
        """ "PET–MRI" for ``pet-mri``; other names as they are."""
        parts = self.task.split("-")
        known = {"ct", "mri", "pet", "spect", "us", "t1", "t2"}
        return "–".join(p.upper() for p in parts) if set(parts) <= known else self.task

    @property
    def ranked(self) -> list[str]:
        """Contenders, then controls."""
        return [*self.order, *self.controls]

    @property
    def first(self) -> list[str]:
        """The contenders with the best mean rank: one, or those that share the first place."""
        return [method for method in self.order if self.place_of(method) == 1]

    def place_of(self, method: str) -> int:
        """The place of a contender, 1 the first; those that tie share the best of theirs."""
        own = round(float(self.mean_rank[method]), 9)
        return 1 + sum(round(float(self.mean_rank[other]), 9) < own for other in self.order)

    @property
    def better(self) -> dict[str, str]:
        return {metric: self.column(metric).better for metric in (*self.metrics, *self.core)}

    def column(self, metric: str) -> Column:
        """A column of the board with its fact sheet."""
        return Column.parse(metric, self.facts)

    @property
    def patients(self) -> list[str]:
        """The patient of each common pair; a pair without a known case is a patient of its own."""
        if not self.pairs:
            return []
        table = self.tables[self.ranked[0]]
        return [str(table.pairs[pair].get("case") or f"pair {pair}") for pair in self.pairs]

    @property
    def persons(self) -> list[str]:
        """Who each common pair is of, by one name in all tasks of the data set; a pair of nobody known is one of its own."""
        task = self.tables[self.ranked[0]].about.get("task", {}) if self.ranked else {}
        cases = [str(self.tables[self.ranked[0]].pairs[pair].get("case") or "") for pair in self.pairs]
        return [person(task, case) or f"{self.task} {pair}" for case, pair in zip(cases, self.pairs, strict=True)]

    @property
    def margins(self) -> dict[str, float]:
        """The differences that are of no use, of the metrics that have such a margin."""
        return {m: float(v) for m in self.scores if (v := self.facts.get(m, {}).get("margin")) is not None}

    @property
    def patients_known(self) -> bool:
        table = self.tables[self.ranked[0]] if self.ranked else None
        return table is not None and all(table.pairs[pair].get("case") for pair in self.pairs)

    def cell(self, frame: pd.DataFrame, method: str, metric: str) -> float:
        """One number of ``means``, ``stds``, ``ranks`` or ``undefined``."""
        return float(frame.to_numpy()[frame.index.get_loc(method), frame.columns.get_loc(metric)])

    @property
    def modalities(self) -> tuple[str, str]:
        """Names of the two sources, structural first, as the task's fact sheet gives them."""
        for table in self.tables.values():
            names = table.about.get("task", {}).get("modalities")
            if names:
                return str(names[0]), str(names[1])
        return "source A", "source B"

    def name(self, method: str) -> str:
        """The title of a method, made unique on this board by its file name where two share one; a source by itself goes
        by its modality."""
        if method in SOURCES_ALONE:
            return f"{self.modalities[SOURCES_ALONE.index(method)]} alone"
        title = self.tables[method].name
        shared = sum(table.name == title for table in self.tables.values()) > 1
        settings = self.tables[method].key.settings
        return f"{title} ({settings or method})" if shared or settings else title

    def origin(self, method: str) -> str:
        """Where images come from that were made elsewhere and scored here, as whoever scored them said; else ""."""
        table = self.tables[method]
        return table.origin if table.about.get("method", {}).get("foreign") else ""

    def conflicts(self, method: str) -> list[str] | None:
        """The core metrics that a method was made for, by their headings; None where that is not known."""
        found = conflicts(self.tables[method].about.get("method", {}), self.core)
        return None if found is None else [self.column(metric).short for metric in found]

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

    def frame(self) -> pd.DataFrame:
        """The ranking as a table: index ``method``, contenders first; columns ``title``, ``place`` (NaN for a control),
        ``mean_rank`` and the mean of each metric shown, by its id."""
        place = [float(self.place_of(m)) if m in self.order else math.nan for m in self.ranked]
        head = pd.DataFrame({"title": [self.name(m) for m in self.ranked], "place": place}, index=self.ranked)
        found = head.assign(mean_rank=self.mean_rank).join(self.means[self.metrics])
        found.index.name = "method"
        return found

    def _repr_html_(self) -> str:
        """How a notebook shows it: places, mean ranks and means; best bold, second underlined, controls in italics."""
        headings = ["", "Method", "Mean rank", *(metric_heading(self, metric) for metric in self.metrics)]
        if self.findings:
            headings.append("Both findings")
        places = {metric: self.placing(metric) for metric in self.metrics}
        rows = []
        for method in self.ranked:
            control = method in self.controls
            name = html.escape(self.name(method))
            cells = ["" if control else str(self.place_of(method)), f"<i>{name}</i>" if control else name]
            cells.append(f"{self.mean_rank[method]:.2f}")
            for metric in self.metrics:
                text = number(self.cell(self.means, method, metric))
                tag = {"best": "b", "second": "u"}.get(places[metric].get(method, ""))
                cells.append(f"<{tag}>{text}</{tag}>" if tag else text)
            if self.findings:
                cells.append(number(self.findings.get(method, math.nan), 2))
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        core = ", ".join(self.column(metric).short for metric in self.core)
        notes = [f"Means over {len(self.pairs)} pairs; mean rank over {core}. Italics: controls, which win no place."]
        return (
            f'<div style="overflow-x:auto"><b>{html.escape(title_of(self))}</b><table><thead><tr>'
            + "".join(f"<th>{html.escape(text)}</th>" for text in headings)
            + f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
            + "".join(f"<p>{html.escape(text)}</p>" for text in [*notes, *self.notes])
            + "</div>"
        )

    @functools.cached_property
    def tests(self) -> Tests:
        """The statistics, computed when first asked for."""
        better = {metric: self.column(metric).better for metric in self.scores}
        return run_tests(self.scores, self.core, better, self.order, self.controls, self.patients, self.margins)

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


def number(value: float, decimals: int = 4) -> str:
    """Four decimals, as the literature prints; fewer for huge values; an en dash where there is no value."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{decimals if abs(value) < 1e5 else 0}f}"


def metric_heading(board: Board, metric: str) -> str:
    """ "SSIM ↑", "EN* ↑": the asterisk stands for a metric that describes."""
    arrow = {"higher": "↑", "lower": "↓"}[board.better[metric]]
    column = board.column(metric)
    return f"{column.short}{'*' if column.describes else ''} {arrow}"


def title_of(board: Board) -> str:
    """ "PET–MRI, phantom, profile dmfnet"."""
    return f"{board.task_title}, {board.dataset}, profile {board.profile}"


def narrowed(board: Board, methods: Sequence[str], pairs: Sequence[str]) -> Board:
    """The same board over some of its methods and pairs alone: their means, and their ranks among themselves."""
    tables = {m: board.tables[m] for m in methods}
    few = {m: dataclasses.replace(t, pairs={pair: t.pairs[pair] for pair in pairs}) for m, t in tables.items()}
    return make_board(board.place, board.profile, board.title, board.metrics, board.core, board.facts, few)


def acronym(title: str) -> str:
    """ "LP" of "Laplacian pyramid (LP)": what brackets at the end hold, if it has two capitals; "" for "Net (compact)"."""
    found = re.fullmatch(r".*\(([^()]{2,12})\)", title)
    return found[1] if found and len(re.findall("[A-Z]", found[1])) > 1 else ""


def make_board(
    place: Key,
    profile: str,
    title: str,
    metrics: list[str],
    core: list[str],
    facts: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, Table],
    findings: Mapping[str, float] = types.MappingProxyType({}),
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
        undefined=undefined.astype(int),
        mean_rank=mean_rank,
        borda=stats.borda({m: scores[m][contenders] for m in core}, better),
        wins=stats.share_of_wins(full.loc[contenders, core], better),
        notes=notes,
        findings=findings,
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
        if withdrawn := table.about.get("method", {}).get("withdrawn"):
            apart[method] = f"withdrawn: {withdrawn}"
        elif table.pairs and len(table.errors()) == len(table.pairs):
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
