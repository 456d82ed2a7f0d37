"""What a board's scores carry: the statistics among its contenders, with the patient as the unit.

The quantity compared is the mean rank over the core metrics within each pair, averaged over the pairs of a patient; on a
single metric it is the score. Pairs whose patient is not known count as patients of their own, which the outputs say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from fusionbench import stats

FEWEST_UNITS = 6
"""Friedman's, Nemenyi's and Wilcoxon's tests are over patients where there are so many, over pairs otherwise."""


@dataclasses.dataclass(frozen=True)
class Tests:
    """Statistics among the contenders of a board over its common pairs; a string is the reason why there are none.

    ``number``: of patients. ``blocks``: mean rank over the core metrics within each pair. ``best``: p that a contender is
    among the best (``stats.confidence_set``); ``among_best``: those above 0.05, in the board's order; ``tied``: metric ->
    contenders that are so on that metric. ``pairwise``: every two contenders by patient (``stats.pairwise_by_patient``) with
    p_equivalent and verdict; ``margin``: the mean rank that JPEG at quality 95 costs, NaN where that is not known.

    Secondary, for reviewers who ask: ``friedman``, ``nemenyi`` and ``wilcoxon`` (every two, Holm) over ``units``: "patients"
    or, where these are too few, "pairs", which are then counted as if they were independent.
    """

    number: int
    blocks: pd.DataFrame
    best: pd.Series
    among_best: list[str]
    tied: Mapping[str, list[str]]
    pairwise: pd.DataFrame
    margin: float
    bootstrap: stats.Bootstrap | str
    units: Literal["patients", "pairs"]
    friedman: stats.Friedman | str
    nemenyi: stats.Nemenyi | str
    wilcoxon: pd.DataFrame

    @property
    def undecidable(self) -> str:
        """Why so few patients cannot tell any two methods apart; "" where they can."""
        return undecidable(self.number)


def undecidable(patients: int) -> str:
    """ "3 patients cannot decide it (smallest possible p = 0.25)"; "" for six or more."""
    least = stats.smallest_p(patients)
    if least <= stats.ALPHA:
        return ""
    return f"{patients} patient{'' if patients == 1 else 's'} cannot decide it (smallest possible p = {least:.3g})"


def run_tests(
    scores: Mapping[str, pd.DataFrame],
    core: Sequence[str],
    better: Mapping[str, str],
    order: Sequence[str],
    controls: Sequence[str],
    patients: Sequence[str],
    margins: Mapping[str, float],
) -> Tests:
    """The statistics of a board. ``scores``: metric -> frame of common pairs x ranked methods; ``order``: the contenders;
    ``patients``: whose each pair is; ``margins``: of the metrics that have one."""
    own = {metric: frame[list(order)] for metric, frame in scores.items()}
    ranked = {metric: own[metric] for metric in core}
    blocks = stats.pair_ranks(ranked, better)
    by_patient = stats.by_patient(blocks, patients)
    number = len(by_patient)
    best = stats.confidence_set(by_patient)
    pairwise = stats.pairwise_by_patient(by_patient)
    known = all(metric in margins for metric in core) and len(order) > 1 and bool(patients)
    margin = stats.rank_margin(ranked, better, margins) if known else float("nan")
    intervals: stats.Bootstrap | str = "no method is ranked"
    if order:
        every = {metric: frame[[*order, *controls]] for metric, frame in scores.items()}
        intervals = stats.bootstrap(every, core, better, patients, controls)
    units: Literal["patients", "pairs"] = "patients" if number >= FEWEST_UNITS else "pairs"
    secondary = by_patient if units == "patients" else blocks
    return Tests(
        number=number,
        blocks=blocks,
        best=best,
        among_best=[method for method in order if best[method] > stats.ALPHA],
        tied={} if undecidable(number) else {m: _tied(own[m], better[m], patients) for m in own},
        pairwise=judged(pairwise, by_patient, margin),
        margin=margin,
        bootstrap=intervals,
        units=units,
        friedman=stats.friedman(secondary),
        nemenyi=stats.nemenyi(secondary),
        wilcoxon=stats.pairwise(secondary, "lower"),
    )


def judged(pairwise: pd.DataFrame, by_patient: pd.DataFrame, margin: float) -> pd.DataFrame:
    """The comparisons with p_equivalent (each by itself) and a verdict on the first of the two; ranks: lower is better."""
    inside = np.full(len(pairwise), np.nan)
    if not np.isnan(margin) and len(pairwise):
        d = by_patient[pairwise["first"]].to_numpy() - by_patient[pairwise["second"]].to_numpy()
        inside = stats.equivalence(d, margin)
    lines = zip(pairwise["difference"], pairwise["p_adjusted"], inside, pairwise["patients"], strict=True)
    words = [stats.verdict(-d, p, equal, n) for d, p, equal, n in lines]
    return pairwise.assign(p_equivalent=inside, verdict=words)


def _tied(frame: pd.DataFrame, better: str, patients: Sequence[str]) -> list[str]:
    """The contenders in the confidence set of the best on one metric; pairs undefined for all say nothing."""
    useful = frame.notna().any(axis=1).to_numpy()
    losses = frame[useful] * (-1.0 if better == "higher" else 1.0)
    found = stats.confidence_set(stats.by_patient(losses, [p for p, use in zip(patients, useful, strict=True) if use]))
    return [str(method) for method in frame.columns if found[method] > stats.ALPHA]
