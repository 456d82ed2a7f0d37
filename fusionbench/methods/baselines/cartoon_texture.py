"""Fusion and denoising at once: cartoon by local energy, texture by sparse representation of what is above the noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._dictionaries import dictionary
from fusionbench.methods.baselines._filters import gaussian_kernel, separable
from fusionbench.methods.baselines._sparse import matching_pursuit
from fusionbench.methods.baselines.patches import SIZE, place

Image = NDArray[np.float64]

FLOOR = 2 / 255


@METHODS.register(
    MethodFacts(
        name="cartoon-texture",
        title="Cartoon-texture fusion and denoising (after Qi 2021)",
        family="sparse",
        origin="reimplemented",
        year=2021,
        reference="after Qi, Hu, Mazur, Liang and Haner, A novel multi-modality image simultaneous denoising and fusion "
        "method based on sparse representation, Computers 2021",
        doi="10.3390/computers10100129",
        licence="own implementation, Apache-2.0; dictionary learned here from the Harvard training pairs",
        identity=False,
        theirs="cartoon-texture decomposition; cartoon by energy-weighted average; texture by sparse representation over a "
        "learned dictionary, which also removes the noise",
        ours="cartoon by Rudin-Osher-Fatemi; noise estimated from the median of diagonal differences; codes by orthogonal "
        "matching pursuit down to the noise level; larger L1 norm wins",
    )
)
@per_image
def cartoon_texture(a: Image, b: Image, *, noise: float = -1.0, step: int = 2) -> Image:
    """Denoise both sources while fusing them.

    ``noise``: standard deviation of white noise in both, on the 0 to 1 scale; -1 estimates it in each. ``step``: pixels
    between two 8x8 patches. Raises InputError for other negative noise, a step outside 1 to 8, or images below 8 x 8.
    """
    if (noise < 0 and noise != -1) or not 1 <= step <= SIZE:
        raise InputError(
            f"noise={noise}, step={step}: give noise of 0 or more (-1 to estimate) and a step of 1 to {SIZE}"
        )
    if min(a.shape) < SIZE:
        raise InputError(f"image of {a.shape[1]} x {a.shape[0]}: cartoon-texture needs at least {SIZE} x {SIZE} pixels")
    starts = [np.unique([*range(0, side - SIZE, step), side - SIZE]) for side in a.shape]
    cartoons, codes = [], []
    for image in (a, b):
        level = estimate_noise(image) if noise < 0 else noise
        cartoon = total_variation(image, max(0.04, level))
        patches = np.lib.stride_tricks.sliding_window_view(image - cartoon, (SIZE, SIZE))
        texture = patches[np.ix_(*starts)].reshape(-1, SIZE**2)
        codes.append(matching_pursuit(dictionary("patch"), texture, SIZE * max(level, FLOOR), SIZE**2 // 4))
        cartoons.append(cartoon)
    energies = [separable(cartoon**2, gaussian_kernel(11, 2.5)) for cartoon in cartoons]
    total = energies[0] + energies[1]
    share = np.divide(energies[0], total, out=np.full_like(a, 0.5), where=total > 0)
    chosen = np.where((codes[0][1] >= codes[1][1])[:, None], codes[0][0], codes[1][0])
    return np.asarray(cartoons[1] + share * (cartoons[0] - cartoons[1]) + place(chosen, starts, a.shape))


def estimate_noise(image: Image) -> float:
    """Standard deviation of white noise, from the median of the 2x2 Haar diagonal where the image is not black."""
    lit = ndimage.uniform_filter(image, 5) > 0.05
    diagonal = (image[:-1, :-1] - image[:-1, 1:] - image[1:, :-1] + image[1:, 1:]) / 2
    values = np.abs(diagonal[lit[:-1, :-1]])
    return float(np.median(values) / 0.6745) if values.size else 0.0


def total_variation(image: Image, weight: float, iterations: int = 60) -> Image:
    """argmin 1/2 |u - image|^2 + weight TV(u), by Chambolle's projection (doi:10.1023/B:JMIV.0000011325.36760.1e)."""
    dual = np.zeros((2, *image.shape))
    for _ in range(iterations):
        estimate = _divergence(dual) - image / weight
        slope = np.stack([np.diff(estimate, axis=axis, append=np.take(estimate, [-1], axis)) for axis in (0, 1)])
        dual = (dual + 0.248 * slope) / (1 + 0.248 * np.sqrt((slope**2).sum(axis=0)))
    return np.asarray(image - weight * _divergence(dual))


def _divergence(dual: Image) -> Image:
    """Minus the adjoint of the forward differences."""
    total = np.zeros_like(dual[0])
    for axis, part in enumerate(dual):
        inner = np.moveaxis(part, axis, 0).copy()
        inner[-1] = 0
        # np.diff with prepend=0 keeps the shape: backward differences of what the forward ones gave.
        total += np.moveaxis(np.diff(inner, axis=0, prepend=0), 0, axis)
    return np.asarray(total)
