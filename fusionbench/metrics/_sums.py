"""Sums of products of grey levels, which are exact integers, and what follows from them at once."""

from __future__ import annotations

import numpy as np
import torch

from fusionbench.metrics._kernels import levels as kernels
from fusionbench.metrics._ops import flat
from fusionbench.metrics._triple import Image, Triple


def pixels(t: Triple) -> torch.Tensor:
    """(N,) float64 number of pixels that count."""
    return t.a.memo("pixels", lambda: t.count(t.a.levels))


_FACTORS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of A, B, F: the products of kernels.moments, in its order


def _compiled(t: Triple) -> dict[tuple[str, int, int], torch.Tensor]:
    """All sums ("sum", k, k), products and covariances (name, j, k) of A, B, F by one kernel, each (N,). Remembered by F."""

    def compute() -> dict[tuple[str, int, int], torch.Tensor]:
        sums = np.empty((9, t.size[0]))
        kernels.moments(flat(t.a.levels), flat(t.b.levels), flat(t.f.levels), sums)
        n = float(t.size[1] * t.size[2])
        first, second = ([pair[k] for pair in _FACTORS] for k in (0, 1))
        covariances = (n * sums[3:] - sums[first] * sums[second]) / (n * n)
        keys = [("sum", k, k) for k in range(3)]
        keys += [(name, j, k) for name in ("product", "covariance") for j, k in _FACTORS]
        rows = torch.from_numpy(np.concatenate((sums, covariances))).unbind()
        found = dict(zip(keys, rows, strict=True))
        return found | {(name, k, j): row for (name, j, k), row in found.items()}

    return t.f.memo(("moments of levels", t.a.key, t.b.key), compute)


def _place(t: Triple, image: Image) -> int:
    return 0 if image is t.a else 1 if image is t.b else 2


def total(t: Triple, image: Image) -> torch.Tensor:
    """(N,) float64 sum of levels of A, B or F."""
    if t.compiled:
        return _compiled(t)["sum", _place(t, image), _place(t, image)]

    def add() -> torch.Tensor:
        levels = image.levels if t.mask is None else image.levels * t.mask
        return levels.sum((1, 2), dtype=torch.int64).double()

    return image.memo("sum", add)


def products(t: Triple, x: Image, y: Image) -> torch.Tensor:
    """(N,) float64 sum of x y, two of A, B and F."""
    if t.compiled:
        return _compiled(t)["product", _place(t, x), _place(t, y)]

    def add() -> torch.Tensor:
        levels = x.levels.long() if t.mask is None else x.levels.long() * t.mask
        return (levels * y.levels).sum((1, 2)).double()

    return y.memo(("products", x.key), add)


def covariance(t: Triple, x: Image, y: Image) -> torch.Tensor:
    """(N,) float64 population covariance of two of A, B and F. Integers below 2^53 up to 370,000 pixels, so exact, and zero
    for a flat image."""
    if t.compiled:
        return _compiled(t)["covariance", _place(t, x), _place(t, y)]

    def compute() -> torch.Tensor:
        n = pixels(t)
        return (n * products(t, x, y) - total(t, x) * total(t, y)) / (n * n)

    return y.memo(("level covariance", x.key), compute)


def correlation(covariance: torch.Tensor, variance_x: torch.Tensor, variance_y: torch.Tensor) -> torch.Tensor:
    """Pearson's r; 0 / 0 is NaN where either is constant."""
    return covariance / torch.sqrt(variance_x * variance_y)


def squared_error(t: Triple, source: Image) -> torch.Tensor:
    """(N,) mean squared difference of source and fused image, remembered."""

    def compute() -> torch.Tensor:
        sums = products(t, source, source) + products(t, t.f, t.f) - 2 * products(t, source, t.f)
        return sums / pixels(t)

    return t.f.memo(("squared error", source.key), compute)
