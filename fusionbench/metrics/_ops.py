"""Operations that several metrics share: windows, moments, histograms, gradients. (N, H, W) float64 tensors in and out.

Each takes ``compiled``: True uses a CPU kernel, False plain torch, on any device. Both agree to 1e-12.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics import _kernels
from fusionbench.metrics._triple import Image, Triple


@lru_cache(maxsize=64)
def gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """Sampled Gaussian of odd length, sum 1; its outer product with itself is the usual 2-D window."""
    x = np.arange(size) - size // 2
    taps = np.exp(-(x**2) / (2.0 * sigma**2))
    return taps / taps.sum()


@lru_cache(maxsize=16)
def uniform(size: int) -> NDArray[np.float64]:
    """Box window, sum 1."""
    return np.full(size, 1.0 / size)


@lru_cache(maxsize=64)
def _band(taps: bytes, length: int, step: int, device: torch.device) -> torch.Tensor:
    """(length, outputs) matrix whose columns hold the taps: x @ band filters rows, valid, every step-th."""
    kernel = np.frombuffer(taps)
    outputs = (length - len(kernel)) // step + 1
    band = np.zeros((length, outputs))
    for j in range(outputs):
        band[j * step : j * step + len(kernel), j] = kernel
    return torch.from_numpy(band).to(device)


def _sandwich(x: torch.Tensor, taps: NDArray[np.float64], step: int) -> torch.Tensor:
    """Separable filtering as two matrix products."""
    rows = _band(taps.tobytes(), x.shape[1], step, x.device)
    columns = _band(taps.tobytes(), x.shape[2], step, x.device)
    return rows.T @ x @ columns


def blur(x: torch.Tensor, taps: NDArray[np.float64], step: int = 1, *, compiled: bool) -> torch.Tensor:
    """Window sums over the valid part, every ``step``-th pixel: (N, (H - n) // step + 1, ...)."""
    if not compiled:
        return _sandwich(x, taps, step)
    n, h, w = x.shape
    out = x.new_empty(n, (h - len(taps)) // step + 1, (w - len(taps)) // step + 1)
    _kernels.blur(x.numpy(), taps, step, out.numpy())
    return out


def blur_product(x: torch.Tensor, y: torch.Tensor, taps: NDArray[np.float64], *, compiled: bool) -> torch.Tensor:
    """Window sums of x y over the valid part: (N, H - n + 1, W - n + 1)."""
    if not compiled:
        return _sandwich(x * y, taps, 1)
    n, h, w = x.shape
    out = x.new_empty(n, h - len(taps) + 1, w - len(taps) + 1)
    _kernels.blur_product(x.numpy(), y.numpy(), taps, out.numpy())
    return out


def pad(x: torch.Tensor, size: int, mode: str = "zeros") -> torch.Tensor:
    """Extend by ``size`` on every side: "zeros", "replicate" or "symmetric" (edge pixel repeated, as d c b a | a b c d)."""
    if mode == "zeros":
        return torch.nn.functional.pad(x, (size,) * 4)
    rows, columns = (_extend(length, size, mode, x.device) for length in x.shape[1:])
    return x[:, rows][:, :, columns]


def _extend(length: int, size: int, mode: str, device: torch.device) -> torch.Tensor:
    index = torch.arange(-size, length + size, device=device)
    if mode == "replicate":
        return index.clamp(0, length - 1)
    if mode != "symmetric":
        raise ValueError(f"unknown border {mode!r}; zeros, replicate or symmetric")
    index = index % (2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)


def window_mean(image: Image, taps: NDArray[np.float64], *, compiled: bool) -> torch.Tensor:
    """Window means of an image, remembered."""
    return image.memo(("mean", taps.tobytes()), lambda: blur(image.x, taps, compiled=compiled))


def window_square(image: Image, taps: NDArray[np.float64], *, compiled: bool) -> torch.Tensor:
    """Window means of the squared image, remembered."""
    return image.memo(("square", taps.tobytes()), lambda: blur_product(image.x, image.x, taps, compiled=compiled))


def window_cross(t: Triple, source: Image, taps: NDArray[np.float64]) -> torch.Tensor:
    """Window means of source times fused image, remembered."""
    key = ("cross", source is t.a, taps.tobytes())
    return t.memo(key, lambda: blur_product(source.x, t.f.x, taps, compiled=t.compiled))


def flat(x: torch.Tensor) -> NDArray[np.float64]:
    """(N, H, W) CPU tensor -> (N, H W) NumPy view, for kernels."""
    view: NDArray[np.float64] = x.reshape(len(x), -1).numpy()
    return view


def joint_histogram(x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, *, compiled: bool) -> torch.Tensor:
    """(N, H, W) uint8 twice -> (N, 256, 256) int64 counts of (x, y), inside the mask."""
    n = len(x)
    if compiled:
        counts = np.zeros((n, 256, 256), dtype=np.int64)
        _kernels.joint_histogram(flat(x), flat(y), counts)
        return torch.from_numpy(counts)
    index = (torch.arange(n, device=x.device)[:, None, None] * 256 + x.long()) * 256 + y.long()
    chosen = index.flatten() if mask is None else index[mask]
    return torch.bincount(chosen, minlength=n * 65536).reshape(n, 256, 256)


def joint(t: Triple, source: Image) -> torch.Tensor:
    """(N, 256, 256) int64 joint histogram of source (rows) and fused image (columns), remembered."""
    return t.memo(
        ("joint", source is t.a),
        lambda: joint_histogram(source.levels, t.f.levels, t.mask, compiled=t.compiled),
    )


def histogram(t: Triple, image: Image) -> torch.Tensor:
    """(N, 256) int64 grey-level counts inside the mask, remembered."""

    def count() -> torch.Tensor:
        n = len(image.levels)
        if t.compiled:
            counts = np.zeros((n, 256), dtype=np.int64)
            _kernels.histogram(flat(image.levels), counts)
            return torch.from_numpy(counts)
        index = torch.arange(n, device=image.levels.device)[:, None, None] * 256 + image.levels
        chosen = index.flatten() if t.mask is None else index[t.mask]
        return torch.bincount(chosen, minlength=n * 256).reshape(n, 256)

    return image.memo("histogram", count)


_PLOGP = np.concatenate([[0.0], np.arange(1, 4096) * np.log(np.arange(1, 4096))])


def plogp(counts: torch.Tensor, *, compiled: bool) -> torch.Tensor:
    """(N, ...) int64 counts -> (N,) sum of c ln c."""
    if compiled:
        out = torch.empty(len(counts), dtype=torch.float64)
        _kernels.plogp_sum(flat(counts), _PLOGP, out.numpy())
        return out
    c = counts.flatten(1).double()
    return torch.special.xlogy(c, c).sum(1)


def entropy(counts: torch.Tensor, *, compiled: bool) -> torch.Tensor:
    """(N, ...) int64 counts -> (N,) Shannon entropy in nats."""
    if compiled:
        total = torch.from_numpy(flat(counts).sum(1).astype(np.float64))
    else:
        total = counts.flatten(1).sum(1).double()
    return torch.log(total) - plogp(counts, compiled=compiled) / total


def sobel(x: torch.Tensor, *, compiled: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Sobel convolution with zeros beyond the border: (left - right, bottom - top), each (N, H, W)."""
    if compiled:
        gx, gy = torch.empty_like(x), torch.empty_like(x)
        _kernels.sobel(x.numpy(), gx.numpy(), gy.numpy())
        return gx, gy
    p = pad(x, 1)
    dx = p[:, :, :-2] - p[:, :, 2:]
    dy = p[:, 2:] - p[:, :-2]
    return (
        dx[:, :-2] + 2 * dx[:, 1:-1] + dx[:, 2:],
        dy[:, :, :-2] + 2 * dy[:, :, 1:-1] + dy[:, :, 2:],
    )
