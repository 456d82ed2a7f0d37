"""Stage II network of DM-FNet: fuses the frozen U-Net's decoder maps of two images into one image.

Source: He et al., IEEE TMM 2025, doi 10.1109/TMM.2025.3613156; the released code where it differs from the paper.
Parameter names are the published ones. The attention follows content-guided attention (Chen et al., DEA-Net,
IEEE TIP 2024, doi 10.1109/TIP.2024.3354108), except that the product of the map and the gate, unbounded, is the weight.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.methods._layers import Pointwise

FUSION_STEPS = (5, 10, 20)
HEAD_WIDTH = 64


def _convs(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        Pointwise(width_in, width_out), nn.ReLU(), nn.Conv2d(width_out, width_out, 3, padding=1), nn.ReLU()
    )


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class StepMerge(nn.Module):
    """One map from those of the noise steps, (N, steps * width, h, w) -> (N, width, h, w)."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.block = _convs(steps * width, width)

    def forward(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.block(maps))


class SpatialAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sa = nn.Conv2d(2, 1, 7, padding=3, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.sa(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)))


class ChannelAttention(nn.Module):
    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        self.ca = nn.Sequential(
            nn.Conv2d(width, width // reduction, 1), nn.ReLU(), nn.Conv2d(width // reduction, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.ca(x.mean((2, 3), keepdim=True)))


class PixelAttention(nn.Module):
    """Gate in (0, 1): a 3x3 convolution of each channel beside its attention, which is spatial plus channel attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pa2 = nn.Conv2d(2 * width, width, 3, padding=1, padding_mode="reflect", groups=width)

    def forward(self, x: Tensor, spatial: Tensor, channel: Tensor) -> Tensor:
        """x: (N,C,h,w), spatial: (N,1,h,w), channel: (N,C,1,1). By linearity the grouped convolution of the interleaved
        maps is a depthwise one of x and an ordinary one of the spatial part: the same sums, several times faster."""
        own, attention = torch.split(self.pa2.weight, 1, dim=1)
        gate = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), own, self.pa2.bias, groups=len(own))
        gate = gate + F.conv2d(F.pad(spatial, (1, 1, 1, 1), mode="reflect"), attention)
        return torch.sigmoid(gate + channel * attention.sum((1, 2, 3))[:, None, None])


class AdaptiveAttention(nn.Module):
    """Weighs two maps of the same shape by their sum's attention and adds both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sa = SpatialAttention()
        self.ca = ChannelAttention(width)
        self.pa = PixelAttention(width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        total = x + y
        weight = total * self.pa(total, self.sa(total), self.ca(total))
        fused: Tensor = weight * x + (1 - weight) * y + total
        return fused


class LevelFusion(nn.Module):
    """Fuses one level and carries the coarser levels' results up into it."""

    def __init__(self, width: int, width_next: int, width_skip: int | None) -> None:
        super().__init__()
        self.att = AdaptiveAttention(width)
        if width_skip is not None:
            self.block1 = _convs(width_skip, width)
        self.block = _convs(width, width_next)

    def forward(self, x: Tensor, y: Tensor, coarser: Sequence[Tensor]) -> Tensor:
        """coarser: the results of the levels below, coarse to fine; the last two are used."""
        fused = self.att(x, y)
        if coarser:
            fused = fused + _up(coarser[-1])
        if len(coarser) > 1:
            fused = fused + _up(self.block1(_up(coarser[-2])))
        return cast(Tensor, self.block(fused))


class FinalConv(nn.Module):
    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(x))


class FusionHead(nn.Module):
    """Decoder maps of both modalities -> fused image (N,1,H,W) in [-1, 1].

    widths: of the U-Net's levels, coarse to fine; steps: how many noise steps each map stacks.
    """

    def __init__(self, widths: Sequence[int], steps: int = len(FUSION_STEPS)) -> None:
        super().__init__()
        following = [*widths[1:], widths[-1]]
        layers: list[nn.Module] = []
        for level, (width, width_next) in enumerate(zip(widths, following, strict=True)):
            layers.append(StepMerge(width, steps))
            layers.append(LevelFusion(width, width_next, following[level - 2] if level > 1 else None))
        self.decoder = nn.ModuleList(layers)
        self.rgb_decode2 = FinalConv(widths[-1], HEAD_WIDTH)
        self.rgb_decode1 = FinalConv(HEAD_WIDTH, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """maps: per level, coarse to fine, (2N, steps * width, h, w), steps in the order 5, 10, 20; the first N are of
        the MRI, the others of the other modality."""
        results: list[Tensor] = []
        for level, both in enumerate(maps):
            merge, fuse = self.decoder[2 * level], self.decoder[2 * level + 1]
            a, b = merge(both).chunk(2)
            results.append(fuse(a, b, results))
        x = F.leaky_relu(self.rgb_decode2(results[-1]), 0.2)
        # Half precision resolves only half a grey level near black and white, so the last layer is always float32.
        with torch.autocast(x.device.type, enabled=False):
            return torch.tanh(self.rgb_decode1(x.float()))
