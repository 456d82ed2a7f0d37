"""A study: what each observer can tell of the two findings from regions of images, with intervals by subject."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.observers.channels import WINDOW, difference_of_gaussians, laguerre_gauss, middle, read, ring_means
from fusionbench.observers.judge import (
    Auc,
    area,
    boosted_responses,
    efficiency,
    fold_of,
    interval,
    linear_responses,
    search,
    share,
    state_accuracy,
)
from fusionbench.observers.pixels import MOST_SUBJECTS, classify

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


RADIUS = 8
"""Pixels within which a search looks, around a point that lies at random within as many pixels of the place."""

REGION = WINDOW + 4 * RADIUS
"""Pixels of a region's side: what a known place needs, and a search around it."""


def _channels(part: Floats, width: float) -> Floats:
    return read(part, laguerre_gauss(part.shape[1], width))


def _bands(part: Floats, width: float) -> Floats:
    return read(part, difference_of_gaussians(part.shape[1], first=0.015))


def _rings(part: Floats, width: float) -> Floats:
    return np.hstack([_channels(part, width), ring_means(part)])


_Read = Callable[[Floats, float], Floats]
_Respond = Callable[[Floats, NDArray[np.bool_], NDArray[np.int64]], Floats]
_Seen = tuple[Floats, Floats]  # features (M, C), responses (M,)


def _known_place(reading: _Read, respond: _Respond, regions: Sequence[Floats], study: Study, k: int) -> _Seen:
    seen = np.hstack([reading(middle(part), study.widths[k]) for part in regions])
    return seen, respond(seen, study.shows[:, k], study.folds)


def _search(regions: Sequence[Floats], study: Study, k: int) -> _Seen:
    if any(part.shape[1] != REGION for part in regions):
        raise InputError(f"a search reads regions of {REGION} pixels; observe again")
    channels = laguerre_gauss(WINDOW, study.widths[k])
    best, _ = search(regions, channels, study.shows[:, k], study.folds, _searched(len(study.subjects), 2 * RADIUS))
    return best[:, None], best


def _searched(count: int, reach: int) -> NDArray[np.bool_]:
    """(count, 2 reach + 1, 2 reach + 1): a disk in each image, its centre at random within RADIUS of the place; the first
    images have the same disks whatever the count."""
    drawn = np.random.default_rng(0).random((count, 2))
    far, angle = RADIUS * np.sqrt(drawn[:, 0]), 2 * np.pi * drawn[:, 1]
    axis = np.arange(-reach, reach + 1)
    rows = axis[None, :, None] - (far * np.sin(angle))[:, None, None]
    columns = axis[None, None, :] - (far * np.cos(angle))[:, None, None]
    inside: NDArray[np.bool_] = np.hypot(rows, columns) <= RADIUS
    return inside


_noisy = functools.partial(linear_responses, internal_noise=INTERNAL_NOISE)
OBSERVERS: Mapping[str, Callable[[Sequence[Floats], Study, int], _Seen]] = {
    "cho": functools.partial(_known_place, _channels, linear_responses),
    "dog": functools.partial(_known_place, _bands, _noisy),
    "trees": functools.partial(_known_place, _rings, boosted_responses),
    "search": _search,
}
"""``cho``: channelised Hotelling, Laguerre-Gauss; ``dog``: the same on bands of human vision, with internal noise;
``trees``: gradient-boosted trees on channels and ring means, who can read a display that is not monotonic; ``search``: the
first, who does not know the place and takes the largest response of a disk in which it lies."""


def judge(regions: Sequence[Floats], study: Study, observer: str = "cho") -> Found:
    """What an observer tells from regions around the places: a list of stacks (M, H, W) or, in colours, (M, H, W, 3).

    Several stacks are read side by side: both sources give the upper bound. Raises InputError.
    """
    if observer not in OBSERVERS:
        raise InputError(f"unknown observer {observer!r}; known: {', '.join(OBSERVERS)}")
    areas, features = [], []
    for k in range(2):
        seen, responses = OBSERVERS[observer](regions, study, k)
        areas.append(area(responses, study.shows[:, k], study.folds, study.subjects))
        features.append(seen)
    if np.array_equal(features[0], features[1]):
        features = features[:1]
    joint = np.minimum(areas[0].draws, areas[1].draws)
    right = state_accuracy(np.hstack(features), study.states, study.folds)
    return Found(
        first=areas[0],
        second=areas[1],
        joint=interval(min(areas[0].value, areas[1].value), joint),
        states=share(right.astype(np.float64), np.ones(len(right)), study.subjects),
    )


def label(regions: Sequence[Floats], labels: NDArray[np.uint8], study: Study) -> dict[str, Interval]:
    """Dice of a pixel classifier for each class (``pixels.classify``), of the first subjects, as ``dice-CLASS``."""
    few = len(np.unique(study.subjects)) > MOST_SUBJECTS
    own = np.isin(study.subjects, np.unique(study.subjects)[:MOST_SUBJECTS]) if few else np.ones(len(labels), np.bool_)
    found = classify([part[own] for part in regions], labels[own], study.subjects[own], study.folds[own] % 2)
    return {f"dice-{name}": _triple(dice) for name, dice in found.items()}


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
