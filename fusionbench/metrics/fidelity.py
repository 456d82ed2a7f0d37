"""Visual information fidelity: VIF in the pixel domain, VIFF of Han."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._kernels import windows as kernels
from fusionbench.metrics._ops import safe_ratio
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.statistics import EVALUATOR

_SIZES = (17, 9, 5, 3)
_EPS = 1e-10
_SOURCES = ((0, -1), (0, 0), (1, -1), (1, 1))  # A, A^2, B, B^2


def _taps(scale: int) -> _ops.Taps:
    return _ops.gaussian(_SIZES[scale], _SIZES[scale] / 5)


def _scale(t: Triple, image: Image, scale: int) -> torch.Tensor:
    """The image at scale 0..3: each is blurred with its own window and halved from the one before. Remembered."""
    if scale == 0:
        return image.x

    def compute() -> torch.Tensor:
        h, w = _size(t, scale - 1)
        if not _ops.large(t, h, w):
            return _ops.blur(_scale(t, image, scale - 1), _taps(scale), 2, compiled=t.windows)
        n = _SIZES[scale]
        parts = _ops.strips((h - n) // 2 + 1, w)
        rows = (_rows(t, image, scale - 1, slice(2 * part.start, 2 * part.stop + n - 2)) for part in parts)
        return torch.cat([_ops.blur(x, _taps(scale), 2, compiled=True) for x in rows], 1)

    return image.memo(("vif scale", scale), compute)


def _size(t: Triple, scale: int) -> tuple[int, int]:
    """(H, W) at scale 0..3."""
    h, w = t.size[1:]
    for n in _SIZES[1 : scale + 1]:
        h, w = (h - n) // 2 + 1, (w - n) // 2 + 1
    return h, w


def _rows(t: Triple, image: Image, scale: int, rows: slice) -> torch.Tensor:
    """Some rows of the image at a scale, float64, without making all of it where it is the image itself."""
    return image.levels[:, rows].double() if scale == 0 else _scale(t, image, scale)[:, rows]


def _sums(t: Triple, *, reverse: bool) -> torch.Tensor:
    """(4, N) sums of logarithms on the CPU: information that F shares with A and with B, then that in the reference, which
    is A and B, in reverse F twice. Remembered by F."""

    def compute() -> torch.Tensor:
        sums = np.zeros((5, t.size[0]))  # shared with A and B, in F, in A and B
        first = 0  # scales before this one are large
        while first < 3 and _ops.large(t, *_size(t, first)):
            _add_in_strips(t, first, sums, reverse=reverse)
            first += 1
        kept = t.b.memo(("vif sources", t.a.key), lambda: _sources(t, first))
        f = _first_map(t, t.f, first)
        for scale, (a, b, means) in enumerate(kept.scales, first):
            if scale > first:
                f = _ops.compiled_blur((f, f, f), ((0, -1),), _taps(scale), 2)[0]
            kernels.shared_information((a, b, f), means, _taps(scale), reverse, sums)
        sums[3:] += kept.information
        return torch.from_numpy(sums[[0, 1, 2, 2]] if reverse else sums[[0, 1, 3, 4]])

    return t.f.memo(("vif sums", t.a.key, t.b.key, reverse), compute)


@dataclasses.dataclass(frozen=True)
class _Sources:
    """What VIF keeps of two sources: at each scale both maps and the window means of A, A^2, B, B^2; (2, N) information."""

    scales: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]
    information: NDArray[np.float64]


def _sources(t: Triple, first: int) -> _Sources:
    """The scales from ``first`` on."""
    kept = _Sources([], np.zeros((2, t.size[0])))
    a, b = _first_map(t, t.a, first), _first_map(t, t.b, first)
    for scale in range(first, 4):
        if scale > first:
            a, b = _ops.compiled_blur((a, b, b), ((0, -1), (1, -1)), _taps(scale), 2)
        means = _ops.compiled_blur((a, b, b), _SOURCES, _taps(scale))
        kernels.log_information(means, kept.information)
        kept.scales.append((a, b, means))
    return kept


def _first_map(t: Triple, image: Image, scale: int) -> NDArray[np.float64]:
    """The image at the first scale that is not large."""
    values: NDArray[np.float64] = _scale(t, image, scale).numpy()
    return values


def _add_in_strips(t: Triple, scale: int, sums: NDArray[np.float64], *, reverse: bool) -> None:
    """One scale of a large image, no map of which is kept."""
    n = _SIZES[scale]
    h, w = _size(t, scale)
    for part in _ops.strips(h - n + 1, w):
        rows = slice(part.start, part.stop + n - 1)
        a, b, f = (_rows(t, image, scale, rows) for image in (t.a, t.b, t.f))
        maps = (a.numpy(), b.numpy(), f.numpy())
        means = _ops.compiled_blur(maps, _SOURCES, _taps(scale))
        kernels.shared_information(maps, means, _taps(scale), reverse, sums)
        kernels.log_information(means, sums[3:])


def _source_means(t: Triple, source: Image, scale: int) -> tuple[torch.Tensor, ...]:
    """Window means of a source and of its square at one scale, remembered."""
    return source.memo(
        ("vif means", scale), lambda: _ops.moments(_scale(t, source, scale), _taps(scale), compiled=t.windows)
    )


def _fused_means(t: Triple, scale: int) -> tuple[torch.Tensor, ...]:
    """Window means of F, F^2, A F and B F at one scale, remembered."""

    def compute() -> tuple[torch.Tensor, ...]:
        maps = (_scale(t, t.a, scale), _scale(t, t.b, scale), _scale(t, t.f, scale))
        return _ops.blur_products(maps, ((2, -1), (2, 2), (0, 2), (1, 2)), _taps(scale), compiled=t.windows)

    return t.f.memo(("vif means", t.a.key, t.b.key, scale), compute)


def _means(t: Triple, source: Image, scale: int, *, reverse: bool = False) -> tuple[torch.Tensor, ...]:
    """Window means of x, x^2, y, y^2 and x y: x the source and y the fused image, in reverse the other way round."""
    mean, square, with_a, with_b = _fused_means(t, scale)
    one, other = _source_means(t, source, scale), (mean, square)
    return (
        (*other, *one, with_a if source is t.a else with_b)
        if reverse
        else (*one, *other, with_a if source is t.a else with_b)
    )


def _inside(t: Triple, scale: int) -> torch.Tensor | None:
    """The mask on the window centres of one scale: (N, h, w) bool."""
    mask, offset = t.mask, 0
    if mask is None:
        return None
    for s in range(1, scale + 1):
        half = _SIZES[s] // 2
        mask = mask[:, half : mask.shape[1] - half : 2, half : mask.shape[2] - half : 2]
    offset = _SIZES[scale] // 2
    return mask[:, offset : mask.shape[1] - offset, offset : mask.shape[2] - offset]


def _log_sum(values: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
    return _sum(torch.log(values), inside)


def _variance(mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
    return (square - mean**2).clamp_min(0.0)


def _information(t: Triple, image: Image, means: Callable[[int], tuple[torch.Tensor, ...]]) -> torch.Tensor:
    """(N,) information in a reference, in nats, remembered; ``means`` of it and its square by scale."""

    def compute() -> torch.Tensor:
        out = torch.zeros(len(image.levels), dtype=torch.float64, device=image.levels.device)
        for scale in range(4):
            v = _variance(*means(scale)[:2])
            out = out + _log_sum(1 + torch.where(v < _EPS, 0.0, v) / 2, _inside(t, scale))
        return out

    return image.memo("vif information", compute)


def _channel(means: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Variance of x, gain and noise variance of the channel from x to y at one scale; gain 0 where undefined."""
    x, xx, y, yy, xy = means
    v1, v2 = _variance(x, xx), _variance(y, yy)
    covariance = xy - x * y
    gain = covariance / (v1 + _EPS)
    noise = (v2 - gain * covariance).clamp_min(_EPS)
    return v1, torch.where((v1 >= _EPS) & (v2 >= _EPS) & (gain > 0), gain, 0.0), noise


