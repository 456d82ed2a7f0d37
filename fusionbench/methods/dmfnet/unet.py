"""Stage I network of DM-FNet: an SR3-style U-Net that predicts the clean image from a noisy one.

Source: He et al., "DM-FNet: Unified multimodal medical image fusion via diffusion process-trained encoder-decoder",
IEEE TMM 2025, doi 10.1109/TMM.2025.3613156, arXiv 2506.15218. Where the paper and the released code differ this
follows the code, since the published checkpoints load only into that: parameter names are theirs.
"""

import collections
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS_DOWN = 2
BLOCKS_UP = 3


class NoiseLevelEncoding(nn.Module):
    """Sinusoidal code of the noise level itself, (N,) -> (N, width): never of an integer step, never scaled by 1000."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, noise_level: Tensor) -> Tensor:
        half = self.width // 2
        rate = torch.arange(half, dtype=noise_level.dtype, device=noise_level.device) / half
        angle = noise_level[:, None] * torch.exp(-math.log(1e4) * rate)[None]
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class NoiseShift(nn.Module):
    """Adds a learned shift, linear in the noise embedding, to every channel."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.noise_func = nn.Sequential(nn.Linear(width_in, width_out))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return cast(Tensor, x + self.noise_func(embedding).to(x.dtype)[:, :, None, None])


class NormConv(nn.Module):
    """GroupNorm, Swish, dropout, 3x3 convolution."""

    def __init__(self, width_in: int, width_out: int, groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.block = nn.Sequential(
            nn.GroupNorm(groups, width_in), nn.SiLU(), drop, nn.Conv2d(width_in, width_out, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.block(x))


class ResnetBlock(nn.Module):
    """Two NormConvs with the noise shift between them, dropout in the second only, and a 1x1 skip where widths differ."""

    def __init__(self, width_in: int, width_out: int, embedding: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.noise_func = NoiseShift(embedding, width_out)
        self.block1 = NormConv(width_in, width_out, groups)
        self.block2 = NormConv(width_out, width_out, groups, dropout)
        self.res_conv = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.block2(self.noise_func(self.block1(x), embedding))
        return cast(Tensor, h + self.res_conv(x))


class SelfAttention(nn.Module):
    """Single-head self-attention over all positions, scale 1/sqrt(channels), with a residual."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3)
        mixed = F.scaled_dot_product_attention(qkv[:, 0], qkv[:, 1], qkv[:, 2])
        return cast(Tensor, x + self.out(mixed.transpose(1, 2).reshape(n, c, h, w)))


class Block(nn.Module):
    """A residual block, followed by self-attention where the level has it."""

    def __init__(
        self, width_in: int, width_out: int, embedding: int, groups: int, dropout: float, attention: bool = False
    ) -> None:
        super().__init__()
        self.res_block = ResnetBlock(width_in, width_out, embedding, groups, dropout)
        self.attn = SelfAttention(width_out, groups) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return cast(Tensor, self.attn(self.res_block(x, embedding)))


class Down(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(x))


class Up(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))


class DenoisingUNet(nn.Module):
    """U-Net conditioned on the noise level s = sqrt(alpha_bar); predicts x0.

    inner: width of the finest level; multipliers: width of each level over it, fine to coarse; groups: of every
    GroupNorm; dropout: in the second half of each residual block; crop: training resolution, which decides where
    self-attention sits (levels whose side is 16 at that crop: none for the published 160; the middle always has one).
    Sides of the input must be multiples of 2^(levels - 1).
    """

    def __init__(
        self,
        inner: int = 128,
        multipliers: Sequence[int] = (1, 1, 1, 1, 2),
        groups: int = 32,
        dropout: float = 0.2,
        crop: int = 160,
    ) -> None:
        super().__init__()
        if inner % groups or inner % 2:
            raise ValueError(f"inner={inner} must be even and a multiple of groups={groups}; choose other widths")
        self.widths = tuple(inner * m for m in multipliers)
        self.stride: int = 2 ** (len(multipliers) - 1)
        self.noise_level_mlp = nn.Sequential(
            NoiseLevelEncoding(inner), nn.Linear(inner, 4 * inner), nn.SiLU(), nn.Linear(4 * inner, inner)
        )
        self.init_conv = nn.Conv2d(1, inner, 3, padding=1)

        width, side, skips = inner, crop, [inner]
        downs: list[nn.Module] = []
        sides = []
        for level, level_width in enumerate(self.widths):
            sides.append(side)
            for _ in range(BLOCKS_DOWN):
                downs.append(Block(width, level_width, inner, groups, dropout, side == 16))
                width = level_width
                skips.append(width)
            if level + 1 < len(self.widths):
                downs.append(Down(width))
                skips.append(width)
                side //= 2
        self.downs = nn.ModuleList(downs)
        self.mid = nn.ModuleList(
            [Block(width, width, inner, groups, dropout, attention) for attention in (True, False)]
        )
        ups: list[nn.Module] = []
        for level_width, level_side in zip(reversed(self.widths), reversed(sides), strict=True):
            for _ in range(BLOCKS_UP):
                ups.append(Block(width + skips.pop(), level_width, inner, groups, dropout, level_side == 16))
                width = level_width
            if skips:
                ups.append(Up(width))
        self.ups = nn.ModuleList(ups)
        self.final_conv = NormConv(width, 1, groups)

    def forward(self, noisy: Tensor, noise_level: Tensor) -> Tensor:
        """Predict x0. noisy: (N,1,H,W) in about [-1,1]; noise_level: (N,), the sqrt(alpha_bar) of each sample."""
        last = collections.deque(self._decode(noisy, noise_level), maxlen=1).pop()
        return cast(Tensor, self.final_conv(last))

    def features(self, noisy: Tensor, noise_level: Tensor) -> list[Tensor]:
        """The first up-block's map of every level, coarse to fine: what the fusion head reads (maps 14, 11, 8, 5, 2
        counted back from the end of the decoder). The rest of the finest level is never computed."""
        wanted = BLOCKS_UP * (len(self.widths) - 1) + 1
        return list(itertools.islice(self._decode(noisy, noise_level), wanted))[::BLOCKS_UP]

    def predict_with_finest(self, noisy: Tensor, noise_level: Tensor) -> tuple[Tensor, Tensor]:
        """(x0, the finest map that the head reads), for training with a readout of that map."""
        maps = list(self._decode(noisy, noise_level))
        return self.final_conv(maps[-1]), maps[-BLOCKS_UP]

    def _decode(self, noisy: Tensor, noise_level: Tensor) -> Iterator[Tensor]:
        """Yield the output of every decoder block, coarse to fine."""
        if noisy.shape[-1] % self.stride or noisy.shape[-2] % self.stride:
            raise ValueError(f"image {tuple(noisy.shape[-2:])} is not a multiple of {self.stride}; pad it first")
        embedding = self.noise_level_mlp(noise_level)
        x = self.init_conv(noisy)
        skips = [x]
        for layer in self.downs:
            x = layer(x, embedding) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        for layer in self.mid:
            x = layer(x, embedding)
        for layer in self.ups:
            if isinstance(layer, Block):
                x = layer(torch.cat([x, skips.pop()], dim=1), embedding)
                yield x
            else:
                x = layer(x)


def initialise(network: nn.Module) -> None:
    """Orthogonal weights and zero biases for every convolution and linear layer, as published."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
