"""From undersampled k-space to an image, before any fusion: RECONSTRUCTIONS, and the classical one, by wavelets.

A reconstruction is a class of keyword-only settings with ``prepare``, ``digest`` and ``restore``, entered with
``@RECONSTRUCTIONS.register(MethodFacts(...))``. It sees one image's spectrum and mask, never the other modality.
``fusionbench run --corrupt undersample:accel=4,reconstruct=NAME`` puts it before any method.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pywt
from numpy.typing import NDArray

from fusionbench.methods import MethodFacts
from fusionbench.registry import Registry
from fusionbench.scores import fingerprint

if TYPE_CHECKING:
    import torch

RECONSTRUCTIONS: Registry[MethodFacts] = Registry(
    "reconstruction", ("fusionbench.methods",), "fusionbench.reconstructions"
)


class Reconstruction(Protocol):
    """What the engine calls."""

    def prepare(self, device: torch.device) -> None:
        """Load weights; untimed. Raises InputError when they are missing or foreign."""

    def digest(self) -> str:
        """What the output depends on besides name and version: the weights."""

    def restore(
        self, kspace: NDArray[np.complexfloating[Any, Any]], mask: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        """(H, W) masked spectrum as of ``numpy.fft.fft2``, (H,) ones for the lines that were measured -> (H, W) image, about
        [0, 1]. Raises InputError for an image that it cannot take."""


def create_reconstruction(name: str) -> Reconstruction:
    """The reconstruction of that name, not yet prepared. Raises InputError for one that there is not."""
    plugin, settings = RECONSTRUCTIONS.parse(name)
    made: Reconstruction = plugin.factory(**settings)
    return made


@RECONSTRUCTIONS.register(
    MethodFacts(
        name="cs",
        title="Compressed sensing: sparse wavelet coefficients (FISTA)",
        family="sparse",
        year=2007,
        reference="Lustig, Donoho and Pauly, Sparse MRI: The application of compressed sensing for rapid MR imaging, "
        "Magnetic Resonance in Medicine 2007; FISTA: Beck and Teboulle, SIAM J. Imaging Sciences 2009",
        doi="10.1002/mrm.21391",
        origin="reimplemented",
        trained_on=(),
        trained_for=(),
    )
)
class CompressedSensing:
    """The real image x that minimises 1/2 |M F x - y|^2 + strength * peak * |W x|_1, y the measured lines, W an
    orthonormal wavelet transform, peak the largest magnitude of the zero-filled image. Details are thresholded, the coarsest
    band is not.

    The transform is shifted from step to step (cycle spinning), which takes the blocks out of the result.
    """

    def __init__(self, *, strength: float = 0.004, iterations: int = 60, wavelet: str = "db4", levels: int = 4) -> None:
        self._strength, self._iterations = strength, iterations
        self._wavelet, self._levels = wavelet, levels

    def prepare(self, device: torch.device) -> None:
        """Nothing to load."""

    def digest(self) -> str:
        return ""

    def restore(
        self, kspace: NDArray[np.complexfloating[Any, Any]], mask: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        """See :class:`Reconstruction`."""
        rows = np.asarray(mask, np.float64)[:, None]
        zero_filled = np.fft.ifft2(kspace)
        threshold = self._strength * float(np.abs(zero_filled).max())
        x = z = np.asarray(zero_filled.real)
        momentum = 1.0
        rng = np.random.default_rng(0)  # shifts of the transform: the same ones for every image
        for _ in range(self._iterations):
            moved = z - np.fft.ifft2(rows * np.fft.fft2(z) - kspace).real
            previous, x = x, self._shrunk(moved, threshold, rng.integers(0, 2**self._levels, 2))
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            z = x + (momentum - 1) / following * (x - previous)
            momentum = following
        # What was measured is known: the last word is the data's.
        spectrum = rows * kspace + (1 - rows) * np.fft.fft2(x)
        return np.asarray(np.fft.ifft2(spectrum).real)

    def _shrunk(self, image: NDArray[np.float64], threshold: float, shift: NDArray[np.int64]) -> NDArray[np.float64]:
        height, width = image.shape
        step = 2**self._levels
        padded = np.pad(image, ((0, -height % step), (0, -width % step)), mode="edge")
        turned = np.roll(padded, shift, (0, 1))
        levels = min(self._levels, pywt.dwt_max_level(min(turned.shape), self._wavelet))
        coarse, *details = pywt.wavedec2(turned, self._wavelet, mode="periodization", level=levels)
        kept = [tuple(pywt.threshold(band, threshold, "soft") for band in bands) for bands in details]
        back = pywt.waverec2([coarse, *kept], self._wavelet, mode="periodization")
        return np.asarray(np.roll(back, -shift, (0, 1))[:height, :width])


def reconstruction_about(name: str) -> dict[str, Any]:
    """What score files say of a reconstruction: its facts, and "made", which changes with what it gives."""
    facts = RECONSTRUCTIONS[name].facts
    made = fingerprint(facts.name, facts.version, create_reconstruction(name).digest())
    return {"facts": dataclasses.asdict(facts), "made": made}
