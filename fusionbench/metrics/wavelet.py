"""VIF in the wavelet domain: the vector Gaussian scale mixture of Sheikh and Bovik on a steerable pyramid (``vifvec``)."""

from __future__ import annotations

import functools
import importlib.resources
import math

import numpy as np
import torch

from fusionbench.metrics import METRICS, MetricFacts, variant
from fusionbench.metrics._ops import blur, pad, unit
from fusionbench.metrics._triple import Image, Triple

LEVELS = 4
BLOCK = 3
"""Vectors are of 3 x 3 coefficients."""
NOISE = 0.4
_TINY = 1e-15


@functools.cache
def _taps() -> dict[str, torch.Tensor]:
    """The filters of matlabPyrTools' sp5Filters (Simoncelli and Freeman, ICIP 1995, doi 10.1109/ICIP.1995.537667): "hi0",
    "lo0", "lo" and the six oriented "b0" to "b5"."""
    text = (importlib.resources.files("fusionbench.metrics") / "data" / "sp5.txt").read_text("ascii")
    found = {}
    for line in text.splitlines():
        name, size, *values = line.split()
        found[name] = torch.tensor([float(v) for v in values], dtype=torch.float64).reshape(int(size), int(size))
    return found


def _filtered(x: torch.Tensor, taps: torch.Tensor, step: int = 1) -> torch.Tensor:
    """(N, h, w) correlated with the taps, borders reflected about the outermost pixel; every ``step``-th."""
    half = taps.shape[0] // 2
    wide = torch.nn.functional.pad(x[:, None], (half, half, half, half), mode="reflect")
    return torch.nn.functional.conv2d(wide, taps.to(x.device)[None, None], stride=step)[:, 0]


def _bands(x: torch.Tensor) -> list[torch.Tensor]:
    """The two orientations (of six) that VIF looks at, of each of four levels, finest first."""
    taps = _taps()
    low = _filtered(x, taps["lo0"])
    found = []
    for level in range(LEVELS):
        found += [_filtered(low, taps[name]) for name in ("b0", "b3")]
        if level < LEVELS - 1:
            low = _filtered(low, taps["lo"], 2)
    return found


def _bands_of(image: Image) -> list[torch.Tensor]:
    return image.memo("sp5 bands", lambda: _bands(image.x))


