"""Searches over a few bounded parameters, and the objective by which the tuned methods judge a fused image.

Each search maximises ``score`` over the unit cube and returns the best point seen. Candidates start at uniform random
points, the first at the cube's centre.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from fusionbench.methods import Generators

Array = NDArray[np.float64]
Score = Callable[[Array], float]


def objective(image: Array) -> float:
    """Entropy / 8 + 2 x standard deviation + 4 x mean gradient modulus of an image in [0, 1], each about 0 to 1."""
    image = np.clip(image, 0, 1)
    share = np.bincount((image * 255 + 0.5).astype(np.intp).ravel(), minlength=256) / image.size
    used = share[share > 0]
    entropy = -(used * np.log2(used)).sum()
    slope = (
        np.hypot(np.diff(image, axis=0)[:, :-1], np.diff(image, axis=1)[:-1]) if min(image.shape) > 1 else np.zeros(1)
    )
    return float(entropy / 8 + 2 * image.std() + 4 * slope.mean())


def jaya(score: Score, dimension: int, population: int, iterations: int, random: np.random.Generator) -> Array:
    """JAYA (Rao, doi:10.5267/j.ijiec.2015.8.004): x + r1 (best - |x|) - r2 (worst - |x|), kept when better."""
    points, values = _start(score, dimension, population, random)
    for _ in range(iterations):
        best, worst = points[values.argmax()].copy(), points[values.argmin()].copy()
        for index in range(population):
            first, second = random.random((2, dimension))
            size = np.abs(points[index])
            _keep_better(score, points, values, index, points[index] + first * (best - size) - second * (worst - size))
    return np.asarray(points[values.argmax()])


def identity_search(
    score: Score, dimension: int, population: int, iterations: int, random: np.random.Generator
) -> Array:
    """A population search in the manner of adolescent identity search (Bogar and Beyhan, doi:10.1016/j.asoc.2020.106503).

    Each candidate takes one of three moves, at random: towards the mean of the better half, from the worst towards a
    random better peer, or towards a point with all coordinates alike. Kept when better.
    """
    points, values = _start(score, dimension, population, random)
    for _ in range(iterations):
        order = np.argsort(-values)
        model, worst = points[order[: max(1, population // 2)]].mean(axis=0), points[order[-1]].copy()
        for index in range(population):
            move, pull = random.integers(3), random.random(dimension)
            if move == 0:
                target = model - points[index]
            elif move == 1:
                target = points[order[random.integers(max(1, population // 2))]] - worst
            else:
                target = random.random() - points[index]
            _keep_better(score, points, values, index, points[index] + pull * target)
    return np.asarray(points[values.argmax()])


def grey_wolves(score: Score, dimension: int, population: int, iterations: int, random: np.random.Generator) -> Array:
    """Grey wolf optimiser (Mirjalili, doi:10.1016/j.advengsoft.2013.12.007): led by the three best, a from 2 to 0."""
    points, values = _start(score, dimension, population, random)
    best, best_value = points[values.argmax()].copy(), values.max()
    for step in range(iterations):
        reach = 2 - 2 * step / iterations
        leaders = points[np.argsort(-values)[:3]].copy()
        for index in range(population):
            swing = reach * (2 * random.random(leaders.shape) - 1)
            distance = np.abs(2 * random.random(leaders.shape) * leaders - points[index])
            points[index] = np.clip((leaders - swing * distance).mean(axis=0), 0, 1)
            values[index] = score(points[index])
        if values.max() > best_value:
            best, best_value = points[values.argmax()].copy(), values.max()
    return np.asarray(best)


def _start(score: Score, dimension: int, population: int, random: np.random.Generator) -> tuple[Array, Array]:
    points = random.random((population, dimension))
    points[0] = 0.5
    return points, np.array([score(point) for point in points])


def _keep_better(score: Score, points: Array, values: Array, index: int, candidate: Array) -> None:
    candidate = np.clip(candidate, 0, 1)
    value = score(candidate)
    if value > values[index]:
        points[index], values[index] = candidate, value


def per_pair(
    function: Callable[[Array, Array, np.random.Generator], Array],
    a: torch.Tensor,
    b: torch.Tensor,
    generator: Generators,
) -> torch.Tensor:
    """Run a NumPy method that needs random numbers on every pair of a batch; the result is clipped to [0, 1]."""
    import torch  # heavy

    generators = generator if isinstance(generator, Sequence) else [generator] * len(a)
    fused = []
    for x, y, source in zip(a[:, 0], b[:, 0], generators, strict=True):
        seed = int(torch.randint(2**62, (1,), generator=source, device=source.device))
        fused.append(function(x.double().cpu().numpy(), y.double().cpu().numpy(), np.random.default_rng(seed)))
    return torch.from_numpy(np.stack(fused)).clamp(0, 1).to(a)[:, None]
