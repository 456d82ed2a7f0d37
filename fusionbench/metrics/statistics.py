"""Grey-level statistics: SD, CC, SCD, MSE, PSNR. All follow from sums of products of levels, which are exact integers."""

from __future__ import annotations

import numpy as np
import torch

from fusionbench.metrics import METRICS, MetricFacts, variant
from fusionbench.metrics._ops import flat
from fusionbench.metrics._sums import correlation, covariance, pixels, squared_error, total
from fusionbench.metrics._triple import Triple

EVALUATOR = "Evaluator.py of CDDFuse, DM-FNet and LKC-FUNet"


SD = MetricFacts(
    name="sd",
    title="Standard deviation",
    short="SD",
    family="statistics",
    direction="describes",
    customary="higher",
    range="0 to 127.5",
    unit="grey levels",
    reference="Rao, In-fibre Bragg grating sensors, Meas. Sci. Technol. 1997 (the citation in use)",
    doi="10.1088/0957-0233/8/4/002",
    origin=EVALUATOR + "; Tang's toolbox since 2023; VIFB as 'Variance'",
    formula="The population standard deviation of the fused image's grey levels.",
    convention="Levels 0..255, divided by the number of pixels, not by one less.",
    traps=(
        "Stretching the contrast of the fused image before saving raises it at no gain in content.",
        "Tang's toolbox up to 2022 squares in uint8, which saturates: its values are 8 to 12 for every image.",
        "It needs no source: noise raises it.",
    ),
    degenerate="Always defined; 0 for a flat image.",
)


@METRICS.register(SD)
def sd(t: Triple) -> torch.Tensor:
    """(N,) in grey levels."""
    return torch.sqrt(covariance(t, t.f, t.f))


@METRICS.register(
    MetricFacts(
        name="cc",
        title="Correlation coefficient",
        short="CC",
        family="statistics",
        direction="higher",
        customary="higher",
        range="-1 to 1",
        reference="Ma, Ma, Li, Infrared and visible image fusion methods and applications: a survey, Information "
        "Fusion 2019",
        doi="10.1016/j.inffus.2018.02.004",
        origin=EVALUATOR + "; Tang's toolbox",
        formula="Pearson's correlation of the fused image with each source, averaged over the two.",
        convention="Mean of the two correlations.",
        traps=("The average of the sources comes close to its maximum: it favours blurred, low-contrast fusion.",),
        degenerate="NaN where the fused image or a source is flat: no correlation exists.",
    )
)
def cc(t: Triple) -> torch.Tensor:
    """(N,) mean of two Pearson correlations."""
    fused = covariance(t, t.f, t.f)
    r = [correlation(covariance(t, s, t.f), covariance(t, s, s), fused) for s in (t.a, t.b)]
    return (r[0] + r[1]) / 2


@METRICS.register(
    MetricFacts(
        name="scd",
        title="Sum of the correlations of differences",
        short="SCD",
        family="statistics",
        direction="higher",
        customary="higher",
        range="-2 to 2",
        reference="Aslantas, Bendes, A new image quality metric for image fusion, AEU 2015",
        doi="10.1016/j.aeue.2015.09.004",
        origin=EVALUATOR + "; Tang's toolbox; the same everywhere",
        formula="r(F - B, A) + r(F - A, B): what the fused image adds to one source should look like the other.",
        convention="Differences are signed, levels 0..255.",
        traps=("The plain sum of the sources is its maximum: it rewards amplitude, not detail.",),
        degenerate="NaN where a source is flat or the fused image differs from a source by a constant (F = A): 0 / 0.",
    )
)
def scd(t: Triple) -> torch.Tensor:
    """(N,) sum of two correlations."""
    first, second = scd_terms(t)
    return first + second


