"""Which metric id reproduces which row of tests/golden/values.csv, how closely, and why some rows are not matched."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionbench.pairs import read_picture

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
TRIPLES = ("brain", "texture", "noise", "edges")


@dataclasses.dataclass(frozen=True)
class Row:
    triple: str
    tool: str
    metric: str
    value: float


def golden_rows() -> list[Row]:
    with (GOLDEN / "values.csv").open(encoding="utf-8") as file:
        return [Row(r["triple"], r["tool"], r["metric"], float(r["value"])) for r in csv.DictReader(file)]


def load_triple(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    a, b, f = (read_picture(GOLDEN / "triples" / f"{name}_{k}.png").grey for k in "abf")
    return a, b, f


_IDS = {
    "dmfnet_evaluator": "EN=en SD=sd SF=sf AG=ag MI=mi MSE=mse CC=cc PSNR=psnr SCD=scd VIFF=vif Qabf=qabf SSIM=ssim "
    "SSIM_L2=ssim@l2",
    "piq_0.8.0": "vif_p_sum=vif vif_p_sum_ref_is_source=vif@reversed ssim_gauss11_sum=ssim@vifb "
    "ms_ssim_sum=ms-ssim@sum",
    "liu2012": "QMI=nmi QTE_1.85=qte@1.85 QTE_0.43=qte QNCIE=qncie QG=qg QSF=qsf QP=qp QS=qs QW=qw QC=qc QY=qy "
    "QCV=qcv QCB=qcb",
    "vifb": "Entropy=en Cross_entropy=ce Mutinf=mi@vifb Psnr=psnr@vifb Avg_gradient=ag@inner Edge_intensity=ei "
    "Qabf=qabf Variance=sd Spatial_frequency=sf@mn Rmse=rmse@vifb Ssim=ssim@vifb Qcb=qcb Qcv=qcv",
    "mefb": "NMI=nmi Qncie=qncie TE=qte@1.85 Qp=qp Qc=qc Qw=qe@mefb Qy=qy VIF=viff Qcb=qcb Qcv=qcv",
    "tang2023": "EN=en SF=sf SD=sd PSNR=psnr@tang MSE=mse@unit MI=mi@tang VIF=vif AG=ag@inner CC=cc SCD=scd Qabf=qabf "
    "Nabf=nabf",
    "image_fusion_metric_python": "FMI_none=fmi@pixel FMI_gradient=fmi@gradient FMI_dct=fmi@dct "
    "FMI_wavelet=fmi@wavelet MLI=mli SD=sd AG=ag@inner MSE=mse@unit PSNR=psnr@meandb "
    "EN=en MI=mi@bits NCIE=qncie SCD=scd QABF_fast=qabf QABF=qabf@petrovic LABF=labf "
    "NABF=nabf NABF1=nabf@petrovic SF=sf SSIM=ssim@tang MS_SSIM=mef-ms-ssim@python Q=qs "
    "Qw=qw Qe=qe@squared VIF=vif VIFF=viff CC=cc Qp=qp",
    "featuresim": "FSIM=fsim",
}
MATCHES = {
    (tool, metric): name for tool, pairs in _IDS.items() for metric, name in (item.split("=") for item in pairs.split())
}

NOTES = {
    (
        "tang2023",
        "Nabf",
    ): "Obtained by calling the toolbox's function itself, arguments in order; its own script passes them exchanged, "
    "which is nabf@tang, the id in profile tang2023.",
    ("image_fusion_metric_python", "MSE"): "Single precision in the tool.",
    ("image_fusion_metric_python", "PSNR"): "Single precision in the tool.",
    ("image_fusion_metric_python", "Qp"): "Single precision in the tool, unlike the other two.",
}


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why rows are not matched, and the test of tests/test_metrics_golden.py that shows it."""

    text: str
    test: str


