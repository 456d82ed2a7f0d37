"""Similarity weighted by where the sources' contrast is: Piella's QS, QW, QE, Cvejic's QC, Yang's QY."""

from __future__ import annotations

import torch

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._ops import gaussian, safe_ratio
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.structure import ssim_map

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW = gaussian(11, 1.5)


def _covariance(t: Triple, x: Image, y: Image, taps: _ops.Taps) -> torch.Tensor:
    """Window covariance, in flat windows proportional to both levels; the variance where x is y.

    There the tools divide rounding errors by each other. Rounded window weights do not add up to quite 1, so that the error
    of E[xy] - E[x] E[y] is E[x] E[y] times some 1e-16, and the quotients are those of the levels.
    """

    def compute() -> torch.Tensor:
        value = _ops.window_covariance(t, x, y, taps)
        by_level = 1e-16 * _ops.window_mean(t, x, taps) * _ops.window_mean(t, y, taps)
        return torch.where(value.abs() < 1e-9, by_level, value)

    return y.memo(("covariance by level", x.key, taps.tobytes()), compute)


def _saliency(t: Triple, a: Image, b: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """(share of A at each window, larger of the two variances); both are one half where both sources are black."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        va, vb = (_covariance(t, x, x, _WINDOW) for x in (a, b))
        none = va + vb == 0
        va, vb = torch.where(none, 0.5, va), torch.where(none, 0.5, vb)
        return va / (va + vb), torch.maximum(va, vb)

    return b.memo(("saliency", a.key), compute)


def _mixed(t: Triple, a: Image, b: Image, f: Image) -> torch.Tensor:
    """(N, h, w) SSIM with either source, mixed by saliency."""
    share = _saliency(t, a, b)[0]
    first, second = (ssim_map(t, source, f, _WINDOW, _C1, _C2) for source in (a, b))
    return share * first + (1 - share) * second


def _weighted(t: Triple, a: Image, b: Image, f: Image) -> torch.Tensor:
    weight = _saliency(t, a, b)[1]
    return safe_ratio(t.total(weight * _mixed(t, a, b, f)), t.total(weight))


def _edges(image: Image, border: str) -> Image:
    """Prewitt gradient strength."""

    def strength() -> torch.Tensor:
        gx, gy = _ops.three_by_three(image.x, 1.0, border)
        return torch.sqrt(gx**2 + gy**2)

    return image.derive(("prewitt", border), strength)


def _edge_factor(t: Triple, border: str = "zeros") -> torch.Tensor:
    """(N,) QW of the edge images, remembered."""
    a, b, f = (_edges(image, border) for image in (t.a, t.b, t.f))
    return t.f.memo(("edge factor", border), lambda: _weighted(t, a, b, f))


_SSIM = (
    "The similarity is SSIM with its constants (11 x 11 Gaussian, sigma 1.5, range 255), not the 8 x 8 UQI of the "
    "paper."
)


_QS = MetricFacts(
    name="qs",
    title="Piella's fusion quality index",
    short="QS",
    family="structure",
    direction="higher",
    customary="higher",
    range="-1 to 1",
    reference="Piella, Heijmans, A new quality metric for image fusion, ICIP 2003",
    doi="10.1109/ICIP.2003.1247209",
    origin="imageFusionMetrics metricPeilla.m (sw = 1)",
    formula="Mean over windows of l SSIM(A, F) + (1 - l) SSIM(B, F), l = var A / (var A + var B).",
    convention=_SSIM,
    traps=(
        "Flat background scores 1: on a slice it is most of the value.",
        "Where both sources are flat above black, the tools weigh by rounding errors. The rule here is what these amount "
        "to: variances in the ratio of the squared levels. On 84 images of Harvard pairs it is the tool's number to 1e-10; "
        "on a piecewise constant image two tools differ by 3e-3, and the rule from them by up to 7e-3.",
    ),
    degenerate="Always defined; where both sources are flat, l is their squared levels' share, 1/2 where both are black.",
    min_size=11,
    version=3,
)


@METRICS.register(_QS)
def qs(t: Triple) -> torch.Tensor:
    """(N,) mean over windows."""
    return t.mean(_mixed(t, t.a, t.b, t.f))


@METRICS.register(
    variant(
        _QS,
        name="qw",
        title="Piella's weighted fusion quality index",
        short="QW",
        formula="As qs, each window weighted by the larger of the two sources' variances.",
        degenerate="Always defined.",
        origin="imageFusionMetrics metricPeilla.m (sw = 2)",
        traps=("MEFB prints the edge factor under this name: qe@mefb.",),
    )
)
def qw(t: Triple) -> torch.Tensor:
    """(N,) weighted mean over windows."""
    return _weighted(t, t.a, t.b, t.f)


_QE = variant(
    _QS,
    name="qe",
    title="Piella's edge-dependent fusion quality index",
    short="QE",
    formula="QW of the images times QW of their edge images (exponent alpha = 1).",
    degenerate="Always defined.",
    origin="",
    convention=_SSIM + " Edges: Prewitt strength, zeros beyond the border.",
    traps=("imageFusionMetrics' own code for it stops with an undefined variable; ports returned parts of it.",),
)


@METRICS.register(_QE)
def qe(t: Triple) -> torch.Tensor:
    """(N,) product of two weighted indices."""
    return qw(t) * _edge_factor(t)


@METRICS.register(
    variant(
        _QE,
        name="qe@mefb",
        title="Edge factor of Piella's QE, which MEFB prints as Qw",
        short="Qw (MEFB)",
        formula="QW of the three edge images.",
        origin="MEFB metricsQw.m",
        traps=("Not QW, and half of QE.",),
    )
)
def qe_mefb(t: Triple) -> torch.Tensor:
    """(N,) weighted mean over windows of edge images."""
    return _edge_factor(t)


@METRICS.register(
    variant(
        _QE,
        name="qe@squared",
        title="Squared edge factor of Piella's QE",
        short="Qe (squared)",
        range="0 to 1",
        formula="The square of QW of the three edge images.",
        origin="image-fusion-metric (Python)",
        convention=_SSIM + " Edges: Prewitt strength, borders replicated.",
        traps=("The image factor is missing, the edge factor enters twice.",),
    )
)
def qe_squared(t: Triple) -> torch.Tensor:
    """(N,) squared edge factor."""
    return _edge_factor(t, "replicate") ** 2


_SMALL = gaussian(7, 1.5)
_TINY = 2e-16


def _defined_mean(t: Triple, values: torch.Tensor) -> torch.Tensor:
    """Mean over the windows that are not NaN; NaN where none is left."""
    defined = ~torch.isnan(values)
    return safe_ratio(t.total(torch.where(defined, values, 0.0)), t.total(defined.double()))


_QC = MetricFacts(
    name="qc",
    title="Cvejic's similarity metric",
    short="QC",
    family="structure",
    direction="higher",
    customary="higher",
    range="-1 to 1",
    reference="Cvejic, Loza, Bull, Canagarajah, A similarity metric for assessment of image fusion algorithms, IJSP "
    "2005",
    origin="imageFusionMetrics metricCvejic.m (sw = 2); MEFB metricsQc.m",
    formula="Mean over windows of s SSIM(A, F) + (1 - s) SSIM(B, F), s = cov(A, F) / (cov(A, F) + cov(B, F)); 0 where "
    "s < 0 and 1 where s > 1.",
    convention="Gaussian 7 x 7, sigma 1.5, constants 2e-16; windows where s is 0 / 0 are left out, as MEFB does.",
    traps=(
        "imageFusionMetrics returns NaN for every slice with a black background.",
        "In flat windows above black the tools compare rounding errors. The rule here is what these amount to on average: "
        "covariances in the ratio of the products of the levels. On 84 images of Harvard pairs another order of summing "
        "moves the tool's number by up to 3e-2 (CT; PET 4e-5, SPECT 3e-3), and the rule is as far from it (3e-2, 5e-5, "
        "2e-3).",
        "A window with s > 1 scores a full 1, one with s < 0 nothing: exchanging the sources changes the value.",
    ),
    degenerate="NaN where both sources or the fused image are black in every window.",
    symmetric=False,
    min_size=11,
    version=3,
)


@METRICS.register(_QC)
def qc(t: Triple) -> torch.Tensor:
    """(N,) mean over the windows that are defined."""
    cov_a, cov_b = (_covariance(t, source, t.f, _SMALL) for source in (t.a, t.b))
    share = cov_a / (cov_a + cov_b)
    first, second = (_unprotected(t, source, t.f) for source in (t.a, t.b))
    values = share * first + (1 - share) * second
    values = torch.where(share < 0, 0.0, torch.where(share > 1, 1.0, values))
    return _defined_mean(t, values)


_QY = MetricFacts(
    name="qy",
    title="Yang's similarity metric",
    short="QY",
    family="structure",
    direction="higher",
    customary="higher",
    range="-1 to 1",
    reference="Yang, Zhang, Wang, Liu, A novel similarity based quality metric for image fusion, Information Fusion "
    "2008",
    doi="10.1016/j.inffus.2006.09.001",
    origin="imageFusionMetrics metricYang.m; MEFB metricsQy.m",
    formula="Windows where SSIM(A, B) >= 0.75: l SSIM(A, F) + (1 - l) SSIM(B, F), l = var A / (var A + var B); "
    "elsewhere the larger of the two.",
    convention="Gaussian 7 x 7, sigma 1.5, constants 2e-16; windows where l is 0 / 0 are left out, as MEFB does.",
    traps=(
        "imageFusionMetrics returns NaN for every slice with a black background.",
        "In flat windows above black the tools compare rounding errors. The rule here is what these amount to: covariances "
        "in the ratio of the products of the levels. On 84 images of Harvard pairs it is the tool's number to 1e-12 on 69 "
        "and to 5e-5 on all.",
        "A copy of one source scores close to 1.",
    ),
    degenerate="NaN where both sources are black in every window.",
    min_size=11,
    version=3,
)


@METRICS.register(_QY)
def qy(t: Triple) -> torch.Tensor:
    """(N,) mean over the windows that are defined."""
    va, vb = (_covariance(t, x, x, _SMALL) for x in (t.a, t.b))
    share = va / (va + vb)
    between = t.b.memo(("between", t.a.key), lambda: _unprotected(t, t.a, t.b))
    first, second = (_unprotected(t, source, t.f) for source in (t.a, t.b))
    mixed = share * first + (1 - share) * second
    values = torch.where(between >= 0.75, mixed, torch.maximum(first, second))
    return _defined_mean(t, torch.where(torch.isnan(share), torch.nan, values))


def _unprotected(t: Triple, x: Image, y: Image) -> torch.Tensor:
    """SSIM with constants that protect from nothing but 0 / 0, remembered by ``y``."""

    def compute() -> torch.Tensor:
        mx, my = _ops.window_mean(t, x, _SMALL), _ops.window_mean(t, y, _SMALL)
        variances = _covariance(t, x, x, _SMALL) + _covariance(t, y, y, _SMALL)
        structure = (2 * _covariance(t, x, y, _SMALL) + _TINY) / (variances + _TINY)
        return (2 * mx * my + _TINY) / (mx**2 + my**2 + _TINY) * structure

    return y.memo(("unprotected", x.key), compute)


def _unregularised(t: Triple, x: Image, y: Image) -> torch.Tensor:
    """SSIM without constants; two flat windows compare by their means alone, two black ones are equal."""

    def compute() -> torch.Tensor:
        mx, my = _ops.window_mean(t, x, _SMALL), _ops.window_mean(t, y, _SMALL)
        power, spread = mx**2 + my**2, _ops.exact_covariance(t, x, x, _SMALL) + _ops.exact_covariance(t, y, y, _SMALL)
        luminance = torch.where(power == 0, 1.0, 2 * mx * my / power)
        return luminance * torch.where(spread == 0, 1.0, 2 * _ops.exact_covariance(t, x, y, _SMALL) / spread)

    return y.memo(("unregularised", x.key), compute)


@METRICS.register(
    variant(
        _QC,
        name="qc@strict",
        title="Cvejic's similarity metric, defined for flat windows",
        short="QC (strict)",
        formula="As qc, with s clipped to [0, 1]; s = 1/2 where neither source covaries with the fused image.",
        degenerate="Always defined.",
        origin="",
        convention="Gaussian 7 x 7, sigma 1.5, no constants: two flat windows compare by their means.",
        traps=("Flat background that agrees scores 1: use a mask.",),
        symmetric=True,
        min_size=7,
        version=1,
    )
)
def qc_strict(t: Triple) -> torch.Tensor:
    """(N,) mean over windows."""
    cov_a, cov_b = _ops.exact_covariance(t, t.a, t.f, _SMALL), _ops.exact_covariance(t, t.b, t.f, _SMALL)
    both = cov_a + cov_b
    share = torch.where(both == 0, 0.5, cov_a / torch.where(both == 0, 1.0, both)).clamp(0, 1)
    return t.mean(share * _unregularised(t, t.a, t.f) + (1 - share) * _unregularised(t, t.b, t.f))


@METRICS.register(
    variant(
        _QY,
        name="qy@strict",
        title="Yang's similarity metric, defined for flat windows",
        short="QY (strict)",
        formula="As qy; l = 1/2 where both sources are flat.",
        degenerate="Always defined.",
        origin="",
        convention="Gaussian 7 x 7, sigma 1.5, no constants: two flat windows compare by their means.",
        traps=("Flat background that agrees scores 1: use a mask.", "A copy of one source scores close to 1."),
        min_size=7,
        version=1,
    )
)
def qy_strict(t: Triple) -> torch.Tensor:
    """(N,) mean over windows."""
    va, vb = _ops.exact_covariance(t, t.a, t.a, _SMALL), _ops.exact_covariance(t, t.b, t.b, _SMALL)
    both = va + vb
    share = torch.where(both == 0, 0.5, va / torch.where(both == 0, 1.0, both))
    first, second = _unregularised(t, t.a, t.f), _unregularised(t, t.b, t.f)
    mixed = share * first + (1 - share) * second
    return t.mean(torch.where(_unregularised(t, t.a, t.b) >= 0.75, mixed, torch.maximum(first, second)))