def _fidelity(t: Triple, source: Image, *, reverse: bool = False) -> torch.Tensor:
    """(N,) share of the source's information that the fused image holds; in reverse, of F's that the source holds."""
    if t.compiled:
        sums = _sums(t, reverse=reverse)
        k = int(source is t.b)
        return safe_ratio(sums[k], sums[2 + k])
    shared = torch.zeros(len(source.levels), dtype=torch.float64, device=source.levels.device)
    for scale in range(4):
        signal, gain, noise = _channel(_means(t, source, scale, reverse=reverse))
        shared = shared + _log_sum(1 + gain**2 * signal / (noise + 2), _inside(t, scale))
    if reverse:
        return safe_ratio(shared, _information(t, t.f, partial(_fused_means, t)))
    return safe_ratio(shared, _information(t, source, partial(_source_means, t, source)))


_VIF = MetricFacts(
    name="vif",
    title="Visual information fidelity, pixel domain, sum over the sources",
    short="VIF",
    family="fidelity",
    direction="higher",
    customary="higher",
    range="0 to about 2; above where contrast is enhanced",
    reference="Sheikh, Bovik, Image information and visual quality, IEEE Trans. Image Processing 2006",
    doi="10.1109/TIP.2005.859378",
    origin=EVALUATOR + " (there called VIFF); Tang's toolbox (called VIF)",
    formula="Information about each source that remains in the fused image over the information in that source, "
    "Gaussian channel model in local windows on four scales; VIF(A, F) + VIF(B, F).",
    convention="Pixel domain, Gaussian windows 17, 9, 5, 3 with sigma N / 5, noise variance 2 on 0..255, the source "
    "is the reference, sum over the sources.",
    traps=(
        "VIFF (Han 2013) and wavelet VIF go by the same name: other numbers, other ranking (tau 0.1 to 0.4).",
        "On [0, 1] images a noise variance of 2 gives 1.25 instead of 0.51.",
        "Exchanging reference and fused image changes it by about 10 %.",
    ),
    degenerate="NaN where a source is flat: it holds no information (the copied code prints 1). 0 for a flat fused "
    "image.",
    min_size=41,
)


