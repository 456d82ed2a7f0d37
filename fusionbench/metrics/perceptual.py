"""Full-reference quality metrics through piq: GMSD, MS-GMSD, VSI, HaarPSI, MDSI, SR-SIM, DSS, IW-SSIM.

Each was made for one reference and its distorted copy. Fusion has two references, so each is the mean over the two sources
of piq's value, source as reference. They are widely used elsewhere and hardly validated for fusion.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch

from fusionbench.errors import InputError
from fusionbench.metrics import METRICS, MetricFacts
from fusionbench.metrics._triple import Image, Triple

_GREY = "piq 0.8 in float64 on levels 0..255, source as reference, mean over the two sources"
_RECTANGLE = "With a mask: of the smallest rectangle around it, since it has no map to be masked."
_ONE_REFERENCE = (
    "Made for one reference and its distorted copy: a copy of one source has the best value for that source."
)


@functools.cache
def piq_module(module: str) -> Any:
    """A module of piq. Its face imports torchvision, for networks that nothing here needs: a torchvision that was built for
    another torch would take all of piq with it, so the face is left out while the module is imported."""
    spec = importlib.util.find_spec("piq")
    if spec is None or spec.submodule_search_locations is None:
        raise InputError("perceptual metrics need piq: pip install piq")
    if "torchvision" in sys.modules and "piq" in sys.modules:
        return importlib.import_module(f"piq.{module}")
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "piq"}
    face = types.ModuleType("piq")
    face.__path__ = list(spec.submodule_search_locations)
    sys.modules["piq"] = face
    try:
        return importlib.import_module(f"piq.{module}")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "piq"]:
            del sys.modules[name]
        sys.modules.update(before)


def _score(t: Triple, module: str, function: str) -> torch.Tensor:
    """(N,) mean over the two sources, one image at a time: some of piq's maps are scaled by the whole batch."""
    measure: Callable[..., torch.Tensor] = getattr(piq_module(module), function)
    boxes = [around_mask(t, n) for n in range(t.size[0])]
    values = [(_one(measure, t.a, t.f, n, box) + _one(measure, t.b, t.f, n, box)) / 2 for n, box in enumerate(boxes)]
    return torch.tensor(values, dtype=torch.float64, device=t.f.x.device)


def _one(measure: Callable[..., torch.Tensor], source: Image, fused: Image, n: int, box: tuple[slice, slice]) -> float:
    """piq's value of one image; NaN where it has none."""
    reference, image = (x.x[n, *box][None, None] for x in (source, fused))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "the original supports only RGB images": the fact sheets say so
        try:
            value = float(measure(image, reference, data_range=255.0, reduction="none").reshape(()))
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined] # IW-SSIM of images without variance
            return math.nan
        except ValueError:  # a mask that leaves too little
            return math.nan
    return value if math.isfinite(value) else math.nan


