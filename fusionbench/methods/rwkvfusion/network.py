"""The network of RWKVFusion, medical configuration: a three-level U-Net whose blocks mix tokens by an RWKV recurrence.

Source: Cao, Liang, Deng, Vivone, "An efficient image fusion network exploiting unifying language and mask guidance", IEEE
TPAMI 2025, as in the released code; state-dict keys are those of that code. Without ``text`` the branch for language is left
out and its feature enters as zeros, which equals the whole network at its initial ``lerp_factor`` of zero. Masks enter as
zeros unless given.

Maps are (N,C,H,W), sequences (N,T,C). Sides must be multiples of 4, 8 or more.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.errors import InputError
from fusionbench.methods._layers import Pointwise, pointwise, quick
from fusionbench.methods._learned import pad_to_multiple
from fusionbench.methods.rwkvfusion.recurrence import recurrence, scan, unscan

STRIDE, SMALLEST = 4, 8
DEPTH = 5


@dataclasses.dataclass(frozen=True)
class Preset:
    """Size of the network.

    width: channels at every level; head: channels of a head of the recurrence; text: width of the text features, 0 for the
    image-only network; tokens: how many text features there are; drop: rate of the two blocks of five that are dropped
    and drop features while training.
    """

    width: int = 32
    head: int = 32
    text: int = 0
    tokens: int = 512
    drop: float = 0.3

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2 or self.head < 1 or self.width % self.head:
            raise InputError(f"width {self.width}, head {self.head}: give an even width that is a multiple of the head")
        if self.text < 0 or self.tokens < 1 or not 0 <= self.drop < 1:
            raise InputError(f"text {self.text}, tokens {self.tokens}, drop {self.drop}: give 0, 1, or 0 and more")


PRESETS = {
    "paper": Preset(),
    # Half the width, a quarter of the work; no dropping, for a small network on a short training underfits anyway.
    "compact": Preset(width=16, head=16, drop=0.0),
}


class _Norm(nn.Module):
    """Layer norm over the channels at each pixel, or of each token."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if x.ndim == 4 else self.body(x)
        return y


