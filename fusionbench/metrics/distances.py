"""Distances from the sources that remote sensing and older fusion papers print: MAE, PFE, ERGAS, SAM, SCC, OCE.

All but SAM are for two grey sources: the mean over both. None is in a profile: a copy of either source does well in each.
"""

from __future__ import annotations

import torch

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._sums import correlation, pixels, products, squared_error, total
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.information import CE, cross_entropies

_BETWEEN = (
    "The average of the two sources does best or nearly so, by construction; a copy of one is no worse than most."
)

_MAE = MetricFacts(
    name="mae",
    title="Mean absolute error",
    short="MAE",
    family="statistics",
    direction="lower",
    customary="lower",
    range="0 to 255",
    unit="grey levels",
    origin="surveys and older toolboxes",
    formula="Mean absolute difference of the fused image from each source, averaged over the two.",
    convention="Levels 0..255, mean over the two sources.",
    traps=(_BETWEEN, "On [0, 1] images it is 255 times smaller."),
    degenerate="Always defined; 0 where the fused image equals both sources.",
)


@METRICS.register(_MAE)
def mae(t: Triple) -> torch.Tensor:
    """(N,) in grey levels; exact, from the joint histogram."""
    levels = torch.arange(256, device=t.f.levels.device)
    apart = (levels[:, None] - levels[None, :]).abs()
    sums = [(_ops.joint(t, source, t.f).long() * apart).sum((1, 2)).double() for source in (t.a, t.b)]
    return (sums[0] + sums[1]) / (2 * pixels(t))


@METRICS.register(
    variant(
        _MAE,
        name="pfe",
        title="Percentage fit error",
        short="PFE",
        range="0 and more",
        unit="%",
        reference="Naidu, Raol, Pixel-level image fusion using wavelets and principal component analysis, Defence "
        "Science Journal 2008",
        doi="10.14429/dsj.58.1653",
        formula="100 times the norm of source minus fused image over the norm of the source, averaged over the "
        "two sources.",
        origin="Naidu's MATLAB code, 100 * norm(imt(:) - imf(:)) / norm(imt(:)); surveys and older toolboxes",
        convention="Euclidean norm of all pixels; defined there against a true image, taken here against each source.",
        traps=(
            _BETWEEN,
            "A dark source has a small norm, and its error dominates the mean.",
            "Scripts that write norm(y - x) / norm(y) of matrices, without (:), get MATLAB's spectral norm, the largest "
            "singular value: 29 to 52 % less on phantom pairs.",
        ),
        degenerate="NaN where a source is black.",
    )
)
def pfe(t: Triple) -> torch.Tensor:
    """(N,) in per cent."""
    shares = [squared_error(t, s) * pixels(t) / products(t, s, s) for s in (t.a, t.b)]
    return 50 * (torch.sqrt(shares[0]) + torch.sqrt(shares[1])).nan_to_num(nan=torch.nan, posinf=torch.nan)


@METRICS.register(
    variant(
        _MAE,
        name="ergas",
        title="Relative dimensionless global error in synthesis (ERGAS)",
        short="ERGAS",
        range="0 and more",
        unit="",
        reference="Wald, Quality of high resolution synthesised images: is there a simple criterion?, Fusion of Earth "
        "Data 2000",
        formula="100 times the root mean squared error over the mean level of the source, averaged over the two "
        "sources.",
        convention="One band a source, and the ratio of pixel sizes h / l is 1, for both sources have one grid.",
        traps=(
            _BETWEEN,
            "Pan-sharpening code multiplies by a ratio of pixel sizes (0.25), which medical pairs do not have.",
        ),
        degenerate="NaN where a source is black.",
    )
)
def ergas(t: Triple) -> torch.Tensor:
    """(N,), 0 the best."""
    parts = [torch.sqrt(squared_error(t, s)) * pixels(t) / total(t, s) for s in (t.a, t.b)]
    return 50 * (parts[0] + parts[1]).nan_to_num(nan=torch.nan, posinf=torch.nan)


