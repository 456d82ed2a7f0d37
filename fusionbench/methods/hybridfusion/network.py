"""The network of HybridFusion: a U-Net chooses how much of either image is taken, a Laplacian pyramid takes it.

Source: arXiv 2602.20851 (2026), as in the released code (state-dict keys are the published ones). All images are (N,1,H,W)
in [-1, 1], sides of at least 16; grey 0, the value of the zero padding, is mid-grey. The other modality comes first, the
MRI second: a weight near one takes the second.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.errors import InputError
from fusionbench.methods._learned import pad_to_multiple
from fusionbench.methods._losses import gaussian

SMALLEST = 16
LEVELS = 4  # of the pyramid, and a base


@dataclasses.dataclass(frozen=True)
class Preset:
    """Size of the policy network. base: channels at full resolution, 64 as published; eight times that at the coarsest."""

    base: int

    def __post_init__(self) -> None:
        if self.base < 1:
            raise InputError(f"base is {self.base}; give 1 or more")


PRESETS = {"paper": Preset(base=64), "compact": Preset(base=8)}


class _Double(nn.Module):
    """Convolution, batch norm, ReLU, twice."""

    def __init__(self, cin: int, cout: int, middle: int | None = None) -> None:
        super().__init__()
        middle = middle or cout
        self.double_conv = nn.Sequential(
            nn.Conv2d(cin, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, cout, 3, padding=1, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.double_conv(x)
        return result


class _Down(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _Double(cin, cout))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.maxpool_conv(x)
        return result


class _Up(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = _Double(cin, cout, cin // 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        rows, columns = (s - n for s, n in zip(skip.shape[-2:], x.shape[-2:], strict=True))
        x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        result: Tensor = self.conv(torch.cat([skip, x], dim=1))
        return result


class Network(nn.Module):
    """(N,2,H,W), other modality first -> weight in (0, 1) and log-variance, (N,1,H,W) each. Only the weight is used."""

    def __init__(self, p: Preset) -> None:
        super().__init__()
        b = p.base
        self.inc = _Double(2, b)
        self.down1, self.down2, self.down3 = _Down(b, 2 * b), _Down(2 * b, 4 * b), _Down(4 * b, 8 * b)
        self.down4 = _Down(8 * b, 8 * b)
        self.up1, self.up2, self.up3 = _Up(16 * b, 4 * b), _Up(8 * b, 2 * b), _Up(4 * b, b)
        self.up4 = _Up(2 * b, b)
        self.outc = nn.Conv2d(b, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = [self.inc(images)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, maps.pop())
        weight, logvar = self.outc(x).split(1, dim=1)
        return weight.sigmoid(), logvar


def fuse(network: nn.Module, other: Tensor, mri: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images of any size -> fused (not clipped), weight and log-variance; small ones are padded by reflection."""
    first, second = (pad_to_multiple(image, 1, SMALLEST) for image in (other, mri))
    weight, logvar = network(torch.cat([first, second], dim=1))
    height, width = other.shape[-2:]
    fused = blend(first, second, weight)
    return fused[..., :height, :width], weight[..., :height, :width], logvar[..., :height, :width]


def blend(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Every level of both pyramids, base included, mixed by the weight as resized to it; not clipped."""
    mixed = []
    for x, y in zip(pyramid(first), pyramid(second), strict=True):
        w = weight if x.shape == weight.shape else F.interpolate(weight, size=x.shape[-2:], mode="bilinear")
        mixed.append((1 - w) * x + w * y)
    image = mixed.pop()
    while mixed:
        detail = mixed.pop()
        image = _enlarge(image, detail) + detail
    return image


def pyramid(image: Tensor) -> list[Tensor]:
    """Details from fine to coarse, then the base."""
    levels = []
    for _ in range(LEVELS):
        coarse = F.conv2d(image, _kernel(image), stride=2, padding=2)
        levels.append(image - _enlarge(coarse, image))
        image = coarse
    return [*levels, image]


def _enlarge(image: Tensor, finer: Tensor) -> Tensor:
    """To the size of the finer level, which is twice its own or one less."""
    large = F.conv_transpose2d(image, 4 * _kernel(image), stride=2, padding=2, output_padding=1)
    if large.shape[-2:] == finer.shape[-2:]:
        return large
    return F.interpolate(large, size=finer.shape[-2:], mode="bilinear")


def _kernel(like: Tensor) -> Tensor:
    weights = gaussian(5, 1.0, like)
    return torch.outer(weights, weights)[None, None]
