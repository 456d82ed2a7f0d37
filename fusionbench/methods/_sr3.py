"""What the diffusion methods share: SR3's U-Net conditioned on the noise level, noise schedules, and the noising itself.

Source: Saharia et al., "Image Super-Resolution via Iterative Refinement", IEEE TPAMI 2023, doi
10.1109/TPAMI.2022.3204461, in the form that DM-FNet and Diff-IF released: parameter names are theirs, since published
checkpoints load only into those. Steps count from 1; `sqrt_alpha_bar` carries a leading 1 so that index t is step t and
index 0 the clean image. Images are (N,C,H,W) float32 in [-1, 1].
"""

import collections
import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.methods._layers import Pointwise, add, norm_silu, quick, up_conv

BLOCKS_DOWN = 2
BLOCKS_UP = 3
ATTENTION_SIDE = 16
# What published checkpoints hold besides weights; all of it follows from the betas.
SCHEDULE_BUFFERS = frozenset(
    {
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
    }
)


def sqrt_alpha_bar(schedule: str, timesteps: int) -> Tensor:
    """(timesteps + 1,) float64: 1, then sqrt of the cumulated product of 1 - beta.

    schedule: "cosine" (Nichol and Dhariwal, arXiv 2102.09672: offset 0.008, betas clipped at 0.999) or "linear"
    (betas 1e-6 to 1e-2).
    """
    if schedule == "cosine":
        u = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
        f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    elif schedule == "linear":
        beta = torch.linspace(1e-6, 1e-2, timesteps, dtype=torch.float64)
    else:
        raise ValueError(f"schedule {schedule!r} is unknown; use 'cosine' or 'linear'")
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)]).sqrt()


def draw_noise_level(levels: Tensor, step: int, count: int, generator: torch.Generator | None = None) -> Tensor:
    """(count,) float32 noise levels, uniform between those of step - 1 and step. levels: from `sqrt_alpha_bar`."""
    if not 1 <= step < len(levels):
        raise ValueError(f"step {step} is outside 1..{len(levels) - 1}")
    u = torch.rand(count, generator=generator, dtype=torch.float64)
    return (levels[step] + (levels[step - 1] - levels[step]) * u).float()


def add_noise(clean: Tensor, noise_level: Tensor, noise: Tensor) -> Tensor:
    """x_t = s x0 + sqrt(1 - s^2) eps for (N,1,H,W) images and (N,) levels s."""
    s = noise_level.to(clean)[:, None, None, None]
    return s * clean + (1 - s * s).clamp(min=0).sqrt() * noise


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


def noise_level_mlp(width: int) -> nn.Sequential:
    """(N,) noise levels -> (N, width) embeddings."""
    return nn.Sequential(NoiseLevelEncoding(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))