_ROUNDING = Cause(
    "Windows where both sources are flat at different levels above black: the tool weighs them by rounding errors of "
    "E[x^2] - E[x]^2. Two tools with one formula disagree here (QS 0.9253 and 0.9229). Ours takes for them what they amount "
    "to on average: the levels' product times a constant.",
    "test_flat_windows_are_weighed_by_the_order_of_adding_up",
)
_TRANSFORM = Cause(
    "Contrast on flat black background is a quotient of the Fourier transform's rounding errors, which differ between "
    "libraries (FFTW in Octave, pocketfft and MKL here give 0.717, 0.715 and 0.713 on brain).",
    "test_qcb_on_flat_black_moves_when_an_image_is_flipped",
)
_WAVELET = Cause(
    "The port's high-pass filter has the other sign than MATLAB's. With that sign ours is its number: to 1e-12 on "
    "texture and noise, to 2e-5 on brain; edges is piecewise constant, where many coefficients are rounding errors that "
    "the windows compare (2 %).",
    "test_fmi_wavelet_is_the_port_with_the_sign_of_matlab",
)
_ARCTAN2 = Cause(
    "A bug of the tool: arctan2 in place of atan, so that edges of opposite sign count as turned by pi. The same "
    "formula with atan is MATLAB's (tang2023 Nabf), which ours matches.",
    "test_edges_turned_by_pi_are_the_ports",
)
_UNFINISHED = Cause(
    "The tool's code for Cvejic's first metric is unfinished and returns 0.",
    "test_cvejics_first_metric_is_zero_whatever_the_images",
)
_NAN = Cause(
    "A bug of the tool: 0 / 0 on flat background makes the mean NaN. qc and qy leave such windows out (as MEFB), the "
    "strict forms define them.",
    "test_windows_without_variance_make_the_tools_mean_nan",
)

UNMATCHED: dict[tuple[str, str, str], Cause] = {
    **{("edges", tool, metric): _ROUNDING for tool, metric in (("liu2012", "QS"), ("mefb", "Qc"))},
    ("edges", "image_fusion_metric_python", "Q"): _ROUNDING,
    ("edges", "mefb", "Qy"): _ROUNDING,
    **{
        (triple, tool, metric): _TRANSFORM
        for triple in ("brain", "edges")
        for tool, metric in (("liu2012", "QCB"), ("vifb", "Qcb"), ("mefb", "Qcb"))
    },
    **{(triple, "image_fusion_metric_python", "FMI_wavelet"): _WAVELET for triple in TRIPLES},
    **{
        (triple, "image_fusion_metric_python", metric): _ARCTAN2
        for triple in TRIPLES
        for metric in ("QABF", "LABF", "NABF", "NABF1")
        if (triple, metric) not in (("noise", "NABF"), ("noise", "NABF1"))
    },
    **{(triple, "liu2012", "QC1"): _UNFINISHED for triple in TRIPLES},
    **{(triple, "liu2012", metric): _NAN for triple in ("brain", "edges") for metric in ("QC", "QY")},
}


def tolerance(row: Row) -> float:
    """Relative tolerance: 1e-9 for the evaluator of profiles dmfnet and cddfuse and for FSIM, 1e-6 for other tools, 1e-4
    where the tool is single precision or stands on rounding errors of a Fourier transform."""
    if row.tool in ("dmfnet_evaluator", "featuresim"):
        return 1e-9
    return (
        1e-4 if row.metric in ("QCB", "Qcb") or (row.tool, row.metric) == ("image_fusion_metric_python", "Qp") else 1e-6
    )


def check_causes() -> None:
    """Raises ValueError for a cause that no test shows: an explanation nobody can check is none."""
    shown = (GOLDEN.parent / "test_metrics_golden.py").read_text("utf-8")
    for cause in sorted({cause.test for cause in UNMATCHED.values()}):
        if f"def {cause}(" not in shown:
            raise ValueError(f"golden rows are explained by {cause}, which tests/test_metrics_golden.py does not have")
