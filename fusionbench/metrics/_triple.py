"""What a metric receives: three batches of grey images, each remembering what several metrics ask of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

T = TypeVar("T")

MASKED_METRICS_NOTE = (
    "Inside a mask, histograms, moments and correlations are taken over its pixels; maps (SSIM, gradients, VIF) are computed "
    "on the whole images and averaged over the windows whose centre lies inside."
)


class Image:
    """(N, H, W) uint8 ``levels``; ``x``: the same as float64. ``memo`` keeps what has been computed once."""

    def __init__(self, levels: torch.Tensor) -> None:
        self.levels = levels
        self._memo: dict[Hashable, Any] = {}

    @property
    def x(self) -> torch.Tensor:
        return self.memo("x", self._doubles)

    def _doubles(self) -> torch.Tensor:
        if self.levels.device.type != "cpu":
            return self.levels.double()
        return torch.from_numpy(
            self.levels.numpy().astype(np.float64)
        )  # torch wakes its threads for this: slow when busy

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under ``key``, made at the first call."""
        if key not in self._memo:
            self._memo[key] = make()
        value: T = self._memo[key]
        return value


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """The sources of N pairs and what comes with them.

    ``mask``: (N, H, W) bool or None. ``color``: (N, H, W, 3) uint8 RGB of the second source. ``truth``: ground truth of a
    generated pair. ``compiled``: the CPU kernels may be used.
    """

    a: Image
    b: Image
    mask: torch.Tensor | None
    color: torch.Tensor | None
    truth: dict[str, NDArray[Any]] | None
    compiled: bool
    memos: dict[Hashable, Any] = dataclasses.field(default_factory=dict)

    @property
    def has(self) -> set[str]:
        """What metrics may need and these sources have."""
        return {name for name in ("truth", "color") if getattr(self, name) is not None}


class Triple:
    """Sources ``a`` (structural), ``b`` and the fused image ``f``, all on one device."""

    def __init__(self, sources: Pairs, fused: Image, fused_rgb: torch.Tensor | None = None) -> None:
        self.sources = sources
        self.a = sources.a
        self.b = sources.b
        self.f = fused
        self.fused_rgb = fused_rgb
        self.mask = sources.mask
        self.color = sources.color
        self.truth = sources.truth
        self.compiled = sources.compiled
        self._memo: dict[Hashable, Any] = {}

    @property
    def size(self) -> tuple[int, int, int]:
        """(N, H, W)."""
        n, h, w = self.f.levels.shape
        return n, h, w

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """As :meth:`Image.memo`, for what depends on more than one image."""
        if key not in self._memo:
            self._memo[key] = make()
        value: T = self._memo[key]
        return value

    def source_memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """As :meth:`Image.memo`, for what depends on both sources and the mask, not on the fused image."""
        if key not in self.sources.memos:
            self.sources.memos[key] = make()
        value: T = self.sources.memos[key]
        return value

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """(N, h, w) map -> (N,) mean: over everything, or over what lies inside the mask.

        A map smaller than the image (valid windows) is taken to be centred on it. NaN where the mask leaves nothing.
        """
        return self.total(values) / self.count(values)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """(N, h, w) map -> (N,) sum, likewise."""
        if self.mask is None:
            return values.sum((1, 2))
        return torch.where(self._inside(values), values, 0.0).sum((1, 2))

    def count(self, values: torch.Tensor) -> torch.Tensor:
        """(N, h, w) map -> (N,) float64 number of entries that :meth:`total` adds up."""
        if self.mask is None:
            return values.new_full((len(values),), values[0].numel(), dtype=torch.float64)
        return self._inside(values).sum((1, 2)).double()

    def _inside(self, values: torch.Tensor) -> torch.Tensor:
        assert_mask = self.mask
        if assert_mask is None:
            raise ValueError("there is no mask")
        top = (assert_mask.shape[1] - values.shape[1]) // 2
        left = (assert_mask.shape[2] - values.shape[2]) // 2
        return assert_mask[:, top : top + values.shape[1], left : left + values.shape[2]]


def foreground(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The head in a pair of slices: (N, H, W) uint8 twice -> (N, H, W) bool.

    A pixel belongs to it where the larger of the two sources, smoothed by a 5 x 5 median, exceeds 5 % of that map's 99th
    percentile (at least level 3); of the connected regions those of at least 10 % of the largest one's area are kept; their
    holes are filled. No histogram valley is sought, as there is none in PET. Falls back to the whole image where nothing
    exceeds the level.
    """
    both = torch.maximum(a, b).cpu().numpy()
    found = np.stack([_head(image) for image in both])
    return torch.from_numpy(found).to(a.device)


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
