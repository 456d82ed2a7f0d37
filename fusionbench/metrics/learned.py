"""Metrics whose numbers were learned, through piq: LPIPS, DISTS, BRISQUE. Their weights are files that the user fetches.

Nothing is ever downloaded here: the files are looked for where torch, torchvision and piq keep theirs, in the folder
``checkpoints`` of ``torch.hub.get_dir()`` (``$TORCH_HOME/hub``), and a missing one is told with its address. In no profile.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fusionbench.errors import InputError
from fusionbench.metrics import METRICS, MetricFacts
from fusionbench.metrics._triple import Triple
from fusionbench.metrics.perceptual import around_mask, piq_module

_PIQ = "https://github.com/photosynthesis-team"
URLS = {
    "vgg16-397923af.pth": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "lpips_weights.pt": f"{_PIQ}/photosynthesis.metrics/releases/download/v0.4.0/lpips_weights.pt",
    "dists_weights.pt": f"{_PIQ}/piq/releases/download/v0.4.1/dists_weights.pt",
    "brisque_svm_weights.pt": f"{_PIQ}/piq/releases/download/v0.4.0/brisque_svm_weights.pt",
}
"""The files as torchvision 0.28 and piq 0.8 name them; torchvision's name ends with the beginning of the file's SHA-256."""

_VGG = "vgg16-397923af.pth"
_RECTANGLE = "With a mask: of the smallest rectangle around it."
_FETCH = "Its weights are fetched by hand, see docs/metrics/learned.md."


def files_for(name: str) -> list[Path]:
    """Where the weights of a metric are expected."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = {
        "lpips": (_VGG, "lpips_weights.pt"),
        "dists": (_VGG, "dists_weights.pt"),
        "brisque": ("brisque_svm_weights.pt",),
    }
    return [folder / file for file in files[name]]


def _check_files(name: str) -> None:
    missing = [path for path in files_for(name) if not path.is_file()]
    if missing:
        addresses = " and ".join(URLS[path.name] for path in missing)
        raise InputError(
            f"metric {name!r} needs {' and '.join(map(str, missing))}, which nobody has put there; "
            f"fetch {addresses} into that folder, or leave the metric out"
        )


def _network(name: str, kind: str) -> Callable[..., torch.Tensor]:
    """piq's network, loaded once a process. Raises InputError where a file or a working torchvision is missing."""
    _check_files(name)
    return _load(kind, torch.hub.get_dir())


