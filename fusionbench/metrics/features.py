"""Feature mutual information (Haghighat): FMI of pixels, gradients, edges, cosine and wavelet coefficients."""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pywt
import torch
from scipy import fft

from fusionbench.metrics import METRICS, MetricFacts, _ops
from fusionbench.metrics._kernels import fmi as kernels
from fusionbench.metrics._triple import Triple


@functools.cache
def _meyer() -> pywt.Wavelet:
    """The discrete Meyer wavelet of MATLAB: 102 taps, where PyWavelets has 62 of them."""
    file = importlib.resources.files("fusionbench.metrics") / "data" / "dmey102.txt"
    low = math.sqrt(2) * np.array(file.read_text("ascii").split(), dtype=float)
    high = low[::-1] * (-1.0) ** np.arange(len(low))  # the quadrature mirror filter
    return pywt.Wavelet("dmey102", filter_bank=(low[::-1], high[::-1], low, high))


def _pixel(x: torch.Tensor) -> torch.Tensor:
    return x


def _gradient(x: torch.Tensor) -> torch.Tensor:
    """Derivative along columns, central, one-sided at the border."""
    d = torch.empty_like(x)
    d[:, :, 1:-1] = (x[:, :, 2:] - x[:, :, :-2]) / 2
    d[:, :, 0], d[:, :, -1] = x[:, :, 1] - x[:, :, 0], x[:, :, -1] - x[:, :, -2]
    return d


def _edge(x: torch.Tensor) -> torch.Tensor:
    """0 or 1: thinned Sobel edges above twice the root of the mean squared gradient, as MATLAB's edge() finds them."""
    gx, gy = _ops.three_by_three(x, 2.0, "replicate")
    gx, gy = gx.abs() / 8, gy.abs() / 8
    power = gx**2 + gy**2
    p = torch.nn.functional.pad(power, (1, 1, 1, 1))
    slack = 100 * torch.finfo(torch.float64).eps
    left, right, up, down = p[:, 1:-1, :-2], p[:, 1:-1, 2:], p[:, :-2, 1:-1], p[:, 2:, 1:-1]
    ridge = ((gx >= gy - slack) & (left <= power) & (power > right)) | (
        (gy >= gx - slack) & (up <= power) & (power > down)
    )
    found = ridge & (power > 4 * power.mean((1, 2), keepdim=True))
    found[:, [0, -1]] = False
    found[:, :, [0, -1]] = False
    return found.double()


def _dct(x: torch.Tensor) -> torch.Tensor:
    # By SciPy, as the wavelet by PyWavelets: where an image is flat, coefficients are rounding errors, and so are windows
    # of them; these libraries round alike on every processor.
    return torch.from_numpy(fft.dctn(x.numpy(force=True), axes=(1, 2), norm="ortho")).to(x.device)


def _wavelet(x: torch.Tensor) -> torch.Tensor:
    """The bands [A, H; V, D] re-ranged to [0, 1]; ones where they are all equal."""
    about, (horizontal, vertical, diagonal) = pywt.dwt2(x.numpy(force=True), _meyer(), axes=(1, 2))
    bands = torch.from_numpy(np.block([[about, horizontal], [vertical, diagonal]])).to(x.device)
    low, high = bands.amin((1, 2), keepdim=True), bands.amax((1, 2), keepdim=True)
    return torch.where(high == low, 1.0, (bands - low) / torch.where(high == low, 1.0, high - low))


def _windows(x: torch.Tensor) -> torch.Tensor:
    """(N, H, W) -> (9, N, H - 2, W - 2): the nine pixels of each 3 x 3 window, column after column."""
    h, w = x.shape[1] - 2, x.shape[2] - 2
    return torch.stack([x[:, i : h + i, j : w + j] for j in range(3) for i in range(3)])


def _plogp(p: torch.Tensor) -> torch.Tensor:
    value: torch.Tensor = torch.special.xlogy(p, p.abs())
    return value


