"""The linear recurrence of RWKV-5.2 in chunks: matrix products in place of a loop over tokens, and the same numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 64


def recurrence(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, chunk: int = CHUNK) -> Tensor:
    """out_t = r_t (S_t + diag(u) k_t v_t), S_(t+1) = diag(exp(-exp(w))) S_t + k_t v_t, S_0 = 0, in each head.

    r, k, v: (B, T, heads * size); w, u: (heads, size), by key channel. Returns (B, T, heads * size). chunk: a power of two;
    the result does not depend on it but for rounding.

    Inside a chunk the lower triangle of weights r_t d^(t-s-1) k_s is made block by block, halving: every block lies between
    the two halves of a stretch, so that t - s - 1 falls into two exponents that are not negative. Only powers of d <= 1 are
    taken, and nothing can overflow, however fast a channel forgets.
    """
    (batch, tokens, width), (heads, size) = r.shape, w.shape
    count = -(-tokens // chunk)

    def cut(x: Tensor) -> Tensor:  # (B, heads, chunks, chunk, size); zeros after the end change nothing before it
        padded = F.pad(x, (0, 0, 0, count * chunk - tokens))
        return padded.view(batch, count, chunk, heads, size).permute(0, 3, 1, 2, 4)

    r, k, v = cut(r), cut(k), cut(v)
    rate = -torch.exp(w)[:, None, None]
    steps = torch.arange(chunk, device=r.device, dtype=r.dtype)[:, None]
    later = torch.exp(rate * steps)  # (heads, 1, chunk, size): d^0, d^1, ...
    out = _inside(r, k, v, u, later)
    weighed = (k * later.flip(-2)).transpose(
        -1, -2
    ) @ v  # what each chunk adds to the state, (B, heads, chunks, size, size)
    whole = torch.exp(chunk * rate).transpose(-1, -2)[:, 0]  # (heads, size, 1)
    states = [torch.zeros_like(weighed[:, :, 0])]
    for added in weighed.unbind(2)[:-1]:
        states.append(torch.addcmul(added, states[-1], whole))
    out = out + (r * later) @ torch.stack(states, 2)
    return out.permute(0, 2, 3, 1, 4).reshape(batch, count * chunk, width)[:, :tokens]


def _inside(r: Tensor, k: Tensor, v: Tensor, u: Tensor, later: Tensor) -> Tensor:
    """What the tokens of a chunk give each other, and each to itself."""
    out = (r * k * u[:, None, None]).sum(-1, keepdim=True) * v
    half, chunk = 1, r.shape[-2]
    while half < chunk:
        powers = later[..., None, :half, :]
        queries, keys, values = _half(r, half, 1) * powers, _half(k, half, 0) * powers.flip(-2), _half(v, half, 0)
        if half == 1:
            given = (queries * keys).sum(-1, keepdim=True) * values
        else:
            given = (queries @ keys.transpose(-1, -2)) @ values
        _half(out, half, 1).add_(given)
        half *= 2
    return out


def _half(x: Tensor, half: int, which: int) -> Tensor:
    """(..., chunk, size) -> (..., stretches, half, size): the first or second half of each stretch of 2 * half tokens."""
    *outer, chunk, size = x.shape
    return x.view(*outer, chunk // (2 * half), 2, half, size)[..., which, :, :]


def scan(x: Tensor, backwards: bool) -> Tensor:
    """(N,C,H,W) -> (2N,H*W,C): each sample row by row, then column by column; both reversed if `backwards`."""
    rows, columns = x.permute(0, 2, 3, 1).flatten(1, 2), x.permute(0, 3, 2, 1).flatten(1, 2)
    sequences = torch.stack([rows, columns], 1).flatten(0, 1)
    return sequences.flip(1) if backwards else sequences


def unscan(s: Tensor, size: torch.Size, backwards: bool) -> Tensor:
    """The mean of both scans as a map: (2N,H*W,C) -> (N,C,H,W); size: (H,W)."""
    height, width = size
    both = s.flip(1) if backwards else s
    rows = both[0::2].reshape(-1, height, width, s.shape[2])
    columns = both[1::2].reshape(-1, width, height, s.shape[2])
    return ((rows + columns.transpose(1, 2)) / 2).permute(0, 3, 1, 2)