@functools.cache
def _load(kind: str, folder: str) -> Callable[..., torch.Tensor]:
    try:
        module = piq_module("perceptual")
    except (ImportError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"{kind} needs a torchvision that fits this torch ({str(error).splitlines()[0]}): "
            "pip install fusionbench-mmif[iqa]"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that piq calls torchvision by an old keyword
        network: Callable[..., torch.Tensor] = getattr(module, kind)(reduction="none")
    return network


def _distance(t: Triple, name: str, kind: str) -> torch.Tensor:
    """(N,) mean over the sources of a network's distance, image by image in float64, grey copied into three channels."""
    network = _network(name, kind)

    def one(n: int) -> float:
        box = around_mask(t, n)
        a, b, f = ((image.x[n, *box] / 255).expand(1, 3, -1, -1) for image in (t.a, t.b, t.f))
        if min(f.shape[2:]) < 16:
            return math.nan
        return float(network(f, a) + network(f, b)) / 2

    with torch.no_grad():
        return torch.tensor([one(n) for n in range(t.size[0])], dtype=torch.float64, device=t.f.x.device)


_LPIPS = MetricFacts(
    name="lpips",
    title="Learned perceptual image patch similarity (VGG-16)",
    short="LPIPS",
    family="perception",
    direction="lower",
    customary="lower",
    range="0 upwards",
    formula="Squared differences of normalised VGG-16 features at five depths, weighted as judgements of people taught, "
    "averaged over places and added; the mean over the two sources.",
    degenerate="0 where the fused image equals both sources. NaN inside a mask whose rectangle is below 16 pixels.",
    reference="Zhang, Isola, Efros, Shechtman, Wang, The unreasonable effectiveness of deep features as a perceptual "
    "metric, CVPR 2018",
    doi="10.1109/CVPR.2018.00068",
    origin="piq 0.8, perceptual.LPIPS",
    convention=f"VGG-16, grey levels over 255 copied into three channels, float64. {_RECTANGLE}",
    traps=(
        "Taught on small patches of photographs and their distortions: nothing is known of medical slices.",
        "With AlexNet, the default of its authors' package, it is another number under the same name.",
        "Made for one reference: a copy of one source has 0 for that source.",
        _FETCH,
    ),
    min_size=32,
    needs=frozenset({"weights"}),
)


@METRICS.register(_LPIPS)
def lpips(t: Triple) -> torch.Tensor:
    """(N,) mean of two distances."""
    return _distance(t, "lpips", "LPIPS")


@METRICS.register(
    MetricFacts(
        name="dists",
        title="Deep image structure and texture similarity",
        short="DISTS",
        family="perception",
        direction="lower",
        customary="lower",
        range="0 to 1",
        formula="1 - weighted similarity of means (texture) and of covariances (structure) of VGG-16 features at six "
        "depths; the mean over the two sources.",
        degenerate="0 where the fused image equals both sources. NaN inside a mask whose rectangle is below 16 pixels.",
        reference="Ding, Ma, Wang, Simoncelli, Image quality assessment: unifying structure and texture similarity, IEEE "
        "TPAMI 2022",
        doi="10.1109/TPAMI.2020.3045810",
        origin="piq 0.8, perceptual.DISTS",
        convention="VGG-16 with L2 pooling, grey levels over 255 copied into three channels, float64; a shorter side above "
        f"256 pixels is reduced to 256 (bilinear). {_RECTANGLE}",
        traps=(
            "It forgives other texture of the same kind, which in a medical image may be the finding.",
            "Made for one reference: a copy of one source has 0 for that source.",
            _FETCH,
        ),
        min_size=32,
        needs=frozenset({"weights"}),
    )
)
def dists(t: Triple) -> torch.Tensor:
    """(N,) mean of two distances."""
    return _distance(t, "dists", "DISTS")


@METRICS.register(
    MetricFacts(
        name="brisque",
        title="Blind/referenceless image spatial quality evaluator",
        short="BRISQUE",
        family="perception",
        direction="describes",
        customary="lower",
        range="about 0 to 100; outside where the image is unlike photographs",
        formula="Support vector regression of 36 statistics of locally normalised levels, at two resolutions, of the fused "
        "image alone.",
        degenerate="NaN for flat images and others without the statistics, and inside a mask whose rectangle is below 16 "
        "pixels.",
        reference="Mittal, Moorthy, Bovik, No-reference image quality assessment in the spatial domain, IEEE TIP 2012",
        doi="10.1109/TIP.2012.2214050",
        origin="piq 0.8, brisque.brisque",
        convention=f"Levels 0..255, window 7 with sigma 7/6, float64. {_RECTANGLE}",
        traps=(
            "Taught on distorted photographs. A black surround is like none of them and decides the value.",
            "It knows nothing of the sources: whatever looks natural is good.",
            _FETCH,
        ),
        min_size=32,
        needs=frozenset({"weights"}),
    )
)
def brisque(t: Triple) -> torch.Tensor:
    """(N,) of the fused image alone."""
    _check_files("brisque")
    measure: Any = piq_module("brisque").brisque

    def one(n: int) -> float:
        image = t.f.x[n, *around_mask(t, n)][None, None]
        if min(image.shape[2:]) < 16:
            return math.nan
        try:
            value = float(measure(image, data_range=255.0, reduction="none"))
        except AssertionError:  # piq's words for an image without the statistics
            return math.nan
        return value if math.isfinite(value) else math.nan

    return torch.tensor([one(n) for n in range(t.size[0])], dtype=torch.float64, device=t.f.x.device)
