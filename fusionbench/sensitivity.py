"""Convention sensitivity: does the ranking of methods survive another convention of the same metric?

Works on tables of means alone, so that reports need no metric; see docs/metrics for what the conventions are.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Iterable, Mapping

from scipy import stats

# Numbers that go by one name in papers although their ids have another stem.
_SAME_HEADING = {"viff": "vif", "qg": "qabf", "nmi": "mi", "mef-ssim": "ssim", "mef-ms-ssim": "ms-ssim"}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two conventions of one metric over the methods that have both.

    ``tau``: Kendall's tau-b between the two rankings, 1 the same, -1 reversed; NaN where either ties all methods.
    ``winners``: the best method under each, controls left out. ``leading_controls``: controls ahead of that winner.
    """

    metric: str
    first: str
    second: str
    tau: float
    methods: int
    winners: tuple[str, str]
    leading_controls: tuple[tuple[str, ...], tuple[str, ...]]


def heading(column: str) -> str:
    """The name under which papers print a column: ``ssim@l2+foreground`` -> ``ssim``, ``viff`` -> ``vif``."""
    stem = column.partition("+")[0].partition("@")[0]
    return _SAME_HEADING.get(stem, stem)


def compare_conventions(
    means: Mapping[str, Mapping[str, float]], customary: Mapping[str, str], *, controls: Collection[str] = ()
) -> list[Comparison]:
    """Compare every two columns with one heading; the least stable pair first.

    ``means``: method -> column -> mean score of one task. ``customary``: column -> "higher" or "lower" (is better), from the
    facts in the score files. ``controls``: methods that cannot win. Columns without a direction and pairs with fewer than
    three methods in common are passed over; NaN scores count as missing. Raises ValueError for any other direction.
    """
    wrong = sorted({d for d in customary.values() if d not in ("higher", "lower")})
    if wrong:
        raise ValueError(f"direction {wrong[0]!r}: must be 'higher' or 'lower'")
    columns = sorted({c for scores in means.values() for c in scores if c in customary})
    found = []
    for metric, group in itertools.groupby(sorted(columns, key=lambda c: (heading(c), c)), key=heading):
        for first, second in itertools.combinations(list(group), 2):
            shared = sorted(m for m, s in means.items() if _has(s, first) and _has(s, second))
            if len(shared) < 3:
                continue
            x, y = (_gains(means, shared, c, customary[c]) for c in (first, second))
            tau = float(stats.kendalltau(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else math.nan
            best = [_winner(dict(zip(shared, gains, strict=True)), controls) for gains in (x, y)]
            found.append(
                Comparison(metric, first, second, tau, len(shared), (best[0][0], best[1][0]), (best[0][1], best[1][1]))
            )
    return sorted(found, key=lambda c: (math.isnan(c.tau), c.tau, c.first, c.second))


def to_markdown(comparisons: Iterable[Comparison]) -> str:
    """A table, one row a comparison; a leading control is named after the winner."""
    lines = ["| heading | convention | other convention | Kendall tau | winner | winner under the other |"]
    lines.append("| --- | --- | --- | ---: | --- | --- |")
    for c in comparisons:
        winners = [
            winner + (f" (behind {', '.join(ahead)})" if ahead else "")
            for winner, ahead in zip(c.winners, c.leading_controls, strict=True)
        ]
        lines.append(f"| {c.metric} | {c.first} | {c.second} | {c.tau:.2f} | {winners[0]} | {winners[1]} |")
    return "\n".join(lines) + "\n"


def _has(scores: Mapping[str, float], column: str) -> bool:
    return column in scores and not math.isnan(scores[column])


def _gains(
    means: Mapping[str, Mapping[str, float]], methods: Iterable[str], column: str, direction: str
) -> list[float]:
    sign = 1.0 if direction == "higher" else -1.0
    return [sign * means[m][column] for m in methods]


def _winner(gains: Mapping[str, float], controls: Collection[str]) -> tuple[str, tuple[str, ...]]:
    order = sorted(gains, key=lambda m: (-gains[m], m))
    for position, method in enumerate(order):
        if method not in controls:
            return method, tuple(order[:position])
    return "", tuple(order)
