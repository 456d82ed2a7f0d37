"""Similarity to the best patch that both sources allow: MEF-SSIM and MEF-MS-SSIM (Ma et al.)."""

from __future__ import annotations

import math

import numpy as np
import torch

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._ops import gaussian
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.structure import MS_WEIGHTS, masked_mean

_GAUSSIAN = gaussian(11, 1.5)
_BOX = np.ones(11)


def _mef_target(t: Triple, a: Image, b: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """The desired patch at each pixel is p (A - mean A) + q (B - mean B): the maps p and q, remembered by b."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        def scatter(x: Image, y: Image) -> torch.Tensor:  # 121 times the covariance, exact for integers
            means = _ops.window_mean(t, x, _BOX) * _ops.window_mean(t, y, _BOX)
            return _ops.window_product(t, x, y, _BOX) - means / 121

        aa, bb, ab = scatter(a, a).clamp_min(0), scatter(b, b).clamp_min(0), scatter(a, b)
        tiny = torch.finfo(torch.float64).eps
        consistency = ((aa + bb + 2 * ab).clamp_min(0).sqrt() + tiny) / (aa.sqrt() + bb.sqrt() + tiny)
        power = torch.tan(math.pi / 2 * consistency.clamp(tiny, 1 - tiny)).clamp_max(10)
        ed = (aa.sqrt() + 0.001, bb.sqrt() + 0.001)
        weights = [(e / 11) ** power + tiny for e in ed]
        p, q = (w / (weights[0] + weights[1]) / e for w, e in zip(weights, ed, strict=True))
        norm = (p**2 * aa + q**2 * bb + 2 * p * q * ab).clamp_min(0).sqrt()
        scale = torch.where(norm > 0, torch.maximum(*ed) / torch.where(norm > 0, norm, 1.0), 1.0)
        return p * scale, q * scale

    return b.memo(("mef target", a.key), compute)


def _mef_ssim(t: Triple, a: Image, b: Image, f: Image) -> torch.Tensor:
    """(N, h, w) similarity of the fused patch to the desired patch."""
    p, q = _mef_target(t, a, b)
    aa, bb, ab, ff, af, bf = (
        _ops.exact_covariance(t, x, y, _GAUSSIAN) for x, y in ((a, a), (b, b), (a, b), (f, f), (a, f), (b, f))
    )
    c = (0.03 * 255) ** 2
    target = p**2 * aa + q**2 * bb + 2 * p * q * ab
    return (2 * (p * af + q * bf) + c) / (target + ff + c)


_MEF_SSIM = MetricFacts(
    name="mef-ssim",
    title="MEF-SSIM: similarity to the best patch that both sources allow, one scale",
    short="MEF-SSIM",
    family="structure",
    direction="higher",
    customary="higher",
    range="-1 to 1",
    reference="Ma, Zeng, Wang, Perceptual quality assessment for multi-exposure image fusion, TIP 2015",
    doi="10.1109/TIP.2015.2442920",
    origin="mef_ssim.m of Ma et al.; Tang's toolbox up to 2022 prints it as SSIM",
    formula="Each 11 x 11 patch is compared, without its mean, with a mixture of the sources' patches that has the "
    "larger contrast of the two and a structure weighted by contrast.",
    convention="K = 0.03 on 0..255; box windows for the mixture, Gaussian (sigma 1.5) for the comparison.",
    traps=("Made for exposure series: the brightness of the fused image is not judged at all.",),
    degenerate="Always defined.",
    min_size=11,
)


@METRICS.register(_MEF_SSIM)
def mef_ssim(t: Triple) -> torch.Tensor:
    """(N,) mean over patches."""
    return t.mean(_mef_ssim(t, t.a, t.b, t.f))


def _pooled(image: Image, *, lagging: bool) -> Image:
    """Means of 2 x 2 pixels, every second one; an odd last row or column is repeated.

    ``lagging``: each mean takes the pixels above and left instead, mirrored at the border.
    """

    def pool() -> torch.Tensor:
        h, w = image.x.shape[1:]
        if lagging:
            x = _ops.pad(image.x, 1, "reflect")[:, : 2 * ((h + 1) // 2), : 2 * ((w + 1) // 2)]
        else:
            x = torch.nn.functional.pad(image.x, (0, w % 2, 0, h % 2), mode="replicate")
        return torch.nn.functional.avg_pool2d(x, 2)

    return image.derive(("pooled", lagging), pool)


def _mef_ms_ssim(t: Triple, *, lagging: bool) -> torch.Tensor:
    weights = np.array(MS_WEIGHTS[:3]) / sum(MS_WEIGHTS[:3])
    a, b, f, inside = t.a, t.b, t.f, t.mask
    result = torch.ones((), dtype=torch.float64, device=f.x.device)
    for level, weight in enumerate(weights.tolist()):
        if level:
            a, b, f = (_pooled(image, lagging=lagging) for image in (a, b, f))
            inside = inside if inside is None else inside[:, ::2, ::2]
        result = result * masked_mean(_mef_ssim(t, a, b, f), inside).clamp_min(0.0) ** weight
    return result


_MEF_MS_SSIM = variant(
    _MEF_SSIM,
    name="mef-ms-ssim",
    title="MEF-MS-SSIM: similarity to the best patch that both sources allow, three scales",
    short="MEF-MS-SSIM",
    range="0 to 1",
    formula="Product of mef-ssim at three scales, exponents 0.0448, 0.2856, 0.3001 divided by their sum.",
    degenerate="Always defined; NaN only where a mask leaves no window at a coarse scale.",
    origin="mef_ms_ssim.m of Ma et al.; Tang's toolbox and the DenseFuse family print it as MS-SSIM, MEFB as MEF_SSIM",
    convention="2 x 2 means between scales; a negative scale counts as 0.",
    min_size=44,
)


@METRICS.register(_MEF_MS_SSIM)
def mef_ms_ssim(t: Triple) -> torch.Tensor:
    """(N,) product over scales."""
    return _mef_ms_ssim(t, lagging=False)


@METRICS.register(
    variant(
        _MEF_MS_SSIM,
        name="mef-ms-ssim@python",
        title="MEF-MS-SSIM as a Python port halves the images",
        short="MEF-MS-SSIM (py)",
        formula="As mef-ms-ssim.",
        origin="image-fusion-metric (Python), there MS_SSIM",
        convention="The 2 x 2 means lie one pixel further up and left, mirrored at the border (ndimage's even "
        "kernels).",
        traps=("Differs from mef-ms-ssim by about 0.001.",),
    )
)
def mef_ms_ssim_python(t: Triple) -> torch.Tensor:
    """(N,) product over scales."""
    return _mef_ms_ssim(t, lagging=True)