def scd_terms(t: Triple) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) correlation of each source with what the fused image has beyond the other."""
    fused = covariance(t, t.f, t.f)
    between = covariance(t, t.a, t.b)
    scores = []
    for one, other in ((t.a, t.b), (t.b, t.a)):
        c_one, c_other = covariance(t, one, t.f), covariance(t, other, t.f)
        v_one, v_other = covariance(t, one, one), covariance(t, other, other)
        scores.append(correlation(c_one - between, v_one, fused + v_other - 2 * c_other))
    return scores[0], scores[1]


_MSE = MetricFacts(
    name="mse",
    title="Mean squared error",
    short="MSE",
    family="statistics",
    direction="lower",
    customary="lower",
    range="0 to 65025",
    unit="squared grey levels",
    origin=EVALUATOR,
    formula="Mean squared difference of the fused image from each source, averaged over the two.",
    convention="Levels 0..255, mean over the two sources.",
    traps=(
        "The average of the two sources is the best possible image under it, by construction.",
        "DM-FNet's commented tables print it negated; Tang's toolbox uses [0, 1], 65025 times smaller.",
    ),
    degenerate="Always defined; 0 where the fused image equals both sources.",
)


@METRICS.register(_MSE)
def mse(t: Triple) -> torch.Tensor:
    """(N,) in squared grey levels."""
    return (squared_error(t, t.a) + squared_error(t, t.b)) / 2


_PSNR = MetricFacts(
    name="psnr",
    title="Peak signal-to-noise ratio, peak = max(F)",
    short="PSNR",
    family="statistics",
    direction="higher",
    customary="higher",
    range="unbounded",
    unit="dB",
    origin=EVALUATOR,
    formula="10 log10(peak^2 / MSE), with the MSE averaged over the two sources first.",
    convention="Peak is the largest level of the fused image, so a darker fusion gets a lower value for the same "
    "error.",
    traps=(
        "Four incompatible forms are in use: this one, psnr@255 (strict), psnr@tang (48.13 dB more), psnr@vifb.",
        "The average of the two sources is all but the best possible image under it.",
    ),
    degenerate="NaN where the fused image equals both sources (no finite limit) or is black (peak 0).",
)


@METRICS.register(_PSNR)
def psnr(t: Triple) -> torch.Tensor:
    """(N,) in dB."""
    return decibel(peak(t), mse(t))


def peak(t: Triple) -> torch.Tensor:
    """(N,) float64 largest level of the fused image."""
    if t.compiled:
        return torch.from_numpy(flat(t.f.levels).max(1).astype(np.float64))
    levels = t.f.levels if t.mask is None else t.f.levels * t.mask
    return levels.amax((1, 2)).double()


def decibel(peak: torch.Tensor | float, error: torch.Tensor) -> torch.Tensor:
    """10 log10(peak^2 / error); NaN where either is 0."""
    value = 10 * torch.log10(peak**2 / error)
    return torch.where(torch.isfinite(value), value, torch.nan)


def _mean_error(t: Triple) -> tuple[torch.Tensor, torch.Tensor]:
    return squared_error(t, t.a), squared_error(t, t.b)


_JAGALINGAM = "Jagalingam, Hegde, A review of quality metrics for fused image, Aquatic Procedia 2015"
_JAGALINGAM_DOI = "10.1016/j.aqpro.2015.02.019"
_AVERAGE = "The average of the two sources is all but the best possible image under it."


_MSE_UNIT = variant(
    _MSE,
    name="mse@unit",
    title="Mean squared error on [0, 1]",
    short="MSE [0,1]",
    range="0 to 1",
    unit="",
    reference=_JAGALINGAM,
    doi=_JAGALINGAM_DOI,
    origin="Tang's toolbox since 2023; IVIF_ZOO and its ports",
    convention="Levels divided by 255: mse / 65025.",
    traps=(_AVERAGE,),
)


@METRICS.register(_MSE_UNIT)
def mse_unit(t: Triple) -> torch.Tensor:
    """(N,) in squared fractions of the full range."""
    return mse(t) / 255.0**2


_RMSE = variant(
    _MSE_UNIT,
    name="rmse",
    title="Root mean squared error, mean over the sources",
    short="RMSE",
    range="0 to 255",
    formula="Root of the mean squared difference from each source, averaged over the two.",
    unit="grey levels",
    origin="",
    convention="Levels 0..255; the roots are averaged, not the squares.",
    traps=("VIFB divides the root of the sum by the number of pixels: rmse@vifb.", _AVERAGE),
)


@METRICS.register(_RMSE)
def rmse(t: Triple) -> torch.Tensor:
    """(N,) in grey levels."""
    first, second = _mean_error(t)
    return (torch.sqrt(first) + torch.sqrt(second)) / 2


@METRICS.register(
    variant(
        _RMSE,
        name="rmse@vifb",
        title="VIFB's RMSE: root of the summed squares over the number of pixels",
        short="RMSE (VIFB)",
        range="0 to 255 / sqrt(pixels)",
        formula="sqrt(sum (A - F)^2) / (H W), averaged over the two sources.",
        unit="",
        origin="VIFB metricsRmse.m",
        convention="The root is taken before dividing: the value falls with image size.",
        traps=("Values of two image sizes cannot be compared. Known upstream as VIFB issue 15.",),
    )
)
def rmse_vifb(t: Triple) -> torch.Tensor:
    """(N,) size-dependent."""
    return rmse(t) / torch.sqrt(pixels(t))


_PSNR_255 = variant(
    _PSNR,
    name="psnr@255",
    title="Peak signal-to-noise ratio, peak 255",
    short="PSNR (255)",
    range="0 upwards",
    formula="10 log10(255^2 / MSE), with the MSE averaged over the two sources first.",
    degenerate="NaN where the fused image equals both sources (no finite limit).",
    reference=_JAGALINGAM,
    doi=_JAGALINGAM_DOI,
    origin="",
    convention="Peak 255.",
    traps=(_AVERAGE,),
)


@METRICS.register(_PSNR_255)
def psnr_255(t: Triple) -> torch.Tensor:
    """(N,) in dB."""
    return decibel(255.0, mse(t))


@METRICS.register(
    variant(
        _PSNR_255,
        name="psnr@meandb",
        title="Peak signal-to-noise ratio, peak 255, mean of two dB values",
        short="PSNR (mean dB)",
        formula="The mean over the two sources of 10 log10(255^2 / MSE).",
        degenerate="NaN where the fused image equals a source (no finite limit).",
        origin="Python ports (image-fusion-metric and relatives)",
        convention="Decibels are averaged, not errors; another ranking than psnr@255 (tau 0.5 to 0.7).",
        traps=("A copy of one source has an infinite value: any image can be driven up by nearing one source.",),
    )
)
def psnr_mean_db(t: Triple) -> torch.Tensor:
    """(N,) in dB."""
    first, second = _mean_error(t)
    return (decibel(255.0, first) + decibel(255.0, second)) / 2


@METRICS.register(
    variant(
        _PSNR_255,
        name="psnr@tang",
        title="Peak signal-to-noise ratio of Tang's toolbox: peak 255 on [0, 1] images",
        short="PSNR (Tang)",
        range="48.13 upwards",
        formula="20 log10(255 / sqrt(MSE)), with the MSE on [0, 1] averaged over the two sources.",
        origin="Tang's toolbox since 2023; IVIF_ZOO and its ports",
        convention="Peak and error are on two scales: 48.13 dB more than psnr@255, the same ranking.",
        traps=("Papers with PSNR above 60 have this one.",),
    )
)
def psnr_tang(t: Triple) -> torch.Tensor:
    """(N,) in dB."""
    return decibel(255.0, mse_unit(t))


@METRICS.register(
    variant(
        _PSNR_255,
        name="psnr@vifb",
        title="VIFB's and MEFB's PSNR: error as root of the summed squares over the number of pixels",
        short="PSNR (VIFB)",
        range="depends on image size",
        formula="20 log10(255 / sqrt(E)), E the mean over the sources of sqrt(sum (A - F)^2) / (H W).",
        origin="VIFB and MEFB metricsPsnr.m",
        convention="E stands where the MSE should: half the decibels, plus a term that grows with image size.",
        traps=("Papers with PSNR around 55 to 60 have this one or psnr@tang.",),
    )
)
def psnr_vifb(t: Triple) -> torch.Tensor:
    """(N,) in dB."""
    return decibel(255.0, rmse_vifb(t))


@METRICS.register(
    MetricFacts(
        name="mli",
        title="Mean luminance intensity",
        short="MLI",
        family="statistics",
        direction="describes",
        customary="higher",
        range="0 to 255",
        unit="grey levels",
        origin="image-fusion-metric (Python)",
        formula="The mean grey level of the fused image.",
        convention="Levels 0..255.",
        traps=("Adding brightness is all it takes.",),
        degenerate="Always defined.",
    )
)
def mli(t: Triple) -> torch.Tensor:
    """(N,) in grey levels."""
    return total(t, t.f) / pixels(t)
