"""The network of FRUFN: two encoders, five unrolled cells that add to the first what the second has more of, a decoder.

Source: Wang, Cao, Deng, Vivone, A general image fusion approach exploiting gradient transfer learning and fusion rule
unfolding, IEEE TPAMI 2026, doi 10.1109/TPAMI.2026.3655694, as in the released code (state-dict keys are the published ones).
Windowed attention is that of Swin V2 (Liu et al., CVPR 2022, doi 10.1109/CVPR52688.2022.01170), post-norm; the blocks of the
mask are those of ConvNeXt V2 (Woo et al., CVPR 2023, doi 10.1109/CVPR52729.2023.01548).

Maps are (N,C,H,W), sides multiples of 8, in channels-last memory, so that the norms over channels need no copies.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.errors import InputError
from fusionbench.methods._learned import pad_to_multiple

STRIDE = 8
CELLS = 5
SCALES = (2, 4, 8)  # of the mask's pyramid, by its blocks fe2, fe4, fe8
HIDDEN = 512  # of the network that makes an attention's bias from positions


@dataclasses.dataclass(frozen=True)
class Preset:
    """Size of the network. width: channels of every map; heads: of the attention, which share the width."""

    width: int
    heads: int = 8

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width < 2 or self.width % self.heads:
            raise InputError(f"width {self.width} and heads {self.heads}: give a width that the heads divide")


PRESETS = {"paper": Preset(width=32), "compact": Preset(width=8, heads=1)}


def _conv(cin: int, cout: int, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 3, padding=1, bias=bias)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(_conv(width, width, bias=True), nn.ReLU(), _conv(width, width, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.main(x)
        return result


class _Attention(nn.Module):
    """Cosine attention of the k x k tokens of each window, with a learnt scale a head and a bias made from positions."""

    def __init__(self, p: Preset, k: int) -> None:
        super().__init__()
        self.k, self.heads = k, p.heads
        self.logit_scale = nn.Parameter(torch.full((p.heads, 1, 1), math.log(10)))
        self.q_bias, self.v_bias = (nn.Parameter(torch.zeros(p.width)) for _ in range(2))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, p.heads, bias=False))
        self.qkv = nn.Linear(p.width, 3 * p.width, bias=False)
        self.proj = nn.Linear(p.width, p.width)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """tokens: (windows, k * k, width); mask: (windows of one image, k * k, k * k), added to the logits."""
        windows, count, width = tokens.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(tokens, self.qkv.weight, bias).reshape(windows, count, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        shares = torch.matmul(_unit(q) * scale, _unit(k).transpose(-2, -1)) + self._bias()
        if mask is not None:
            shares = (shares.reshape(-1, *mask.shape[:1], *shares.shape[1:]) + mask[:, None]).flatten(0, 1)
        mixed = (shares.softmax(-1) @ v).transpose(1, 2).reshape(windows, count, width)
        result: Tensor = self.proj(mixed)
        return result

    def _bias(self) -> Tensor:
        """(heads, k * k, k * k), query by key."""
        like, k = self.logit_scale, self.k
        offset = torch.arange(1 - k, k, device=like.device, dtype=like.dtype) * (8 / (k - 1))
        offset = offset.sign() * (1 + offset.abs()).log2() / 3
        table = self.cpb_mlp(torch.stack(torch.meshgrid(offset, offset, indexing="ij"), dim=-1))
        place = torch.arange(k * k, device=like.device)
        rows, columns = place // k, place % k
        bias = table[rows[:, None] - rows + k - 1, columns[:, None] - columns + k - 1]
        result: Tensor = 16 * bias.sigmoid().permute(2, 0, 1)
        return result


def _unit(x: Tensor) -> Tensor:
    """Vectors of length one along the last axis. By a product with ones: a reduction over so few values is much slower."""
    squares = torch.matmul(x * x, x.new_ones(x.shape[-1], 1))
    return x * squares.clamp_min(1e-24).rsqrt()


class _SwinBlock(nn.Module):
    """Attention in windows, then two linear layers, each normed before it is added; shifted: windows moved by half."""

    def __init__(self, p: Preset, k: int, shifted: bool) -> None:
        super().__init__()
        self.k, self.shift = k, k // 2 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(p.width), nn.LayerNorm(p.width)
        self.attn = _Attention(p, k)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(p.width, 3 * p.width), "fc2": nn.Linear(3 * p.width, p.width)}
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N,H,W,C) -> the same."""
        (n, height, width, channels), k, s = x.shape, self.k, self.shift
        rolled = x.roll((-s, -s), (1, 2)) if s else x
        grid = (n, height // k, k, width // k, k, channels)
        tokens = rolled.reshape(grid).transpose(2, 3).reshape(-1, k * k, channels)
        mixed = self.attn(tokens, _regions(height, width, k, x) if s else None)
        mixed = mixed.reshape(n, height // k, width // k, k, k, channels).transpose(2, 3).reshape(x.shape)
        x = x + self.norm1(mixed.roll((s, s), (1, 2)) if s else mixed)
        result: Tensor = x + self.norm2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](x))))
        return result