@METRICS.register(_VIF)
def vif(t: Triple) -> torch.Tensor:
    """(N,) sum of two ratios."""
    return _fidelity(t, t.a) + _fidelity(t, t.b)


@METRICS.register(
    variant(
        _VIF,
        name="vif@reversed",
        title="Visual information fidelity with the fused image as the reference, sum over the sources",
        short="VIF (reversed)",
        range="0 upwards",
        formula="VIF(F, A) + VIF(F, B): how much of the fused image's information each source holds.",
        degenerate="NaN where the fused image is flat.",
        origin="Ports that pass (fused, source) to a function of (reference, distorted)",
        convention="As vif, arguments exchanged.",
        traps=("10 to 15 % above vif under the same name; it rewards fused images with little content.",),
    )
)
def vif_reversed(t: Triple) -> torch.Tensor:
    """(N,) sum of two ratios."""
    return _fidelity(t, t.a, reverse=True) + _fidelity(t, t.b, reverse=True)


@METRICS.register(
    variant(
        _VIF,
        name="vif@strict",
        title="Visual information fidelity, pixel domain, mean over the sources",
        short="VIF (mean)",
        range="0 to about 1; above where contrast is enhanced",
        formula="The mean of VIF(A, F) and VIF(B, F).",
        degenerate="NaN where a source is flat: it holds no information. 0 for a flat fused image.",
        origin="",
        convention="As vif, mean over the sources.",
        traps=("See vif.",),
    )
)
def vif_strict(t: Triple) -> torch.Tensor:
    """(N,) mean of two ratios."""
    return vif(t) / 2


_HAN_WEIGHTS = (1 / 2.15, 0.0, 0.15 / 2.15, 1 / 2.15)
_HAN_NOISE = 0.005 * 255 * 255


@METRICS.register(
    MetricFacts(
        name="viff",
        title="Visual information fidelity for fusion (Han)",
        short="VIFF",
        family="fidelity",
        direction="higher",
        customary="higher",
        range="0 to about 1",
        reference="Han, Cai, Cao, Xu, A new image fusion performance metric based on visual information fidelity, "
        "Inf. Fusion 2013",
        doi="10.1016/j.inffus.2011.08.002",
        origin="Han's VIFF_Public.m; MEFB metricsVIF.m",
        formula="At each window of each scale, VIF's two terms of the source with the smaller gain; their sums are "
        "divided, and the four scales mixed with 1, 0, 0.15, 1 over 2.15.",
        convention="Pixel domain, Gaussian windows 17, 9, 5, 3; noise variance 0.005 * 255^2 = 325; 1e-7 added to "
        "each term.",
        traps=("CDDFuse and its relatives print vif under this name: tau 0.1 to 0.4 between the two.",),
        degenerate="1 where both sources are flat (the added constants alone remain).",
        symmetric=False,
        min_size=41,
    )
)
def viff(t: Triple) -> torch.Tensor:
    """(N,) mixture over scales."""
    result = torch.zeros((), dtype=torch.float64, device=t.f.x.device)
    for scale, weight in enumerate(_HAN_WEIGHTS):
        if not weight:
            continue
        (gain_a, *terms_a), (gain_b, *terms_b) = (_han_terms(t, source, scale) for source in (t.a, t.b))
        first = gain_a < gain_b
        inside = _inside(t, scale)
        kept, there = (_sum(torch.where(first, x, y), inside) for x, y in zip(terms_a, terms_b, strict=True))
        windows = _sum(torch.ones_like(gain_a), inside)
        result = result + weight * (kept + 1e-7 * windows) / (there + 1e-7 * windows)
    return result


def _han_terms(t: Triple, source: Image, scale: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gain, log10 of shared and of total information, each a map."""
    signal, gain, noise = _channel(_means(t, source, scale))
    total = source.memo(("han", scale), lambda: torch.log10(1 + torch.where(signal < _EPS, 0.0, signal) / _HAN_NOISE))
    return gain, torch.log10(1 + gain**2 * signal / (noise + _HAN_NOISE)), total


def _sum(values: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
    return (values if inside is None else torch.where(inside, values, 0.0)).sum((1, 2))