def around_mask(t: Triple, n: int) -> tuple[slice, slice]:
    """The rectangle around the mask of image ``n``; all of it without one."""
    if t.mask is None:
        return slice(None), slice(None)
    rows, columns = (torch.nonzero(t.mask[n].any(axis)).flatten().tolist() for axis in (1, 0))
    if not rows:
        return slice(0), slice(0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _register(
    name: str,
    where: tuple[str, str],
    *,
    title: str,
    short: str,
    direction: Literal["higher", "lower"],
    span: str,
    formula: str,
    reference: str,
    doi: str,
    degenerate: str = "Always defined.",
    trap: str = "",
    min_size: int = 3,
) -> None:
    facts = MetricFacts(
        name=name,
        title=title,
        short=short,
        family="perception",
        direction=direction,
        customary=direction,
        range=span,
        reference=reference,
        doi=doi,
        origin="piq 0.8, " + ".".join(where),
        formula=formula,
        convention=f"{_GREY}. {_RECTANGLE}",
        traps=(*((trap,) if trap else ()), _ONE_REFERENCE),
        degenerate=degenerate + " NaN inside a mask whose rectangle is smaller than the smallest image.",
        min_size=min_size,
    )

    def measure(t: Triple) -> torch.Tensor:
        """(N,) mean of two values."""
        return _score(t, *where)

    measure.__name__ = name.replace("-", "_")
    METRICS.register(facts)(measure)


_COPIED = "It was made for colour; grey images are copied into three channels, and its colour terms say nothing then."

_register(
    "gmsd",
    ("gmsd", "gmsd"),
    title="Gradient magnitude similarity deviation",
    short="GMSD",
    direction="lower",
    span="0 to about 0.35",
    formula="Standard deviation over pixels of the similarity of Prewitt gradient strengths, at half resolution.",
    reference="Xue, Zhang, Mou, Bovik, Gradient magnitude similarity deviation: a highly efficient perceptual "
    "image quality "
    "index, IEEE TIP 2014",
    doi="10.1109/TIP.2013.2293423",
    trap="A deviation: an image that is equally wrong everywhere has 0.",
)
_register(
    "ms-gmsd",
    ("gmsd", "multi_scale_gmsd"),
    title="Multi-scale gradient magnitude similarity deviation",
    short="MS-GMSD",
    direction="lower",
    span="0 to about 0.35",
    formula="Root of the weighted sum over four scales of the squared deviations of GMSD.",
    reference="Zhang, Sander, Bermak, Gradient magnitude similarity deviation on multiple scales for color "
    "image quality "
    "assessment, ICASSP 2017",
    doi="10.1109/ICASSP.2017.7952357",
    trap="A deviation: an image that is equally wrong everywhere has 0.",
    min_size=17,
)
_register(
    "vsi",
    ("vsi", "vsi"),
    title="Visual saliency-induced index",
    short="VSI",
    direction="higher",
    span="0 to 1",
    formula="Similarity of saliency (SDSP) and Scharr gradient maps, averaged with the larger saliency as weight.",
    reference="Zhang, Shen, Li, VSI: a visual saliency-induced index for perceptual image quality assessment, "
    "IEEE TIP 2014",
    doi="10.1109/TIP.2014.2346028",
    trap=_COPIED,
)
_register(
    "haarpsi",
    ("haarpsi", "haarpsi"),
    title="Haar wavelet-based perceptual similarity index",
    short="HaarPSI",
    direction="higher",
    span="0 to 1",
    formula="Similarity of Haar coefficients of two fine scales, weighted by those of a coarser one, through a "
    "logistic function.",
    reference="Reisenhofer, Bosse, Kutyniok, Wiegand, A Haar wavelet-based perceptual similarity index for image "
    "quality "
    "assessment, Signal Processing: Image Communication 2018",
    doi="10.1016/j.image.2017.11.001",
    degenerate="NaN where a source and the fused image are both flat.",
    min_size=16,
)
_register(
    "mdsi",
    ("mdsi", "mdsi"),
    title="Mean deviation similarity index",
    short="MDSI",
    direction="lower",
    span="0 to about 0.7",
    formula="Mean deviation of the combined similarity of gradients and chromaticity.",
    reference="Nafchi, Shahkolaei, Hedjam, Cheriet, Mean deviation similarity index: efficient and reliable "
    "full-reference image "
    "quality evaluator, IEEE Access 2016",
    doi="10.1109/ACCESS.2016.2604042",
    trap=_COPIED,
)
_register(
    "sr-sim",
    ("srsim", "srsim"),
    title="Spectral residual based similarity",
    short="SR-SIM",
    direction="higher",
    span="0 to 1",
    formula="Similarity of spectral-residual saliency and Scharr gradients, averaged with the larger saliency as "
    "weight.",
    reference="Zhang, Li, SR-SIM: a fast and high performance IQA index based on spectral residual, ICIP 2012",
    doi="10.1109/ICIP.2012.6467149",
    trap="piq scales its saliency maps by the largest value of a batch, so that values there depend on the other "
    "images; here "
    "each image is scored by itself.",
    min_size=40,
)
_register(
    "dss",
    ("dss", "dss"),
    title="DCT subband similarity index",
    short="DSS",
    direction="higher",
    span="0 to 1",
    formula="Similarity of local variances in the subbands of an 8 x 8 cosine transform, the worst blocks "
    "counting, weighted by "
    "band.",
    reference="Balanov, Schwartz, Moshe, Peleg, Image quality assessment based on DCT subband similarity, ICIP 2015",
    doi="10.1109/ICIP.2015.7351172",
    min_size=32,
)
_register(
    "iw-ssim",
    ("iw_ssim", "information_weighted_ssim"),
    title="Information content weighted structural similarity",
    short="IW-SSIM",
    direction="higher",
    span="0 to 1",
    formula="Multi-scale SSIM on a Laplacian pyramid, each place weighted by the information that both images "
    "share there.",
    reference="Wang, Li, Information content weighting for perceptual image quality assessment, IEEE TIP 2011",
    doi="10.1109/TIP.2010.2092435",
    degenerate="NaN where a source is flat: its information cannot be weighed.",
    min_size=161,
)
