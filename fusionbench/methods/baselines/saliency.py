"""Fusion by visual saliency: TIF, and VSM-WLS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._filters import gaussian_kernel, guided_filter, mean, separable

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="tif",
        title="Two-scale fusion by saliency detection (TIF)",
        family="saliency",
        origin="reimplemented",
        year=2016,
        reference="Bavirisetti and Dhuli, Two-scale image fusion of visible and infrared images using saliency "
        "detection, Infrared Physics & Technology 2016",
        doi="10.1016/j.infrared.2016.01.009",
        symmetric=True,
    )
)
@per_image
def tif(a: Image, b: Image, *, size: int = 35) -> Image:
    """Base: ``size`` x ``size`` mean with periodic borders, averaged. Details: weighted by (base - 3x3 median)^2.

    Equal to the authors' code as published in VIFB.
    """
    base_a, base_b = (mean(x, size, "wrap") for x in (a, b))
    salient_a, salient_b = (
        (base - ndimage.median_filter(x, 3, mode="constant")) ** 2 for base, x in ((base_a, a), (base_b, b))
    )
    total = salient_a + salient_b
    share = np.divide(salient_a, total, out=np.full_like(a, 0.5), where=total > 0)
    detail_a, detail_b = a - base_a, b - base_b
    fused: Image = (base_a + base_b) / 2 + detail_b + share * (detail_a - detail_b)
    return fused


@METHODS.register(
    MethodFacts(
        name="vsm-wls",
        title="Visual saliency map and weighted least squares (VSM-WLS)",
        family="saliency",
        origin="reimplemented",
        year=2017,
        reference="Ma, Zhou, Wang and Zong, Infrared and visible image fusion based on visual saliency map and "
        "weighted least square optimization, Infrared Physics & Technology 2017",
        doi="10.1016/j.infrared.2017.02.005",
    )
)
@per_image
def vsm_wls(a: Image, b: Image, *, levels: int = 4, smoothing: float = 0.01) -> Image:
    """Rolling-guidance layers; base by histogram saliency, details by weighted least squares drawn towards ``a``.

    ``levels`` counts the base, 2 or more; ``smoothing`` is the paper's lambda. ``a`` stands where the paper has the
    detailed (visible) image. Equal to the authors' code as published in VIFB.
    """
    layers_a, layers_b = rolling_layers(a, levels), rolling_layers(b, levels)
    share = (1 + histogram_saliency(a) - histogram_saliency(b)) / 2
    fused = share * layers_a[-1] + (1 - share) * layers_b[-1]
    fused += np.where(np.abs(layers_a[0]) < np.abs(layers_b[0]), layers_b[0], layers_a[0])
    for detail_a, detail_b in zip(layers_a[1:-1], layers_b[1:-1], strict=True):
        takes_b = (np.abs(detail_a) < np.abs(detail_b)).astype(np.float64)
        takes_b = separable(takes_b, gaussian_kernel(13, 2.0), "reflect")
        mixed = detail_a + takes_b * (detail_b - detail_a)
        # The least squares have no term between neighbours, so that each pixel is solved by itself.
        pull = smoothing / (np.abs(mean(detail_b, 7)) + 1e-6)
        fused += (mixed + pull * detail_a) / (1 + pull)
    return fused


def rolling_layers(image: Image, levels: int) -> list[Image]:
    """Difference layers of rolling guidance (guided filter, radius 2, 4, 8 ..., 4 rounds), one of a Gaussian, the base."""
    layers = []
    for scale in range(levels - 1):
        radius = 2 ** (scale + 1)
        smooth = separable(image, gaussian_kernel(6 * radius + 1, float(radius)))
        for _ in range(4):
            smooth = guided_filter(smooth, image, radius, 0.05**2)
        layers.append(image - smooth)
        image = smooth
    base = separable(image, gaussian_kernel(13, 2.0))
    return [*layers, image - base, base]


def histogram_saliency(image: Image) -> Image:
    """Sum of the distances of a pixel's 8-bit level to all others, scaled to [0, 1]; 0 for a constant image."""
    levels = np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.intp)
    grid = np.arange(256)
    table = np.abs(grid[:, None] - grid) @ np.bincount(levels.ravel(), minlength=256)
    distance = table[levels].astype(np.float64)
    low, high = distance.min(), distance.max()
    return (distance - low) / (high - low) if high > low else np.zeros_like(distance)