def _regions(height: int, width: int, k: int, like: Tensor) -> Tensor:
    """(windows, k * k, k * k): -100 between tokens that only the roll has made neighbours."""
    parts = []
    for size in (height, width):
        index = torch.arange(size, device=like.device)
        parts.append((index >= size - k).long() + (index >= size - k // 2).long())
    region = (3 * parts[0][:, None] + parts[1]).reshape(height // k, k, width // k, k)
    region = region.transpose(1, 2).reshape(-1, k * k)
    return -100.0 * (region[:, :, None] != region[:, None]).to(like.dtype)


class _Windows(nn.Module):
    """What the cells and masks inherit: two Swin blocks between two norms, as W_k in the paper's order."""

    def __init__(self, p: Preset, k: int) -> None:
        super().__init__()
        self.glo = nn.ModuleDict({"blocks": nn.Sequential(_SwinBlock(p, k, False), _SwinBlock(p, k, True))})
        self.in_ln, self.out_ln = nn.LayerNorm(p.width), nn.LayerNorm(p.width)

    def attend(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> the same."""
        result: Tensor = self.out_ln(self.glo["blocks"](self.in_ln(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
        return result


class _Response(nn.Module):
    """Global response normalisation over all pixels; (N,H,W,C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.zeros(1, 1, 1, width)) for _ in range(2))

    def forward(self, y: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(y, dim=(1, 2), keepdim=True)
        result: Tensor = y * (1 + self.gamma * (norm / (norm.mean(-1, keepdim=True) + 1e-6))) + self.beta
        return result


class _ConvNeXt(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.grn = _Response(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        result: Tensor = x + y.permute(0, 3, 1, 2)
        return result


class _Mask(_Windows):
    """How much of what the second image has more is taken, pixel by pixel, in (0, 1)."""

    def __init__(self, p: Preset) -> None:
        super().__init__(p, 4)
        self.proj_in = _conv(p.width + 1, p.width, bias=True)
        self.fe2, self.fe4, self.fe8 = (_ConvNeXt(p.width) for _ in SCALES)
        self.tran = _conv(4 * p.width, p.width, bias=True)
        self.proj_out1 = _conv(p.width, 2, bias=True)

    def forward(self, more: Tensor, mask: Tensor) -> Tensor:
        first = pooled = self.proj_in(torch.cat([more, mask], dim=1))
        maps = [first]
        for scale, block in zip(SCALES, (self.fe2, self.fe4, self.fe8), strict=True):
            pooled = F.max_pool2d(F.pad(pooled, (1, 1, 1, 1), mode="reflect"), 3, 2)
            maps.insert(0, F.interpolate(block(pooled), scale_factor=float(scale), mode="bilinear"))
        x = self.attend(self.tran(torch.cat(maps, dim=1)))
        logits: Tensor = self.proj_out1(x)
        return (logits[:, 1:] - logits[:, :1]).sigmoid()  # the second of two in a softmax


class Cell(_Windows):
    """One step of the fusion rule: from state, second map and mask to (what is added, new mask)."""

    def __init__(self, p: Preset) -> None:
        super().__init__(p, 2)
        self.in_conv, self.out_conv = _conv(p.width, p.width), _conv(p.width, p.width)
        self.gs = _Mask(p)

    def forward(self, state: Tensor, second: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        more = (second - state).relu()  # only positive differences are ever added
        mask = self.gs(more, mask)
        return self.out_conv(self.attend(self.in_conv(more))) * mask, mask


class Coder(nn.Module):
    """What FRUFN and EFRUFN share: an encoder for either image, one decoder."""

    def __init__(self, p: Preset) -> None:
        super().__init__()
        self.encoder1, self.encoder2 = (nn.Sequential(_conv(1, p.width), _Residual(p.width)) for _ in range(2))
        self.decoder = nn.Sequential(_Residual(p.width), _conv(p.width, 1))

    def encode(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N,1,H,W) twice -> their maps, and a mask of zeros."""
        maps = [code(image) for code, image in ((self.encoder1, first), (self.encoder2, second))]
        x, z = (m.contiguous(memory_format=torch.channels_last) for m in maps)
        return x, z, torch.zeros_like(x[:, :1])

    def decode(self, x: Tensor) -> Tensor:
        """Maps -> (N,1,H,W), linear, not clipped."""
        image: Tensor = self.decoder(x)
        return image


class Network(Coder):
    """(N,1,H,W) in [0, 1] twice, sides multiples of 8 -> the fused image, linear, not clipped.

    Not symmetric: the first image is the state, the second is what is added to it. It sees the whole image: not to be tiled.
    """

    def __init__(self, p: Preset) -> None:
        super().__init__(p)
        self.fuser = nn.ModuleDict({f"u{i + 1}": Cell(p) for i in range(CELLS)})

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        x, z, mask = self.encode(first, second)
        for cell in self.fuser.values():
            added, mask = cell(x, z, mask)
            x = x + added
        return self.decode(x)


def fuse(network: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """Run a network on images of any size, (N,1,H,W): padded by reflection, cropped back, not clipped."""
    padded = [pad_to_multiple(image, STRIDE, STRIDE) for image in (first, second)]
    result: Tensor = network(*padded)
    return result[..., : first.shape[-2], : first.shape[-1]]


def not_weights(blocks: Sequence[str]) -> frozenset[str]:
    """Keys of the published files that are recomputed here: buffers of the attention in these cells, ``fuser.u1`` say."""
    return frozenset(
        f"{cell}{part}glo.blocks.{block}.{name}"
        for cell in blocks
        for part in (".", ".gs.")
        for block in (0, 1)
        for name in ("attn_mask", "attn.relative_coords_table", "attn.relative_position_index")
    )
