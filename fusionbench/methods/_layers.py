"""Layers that give what PyTorch's give, within rounding, in less time on a CPU when no gradient is asked for.

With a gradient, under autocast or ``torch.compile``, in other than float32 or on another device they are PyTorch's own.
Maps are (N,C,H,W); they stay in channels-last order where they come in it, in which a CPU convolves without copying them
over and back.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def quick(x: Tensor) -> bool:
    """Whether the quick forms serve x: float32 on a CPU, no gradient, no autocast, not being compiled."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, into x's memory where no gradient needs x: fresh pages of a large map cost more than the sum."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution by oneDNN, which PyTorch leaves for plain matrix products on one thread: half the time."""
    if quick(x) and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch has no types here
        return torch.mkldnn_convolution(x, weight, bias, (0, 0), (1, 1), (1, 1), 1)
    return F.conv2d(x, weight, bias)


class Pointwise(nn.Conv2d):
    """1x1 convolution, by :func:`pointwise`."""

    def __init__(self, width_in: int, width_out: int, bias: bool = True) -> None:
        super().__init__(width_in, width_out, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


def up_conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 3x3 convolution (padding 1) of x doubled by its nearest neighbours.

    Of the nine pixels under the kernel some are copies of each other: with their weights added up four remain, which is a
    transposed convolution of x itself.
    """
    if not quick(x):
        return cast(Tensor, conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))
    first, middle, last = conv.weight.unbind(2)
    rows = torch.stack([last, middle + last, first + middle, first], 2)
    first, middle, last = rows.unbind(3)
    kernel = torch.stack([last, middle + last, first + middle, first], 3).transpose(0, 1)
    return F.conv_transpose2d(x, kernel.contiguous(memory_format=torch.channels_last), conv.bias, 2, 1)


def norm_silu(norm: nn.GroupNorm, x: Tensor, shift: Tensor | None = None) -> Tensor:
    """SiLU of the group norm of x + shift, shift: (N,C). No gradient, see :func:`quick`.

    Mean and mean square of each channel are all that is read of x before it is scaled: the shift enters those. PyTorch's own
    kernel adds up channels-last maps naively, and is a digit worse.
    """
    mean, square = x.mean((2, 3)).double(), (x * x).mean((2, 3)).double()
    added = torch.zeros_like(mean) if shift is None else shift.double()
    square, mean = square + added * (2 * mean + added), mean + added
    groups = norm.num_groups
    centre, power = (part.reshape(len(x), groups, -1).mean(2, keepdim=True) for part in (mean, square))
    spread = ((power - centre * centre).clamp(min=0) + norm.eps).sqrt()
    scale = norm.weight.double().reshape(groups, -1) / spread
    offset = norm.bias.double().reshape(groups, -1) + (added.reshape(len(x), groups, -1) - centre) * scale
    scale, offset = (part.reshape(*x.shape[:2], 1, 1).to(x.dtype) for part in (scale, offset))
    return F.silu(torch.addcmul(offset, x, scale), inplace=True)