def _shared_information(a: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    """(9, N, h, w) windows twice -> (N, h, w) normalised mutual information, as :func:`fmi.fmi_map` computes it."""
    equal = (a == f).all(0) | ((a == a[0]).all(0) & (f == f[0]).all(0))
    p, q = _probabilities(a), _probabilities(f)
    entropies = -_plogp(p).sum(0) - _plogp(q).sum(0)
    dp, dq = p - p.mean(0), q - q.mean(0)
    together = (dp * dq).sum(0)
    r = torch.where(together == 0, 0.0, together / torch.sqrt((dp**2).sum(0) * (dq**2).sum(0)))
    opposed = r < 0
    q = torch.where(opposed, q.flip(0), q)  # the lower bound is the upper one with the order of F reversed
    cp, cq = p.cumsum(0), q.cumsum(0)
    overlap = torch.zeros_like(r)
    for i in range(9):
        overlap = overlap + torch.minimum(cp[i], cq).sum(0)
    bound = torch.where(opposed, -1.0, 1.0) * (overlap - cp.sum(0) * cq.sum(0))
    deviations = _deviation(p) * _deviation(q)
    weight = torch.where((deviations == 0) | (r == 0), 0.0, r * deviations / torch.where(bound == 0, 1.0, bound))
    joint = torch.zeros_like(r)
    below = torch.zeros_like(cq[0])
    for i in range(9):
        left = torch.zeros_like(below)
        for j in range(9):
            cell = (torch.minimum(cp[i], cq[j]) - torch.maximum(below, left)).clamp_min(0.0)
            joint = joint - _plogp(weight * cell + (1 - weight) * p[i] * q[j])
            left = cq[j]
        below = cp[i]
    information = entropies - joint
    ratio = torch.where(entropies == 0, 0.0, 2 * information / torch.where(entropies == 0, 1.0, entropies))
    return torch.where(equal, 1.0, ratio)


def _probabilities(windows: torch.Tensor) -> torch.Tensor:
    low, high = windows.amin(0), windows.amax(0)
    even = high == low
    scaled = torch.where(even, 1.0, (windows - low) / torch.where(even, 1.0, high - low))
    return scaled / scaled.sum(0)


def _deviation(p: torch.Tensor) -> torch.Tensor:
    position = torch.arange(1.0, 10.0, dtype=torch.float64, device=p.device)[:, None, None, None]
    return torch.sqrt(((p * position**2).sum(0) - (p * position).sum(0) ** 2).clamp_min(0.0))


def _fmi(t: Triple, feature: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """(N,) mean over 3 x 3 windows of a feature map, and over the two sources."""
    a, b, f = (image.memo(("feature", feature), partial(feature, image.x)) for image in (t.a, t.b, t.f))
    if t.compiled:
        out = torch.empty(len(f), dtype=torch.float64)
        kernels.fmi_sum(a.numpy(), b.numpy(), f.numpy(), out.numpy())
        return out / ((f.shape[1] - 2) * (f.shape[2] - 2))
    windows = _windows(f)
    quality = (_shared_information(_windows(a), windows) + _shared_information(_windows(b), windows)) / 2
    spatial = feature not in (_dct, _wavelet)
    return t.mean(quality) if spatial else quality.mean((1, 2))


def _register(
    name: str, title: str, short: str, feature: Callable[[torch.Tensor], torch.Tensor], more: str, version: int = 1
) -> None:
    """Enter one of the five features."""

    @METRICS.register(
        MetricFacts(
            name=f"fmi@{name}",
            title=f"Feature mutual information of {title}",
            short=short,
            family="features",
            direction="higher",
            customary="higher",
            range="0 to 1",
            reference="Haghighat, Razian, Fast-FMI: non-reference image fusion metric, AICT 2014; after Haghighat et "
            "al., CEE 2011",
            doi="10.1109/ICAICT.2014.7036000",
            origin="Fast-FMI (fmi.m), in Tang's toolbox, MEFB and the DenseFuse family",
            formula="In each 3 x 3 window the feature values of a source and of the fused image are taken as two "
            "distributions over the nine places; their joint distribution mixes the product with a Frechet bound so "
            "that it has their correlation; 2 I / (H + H), averaged over windows and sources.",
            convention=more,
            traps=(
                "The default feature of fmi.m is edge, although its help says raw pixels: what toolboxes print as "
                "FMI_pixel is fmi@edge.",
                "A window counts fully where it equals the source's, flat background included.",
            ),
            degenerate="Always defined; equal windows count 1, flat against varied ones 0.",
            min_size=3,
            version=version,
        )
    )
    def fmi(t: Triple) -> torch.Tensor:
        """(N,) mean over windows."""
        return _fmi(t, feature)


_register("pixel", "raw pixels", "FMI (pixel)", _pixel, "Levels as they are.")
_register(
    "gradient",
    "gradients",
    "FMI (gradient)",
    _gradient,
    "Central differences along rows only, one-sided at the border.",
)
_register(
    "edge",
    "edges",
    "FMI (edge)",
    _edge,
    "Binary edges: Sobel / 8 with replicated borders, threshold twice the root of the mean squared gradient, thinned.",
)
_register(
    "dct",
    "cosine coefficients",
    "FMI (dct)",
    _dct,
    "Orthonormal DCT-II of the whole image; the windows lie in the frequency plane, so a mask has no meaning and is "
    "ignored.",
    version=2,
)
_register(
    "wavelet",
    "wavelet coefficients",
    "FMI (wavelet)",
    _wavelet,
    "One level of the discrete Meyer wavelet (MATLAB's 102 taps), symmetric border, the bands as [A, H; V, D], re-ranged "
    "to [0, 1]; a mask has no meaning there and is ignored.",
    version=2,
)
