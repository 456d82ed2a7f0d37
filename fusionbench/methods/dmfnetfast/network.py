"""A plain U-Net of three levels that corrects the pixel maximum: no noise, no normalisation, one pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.methods._layers import up_conv
from fusionbench.methods._learned import pad_to_multiple

STRIDE = 8
WIDTHS = (24, 32, 48)


def convolution(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, stride, padding=1)


def _active(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


class Residual(nn.Module):
    """Two 3x3 convolutions, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return _active(x + self.second(_active(self.first(x))))


class Network(nn.Module):
    """(N,1,H,W) in [0, 1] twice, of any size -> the fused image, not clipped. 140 thousand parameters.

    The levels lie at a half, a quarter and an eighth of the resolution; the two images enter as eight maps of half their
    sides, and the correction leaves as four. A gate from the mean of the coarsest level sees the whole image, as the
    teacher's normalisation does.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem, self.encode1 = convolution(8, first), Residual(first)
        self.down1, self.encode2 = convolution(first, second, 2), Residual(second)
        self.down2, self.middle = convolution(second, third, 2), Residual(third)
        self.gate = nn.Linear(third, third)
        self.up2, self.decode2 = convolution(third, second), Residual(second)
        self.up1, self.decode1 = convolution(second, first), Residual(first)
        self.last = convolution(first, 4)
        for parameter in (self.last.weight, self.last.bias, self.gate.weight, self.gate.bias):
            if parameter is not None:  # starts as the maximum of both images, with the gate half open
                nn.init.zeros_(parameter)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        height, width = a.shape[-2:]
        images = pad_to_multiple(torch.cat([a, b], dim=1), STRIDE)
        fine = self.encode1(_active(self.stem(F.pixel_unshuffle(images, 2))))
        middle = self.encode2(_active(self.down1(fine)))
        coarse = self.middle(_active(self.down2(middle)))
        coarse = coarse * torch.sigmoid(self.gate(coarse.mean((2, 3))))[:, :, None, None]
        middle = self.decode2(_active(middle + up_conv(self.up2, coarse)))
        fine = self.decode1(_active(fine + up_conv(self.up1, middle)))
        correction = F.pixel_shuffle(self.last(fine), 2)[..., :height, :width]
        return torch.maximum(a, b) + correction
