"""Fusion in the nonsubsampled shearlet domain: NSST-PAPCNN."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._compiled import jit
from fusionbench.methods.baselines._filters import correlate
from fusionbench.methods.baselines._nonsubsampled import shearlet, shearlet_inverse
from fusionbench.methods.baselines._pyramid import extend

Image = NDArray[np.float64]

# Finest scale first, as everywhere here; the paper lists them coarsest first.
DIRECTIONS = (16, 16, 8, 8)
SIZES = (16, 16, 8, 8)
BINOMIAL = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16


@METHODS.register(
    MethodFacts(
        name="nsst-papcnn",
        title="NSST with parameter-adaptive PCNN (NSST-PAPCNN)",
        family="multiscale",
        origin="reimplemented",
        year=2019,
        reference="Yin, Liu, Liu and Chen, Medical image fusion with parameter-adaptive pulse coupled neural network in "
        "nonsubsampled shearlet transform domain, IEEE TIM 2019",
        doi="10.1109/TIM.2018.2838778",
    )
)
@per_image
def nsst_papcnn(a: Image, b: Image, *, iterations: int = 110) -> Image:
    """Low band by local energy times modified Laplacian, directional bands by which neuron fires more often.

    ``iterations`` of the pulse-coupled network. Filters and parameters are the paper's.
    """
    (low_a, bands_a), (low_b, bands_b) = (shearlet(x, DIRECTIONS, SIZES) for x in (a, b))
    low = np.where(activity(low_a) >= activity(low_b), low_a, low_b)

    def choose(pair: tuple[Image, Image]) -> Image:
        fired_a, fired_b = (firings(np.abs(band), iterations) for band in pair)
        return np.where(fired_a >= fired_b, *pair)

    fused = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the compiled network lets go of the interpreter
        for scale_a, scale_b in zip(bands_a, bands_b, strict=True):
            fused.append(np.stack(list(pool.map(choose, zip(scale_a, scale_b, strict=True)))))
    return shearlet_inverse(low, fused, SIZES)


def activity(low: Image) -> Image:
    """Weighted local energy times weighted sum of the eight-neighbour modified Laplacian (WLE x WSEML)."""
    energy = correlate(extend(low * low, 1), BINOMIAL, "constant")[1:-1, 1:-1]
    return energy * modified_laplacian(low)


def modified_laplacian(band: Image) -> Image:
    """Weighted sum of the eight-neighbour modified Laplacian (WSEML), (H, W)."""
    height, width = band.shape
    padded = np.pad(band, 1, mode="symmetric")
    laplacian = np.zeros_like(band)
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            difference = np.abs(band - padded[1 + row : 1 + row + height, 1 + column : 1 + column + width])
            laplacian += difference / math.hypot(row, column) if row or column else 0
    laplacian[laplacian < 1e-10] = 0  # rounding of the transform: a flat image has no detail
    spread = np.sqrt(ndimage.uniform_filter(laplacian, 3, mode="reflect").clip(0))
    return correlate(spread, BINOMIAL, "reflect")


def firings(stimulus: Image, iterations: int) -> Image:
    """How often each neuron of a parameter-adaptive PCNN fires; ``stimulus`` is a band's modulus, (H, W).

    All zero where Otsu's threshold is: a band without signal never fires.
    """
    threshold = otsu(stimulus)
    if threshold == 0:
        return np.zeros_like(stimulus)
    ratio = stimulus.max() / threshold
    decay = math.exp(-math.log10(1 / stimulus.std(ddof=1)))
    linking = (ratio - 1) / 6
    jump = decay + ratio
    level = (1 - decay**3) / (1 - decay) + (ratio - 1) * decay
    threshold_decay = threshold * level / jump
    return np.asarray(_pulse(stimulus, iterations, decay, linking, jump, threshold_decay))


@jit
def _pulse(
    stimulus: Image, iterations: int, decay: float, linking: float, jump: float, threshold_decay: float
) -> Image:
    height, width = stimulus.shape
    fired = np.zeros((height + 2, width + 2))
    linked = np.zeros((height, width))
    potential = np.zeros((height, width))
    threshold = np.ones((height, width))
    count = np.zeros((height, width))
    for _ in range(iterations):
        for i in range(height):
            for j in range(width):
                diagonal = fired[i, j] + fired[i, j + 2] + fired[i + 2, j] + fired[i + 2, j + 2]
                straight = fired[i, j + 1] + fired[i + 1, j] + fired[i + 1, j + 2] + fired[i + 2, j + 1]
                linked[i, j] = straight + 0.5 * diagonal
        for i in range(height):
            for j in range(width):
                potential[i, j] = decay * potential[i, j] + stimulus[i, j] * (1 + linking * linked[i, j])
                fires = 1.0 if potential[i, j] > threshold[i, j] else 0.0
                fired[i + 1, j + 1] = fires
                threshold[i, j] = threshold_decay * threshold[i, j] + jump * fires
                count[i, j] += fires
    return count


def otsu(image: Image) -> float:
    """Otsu's threshold over 256 bins of [0, 1], as a value; the mean bin of a plateau, 0 for a single level."""
    levels = np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.intp)
    share = np.bincount(levels.ravel(), minlength=256) / levels.size
    below = np.cumsum(share)
    moment = np.cumsum(share * np.arange(1, 257))
    spread = below * (1 - below)
    inside = (below > 0) & (moment[-1] * below != moment) & (spread > 1e-15)
    if not inside.any():
        return 0.0
    between = np.zeros(256)
    between[inside] = (moment[-1] * below[inside] - moment[inside]) ** 2 / spread[inside]
    return float(np.flatnonzero(between == between.max()).mean() / 255)