class TimeMix(nn.Module):
    """RWKV-5.2 token mixing without token shift, (N,T,C) -> (N,T,C). index: of the block, which sets the first decays."""

    def __init__(self, p: Preset, index: int) -> None:
        super().__init__()
        n, q = p.width, index / (DEPTH - 1)
        place = torch.arange(n) / (n - 1)
        bonus = q * (1 - place) + 0.1 * ((torch.arange(n) + 1) % 3 - 1)
        self.time_decay = nn.Parameter((-0.3 + place ** (0.1 + 1.3 * q)).view(-1, p.head))
        self.time_faaaa = nn.Parameter(bonus.view(-1, p.head))
        self.receptance, self.key, self.value, self.gate, self.output = (nn.Linear(n, n, bias=False) for _ in range(5))
        self.ln_x = nn.LayerNorm(n, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        mixed = recurrence(self.receptance(x), self.key(x), self.value(x), self.time_decay, self.time_faaaa)
        y: Tensor = self.output(self.ln_x(F.normalize(mixed, dim=-1)) * F.silu(self.gate(x)))
        return y


class ChannelMix(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.key = nn.Linear(n, 2 * n, bias=False)
        self.receptance = nn.Linear(n, n, bias=False)
        self.value = nn.Linear(2 * n, n, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.sigmoid(self.receptance(x)) * self.value(self.key(x).relu() ** 2)
        return y


class _Modulator(nn.Module):
    """Scale, shift and gate of a normalised sequence, from itself."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.modulated = nn.Linear(n, 3 * n, bias=False)

    def forward(self, s: Tensor, mix: nn.Module, drop: float) -> Tensor:
        scale, shift, gate = self.modulated(F.silu(s)).chunk(3, dim=-1)
        y: Tensor = gate * _drop_path(mix((1 + scale) * s + shift), drop) + s
        return y


def _drop_path(x: Tensor, rate: float) -> Tensor:
    if not rate:
        return x
    kept = (torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate).to(x.dtype)
    return x * kept / (1 - rate)


def _conv(cin: int, cout: int, size: int = 3, bias: bool = False, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, size, padding=size // 2, padding_mode="reflect", bias=bias, groups=groups)


class _Mlp(nn.Module):
    """Two layers with tanh-GELU between, of maps or of tokens."""

    def __init__(self, n: int, maps: bool) -> None:
        super().__init__()
        self.w1, self.w2 = (Pointwise(n, n, bias=False) if maps else nn.Linear(n, n, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.w2(F.gelu(self.w1(x), approximate="tanh"))
        return y


class _Mixer(nn.Module):
    """MIFM: the feature and the map of both images under one gate; in double blocks a mask, and language if there is any."""

    def __init__(self, p: Preset, index: int, double: bool) -> None:
        super().__init__()
        n, self.index = p.width, index
        self.feat_norm = _Norm(n)
        self.feat_convs = nn.Sequential(_conv(n, n, groups=n), Pointwise(n, n, bias=False), nn.LeakyReLU(0.2), _Norm(n))
        self.modal_convs = _conv(n, n)
        self.modal_norm = _Norm(n)
        self.act_conv = nn.Sequential(Pointwise(n, n, bias=False), nn.Sigmoid())
        self.fusion_proj = nn.Sequential(_Norm(n), Pointwise(n, n))
        self.drop = nn.Dropout(_rate(p, index))
        if double:
            self.mask_convs = nn.Sequential(Pointwise(2, n // 2, bias=False), _conv(n // 2, n), _Norm(n), nn.SiLU())
        if double and p.text:
            self.llm_dense = nn.Sequential(
                _Norm(2 * n if index == 0 else n), nn.Linear(2 * n if index == 0 else n, n, bias=False)
            )
            self.multi_modal_attn = TimeMix(p, index)
            self.multi_modal_img_ln, self.multi_modal_txt_ln = _Norm(n), _Norm(n)
            self.img_mlp = _Mlp(n, maps=True)
            if index < DEPTH // 2:
                self.txt_mlp = _Mlp(n, maps=False)

    def forward(self, x: Tensor, modal: Tensor, mask: Tensor | None) -> Tensor:
        m, f = self.modal_norm(self.modal_convs(modal)), self.drop(self.feat_convs(x))
        gate = self.act_conv(self.feat_norm(f + m).mean((2, 3), keepdim=True))
        if hasattr(self, "mask_convs"):
            gate = gate + (self._unmasked() if mask is None else self.mask_convs(mask))
        both = (f + m) * gate
        y: Tensor = self.fusion_proj(both)
        return y

    def _unmasked(self) -> Tensor:
        """What a mask of zeros gives: a constant per channel, for the norm of zeros is its bias."""
        bias: Tensor = self.mask_convs.get_parameter("2.body.bias")
        return F.silu(bias)[:, None, None]

    def read(self, y: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """What language makes of the map that ``forward`` gave, and the text after it: ((N,n,H,W), (N,T,n))."""
        backwards = self.index % 2 == 1
        small = F.interpolate(y, [max(1, side // 4) for side in y.shape[2:]], mode="bilinear")
        words = self.multi_modal_txt_ln(self.llm_dense(text)).repeat_interleave(2, 0)  # a copy for each scan
        pixels = self.multi_modal_img_ln(scan(small, backwards))
        parts = [words, pixels] if backwards else [pixels, words]
        joined = torch.cat(parts, 1)
        joined = self.multi_modal_attn(joined) + joined
        lengths = [part.shape[1] for part in parts]
        first, second = joined.split(lengths, 1)
        pixels, words = (second, first) if backwards else (first, second)
        image = F.interpolate(unscan(pixels, small.shape[2:], backwards), y.shape[2:], mode="bilinear")
        text = (words[0::2] + words[1::2]) / 2
        if hasattr(self, "txt_mlp"):
            text = text + self.txt_mlp(text)
        return image + self.img_mlp(image), text


def _rate(p: Preset, index: int) -> float:
    return p.drop if index in (1, 2) else 0.0  # what the released rule gives at this depth


class _Double(nn.Module):
    """A block of the encoder or the middle: guided by masks and language."""

    def __init__(self, p: Preset, index: int) -> None:
        super().__init__()
        n = p.width
        self.backwards, self.rate = index % 2 == 1, _rate(p, index)
        self.MIFM = _Mixer(p, index, double=True)
        self.mm_proj_in = Pointwise(3 * n, n, bias=False)
        self.lerp_factor = nn.Parameter(torch.zeros(n))
        self.only_img_attn_ln, self.fusion_img_llm_ln = _Norm(n), _Norm(n)
        self.modulator1, self.modulator2 = _Modulator(n), _Modulator(n)
        self.att_img = TimeMix(p, index)
        self.ffn_fusion = ChannelMix(n)
        if p.text and index < DEPTH // 2:
            self.txt_chan_reduce = nn.Linear(n, n, bias=False)

    def forward(
        self, x: Tensor, modal: Tensor, mask: Tensor | None, text: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        mixed = self.MIFM(x, modal, mask)
        told = None if quick(x) else torch.zeros_like(x)
        if text is not None:
            image, text = self.MIFM.read(mixed, text)
            told = image * self.lerp_factor[:, None, None]
            if hasattr(self, "txt_chan_reduce"):
                text = self.txt_chan_reduce(text)
        if told is None:  # a third of the weights would meet zeros
            own, _, others = self.mm_proj_in.weight.chunk(3, 1)
            x = pointwise(torch.cat([x, mixed], 1), torch.cat([own, others], 1))
        else:
            x = self.mm_proj_in(torch.cat([x, told, mixed], 1))
        rate = self.rate if self.training else 0.0
        x = _mix(x, self.only_img_attn_ln, self.modulator1, self.att_img, self.backwards, rate)
        return _mix_channels(x, self.fusion_img_llm_ln, self.modulator2, self.ffn_fusion, rate), text


class _Single(nn.Module):
    """A block of the decoder: both images, no mask, no language."""

    def __init__(self, p: Preset, index: int) -> None:
        super().__init__()
        n = p.width
        self.backwards = index % 2 == 1
        self.MIFM = _Mixer(p, index, double=False)
        self.mm_proj_in = Pointwise(2 * n, n, bias=False)
        self.x_ln1, self.x_ln2 = _Norm(n), _Norm(n)
        self.attn_modulator, self.ffn_modulator = _Modulator(n), _Modulator(n)
        self.att = TimeMix(p, index)
        self.ffn = ChannelMix(n)

    def forward(self, x: Tensor, modal: Tensor) -> Tensor:
        x = self.mm_proj_in(torch.cat([x, self.MIFM(x, modal, None)], 1))
        x = _mix(x, self.x_ln1, self.attn_modulator, self.att, self.backwards, 0.0)
        return _mix_channels(x, self.x_ln2, self.ffn_modulator, self.ffn, 0.0)


def _mix(x: Tensor, norm: nn.Module, modulator: nn.Module, mix: nn.Module, backwards: bool, drop: float) -> Tensor:
    mixed = modulator(norm(scan(x, backwards)), mix, drop)
    return unscan(mixed, x.shape[2:], backwards)


def _mix_channels(x: Tensor, norm: nn.Module, modulator: nn.Module, mix: nn.Module, drop: float) -> Tensor:
    tokens: Tensor = modulator(norm(x.permute(0, 2, 3, 1).flatten(1, 2)), mix, drop)
    return tokens.reshape(-1, *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


def _three(n: int, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(
        _conv(n, n // 2, bias=bias), nn.LeakyReLU(0.2), Pointwise(n // 2, n // 2, bias=bias), nn.LeakyReLU(0.2),
        _conv(n // 2, n, bias=bias),
    )  # fmt: skip


class _Encoder(nn.Module):
    """A block and convolutions, whose result is added to what came in; the middle is one too."""

    def __init__(self, p: Preset, index: int) -> None:
        super().__init__()
        self.mods = nn.ModuleList([_Double(p, index)])
        self.conv = _three(p.width)

    def forward(
        self, x: Tensor, modal: Tensor, mask: Tensor | None, text: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        mixed, text = self.mods[0](x, modal, mask, text)
        return x + self.conv(mixed), text


class _Decoder(nn.Module):
    """The same after what came in and the skip are brought to one width."""

    def __init__(self, p: Preset, index: int) -> None:
        super().__init__()
        self.mods = nn.ModuleList([Pointwise(2 * p.width, p.width, bias=False), _Single(p, index)])
        self.conv = _three(p.width)

    def forward(self, x: Tensor, skip: Tensor, modal: Tensor) -> Tensor:
        x = self.mods[0](torch.cat([x, skip], 1))
        y: Tensor = x + self.conv(self.mods[1](x, modal))
        return y


class _Down(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(n, n, 2, stride=2, bias=False)
        self.norm_scale = nn.Parameter(torch.full((n,), 2**0.5))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(x) * self.norm_scale[:, None, None]
        return y


class _Up(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.up_conv = Pointwise(n, n, bias=False)
        self.norm_scale = nn.Parameter(torch.full((n,), 0.5**0.5))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.up_conv(x) * self.norm_scale[:, None, None], scale_factor=2, mode="bilinear")


class Network(nn.Module):
    """(N,2,H,W), other modality first, MRI second -> (N,1,H,W) fused, not clipped. No noise, no batch statistics."""

    txt_sine_pe: Tensor

    def __init__(self, p: Preset) -> None:
        super().__init__()
        n = p.width
        self.size = p
        self.patch_embd, self.modal_in = (Pointwise(2, n, bias=False) for _ in range(2))
        self.encoders = nn.ModuleList([_Encoder(p, index) for index in (0, 1)])
        self.downs = nn.ModuleList([_Down(n), _Down(n)])
        self.middle_blks = _Encoder(p, 2)
        self.ups = nn.ModuleList([_Up(n), _Up(n)])
        self.skip_scales = nn.ParameterList([torch.full((n,), 0.5**0.5) for _ in range(2)])
        self.decoders = nn.ModuleList([_Decoder(p, index) for index in (3, 4)])
        self.conv_after_body = _three(n, bias=False)
        self.fusion_head = _conv(n, 1, bias=True)
        if p.text:
            self.llm_embd = nn.Sequential(nn.Linear(p.text, 2 * n, bias=False), nn.Linear(2 * n, 2 * n, bias=False))
            self.register_buffer("txt_sine_pe", _positions(p.tokens, n))

    def forward(self, images: Tensor, mask: Tensor | None = None, text: Tensor | None = None) -> Tensor:
        """mask: (N,2,H,W), other modality first, zeros if None; text: (N,tokens,text), None to leave language out."""
        first = x = self.patch_embd(images)
        modal = self.modal_in(images)
        if mask is None and not quick(images):
            mask = torch.zeros_like(images)
        words = None if text is None else self._embed(text)
        skips: list[Tensor] = []
        for level, down in zip(self.encoders, self.downs, strict=True):
            modal, mask = _resized(modal, mask, x)
            x, words = level(x, modal, mask, words)
            skips.append(x)
            x = down(x)
        modal, mask = _resized(modal, mask, x)
        x, words = self.middle_blks(x, modal, mask, words)
        for level, up, scale in zip(self.decoders, self.ups, self.skip_scales.parameters(), strict=True):
            skip = skips.pop()
            modal, mask = _resized(modal, mask, skip)
            x = level(up(x), skip * scale[:, None, None], modal)
        result: Tensor = self.fusion_head(self.conv_after_body(x) + first)
        return result

    def _embed(self, text: Tensor) -> Tensor:
        if not self.size.text or text.shape[1:] != (self.size.tokens, self.size.text):
            have = f"text features of {self.size.tokens} x {self.size.text}" if self.size.text else "no text branch"
            raise InputError(f"the weights have {have}, were given features of {' x '.join(map(str, text.shape[1:]))}")
        embedded: Tensor = self.llm_embd(F.normalize(text, dim=1))
        return embedded + self.txt_sine_pe.to(embedded)


def _resized(modal: Tensor, mask: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor | None]:
    """Map and mask at the size of `like`, each from its last size: the decoder sees what went through a quarter."""
    size = like.shape[2:]
    if modal.shape[2:] == size:
        return modal, mask
    mask = None if mask is None else F.interpolate(mask, size, mode="nearest")
    return F.interpolate(modal, size, mode="bilinear"), mask


def _positions(tokens: int, n: int) -> Tensor:
    """(tokens, 2n) float64: sines, then cosines of the position at n frequencies."""
    angle = torch.arange(tokens, dtype=torch.float64)[:, None] * 10000 ** (-torch.arange(n, dtype=torch.float64) / n)
    return torch.cat([angle.sin(), angle.cos()], 1)


def fuse(network: nn.Module, a: Tensor, b: Tensor, mask: Tensor | None = None, text: Tensor | None = None) -> Tensor:
    """Run a network on MRI a and other image b, (N,1,H,W) in [0, 1] of any size: padded by reflection, cropped back, not
    clipped. mask: (N,2,H,W), other modality first."""
    images = pad_to_multiple(torch.cat([b, a], dim=1), STRIDE, SMALLEST)
    padded = None if mask is None else pad_to_multiple(mask, STRIDE, SMALLEST)
    result: Tensor = network(images, padded, text)
    return result[..., : a.shape[-2], : a.shape[-1]]
