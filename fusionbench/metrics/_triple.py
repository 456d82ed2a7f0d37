"""What a metric receives: two sources and a fused image, each remembering what several metrics ask of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

T = TypeVar("T")
_KEYS = itertools.count()


class Image:
    """N grey images of one size: ``levels`` (N, H, W) uint8, and ``x``, the same as float64.

    ``memo`` keeps what has been computed once. What depends on two images is kept by the second, under the first one's
    ``key``, a number of its own; the fused image always comes second, so what the sources keep never depends on it. No image
    refers to itself or back, so that everything is freed with the last reference, not by the garbage collector.
    """

    def __init__(self, levels: torch.Tensor | None, x: torch.Tensor | None = None) -> None:
        self.key = next(_KEYS)
        self._levels = levels
        self._x = x
        self._memo: dict[Hashable, Any] = {}

    @property
    def levels(self) -> torch.Tensor:
        if self._levels is None:
            raise ValueError("this is a derived map, it has no grey levels")
        return self._levels

    @property
    def x(self) -> torch.Tensor:
        if self._x is None:
            # NumPy converts on the calling thread; torch would wake its pool, which is slow on a busy machine.
            cpu = self.levels.device.type == "cpu"
            self._x = torch.from_numpy(self.levels.numpy().astype(np.float64)) if cpu else self.levels.double()
        return self._x

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under ``key``, made at the first call."""
        if key not in self._memo:
            self._memo[key] = make()
        value: T = self._memo[key]
        return value

    def derive(self, key: Hashable, make: Callable[[], torch.Tensor]) -> Image:
        """A map made from this image, as an image of its own (without levels), remembered."""
        return self.memo(("derived", key), lambda: Image(None, make()))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """The sources of N pairs and what comes with them.

    ``mask``: (N, H, W) bool or None. ``color``: (N, H, W, 3) uint8 RGB of the second source. ``truth``: ground truth of one
    generated pair, name -> (H, W) array. ``compiled``: the CPU kernels may be used.
    """

    a: Image
    b: Image
    mask: torch.Tensor | None
    color: torch.Tensor | None
    truth: Mapping[str, NDArray[Any]] | None
    compiled: bool


class Triple:
    """Sources ``a`` (structural) and ``b`` and the fused image ``f`` of N pairs, all on one device."""

    def __init__(self, sources: Pairs, fused: Image, fused_rgb: torch.Tensor | None = None) -> None:
        self.a = sources.a
        self.b = sources.b
        self.f = fused
        self.fused_rgb = fused_rgb
        self.mask = sources.mask
        self.color = sources.color
        self.truth = sources.truth
        self.windows = sources.compiled  # windows run over the whole image, mask or not; sums do not
        self.compiled = sources.compiled and sources.mask is None

    @property
    def size(self) -> tuple[int, int, int]:
        """(N, H, W)."""
        n, h, w = self.f.levels.shape
        return n, h, w

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """(N, h, w) map -> (N,) mean: over everything, or over what lies inside the mask.

        A map smaller than the image (valid windows) is taken to be centred on it. NaN where the mask leaves nothing.
        """
        return self.total(values) / self.count(values)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """(N, h, w) map -> (N,) sum, likewise."""
        if self.mask is None:
            return values.sum((1, 2))
        return torch.where(crop(self.mask, values.shape), values, 0.0).sum((1, 2))

    def count(self, values: torch.Tensor) -> torch.Tensor:
        """(N, h, w) map -> (N,) float64 number of entries that :meth:`total` adds up."""
        if self.mask is None:
            return torch.full((len(values),), values[0].numel(), dtype=torch.float64, device=values.device)
        return crop(self.mask, values.shape).sum((1, 2)).double()


def crop(mask: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The centre of (N, H, W) that a map of ``shape`` (N, h, w) covers."""
    top, left = (mask.shape[1] - shape[1]) // 2, (mask.shape[2] - shape[2]) // 2
    return mask[:, top : top + shape[1], left : left + shape[2]]


def foreground(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The head in pairs of slices: (N, H, W) uint8 twice -> (N, H, W) bool.

    A pixel belongs to it where the larger of the two sources, smoothed by a 5 x 5 median, exceeds 5 % of that map's 99th
    percentile (at least level 3); of the connected regions those of at least 10 % of the largest one's area are kept; their
    holes are filled. No valley of the histogram is sought, as PET has none. The whole image where nothing exceeds the level.
    """
    both = torch.maximum(a, b).cpu().numpy()
    return torch.from_numpy(np.stack([_head(image) for image in both])).to(a.device)


def _head(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    smooth = ndimage.median_filter(image, size=5, mode="nearest")
    inside = smooth > max(3.0, 0.05 * float(np.percentile(smooth, 99)))
    labels, count = ndimage.label(inside, structure=np.ones((3, 3)))
    if count == 0:
        return np.ones(image.shape, dtype=np.bool_)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    kept: NDArray[np.bool_] = ndimage.binary_fill_holes((areas >= 0.1 * areas.max())[labels])
    return kept
