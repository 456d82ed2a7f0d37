"""A study: what each observer can tell of the two findings from regions of images, with intervals by subject."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.observers.channels import difference_of_gaussians, laguerre_gauss, read, ring_means
from fusionbench.observers.judge import (
    Auc,
    area,
    boosted_responses,
    efficiency,
    fold_of,
    linear_responses,
    state_accuracy,
)

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]

INTERNAL_NOISE = 0.5
"""Of the difference-of-Gaussians observer, in deviations of each channel: about what halves a person's efficiency."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What is known of M images. ``shows`` (M, 2): whether the first and the second source show their finding; ``subjects``
    (M,): whose each is; ``widths``: of the channels that fit each finding, pixels."""

    shows: NDArray[np.bool_]
    subjects: NDArray[np.str_]
    widths: tuple[float, float]

    @functools.cached_property
    def folds(self) -> NDArray[np.int64]:
        return fold_of(self.subjects, min(10, len(np.unique(self.subjects))))

    @functools.cached_property
    def states(self) -> NDArray[np.int64]:
        """(M,) 0 nothing, 1 the first source's finding, 2 the second's, 3 both."""
        states: NDArray[np.int64] = self.shows.astype(np.int64) @ np.array([1, 2])
        return states


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Areas for the finding of the first and of the second source; ``joint``: the smaller of the two, "the finding that
    suffers"; ``states``: share of images of which a linear discriminant names the state (chance is 1/4)."""

    first: Auc
    second: Auc
    joint: Auc
    states: Auc


def _channels(regions: Sequence[Floats], width: float) -> Floats:
    return np.hstack([read(part, laguerre_gauss(part.shape[1], width)) for part in regions])


def _bands(regions: Sequence[Floats], width: float) -> Floats:
    return np.hstack([read(part, difference_of_gaussians(part.shape[1], first=0.015)) for part in regions])


def _rings(regions: Sequence[Floats], width: float) -> Floats:
    return np.hstack([_channels(regions, width), *(ring_means(part) for part in regions)])


_Read = Callable[[Sequence[Floats], float], Floats]
_Respond = Callable[[Floats, NDArray[np.bool_], NDArray[np.int64]], Floats]
OBSERVERS: Mapping[str, tuple[_Read, _Respond]] = {
    "cho": (_channels, linear_responses),
    "dog": (_bands, functools.partial(linear_responses, internal_noise=INTERNAL_NOISE)),
    "trees": (_rings, boosted_responses),
}
"""``cho``: channelised Hotelling, Laguerre-Gauss; ``dog``: the same on bands of human vision, with internal noise;
``trees``: gradient-boosted trees on channels and ring means, who can read a display that is not monotonic."""


def judge(regions: Sequence[Floats], study: Study, observer: str = "cho") -> Found:
    """What an observer tells from regions around the places: a list of stacks (M, H, W) or, in colours, (M, H, W, 3).

    Several stacks are read side by side: both sources give the upper bound. Raises InputError.
    """
    if observer not in OBSERVERS:
        raise InputError(f"unknown observer {observer!r}; known: {', '.join(OBSERVERS)}")
    reading, respond = OBSERVERS[observer]
    areas, features = [], []
    for k in range(2):
        seen, present = reading(regions, study.widths[k]), study.shows[:, k]
        areas.append(area(respond(seen, present, study.folds), present, study.folds, study.subjects))
        features.append(seen)
        if observer == "dog" or study.widths[0] == study.widths[1]:
            features = features[:1]
    joint = np.minimum(areas[0].draws, areas[1].draws)
    right = state_accuracy(np.hstack(features), study.states, study.folds)
    smaller = min(areas[0].value, areas[1].value)
    return Found(first=areas[0], second=areas[1], joint=_interval(smaller, joint), states=_share(right, study.subjects))


def _interval(value: float, draws: Floats) -> Auc:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Auc(value, float(low), float(high), draws)


def _share(right: NDArray[np.bool_], subjects: NDArray[np.str_], draws: int = 1000) -> Auc:
    """Share of images that are right, with its interval by bootstrap of subjects."""
    _, index = np.unique(subjects, return_inverse=True)
    images, hits = np.bincount(index), np.bincount(index, right)
    n = len(images)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=draws)
    return _interval(float(right.mean()), (counts @ hits) / (counts @ images))


def summary(found: Found, both: Found | None = None) -> dict[str, Interval]:
    """Figures with 95 % intervals, to four digits: areas, joint, states, and each finding's efficiency against ``both``,
    left out where it is not defined."""
    figures = {
        "first": _triple(found.first),
        "second": _triple(found.second),
        "joint": _triple(found.joint),
        "states": _triple(found.states),
    }
    if both is not None:
        shares = {"first": efficiency(found.first, both.first), "second": efficiency(found.second, both.second)}
        figures |= {f"efficiency-{name}": _rounded(x) for name, x in shares.items() if np.isfinite(x).all()}
    return figures


def _triple(auc: Auc) -> Interval:
    return _rounded((auc.value, auc.low, auc.high))


def _rounded(values: Interval) -> Interval:
    return round(values[0], 4), round(values[1], 4), round(values[2], 4)
