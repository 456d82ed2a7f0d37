"""The network of LKC-FUNet: a three-level U-Net with large kernels, whose decoder is gated by the encoder's maps.

Source: He, Wang, Li, Shu, Li, Yang, Huang, Li, Pattern Recognition 173:112903, 2026, doi 10.1016/j.patcog.2025.112903, arXiv
2411.10036, as in the released code (state-dict keys are the published ones, less their ``model.`` prefix). Where the two
differ the code is followed: the paper speaks of instance and group normalisation in place of batch normalisation, the code
has group norms in the body (32 groups in the residual blocks, one in the large-kernel blocks) and batch norm in the stem and
the gates.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.errors import InputError
from fusionbench.methods._learned import pad_to_multiple
from fusionbench.methods.lkcfunet.fourier import LargeConv2d

Normalisation = Literal["batch", "group", "instance+group"]
Kernel = Literal["3", "large"]
KERNELS = {"large": (15, 11, 5), "3": (3, 3, 3)}
STRIDE = 4


@dataclasses.dataclass(frozen=True)
class Preset:
    """Size of the network and what its ablation changes.

    inner: channels of the first map; all levels are 4 * inner wide, with `inner` groups (four channels each) where the
    published network has 32. normalisation: of the body; "instance+group" is the published one: `inner` groups in the
    residual blocks, one group in the large-kernel blocks; "group": `inner` groups in both; "batch": batch norm in both.
    kernel: "large" (15, 11 and 5, by level) or "3". dropout: in the stem and the residual blocks, also of whole
    large-kernel branches.
    """

    inner: int
    normalisation: Normalisation = "instance+group"
    kernel: Kernel = "large"
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.inner < 2 or self.inner % 2:
            raise InputError(f"inner is {self.inner}; give an even number, 2 or more")
        for name, kinds in (("normalisation", Normalisation), ("kernel", Kernel)):
            if getattr(self, name) not in get_args(kinds):
                raise InputError(f"{name} is {getattr(self, name)!r}; take one of: {', '.join(get_args(kinds))}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {self.dropout}; give 0 or more, below 1")


PRESETS = {
    "paper": Preset(inner=32),
    # No dropout: a small network on a short training underfits anyway.
    "compact": Preset(inner=6, dropout=0.0),
}


def _norm(p: Preset, channels: int, groups: int) -> nn.Module:
    if p.normalisation == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(p.inner if p.normalisation == "group" else groups, channels)


class _Half(nn.Module):
    """Norm, ReLU, dropout, convolution."""

    def __init__(self, p: Preset, cin: int, cout: int, kernel: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.block = nn.Sequential(
            _norm(p, cin, p.inner), nn.ReLU(), nn.Dropout(dropout), LargeConv2d(cin, cout, kernel)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.block(x)
        return result


class _ResidualBody(nn.Module):
    def __init__(self, p: Preset, cin: int, cout: int, kernel: int) -> None:
        super().__init__()
        self.block1 = _Half(p, cin, cout, kernel)
        self.block2 = _Half(p, cout, cout, kernel, p.dropout)
        self.res_conv = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.block2(self.block1(x)) + self.res_conv(x)
        return result


class _Normed(nn.Module):
    """Convolution without bias, then a norm (named ``bn`` as published)."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn = conv, norm

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn(self.conv(x))
        return result