def _high_pass(image: Image) -> Image:
    """Eight times the level less its neighbours', valid part: whole numbers, so that sums of them are exact."""

    def compute() -> torch.Tensor:
        x = image.x
        h, w = x.shape[1:]
        around = [x[:, i : h - 2 + i, j : w - 2 + j] for i in range(3) for j in range(3)]
        return 9 * around[4] - torch.stack(around).sum(0)

    return image.derive("high pass", compute)


@METRICS.register(
    MetricFacts(
        name="scc",
        title="Spatial correlation coefficient",
        short="SCC",
        family="edges",
        direction="higher",
        customary="higher",
        range="-1 to 1",
        reference="Zhou, Civco, Silander, A wavelet transform method to merge Landsat TM and SPOT panchromatic data, "
        "International Journal of Remote Sensing 1998",
        doi="10.1080/014311698215973",
        formula="Correlation of the high-pass filtered fused image with each high-pass filtered source, averaged "
        "over the two.",
        convention="Laplacian with 8 in the middle and -1 around it, valid part only, Pearson's r over all its pixels.",
        traps=(
            "A copy of the sharper source scores about as well as a fusion: detail that only the other has "
            "weighs little.",
            "Toolboxes filter with borders of zeros, which makes an edge of every border.",
        ),
        degenerate="NaN where the fused image or a source has no detail (constant, or a linear ramp).",
        min_size=4,
    )
)
def scc(t: Triple) -> torch.Tensor:
    """(N,) mean of two correlations."""
    f = _high_pass(t.f).x
    n = t.count(f)

    def covariance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (n * t.total(x * y) - t.total(x) * t.total(y)) / (n * n)

    maps = [_high_pass(source).x for source in (t.a, t.b)]
    parts = [correlation(covariance(x, f), covariance(x, x), covariance(f, f)) for x in maps]
    return (parts[0] + parts[1]) / 2


@METRICS.register(
    MetricFacts(
        name="sam",
        title="Spectral angle to the functional source",
        short="SAM",
        family="medical",
        direction="lower",
        customary="lower",
        range="0 to 90",
        unit="degrees",
        reference="Yuhas, Goetz, Boardman, Discrimination among semi-arid landscape endmembers using the "
        "spectral angle "
        "mapper algorithm, JPL Airborne Geoscience Workshop 1992",
        formula="Mean over pixels of the angle between the RGB vectors of the coloured source and of the "
        "coloured fused image.",
        convention="Three channels as the spectrum; pixels that are black in either image are left out.",
        traps=(
            "A pixel made brighter or darker at equal colour has angle 0: it says nothing of structure.",
            "On grey images every angle is 0; toolboxes then take the whole image for one vector, another number.",
        ),
        degenerate="NaN where no pixel is above black in both images.",
        symmetric=False,
        needs=frozenset({"color", "rgb"}),
    )
)
def sam(t: Triple) -> torch.Tensor:
    """(N,) in degrees."""
    if t.color is None or t.fused_rgb is None:
        raise ValueError("colour metrics need the coloured source and the coloured fused image")
    x, y = t.color.double(), t.fused_rgb.double()
    inner, norms = (x * y).sum(3), torch.sqrt((x * x).sum(3) * (y * y).sum(3))
    useful = norms > 0
    angle = torch.rad2deg(torch.acos((inner / torch.where(useful, norms, 1.0)).clamp(-1, 1)))
    kept = useful if t.mask is None else useful & t.mask
    return torch.where(kept, angle, 0.0).sum((1, 2)) / kept.sum((1, 2))


@METRICS.register(
    variant(
        CE,
        name="ce@rms",
        title="Overall cross entropy, root mean square over the sources",
        short="OCE",
        range="0 and more",
        formula="Root mean square over the two sources of the sum over levels of p_A log2(p_A / p_F).",
        origin="fusion papers that print RCE or OCE; where they print the plain mean (MCE), it is ce",
    )
)
def ce_rms(t: Triple) -> torch.Tensor:
    """(N,) in bits."""
    first, second = cross_entropies(t)
    return torch.sqrt((first**2 + second**2) / 2)