def _whole_blocks(x: torch.Tensor) -> torch.Tensor:
    return x[:, : x.shape[1] // BLOCK * BLOCK, : x.shape[2] // BLOCK * BLOCK]


def _source_field(band: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """((N, h, w) energy of each block in units of the covariance, (N, 9) eigenvalues of the covariance of blocks)."""
    x = _whole_blocks(band)
    vectors = x.unfold(1, BLOCK, 1).unfold(2, BLOCK, 1).flatten(3).flatten(1, 2)
    centred = vectors - vectors.mean(1, keepdim=True)
    covariance = centred.transpose(1, 2) @ centred / vectors.shape[1]
    values, axes = torch.linalg.eigh(covariance)
    blocks = x.unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)
    shape = blocks.shape[:3]
    along = blocks.flatten(3).flatten(1, 2) @ axes
    # Directions that no block has cannot be divided by.
    held = values > _TINY * values[:, -1:].clamp(min=_TINY)
    energy = torch.where(held[:, None], along**2 / torch.where(held, values, 1.0)[:, None], 0.0).sum(2)
    return (energy / BLOCK**2).reshape(shape), torch.where(held, values, 0.0)


def _sums(t: Triple, values: torch.Tensor, size: int) -> torch.Tensor:
    """Sums over windows of ``size`` around the centres of blocks, borders reflected."""
    wide = pad(values, size // 2, "reflect")[:, BLOCK // 2 :, BLOCK // 2 :].contiguous()
    return blur(wide, np.ones(size), BLOCK, compiled=t.windows)


def _moments(t: Triple, image: Image, n: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Means, and sums of squares about them, of the n-th band in such windows; remembered."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        x = _whole_blocks(_bands_of(image)[n])
        mean = _sums(t, x, size) / size**2
        return mean, (_sums(t, x * x, size) - size**2 * mean**2).clamp(min=0)

    return image.memo(("sp5 moments", n), compute)


def _channel(t: Triple, source: Image, fused: Image, n: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and noise from a source's band to the fused image's, in windows of ``size`` around the blocks' centres."""
    x, y = (_whole_blocks(_bands_of(image)[n]) for image in (source, fused))
    (mean_x, square_x), (mean_y, square_y) = (_moments(t, image, n, size) for image in (source, fused))
    n = size * size
    cross = _sums(t, x * y, size) - n * mean_x * mean_y
    gain = cross / (square_x + _TINY)
    noise = (square_y - gain * cross) / n
    flat = square_x < _TINY
    gain, noise = torch.where(flat, 0.0, gain), torch.where(flat, square_y, noise)
    still = square_y < _TINY
    gain, noise = torch.where(still, 0.0, gain), torch.where(still, 0.0, noise)
    turned = gain < 0
    return torch.where(turned, 0.0, gain), torch.where(turned, square_y, noise).clamp(min=_TINY)


def _vifvec(t: Triple, source: Image, fused: Image) -> torch.Tensor:
    """(N,) information of the source that the fused image holds over what the source holds."""
    fields = source.memo("sp5 fields", lambda: [_source_field(band) for band in _bands_of(source)])
    held = kept = torch.zeros(len(source.x), dtype=torch.float64, device=source.x.device)
    for n, (energy, values) in enumerate(fields):
        size = 2 ** (LEVELS - n // 2) + 1
        gain, noise = _channel(t, source, fused, n, size)
        edge = math.ceil((size - 1) // 2 / BLOCK)
        inner = [m[:, edge : m.shape[1] - edge, edge : m.shape[2] - edge] for m in (gain, noise, energy)]
        g, v, s = (m[..., None] for m in inner)
        spread = s * values[:, None, None]
        kept = kept + torch.log2(1 + g**2 * spread / (v + NOISE)).sum((1, 2, 3))
        held = held + torch.log2(1 + spread / NOISE).sum((1, 2, 3))
    return torch.where(held > 0, kept / torch.where(held > 0, held, 1.0), math.nan)


_VIFVEC = MetricFacts(
    name="vif@wavelet",
    title="Visual information fidelity in the wavelet domain, sum over the sources",
    short="VIF (wavelet)",
    family="fidelity",
    direction="higher",
    customary="higher",
    range="0 to about 2",
    reference="Sheikh, Bovik, Image information and visual quality, IEEE TIP 2006",
    doi="10.1109/TIP.2005.859378",
    origin="vifvec.m of LIVE, as the evaluation code of MATR and several thesis toolboxes calls it",
    formula="For each source, the information that the fused image holds of it over what the source holds, both "
    "under a model of vectors of wavelet coefficients and visual noise; summed over the two sources.",
    convention="Steerable pyramid of four levels with the filters sp5, orientations 1 and 4 of six, blocks of 3 x 3, noise "
    "variance 0.4, levels 0..255, source as reference.",
    traps=(
        "It is not vif, which works on pixels (VIFp): the two differ by tens of per cent and share the name.",
        "A copy of one source scores 1 for it.",
        "Piecewise constant images have blocks without variance in some direction, whose covariance the tool cannot "
        "invert; such directions are left out here.",
    ),
    degenerate="NaN where a source has no detail in any band.",
    min_size=72,
)


@METRICS.register(_VIFVEC)
def vif_wavelet(t: Triple) -> torch.Tensor:
    """(N,) sum of two ratios."""
    return _vifvec(t, t.a, t.f) + _vifvec(t, t.b, t.f)


@METRICS.register(
    variant(
        _VIFVEC,
        name="vif@wavelet-unit",
        title="Visual information fidelity in the wavelet domain, mean over the sources, images in [0, 1]",
        short="VIF (wavelet, [0, 1])",
        range="0 to about 1",
        origin="thfylsty's toolbox: vifvec(im2double(A), im2double(F)), averaged",
        formula="As vif@wavelet, but the mean over the two sources.",
        convention="As vif@wavelet, the images divided by 255 first; the noise variance stays 0.4 and so is "
        "65,025 times larger.",
        traps=(
            "With so much noise hardly any information is left to either image, and the ratio follows contrast: an "
            "image with its contrast raised scores above 1.",
        ),
    )
)
def vif_wavelet_unit(t: Triple) -> torch.Tensor:
    """(N,) mean of two ratios."""
    return (_vifvec(t, unit(t.a), unit(t.f)) + _vifvec(t, unit(t.b), unit(t.f))) / 2
