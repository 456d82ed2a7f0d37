"""The refiner of Diff-IF: turns the U-Net's clean estimate and both sources into the fused image, inside every step.

Source: Yi et al., Information Fusion 2024, doi 10.1016/j.inffus.2024.102450, after Restormer (Zamir et al., CVPR 2022,
arXiv 2111.09881), from which the released code departs: nothing changes the resolution, and the feed-forward part is a
dense 3x3 convolution without a gate. This follows the code; parameter names are the published ones.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.methods._layers import Pointwise, add
from fusionbench.methods._sr3 import NoiseShift, noise_level_mlp


def _conv(width_in: int, width_out: int, size: int = 1, groups: int = 1) -> nn.Conv2d:
    if size == 1:
        return Pointwise(width_in, width_out, bias=False)
    return nn.Conv2d(width_in, width_out, size, padding=size // 2, groups=groups, bias=False)


def _slices(width: int, heads: int) -> list[slice]:
    size = width // heads
    return [slice(i * size, (i + 1) * size) for i in range(heads)]


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.body(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class TransposedAttention(nn.Module):
    """Attention between channels: a (width / heads)^2 matrix a head, from all pixels of the image."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = _conv(width, 3 * width)
        self.qkv_dwconv = _conv(3 * width, 3 * width, 3, groups=3 * width)
        self.project_out = _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        tokens = self.qkv_dwconv(self.qkv(x)).permute(0, 2, 3, 1).reshape(n, h * w, 3 * c)
        qk, v = tokens.split([2 * c, c], dim=2)
        # All inner products at once: their diagonal holds the norms that q and k are to be divided by, which costs less
        # than two more passes over all pixels.
        products = qk.transpose(1, 2) @ qk
        norms = products.diagonal(dim1=1, dim2=2).clamp(min=1e-24).sqrt()
        cosines = products[:, :c, c:] / (norms[:, :c, None] * norms[:, None, c:])
        weight = torch.zeros_like(cosines)
        for s, temperature in zip(_slices(c, len(self.temperature)), self.temperature, strict=True):
            weight[:, s, s] = (cosines[:, s, s] * temperature).softmax(-1)
        # Mixing and projection are both linear in the channels: one product over the pixels in place of two.
        both = self.project_out.weight[:, :, 0, 0] @ weight
        mixed: Tensor = v @ both.transpose(1, 2).to(v.dtype)
        return mixed.reshape(n, h, w, c).permute(0, 3, 1, 2)


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.project_in = _conv(width, hidden)
        self.dwconv = _conv(hidden, hidden, 3)  # dense, whatever its published name says
        self.project_out = _conv(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.project_out(F.gelu(self.dwconv(self.project_in(x)))))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width)
        self.attn = TransposedAttention(width, heads)
        self.norm2 = ChannelNorm(width)
        self.ffn = FeedForward(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = add(self.attn(self.norm1(x)), x)
        return add(self.ffn(self.norm2(x)), x)


class Stage(nn.ModuleList):
    """Two transformer blocks, each followed by the noise shift."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        first, second = (TransformerBlock(width, hidden, heads) for _ in range(2))
        super().__init__([first, NoiseShift(width, width), second, NoiseShift(width, width)])

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, NoiseShift) else layer(x)
        return x


class Projection(nn.Module):
    """A first 3x3 convolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = _conv(channels, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.proj(x))


class Refiner(nn.Module):
    """Sources [other, mri] (N,2,H,W), clean estimate (N,1,H,W) and sqrt(alpha_bar) (N,) -> fused (N,1,H,W), not clamped.

    width: of every stage, even; expansion: of the feed-forward parts over it (2.66 as published).
    """

    def __init__(self, width: int = 36, expansion: float = 2.66) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.noise_level_mlp = noise_level_mlp(width)
        self.patch_embed = Projection(1, width)
        self.patch_embed_refine = Projection(2, width)
        self.encoder_level1 = Stage(width, hidden, 1)
        self.encoder_level1_refine = Stage(width, hidden, 1)
        self.reduce_chan_level1_refine = _conv(2 * width, width)
        self.encoder_level2 = Stage(width, hidden, 2)
        self.encoder_level2_refine = Stage(width, hidden, 2)
        self.reduce_chan_level2_refine = _conv(2 * width, width)
        self.decoder_level2 = Stage(width, hidden, 2)
        self.reduce_chan_level1 = _conv(2 * width, width)
        self.decoder_level1 = Stage(width, hidden, 1)
        self.reduce_chan_level_out = _conv(2 * width, width)
        self.refinement = nn.Sequential(TransformerBlock(width, hidden, 1), TransformerBlock(width, hidden, 1))
        self.output = _conv(width, 1, 3)

    def forward(self, sources: Tensor, clean: Tensor, noise_level: Tensor) -> Tensor:
        embedding = self.noise_level_mlp(noise_level)
        estimate = self.encoder_level1(self.patch_embed(clean), embedding)
        source = self.encoder_level1_refine(self.patch_embed_refine(sources), embedding)
        merged = self.reduce_chan_level1_refine(torch.cat([estimate, source], dim=1))
        deeper = [self.encoder_level2(merged, embedding), self.encoder_level2_refine(source, embedding)]
        x = self.decoder_level2(self.reduce_chan_level2_refine(torch.cat(deeper, dim=1)), embedding)
        x = self.decoder_level1(self.reduce_chan_level1(torch.cat([x, merged], dim=1)), embedding)
        x = self.reduce_chan_level_out(torch.cat([x, estimate], dim=1))
        x = self.refinement(x)
        # Half precision resolves only half a grey level near black and white, so the last layer is as exact as its weights.
        with torch.autocast(x.device.type, enabled=False):
            return cast(Tensor, self.output(x.to(self.output.weight.dtype)))
