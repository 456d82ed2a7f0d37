"""Convolutional sparse coding: the one solver behind CSR, CSMCA and the learning of their dictionaries.

Convolutional basis pursuit denoising, argmin over x of 1/2 |sum_m d_m * x_m - s|^2 + lambda sum_m |x_m|_1, by ADMM with
the linear step solved exactly at each frequency (Wohlberg, doi:10.1109/TIP.2015.2495260). Borders are periodic.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Image = NDArray[np.float64]


def spectra(filters: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(M, K, K) filters -> (M, H, W // 2 + 1) spectra, the filters' centres at the origin."""
    count, height, width = filters.shape
    padded = filters.new_zeros((count, *(max(size, side) for size, side in zip(shape, (height, width), strict=True))))
    padded[:, :height, :width] = filters
    folded = padded.roll((-(height // 2), -(width // 2)), (1, 2))
    spectrum: torch.Tensor = torch.fft.rfft2(folded)
    return spectrum


def sparse_codes(
    signals: torch.Tensor,
    spectrum: torch.Tensor,
    weight: float,
    *,
    iterations: int,
    tolerance: float = 1e-3,
    start: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, H, W) signals -> (N, M, H, W) sparse codes, and multipliers: together the ``start`` of a later call.

    ``weight`` is lambda. Penalty 100 lambda + 1/2, over-relaxation 1.8, and a penalty adapted every tenth step, as in the
    settings of Liu et al. 2016. Stops when both residuals are below ``tolerance``, relative, or after ``iterations``.
    """
    shape = (signals.shape[-2], signals.shape[-1])
    target = torch.fft.rfft2(signals)
    conjugate = spectrum.conj().resolve_conj()
    energy = (spectrum.abs() ** 2).sum(dim=0)
    rho = 100 * weight + 0.5
    codes = signals.new_zeros((signals.shape[0], spectrum.shape[0], *shape)) if start is None else start[0]
    dual = torch.zeros_like(codes) if start is None else start[1] / rho
    for step in range(1, iterations + 1):
        # (D^H D + rho I)^-1 (D^H s + rho v) = v + D^H (s - D v) / (rho + |D|^2): D^H D has rank one at each frequency.
        near = codes - dual
        spectral = torch.fft.rfft2(near)
        rest = target.clone()
        for index in range(spectrum.shape[0]):
            rest.addcmul_(spectrum[index], spectral[:, index], value=-1)
        rest /= rho + energy
        smooth = near.add_(torch.fft.irfft2(torch.mul(conjugate, rest[:, None], out=spectral), s=shape))
        previous = codes
        moved = torch.mul(smooth, 1.8).sub_(codes, alpha=0.8).add_(dual)
        codes = torch.nn.functional.softshrink(moved, weight / rho)
        dual = moved.sub_(codes)
        if step % 10 == 0:
            primal = float((smooth - codes).norm()) / max(float(smooth.norm()), float(codes.norm()), 1e-12)
            change = float((codes - previous).norm()) / max(float(dual.norm()), 1e-12)
            if max(primal, change) < tolerance:
                break
            if primal > 0 and change > 0:
                factor = min(max((primal / change) ** 0.5, 0.5), 2.0)
                rho, dual = rho * factor, dual / factor
    return codes, rho * dual


def synthesize(codes: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """(N, M, H, W) codes -> (N, H, W) sum of the filtered codes."""
    shape = (codes.shape[-2], codes.shape[-1])
    signals: torch.Tensor = torch.fft.irfft2((torch.fft.rfft2(codes) * spectrum).sum(dim=1), s=shape)
    return signals


def split_bands(signals: torch.Tensor, smoothness: float, margin: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, H, W) -> low- and high-pass: argmin |low - s|^2 + smoothness |gradient of low|^2, on a symmetric margin."""
    height, width = signals.shape[-2:]
    rows, columns = (_mirrored(size, margin) for size in (height, width))
    padded = signals[:, rows][:, :, columns]
    shape = (padded.shape[1], padded.shape[2])
    y = torch.fft.fftfreq(shape[0], dtype=signals.dtype)[:, None]
    x = torch.fft.rfftfreq(shape[1], dtype=signals.dtype)[None, :]
    gradient = 4 * torch.sin(torch.pi * y) ** 2 + 4 * torch.sin(torch.pi * x) ** 2
    low = torch.fft.irfft2(torch.fft.rfft2(padded) / (1 + smoothness * gradient), s=shape)
    low = low[:, margin : margin + height, margin : margin + width]
    return low, signals - low


def _mirrored(size: int, margin: int) -> torch.Tensor:
    """Indices of a symmetric extension by ``margin`` on either side, for any size."""
    index = torch.arange(-margin, size + margin) % (2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)
