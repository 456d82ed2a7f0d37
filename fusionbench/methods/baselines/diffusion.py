"""Two-scale fusion by diffusion: anisotropic (ADF) and fourth-order (FPDE)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._filters import leading_weights

Image = NDArray[np.float64]

NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]


@METHODS.register(
    MethodFacts(
        name="adf",
        title="Anisotropic diffusion (ADF)",
        family="edge-preserving",
        origin="reimplemented",
        year=2016,
        reference="Bavirisetti and Dhuli, Fusion of infrared and visible sensor images based on anisotropic diffusion "
        "and Karhunen-Loeve transform, IEEE Sensors Journal 2016",
        doi="10.1109/JSEN.2015.2478655",
        symmetric=True,
    )
)
@per_image
def adf(a: Image, b: Image, *, iterations: int = 10, step: float = 0.15, kappa: float = 30.0) -> Image:
    """Base by Perona-Malik diffusion (8 neighbours, exponential, zero outside), averaged; details by KL weights.

    ``kappa`` is on the 0 to 255 scale.
    """
    a, b = a * 255, b * 255
    base_a, base_b = (perona_malik(x, iterations, step, kappa) for x in (a, b))
    return _fuse(a - base_a, b - base_b, (base_a + base_b) / 2) / 255


def perona_malik(image: Image, iterations: int, step: float, kappa: float) -> Image:
    """Anisotropic diffusion over 8 neighbours with conductance exp(-(difference / kappa)^2); pixels outside are zero."""
    height, width = image.shape
    for _ in range(iterations):
        padded = np.pad(image, 1)
        flow = np.zeros_like(image)
        for row, column in NEIGHBOURS:
            difference = padded[1 + row : 1 + row + height, 1 + column : 1 + column + width] - image
            flow += np.exp(-((difference / kappa) ** 2)) * difference / (row**2 + column**2)
        image = image + step * flow
    return image


@METHODS.register(
    MethodFacts(
        name="fpde",
        title="Fourth-order partial differential equations (FPDE)",
        family="edge-preserving",
        origin="reimplemented",
        year=2017,
        reference="Bavirisetti, Xiao and Liu, Multi-sensor image fusion based on fourth order partial differential "
        "equations, FUSION 2017",
        doi="10.23919/ICIF.2017.8009719",
        symmetric=True,
    )
)
@per_image
def fpde(a: Image, b: Image, *, iterations: int = 15, step: float = 0.9, k: float = 4.0) -> Image:
    """Base by the You-Kaveh equation, rounded to 8 bits as in the authors' code, averaged; details by KL weights.

    ``k`` is on the 0 to 255 scale.
    """
    a, b = a * 255, b * 255
    base_a, base_b = (_levels(you_kaveh(x, iterations, step, k)) for x in (a, b))
    return _fuse(a - base_a, b - base_b, _levels(base_a / 2) + _levels(base_b / 2)) / 255


def you_kaveh(image: Image, iterations: int, step: float, k: float) -> Image:
    """Fourth-order diffusion, I -= step * (d2x(c Ixx) + d2y(c Iyy)) with c = 1 / (1 + (Ixx^2 + Iyy^2) / k^2)."""
    for _ in range(iterations):
        xx, yy = _second(image, 1), _second(image, 0)
        conductance = 1 / (1 + (xx**2 + yy**2) / k**2)
        image = image - step * (_second(conductance * xx, 1) + _second(conductance * yy, 0))
    return image


def _second(image: Image, axis: int) -> Image:
    """Central differences twice; one-sided at the borders. Zero along an axis of a single pixel."""
    if image.shape[axis] < 2:
        return np.zeros_like(image)
    return np.asarray(np.gradient(np.gradient(image, axis=axis), axis=axis))


def _levels(image: Image) -> Image:
    return np.floor(np.clip(image, 0, 255) + 0.5)


def _fuse(detail_a: Image, detail_b: Image, base: Image) -> Image:
    first, second = leading_weights(detail_a, detail_b)
    return first * detail_a + second * detail_b + base
