"""Coupled convolutional sparse coding unfolded: a = Da u + Pa za, b = Db u + Pb zb, with u shared and za, zb private."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods.densefuse.network import convolution

STEPS = 3


class Soft(nn.Module):
    """Soft threshold, one learned threshold a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.full((1, channels, 1, 1), 0.02))

    def forward(self, codes: Tensor) -> Tensor:
        return codes.sign() * (codes.abs() - self.threshold.clamp_min(0)).clamp_min(0)


class Network(nn.Module):
    """(N,1,H,W) in [0, 1] twice -> the fused image, not clipped. 17 thousand parameters."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.synthesis = nn.ModuleDict({key: self._filters(channels, 1) for key in ("ua", "ub", "za", "zb")})
        self.analysis = nn.ModuleDict({key: self._filters(1, channels) for key in ("ua", "ub", "za", "zb")})
        self.soft = nn.ModuleDict({key: Soft(channels) for key in ("u", "za", "zb")})
        self.decoder = nn.Sequential(convolution(3 * channels, 2 * channels), nn.ReLU(), convolution(2 * channels, 1))

    @staticmethod
    def _filters(inside: int, outside: int) -> nn.Conv2d:
        return nn.Conv2d(inside, outside, 5, padding=2, padding_mode="reflect", bias=False)

    def codes(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N,C,H,W) shared code u, and the private za and zb."""
        up, soft = self.analysis, self.soft
        shared = soft["u"](up["ua"](a) + up["ub"](b))
        private_a, private_b = soft["za"](up["za"](a)), soft["zb"](up["zb"](b))
        for _ in range(STEPS):
            rest_a, rest_b = self.rest(a, b, shared, private_a, private_b)
            shared = soft["u"](shared + up["ua"](rest_a) + up["ub"](rest_b))
            private_a = soft["za"](private_a + up["za"](rest_a))
            private_b = soft["zb"](private_b + up["zb"](rest_b))
        return shared, private_a, private_b

    def rest(self, a: Tensor, b: Tensor, shared: Tensor, private_a: Tensor, private_b: Tensor) -> tuple[Tensor, Tensor]:
        """What the codes leave unexplained of either source."""
        down = self.synthesis
        return a - down["ua"](shared) - down["za"](private_a), b - down["ub"](shared) - down["zb"](private_b)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.decode(*self.codes(a, b))

    def decode(self, shared: Tensor, private_a: Tensor, private_b: Tensor) -> Tensor:
        fused: Tensor = self.decoder(torch.cat([shared, private_a, private_b], dim=1))
        return fused

    def explain(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fused image, and the unexplained rest of both sources: what training looks at."""
        found = self.codes(a, b)
        return self.decode(*found), *self.rest(a, b, *found)
