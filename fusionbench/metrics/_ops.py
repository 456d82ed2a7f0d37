"""Operations that several metrics share: windows, moments, histograms, gradients. (N, H, W) float64 tensors in and out.

``compiled`` (``t.windows`` for windows, ``t.compiled`` for sums) chooses a CPU kernel; otherwise plain torch, on any
device. Both agree to 1e-12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics._kernels import levels, windows
from fusionbench.metrics._triple import Image, Triple

Taps = NDArray[np.float64]


@lru_cache(maxsize=64)
def gaussian(size: int, sigma: float) -> Taps:
    """Sampled Gaussian, sum 1; its outer product with itself is the usual 2-D window."""
    x = np.arange(size) - (size - 1) / 2
    taps = np.exp(-(x**2) / (2.0 * sigma**2))
    weights: Taps = taps / taps.sum()
    return weights


@lru_cache(maxsize=16)
def uniform(size: int) -> Taps:
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


def blur(x: torch.Tensor, taps: Taps, step: int = 1, *, compiled: bool) -> torch.Tensor:
    """Window sums over the valid part, every ``step``-th pixel: (N, H, W) -> (N, (H - n) // step + 1, ...)."""
    return blur_products((x, x, x), ((0, -1),), taps, step, compiled=compiled)[0]


Maps: TypeAlias = "tuple[torch.Tensor, torch.Tensor, torch.Tensor]"
Arrays: TypeAlias = "tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]"


def blur_products(
    images: Maps, pairs: tuple[tuple[int, int], ...], taps: Taps, step: int = 1, *, compiled: bool
) -> tuple[torch.Tensor, ...]:
    """:func:`blur` of products of two of three maps, given by index; -1 stands for no second factor."""
    if not compiled or len(taps) % 2 == 0:
        rows, columns = (_band(taps.tobytes(), length, step, images[0].device) for length in images[0].shape[1:])
        products = (images[p] if q < 0 else images[p] * images[q] for p, q in pairs)
        return tuple(rows.T @ product @ columns for product in products)
    a, b, c = images
    return tuple(torch.from_numpy(compiled_blur((a.numpy(), b.numpy(), c.numpy()), pairs, taps, step)))


def compiled_blur(images: Arrays, pairs: tuple[tuple[int, int], ...], taps: Taps, step: int = 1) -> NDArray[np.float64]:
    """:func:`blur_products` by the CPU kernel, for an odd number of taps: -> (len(pairs), N, h, w)."""
    n, h, w = images[0].shape
    out = np.empty((len(pairs), n, (h - len(taps)) // step + 1, (w - len(taps)) // step + 1))
    windows.blur(images, _index(pairs), taps, step, out)
    return out


@lru_cache(maxsize=16)
def _index(pairs: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    return np.array(pairs)


def large(t: Triple, image_rows: int, image_columns: int) -> bool:
    """Whether a map of this size is too large to be kept: CPU kernels go over it in :func:`strips` instead."""
    return t.compiled and image_rows * image_columns > 1 << 22


def strips(rows: int, columns: int) -> Iterator[slice]:
    """Strips of rows of about a million pixels."""
    step = max(64, (1 << 20) // columns)
    for top in range(0, rows, step):
        yield slice(top, min(top + step, rows))


def pad(x: torch.Tensor, size: int, border: str) -> torch.Tensor:
    """Extend by ``size`` on every side, for image rows a b c: "zeros", "replicate" (a|abc), "reflect" (b|abc) or
    "symmetric" (ba|abc)."""
    if border == "zeros":
        return torch.nn.functional.pad(x, (size,) * 4)
    rows, columns = (_extend(length, size, border).to(x.device) for length in x.shape[1:])
    return x[:, rows][:, :, columns]


def _extend(length: int, size: int, border: str) -> torch.Tensor:
    index = np.arange(-size, length + size)
    if border == "replicate":
        index = index.clip(0, length - 1)
    elif border == "reflect":
        index = index % max(2 * length - 2, 1)
        index = np.minimum(index, max(2 * length - 2, 1) - index) if length > 1 else index * 0
    elif border == "symmetric":
        index = index % (2 * length)
        index = np.minimum(index, 2 * length - 1 - index)
    else:
        raise ValueError(f"unknown border {border!r}; zeros, replicate, reflect or symmetric")
    return torch.from_numpy(index)


def window_moments(t: Triple, image: Image, taps: Taps) -> tuple[torch.Tensor, torch.Tensor]:
    """Window means of an image and of its square, remembered."""

    return image.memo(("moments", taps.tobytes()), lambda: moments(image.x, taps, compiled=t.windows))


def moments(x: torch.Tensor, taps: Taps, *, compiled: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Window means of a map and of its square."""
    mean, square = blur_products((x, x, x), ((0, -1), (0, 0)), taps, compiled=compiled)
    return mean, square


def window_mean(t: Triple, image: Image, taps: Taps) -> torch.Tensor:
    """Window means of an image."""
    return window_moments(t, image, taps)[0]


def window_product(t: Triple, x: Image, y: Image, taps: Taps) -> torch.Tensor:
    """Window means of x y, remembered by ``y``."""
    if x is y:
        return window_moments(t, x, taps)[1]
    key = ("product", x.key, taps.tobytes())
    return y.memo(key, lambda: blur_products((x.x, y.x, y.x), ((0, 1),), taps, compiled=t.windows)[0])


def window_covariance(t: Triple, x: Image, y: Image, taps: Taps) -> torch.Tensor:
    """Local (weighted, population) covariance as the tools compute it, E[xy] - E[x] E[y]; the variance where x is y.

    A flat window comes out as exactly zero where it is black, else as a rounding error, of either sign.
    """

    def compute() -> torch.Tensor:
        return window_product(t, x, y, taps) - window_mean(t, x, taps) * window_mean(t, y, taps)

    return y.memo(("covariance", x.key, taps.tobytes()), compute)


def exact_covariance(t: Triple, x: Image, y: Image, taps: Taps) -> torch.Tensor:
    """:func:`window_covariance` of levels, exactly zero where a window is flat: levels are integers, so whatever is below
    1e-9 is a rounding error, which would otherwise decide metrics that divide by it."""
    value = window_covariance(t, x, y, taps)
    return torch.where(value.abs() < 1e-9, 0.0, value)


def sum_of(values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of equally shaped tensors."""
    return torch.stack(list(values)).sum(0)


def safe_ratio(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """NaN where the denominator is 0."""
    return numerator / torch.where(denominator == 0, torch.nan, denominator)


def flat(x: torch.Tensor) -> NDArray[np.float64]:
    """(N, ...) CPU tensor -> (N, P) NumPy view, for kernels."""
    array: NDArray[np.float64] = x.numpy()
    return array.reshape(len(array), -1)


def joint(t: Triple, x: Image, y: Image) -> torch.Tensor:
    """(N, 256, 256) int32 or int64 joint histogram of x (rows) and y (columns) inside the mask, remembered by ``y``."""

    def count() -> torch.Tensor:
        n = len(x.levels)
        if t.compiled:
            counts = np.zeros((n, 256, 256), dtype=np.int32)
            levels.joint_histogram(flat(x.levels), flat(y.levels), counts)
            return torch.from_numpy(counts)
        images = torch.arange(n, device=x.levels.device)[:, None, None]
        index = (images * 256 + x.levels.long()) * 256 + y.levels.long()
        chosen = index.flatten() if t.mask is None else index[t.mask]
        return torch.bincount(chosen, minlength=n * 65536).reshape(n, 256, 256)

    return y.memo(("joint", x.key), count)


def histogram(t: Triple, image: Image) -> torch.Tensor:
    """(N, 256) int32 or int64 grey-level counts inside the mask, remembered."""

    def count() -> torch.Tensor:
        n = len(image.levels)
        if t.compiled:
            counts = np.empty((n, 256), dtype=np.int32)
            levels.histogram(flat(image.levels), counts)
            return torch.from_numpy(counts)
        index = torch.arange(n, device=image.levels.device)[:, None, None] * 256 + image.levels
        chosen = index.flatten() if t.mask is None else index[t.mask]
        return torch.bincount(chosen, minlength=n * 256).reshape(n, 256)

    return image.memo("histogram", count)


_PLOGP = np.concatenate([[0.0], np.arange(1, 4096) * np.log(np.arange(1, 4096))])


def entropy(counts: torch.Tensor, *, compiled: bool) -> torch.Tensor:
    """(N, ...) integer counts -> (N,) Shannon entropy in nats."""
    if compiled:
        out = np.empty(len(counts))
        levels.entropy(flat(counts), _PLOGP, out)
        return torch.from_numpy(out)
    c = counts.flatten(1).double()
    pixels = c.sum(1)
    sums: torch.Tensor = torch.special.xlogy(c, c).sum(1)
    return torch.log(pixels) - sums / pixels


def three_by_three(x: torch.Tensor, centre: float, border: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Derivatives with weights 1, ``centre``, 1 across (2: Sobel, 1: Prewitt): (left - right, bottom - top)."""
    p = pad(x, 1, border)
    dx = p[:, :, :-2] - p[:, :, 2:]
    dy = p[:, 2:] - p[:, :-2]
    return dx[:, :-2] + centre * dx[:, 1:-1] + dx[:, 2:], dy[:, :, :-2] + centre * dy[:, :, 1:-1] + dy[:, :, 2:]


def unit(image: Image) -> Image:
    """The image in [0, 1]."""
    return image.derive("unit", lambda: image.x / 255)


def stretched(image: Image) -> Image:
    """The image with its levels stretched to 0..255 and rounded, remembered; itself where that changes nothing.

    A flat image becomes black. The whole image counts, inside or outside a mask.
    """

    def stretch() -> Image | None:
        low = image.levels.amin((1, 2)).double()[:, None, None]
        high = image.levels.amax((1, 2)).double()[:, None, None]
        if bool(((low == 0) & (high == 255)).all()):
            return None  # not the image itself: an object that holds itself is not freed at once
        span = torch.where(high > low, high - low, 1.0)
        return Image(torch.floor((image.x - low) / span * 255 + 0.5).to(torch.uint8))

    return image.memo("stretched", stretch) or image
