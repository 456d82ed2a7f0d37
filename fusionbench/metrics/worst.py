"""``@worst``: the smaller of what a metric says of the two sources, each alone.

Metrics of fusion add up or average over the sources, and a copy of one source wins by what it has of that one. The smaller
value is high only where the fused image holds something of both. No toolbox has these; each is built on the convention
that its fact sheet names.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from fusionbench.metrics import METRICS, MetricFacts, variant
from fusionbench.metrics._ops import safe_ratio
from fusionbench.metrics._sums import covariance, squared_error
from fusionbench.metrics._triple import Image, Pairs, Triple
from fusionbench.metrics.fidelity import vif_strict
from fusionbench.metrics.gradients import qabf_strict
from fusionbench.metrics.information import image_entropy, mutual_information
from fusionbench.metrics.phase import fsim
from fusionbench.metrics.statistics import cc, decibel, scd_terms
from fusionbench.metrics.structure import ms_ssim, ssim_strict, uqi


def _alone(t: Triple, source: Image) -> Triple:
    """The same fused image with one source twice: a mean over the sources is then what is said of this one."""
    pairs = Pairs(a=source, b=source, mask=t.mask, color=None, truth=None, compiled=t.windows)
    return Triple(pairs, t.f)


def _smaller(of: Callable[[Triple], torch.Tensor], t: Triple) -> torch.Tensor:
    return torch.minimum(of(_alone(t, t.a)), of(_alone(t, t.b)))


def _facts(base: str, of: str, formula: str, limits: str = "0 to 1") -> MetricFacts:
    facts = METRICS[of].facts
    changes = {
        "title": f"{facts.title.partition(',')[0]}, the worse source",
        "short": f"{base.upper()} (worst)",
        "range": limits,
        "formula": f"The smaller of the two sources' values: {formula}",
        "convention": f"As {of}, of each source alone.",
        "traps": (
            "A copy of one source scores what the sources have in common, not what it has of itself.",
            "The sources seldom have equal shares: it says which is treated worse, and moves with that one alone.",
        ),
        "degenerate": "NaN where the value of either source is; see " + of + ".",
        "origin": "",
        "symmetric": True,
        "version": 1,
    }
    differs = {field: value for field, value in changes.items() if getattr(facts, field) != value}
    return variant(facts, name=f"{base}@worst", **differs)


@METRICS.register(_facts("ssim", "ssim@strict", "SSIM(A, F), SSIM(B, F).", "-1 to 1"))
def ssim_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(ssim_strict, t)


@METRICS.register(_facts("ms-ssim", "ms-ssim", "MS-SSIM(A, F), MS-SSIM(B, F)."))
def ms_ssim_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(ms_ssim, t)


@METRICS.register(_facts("uqi", "uqi", "UQI(A, F), UQI(B, F).", "-1 to 1"))
def uqi_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(uqi, t)


@METRICS.register(
    _facts("vif", "vif@strict", "VIF(A, F), VIF(B, F).", "0 to about 1; above where contrast is enhanced")
)
def vif_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(vif_strict, t)


@METRICS.register(_facts("qabf", "qabf@strict", "edge weight of A that F keeps over all of A's; the same of B."))
def qabf_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(qabf_strict, t)


@METRICS.register(_facts("fsim", "fsim", "FSIM(A, F), FSIM(B, F)."))
def fsim_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(fsim, t)


@METRICS.register(_facts("fmi", "fmi@pixel", "FMI(A, F), FMI(B, F)."))
def fmi_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(METRICS["fmi@pixel"].factory, t)


@METRICS.register(_facts("cc", "cc", "Pearson's r(A, F), r(B, F).", "-1 to 1"))
def cc_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    return _smaller(cc, t)


@METRICS.register(_facts("psnr", "psnr@255", "PSNR(A, F), PSNR(B, F).", "0 to infinity"))
def psnr_worst(t: Triple) -> torch.Tensor:
    """(N,) in dB."""
    return decibel(255.0, torch.maximum(squared_error(t, t.a), squared_error(t, t.b)))


@METRICS.register(
    _facts("scd", "scd", "r(A, F - B), r(B, F - A), 0 where the difference does not vary (a copy).", "-1 to 1")
)
def scd_worst(t: Triple) -> torch.Tensor:
    """(N,)"""
    first, second = (
        torch.where(covariance(t, source, source) > 0, term.nan_to_num(0.0), torch.nan)
        for source, term in zip((t.a, t.b), scd_terms(t), strict=True)
    )
    return torch.minimum(first, second)


@METRICS.register(_facts("mi", "mi@strict", "I(A; F) / H(A), I(B; F) / H(B)."))
def mi_worst(t: Triple) -> torch.Tensor:
    """(N,) share of the source's entropy."""
    shares = [safe_ratio(mutual_information(t, source, t.f), image_entropy(t, source)) for source in (t.a, t.b)]
    return torch.minimum(*shares)
