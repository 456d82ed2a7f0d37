"""Loss terms that several learned methods share, each differentiable and quick on a CPU, gradient included.

Images are (N,1,H,W) float32. border: "zero" pads with zeros, as published code does; "valid" replicates the border for Sobel
and keeps whole windows only, so that the frame of a training crop is no edge.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fusionbench.errors import InputError

VIF_SMALLEST = 41


def gradient(image: Tensor, border: str = "zero") -> Tensor:
    """|Sobel_x| + |Sobel_y|, same shape."""
    return directional_gradient(image, border).sum(1, keepdim=True)


def directional_gradient(image: Tensor, border: str = "zero") -> Tensor:
    """(N,2,H,W): |Sobel_x| and |Sobel_y|."""
    # Made where the image is, as the bands below are: copying a constant to a GPU waits for it.
    slope = torch.arange(-1, 2, device=image.device, dtype=image.dtype)
    sobel = (2 - slope.abs())[:, None] * slope
    kernels = torch.stack([sobel, sobel.T])[:, None]
    padded = F.pad(image, (1, 1, 1, 1), mode="constant" if border == "zero" else "replicate")
    return F.conv2d(padded, kernels).abs()


def gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    """(size,) weights that sum to one, in the dtype and on the device of `like`."""
    x = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    g = torch.exp(-(x**2) / (2 * sigma**2))
    return g / g.sum()


def smooth(image: Tensor, window: Tensor, padding: int = 0) -> Tensor:
    """Separable filter with zero padding, as two products with banded matrices: much faster on a CPU, gradient included,
    than convolutions of one channel."""
    rows, columns = (_band(size, window, padding) for size in image.shape[-2:])
    return rows @ image @ columns.T


def _band(size: int, window: Tensor, padding: int) -> Tensor:
    index = torch.arange(size, device=window.device)
    first = torch.arange(size + 2 * padding - len(window) + 1, device=window.device) - padding
    offset = index[None] - first[:, None]
    inside = (offset >= 0) & (offset < len(window))
    return window[offset.clamp(0, len(window) - 1)] * inside


def fidelity(source: Tensor, fused: Tensor) -> Tensor:
    """(N,) visual information fidelity of a source in the fused image, both in [-1, 1]; pixel domain, four scales (Sheikh
    and Bovik, IEEE TIP 2006, doi 10.1109/TIP.2005.859378; noise variance 2 on 0..255), kept differentiable.

    The source's own information is bounded from below, lest near-empty crops outweigh the others. Raises InputError
    for images smaller than the windows of the coarsest scale.
    """
    if min(source.shape[-2:]) < VIF_SMALLEST:
        raise InputError(
            f"VIF needs {VIF_SMALLEST} x {VIF_SMALLEST} pixels; use --crop {VIF_SMALLEST} or more, or --loss fidelity=0"
        )
    x, y = (source + 1) * 127.5, (fused + 1) * 127.5
    preserved = available = torch.zeros(len(source), device=source.device)
    count = 0
    for size in (17, 9, 5, 3):
        window = gaussian(size, size / 5, x)
        if size < 17:
            x, y = (smooth(image, window)[:, :, ::2, ::2] for image in (x, y))
        moments = smooth(torch.cat([x, y, x * x, y * y, x * y]), window)
        mean_x, mean_y, xx, yy, xy = moments.chunk(5)
        var_x, var_y = (xx - mean_x * mean_x).clamp(min=0), (yy - mean_y * mean_y).clamp(min=0)
        cov = xy - mean_x * mean_y
        gain = (cov / (var_x + 1e-2)).clamp(min=0)
        noise = (var_y - gain * cov).clamp(min=1e-2)
        preserved = preserved + torch.log1p(gain * gain * var_x / (noise + 2)).sum((1, 2, 3))
        available = available + torch.log1p(var_x / 2).sum((1, 2, 3))
        count += var_x[0].numel()
    return preserved / (available + 0.1 * count)


def similarity(source: Tensor, fused: Tensor) -> Tensor:
    """(N,) SSIM of images in [-1, 1] with 7x7 uniform windows and sample covariance (Wang et al., IEEE TIP 2004, doi
    10.1109/TIP.2003.819861)."""
    x, y = source + 1, fused + 1  # levels from 0, range 2
    moments = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y]), 7, 1)
    mean_x, mean_y, xx, yy, xy = moments.chunk(5)
    c1, c2, sample = 0.02**2, 0.06**2, 49 / 48
    var_x, var_y = sample * (xx - mean_x**2), sample * (yy - mean_y**2)
    cov = sample * (xy - mean_x * mean_y)
    ssim = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return ssim.mean((1, 2, 3))


def gaussian_ssim(
    x: Tensor, y: Tensor, border: str = "zero", c1: float = 0.01**2, c2: float = 0.03**2, size: int = 11
) -> Tensor:
    """Mean SSIM of all pixels of all images, luminance term included; Gaussian windows of sigma 1.5 and side `size`.

    Wang et al., IEEE TIP 2004, doi 10.1109/TIP.2003.819861; the constants' defaults are those of range 1.
    """
    moments = smooth(
        torch.cat([x, y, x * x, y * y, x * y]), gaussian(size, 1.5, x), size // 2 if border == "zero" else 0
    )
    mean_x, mean_y, xx, yy, xy = moments.chunk(5)
    var_x, var_y, cov = xx - mean_x * mean_x, yy - mean_y * mean_y, xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return (luminance * (2 * cov + c2) / (var_x + var_y + c2)).mean()
