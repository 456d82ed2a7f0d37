"""Large images: tiles whose overlaps are blended.

A tile is normalised and attended to on its own, so a tiled result differs slightly from the whole image's; the overlap of
a quarter tile, blended linearly, keeps seams invisible. Memory grows with the tile, not with the image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fusionbench.methods.dmfnet.model import Noise


def run_tiled(
    network: Callable[[Tensor, Tensor, Noise], Tensor], a: Tensor, b: Tensor, noise: Noise, tile: int
) -> Tensor:
    """Run a network on (N,1,H,W) images in tiles of at most `tile` x `tile`, all sides multiples of its stride."""
    height, width = a.shape[-2:]
    if max(height, width) <= tile:
        return network(a, b, noise)
    total, weight = torch.zeros_like(a), torch.zeros_like(a[:1])
    for top in _starts(height, tile):
        for left in _starts(width, tile):
            at = (..., slice(top, top + tile), slice(left, left + tile))
            piece = network(a[at], b[at], Noise(noise.eps[at], noise.level))
            ramp = _ramp(piece.shape[-2], tile)[:, None] * _ramp(piece.shape[-1], tile)
            total[at] += piece * ramp.to(piece)
            weight[at] += ramp.to(piece)
    return total / weight


def _starts(size: int, tile: int) -> list[int]:
    """Tile origins a stride of three quarters of a tile apart; the last tile ends at the border."""
    if size <= tile:
        return [0]
    return [*range(0, size - tile, tile * 3 // 4), size - tile]


def _ramp(size: int, tile: int) -> Tensor:
    """Blending weights along one axis: rising over a quarter tile at each end, never zero."""
    index = torch.arange(size) + 1.0
    return torch.minimum(index, index.flip(0)).clamp(max=tile // 4)
