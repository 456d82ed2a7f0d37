"""Fusion with the guided filter: GFF of Li et al."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._filters import correlate, gaussian_kernel, guided_filter, mean, separable

Image = NDArray[np.float64]

LAPLACIAN = ((0, 1, 0), (1, -4, 1), (0, 1, 0))


@METHODS.register(
    MethodFacts(
        name="guided-filter",
        title="Guided filtering (GFF)",
        family="edge-preserving",
        year=2013,
        reference="Li, Kang and Hu, Image fusion with guided filtering, IEEE TIP 2013",
        doi="10.1109/TIP.2013.2244222",
    )
)
@per_image
def gff(
    a: Image,
    b: Image,
    *,
    base_radius: int = 45,
    base_eps: float = 0.3,
    detail_radius: int = 7,
    detail_eps: float = 1e-6,
) -> Image:
    """Two scales (31x31 mean); each scale weighted by a saliency map refined with the source as guide.

    Saliency is the Laplacian's modulus under a Gaussian (11x11, sigma 5); the refined weights are rounded to 8 bits, as
    in the authors' code, then normalised. The settings are the paper's r and epsilon for both scales.
    """
    salient_a, salient_b = (
        separable(np.abs(correlate(x, LAPLACIAN)), gaussian_kernel(11, 5.0), "nearest") for x in (a, b)
    )
    chosen_a = (salient_a >= salient_b).astype(np.float64)
    low_a, low_b = mean(a, 31, "nearest"), mean(b, 31, "nearest")
    low = _weighted(a, b, low_a, low_b, chosen_a, base_radius, base_eps)
    return low + _weighted(a, b, a - low_a, b - low_b, chosen_a, detail_radius, detail_eps)


def _weighted(a: Image, b: Image, part_a: Image, part_b: Image, chosen_a: Image, radius: int, eps: float) -> Image:
    """One scale of both sources, blended by the refined maps of who was chosen."""
    weight_a, weight_b = (
        np.floor(np.clip(guided_filter(guide, chosen, radius, eps), 0, 1) * 255 + 0.5) + 1e-12
        for guide, chosen in ((a, chosen_a), (b, 1 - chosen_a))
    )
    return (weight_a * part_a + weight_b * part_b) / (weight_a + weight_b)