class _LargeKernelBody(nn.Module):
    """Depthwise k x k between two 1x1 convolutions, added to its input."""

    def __init__(self, p: Preset, width: int, kernel: int) -> None:
        super().__init__()
        wide = width * 3 // 2
        self.drop = p.dropout
        self.prelkb_bn = _norm(p, width, 1)
        self.pw1 = _Normed(nn.Conv2d(width, wide, 1, bias=False), _norm(p, wide, 1))
        depthwise = LargeConv2d(wide, wide, kernel, groups=wide, bias=False)
        self.large_kernel = nn.ModuleDict({"lkb_origin": _Normed(depthwise, _norm(p, wide, 1))})
        self.pw2 = _Normed(nn.Conv2d(wide, width, 1, bias=False), _norm(p, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = F.relu(self.pw1(self.prelkb_bn(x)))
        branch = self.pw2(F.relu(self.large_kernel["lkb_origin"](branch)))
        if self.training and self.drop:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
            branch = branch * kept / (1 - self.drop)
        return x + branch


class _Block(nn.Module):
    """A residual (R) or large-kernel (L) body under its published name."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.res_block = body

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.res_block(x)
        return result


class _Resample(nn.Module):
    """To half the size by a strided convolution, or to twice the size by repetition and a convolution."""

    def __init__(self, width: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(width, width, 3, stride=1 if up else 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x)
        return result


class _Multipath(nn.Module):
    """What the gate's weights are read from: channels of the decoder map plus places of the encoder map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        ca = nn.Sequential(nn.Conv2d(width, width // 8, 1), nn.ReLU(), nn.Conv2d(width // 8, width, 1))
        self.local = nn.ModuleDict({"ca": ca})
        self.global_ = nn.ModuleDict({"proj": nn.Sequential(nn.Conv2d(2, 1, 1), nn.BatchNorm2d(1))})
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        channel = self.local["ca"](x.mean((2, 3), keepdim=True))
        place = self.global_["proj"](torch.cat([encoded.mean(1, keepdim=True), encoded.amax(1, keepdim=True)], dim=1))
        result: Tensor = self.bn(channel + place)
        return result


class _Gate(nn.Module):
    """The multipath adaptive gate: doubles the decoder map's channels under a mask made from both maps.

    Not symmetric: the encoder map enters by its channel mean and maximum and through the mask, and is nowhere concatenated.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.multi = _Multipath(width)
        self.selection = nn.Conv2d(width, 2, 1)
        self.proj = nn.Conv2d(width, width, 1)
        self.bn = nn.BatchNorm2d(width)
        self.conv_block = nn.Sequential(nn.Conv2d(width, 2 * width, 1))

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        share = self.selection(self.multi(x, encoded)).softmax(1)
        x2, encoded2 = x * (1 + share[:, :1]), encoded * (1 + share[:, 1:])
        mixed = encoded2.sigmoid() * x2 + x2.sigmoid() * encoded2
        mask = self.bn(self.proj(mixed)).sigmoid()
        result: Tensor = self.conv_block(mask * x)
        return result


class Network(nn.Module):
    """(N,2,H,W), other modality first, MRI second, sides multiples of 4 -> (N,1,H,W) fused, linear, not clipped.

    One pass, no noise; trained and used on [0, 1].
    """

    def __init__(self, p: Preset) -> None:
        super().__init__()
        width = 4 * p.inner
        fine, half, coarse = KERNELS[p.kernel]

        def residual(cin: int, kernel: int) -> nn.Module:
            return _Block(_ResidualBody(p, cin, width, kernel))

        def large(kernel: int) -> nn.Module:
            return _Block(_LargeKernelBody(p, width, kernel))

        self.init_conv = nn.Conv2d(2, p.inner, 3, padding=1)
        self.IN_conv = nn.Sequential(
            nn.BatchNorm2d(p.inner), nn.ReLU(), nn.Dropout(p.dropout), LargeConv2d(p.inner, width, fine)
        )
        self.downs = nn.ModuleList()
        for kernel in (fine, half, coarse):
            self.downs.extend([residual(width, kernel), large(kernel), _Resample(width, up=False)])
        del self.downs[-1]
        self.mid = nn.Sequential(large(coarse), large(coarse))
        self.ups = nn.ModuleList()
        for kernel in (coarse, half):
            self.ups.extend([_Gate(width), residual(2 * width, kernel), large(kernel), large(kernel)])
            self.ups.append(_Resample(width, up=True))
        self.ups.extend([_Gate(width), residual(2 * width, fine), large(fine), residual(width + p.inner, fine)])
        self.final_conv = nn.ModuleDict({
            "block": nn.Sequential(
                nn.GroupNorm(p.inner, width), nn.ReLU(), nn.Identity(), nn.Conv2d(width, 1, 3, padding=1)
            )
        })  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        first = self.init_conv(images)
        x = self.IN_conv(first)
        encoded = []
        for index, layer in enumerate(self.downs):
            x = layer(x)
            if index % 3 == 1:
                encoded.append(x)
        x = self.mid(x)
        for layer in self.ups[:-1]:
            x = layer(x, encoded.pop()) if isinstance(layer, _Gate) else layer(x)
        x = self.ups[-1](torch.cat([x, first], dim=1))
        result: Tensor = self.final_conv["block"](x)
        return result


def fuse(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """Run a network on MRI a and other image b, (N,1,H,W) of any size: padded by reflection, cropped back, not clipped."""
    images = pad_to_multiple(torch.cat([b, a], dim=1), STRIDE, STRIDE)
    result: Tensor = network(images)
    return result[..., : a.shape[-2], : a.shape[-1]]
