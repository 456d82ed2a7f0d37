"""Large convolutions by Fourier transform: the same numbers as `nn.Conv2d` within rounding, in a fraction of the time.

Done directly, a dense 15 x 15 convolution takes 225 multiplications for every value and pair of channels; in the frequency
domain it takes about three complex ones, and the transforms are cheap. On a CPU that is what makes training this network
possible; on a GPU the direct one is kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = 9  # kernels below this are quicker directly
TILE = 64  # outputs a tile and axis; each tile is transformed by itself, with the kernel's reach around it


class LargeConv2d(nn.Conv2d):
    """`nn.Conv2d` of stride 1 with "same" zero padding; dense, or depthwise where groups equals the channels."""

    def __init__(self, cin: int, cout: int, kernel: int, *, groups: int = 1, bias: bool = True) -> None:
        super().__init__(cin, cout, kernel, padding=kernel // 2, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or self.kernel_size[0] < SMALLEST:
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):  # transforms have no bfloat16
            y = fourier_conv(x.to(self.weight.dtype), self.weight, depthwise=self.groups > 1)
            return y if self.bias is None else y + self.bias[:, None, None]


def fourier_conv(x: Tensor, weight: Tensor, *, depthwise: bool = False) -> Tensor:
    """What ``F.conv2d(x, weight, padding=k // 2)`` gives (with one group a channel when depthwise).

    x: (N,C,H,W); weight: (O,C,k,k), k odd, or (C,1,k,k) depthwise; both float32 or float64. Returns (N,O,H,W).
    """
    (height, width), k = x.shape[-2:], weight.shape[-1]
    size = tuple(-(-(min(n, TILE) + k - 1) // 16) * 16 for n in (height, width))
    tiles = _cut(x, size, k)
    spectrum = torch.fft.rfft2(tiles.flatten(0, 2))
    if depthwise:
        product = spectrum * torch.fft.rfft2(weight[:, 0], s=size).conj()
    else:
        n, c, rows, columns = spectrum.shape
        # One matrix product a frequency. Contiguous, for the batched product is many times slower on strided operands.
        by_frequency = spectrum.permute(2, 3, 0, 1).reshape(rows * columns, n, c).contiguous()
        mixed = torch.bmm(by_frequency, _kernel_spectrum(weight, size))
        if mixed.requires_grad:
            mixed.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]  # torch has no types here
        product = mixed.reshape(rows, columns, n, -1).permute(2, 3, 0, 1)
    out = torch.fft.irfft2(product, s=size)
    return _join(out[..., : size[0] - k + 1, : size[1] - k + 1], tiles.shape[:3])[..., :height, :width]


def _cut(x: Tensor, size: tuple[int, ...], k: int) -> Tensor:
    """(N,C,H,W) -> (N,rows,columns,C,*size): tiles that overlap by k - 1, zeros around the image."""
    steps = [n - k + 1 for n in size]
    counts = [-(-n // step) for n, step in zip(x.shape[-2:], steps, strict=True)]
    after = [k // 2 + count * step - n for n, count, step in zip(x.shape[-2:], counts, steps, strict=True)]
    padded = F.pad(x, (k // 2, after[1], k // 2, after[0]))
    if counts == [1, 1]:
        return padded[:, None, None]
    return padded.unfold(2, size[0], steps[0]).unfold(3, size[1], steps[1]).permute(0, 2, 3, 1, 4, 5)


def _join(tiles: Tensor, counts: torch.Size) -> Tensor:
    """(N * rows * columns, O, h, w) -> (N, O, rows * h, columns * w)."""
    n, rows, columns = counts
    o, h, w = tiles.shape[1:]
    return tiles.reshape(n, rows, columns, o, h, w).permute(0, 3, 1, 4, 2, 5).reshape(n, o, rows * h, columns * w)


def _kernel_spectrum(weight: Tensor, size: tuple[int, ...]) -> Tensor:
    """(O,C,k,k) -> (frequencies, C, O): conjugate spectra of the kernels, frequencies as `rfft2` orders them.

    Two products with DFT matrices instead of a transform: of `size` values only k x k differ from zero, and the product
    comes out in the order in which it is needed.
    """
    o, c, k, _ = weight.shape
    rows = _dft(size[0], size[0], k, weight.dtype)
    columns = _dft(size[1], size[1] // 2 + 1, k, weight.dtype)
    kernels = weight.permute(3, 2, 1, 0).reshape(k, k * c * o)
    half = (columns @ kernels.to(columns.dtype)).reshape(len(columns), k, c * o)
    whole = rows @ half.transpose(0, 1).reshape(k, len(columns) * c * o)
    return whole.reshape(len(rows) * len(columns), c, o)


def _dft(period: int, frequencies: int, samples: int, dtype: torch.dtype) -> Tensor:
    """(frequencies, samples) exp(+2 pi i f s / period)."""
    index = torch.arange(frequencies)[:, None] * torch.arange(samples) % period
    angle = index.double() * (2 * math.pi / period)
    return torch.polar(torch.ones_like(angle), angle).to(
        torch.complex128 if dtype == torch.float64 else torch.complex64
    )