class NoiseShift(nn.Module):
    """Adds a learned shift, linear in the noise embedding, to every channel."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.noise_func = nn.Sequential(nn.Linear(width_in, width_out))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return add(x, self.noise_func(embedding).to(x.dtype)[:, :, None, None])


def _group_norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    if not (x.is_cuda and torch.is_autocast_enabled("cuda")):
        return cast(Tensor, norm(x))
    # Autocast would normalise in float32 and move twice the bytes; a GPU's kernel sums in float32 as it is.
    with torch.autocast("cuda", enabled=False):
        return F.group_norm(x, norm.num_groups, norm.weight.to(x.dtype), norm.bias.to(x.dtype), norm.eps)


class NormConv(nn.Module):
    """GroupNorm, Swish, dropout, 3x3 convolution."""

    def __init__(self, width_in: int, width_out: int, groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.block = nn.Sequential(
            nn.GroupNorm(groups, width_in), nn.SiLU(), drop, nn.Conv2d(width_in, width_out, 3, padding=1)
        )

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """shift: (N,C), added to x first; without a gradient only."""
        norm, _, drop, conv = self.block
        if quick(x) and not self.training:
            return cast(Tensor, conv(norm_silu(cast(nn.GroupNorm, norm), x, shift)))
        normed = _group_norm(cast(nn.GroupNorm, norm), x)
        return cast(Tensor, conv(drop(F.silu(normed, inplace=not torch.is_grad_enabled()))))


class ResnetBlock(nn.Module):
    """Two NormConvs with the noise shift between them, dropout in the second only, and a 1x1 skip where widths differ."""

    def __init__(self, width_in: int, width_out: int, embedding: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.noise_func = NoiseShift(embedding, width_out)
        self.block1 = NormConv(width_in, width_out, groups)
        self.block2 = NormConv(width_out, width_out, groups, dropout)
        self.res_conv = Pointwise(width_in, width_out) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.block1(x)
        if quick(h) and not self.training:
            h = self.block2(h, self.noise_func.noise_func(embedding))
        else:
            h = self.block2(self.noise_func(h, embedding))
        return add(h, self.res_conv(x))


class SelfAttention(nn.Module):
    """Single-head self-attention over all positions, scale 1/sqrt(channels), with a residual."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = Pointwise(width, 3 * width, bias=False)
        self.out = Pointwise(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, 1, c, h * w).transpose(3, 4)  # one head
        mixed = F.scaled_dot_product_attention(qkv[:, 0], qkv[:, 1], qkv[:, 2])[:, 0]
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
        return up_conv(self.conv, x)


class ConditionalUNet(nn.Module):
    """U-Net conditioned on the noise level s = sqrt(alpha_bar): (N, channels, H, W) and (N,) -> (N,1,H,W).

    inner: width of the finest level; multipliers: width of each level over it, fine to coarse; groups: of every
    GroupNorm; dropout: in the second half of each residual block; image_size: decides where self-attention sits (levels
    whose side is 16 at that size; the middle always has one); named_first: whether the first convolution is called
    `init_conv` (DM-FNet), or is the first of `downs` (SR3, Diff-IF). Sides of the input: multiples of 2^(levels - 1).
    """

    def __init__(
        self,
        channels: int,
        inner: int,
        multipliers: Sequence[int],
        groups: int,
        dropout: float,
        image_size: int,
        named_first: bool = False,
    ) -> None:
        super().__init__()
        if inner % groups or inner % 2:
            raise ValueError(f"inner={inner} must be even and a multiple of groups={groups}; choose other widths")
        self.widths = tuple(inner * m for m in multipliers)
        self.stride: int = 2 ** (len(multipliers) - 1)
        self.noise_level_mlp = noise_level_mlp(inner)
        first = nn.Conv2d(channels, inner, 3, padding=1)
        self.init_conv = first if named_first else None

        width, side, skips = inner, image_size, [inner]
        downs: list[nn.Module] = [] if named_first else [first]
        sides = []
        for level, level_width in enumerate(self.widths):
            sides.append(side)
            for _ in range(BLOCKS_DOWN):
                downs.append(Block(width, level_width, inner, groups, dropout, side == ATTENTION_SIDE))
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
                attention = level_side == ATTENTION_SIDE
                ups.append(Block(width + skips.pop(), level_width, inner, groups, dropout, attention))
                width = level_width
            if skips:
                ups.append(Up(width))
        self.ups = nn.ModuleList(ups)
        self.final_conv = NormConv(width, 1, groups)

    def forward(self, noisy: Tensor, noise_level: Tensor) -> Tensor:
        last = collections.deque(self.decode(noisy, noise_level), maxlen=1).pop()
        return cast(Tensor, self.final_conv(last))

    def decode(self, noisy: Tensor, noise_level: Tensor) -> Iterator[Tensor]:
        """Yield the output of every decoder block, coarse to fine."""
        if noisy.shape[-1] % self.stride or noisy.shape[-2] % self.stride:
            raise ValueError(f"image {tuple(noisy.shape[-2:])} is not a multiple of {self.stride}; pad it first")
        embedding = self.noise_level_mlp(noise_level)
        x, skips = noisy, []
        for layer in self.downs if self.init_conv is None else [self.init_conv, *self.downs]:
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
