"""An average of the sources with a known flaw, step by step: a plug-in for the validation of metrics.

fusionbench run --plugin tools/graded.py -m graded:weight=0.25 -m graded:blur=2 -t lesion/ct-mri ...
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy import ndimage

from fusionbench.methods import METHODS, MethodFacts

GRADES = (
    *(f"weight={w:g}" for w in (0, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 1)),
    *(f"blur={s:g}" for s in (1, 2, 4)),
    *(f"noise={s:g}" for s in (0.02, 0.05, 0.1)),
    *(f"contrast={c:g}" for c in (0.5, 0.25, 0.1)),
)
"""Settings of the steps; the average itself is among the methods."""


@METHODS.register(
    MethodFacts(name="graded", title="Average with a known flaw", family="pixel", control=True, stochastic=True)
)
class Graded:
    """``weight``: of the first source; ``blur``: deviation of a Gaussian, pixels; ``noise``: its deviation, of full scale;
    ``contrast``: a factor on the distance from the mean."""

    def __init__(self, *, weight: float = 0.5, blur: float = 0.0, noise: float = 0.0, contrast: float = 1.0) -> None:
        self._weight, self._blur, self._noise, self._contrast = weight, blur, noise, contrast

    def prepare(self, device: torch.device) -> None:
        """Nothing to load."""

    def supports(self, task: str) -> str:
        return ""

    def fuse(
        self, a: torch.Tensor, b: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator]
    ) -> torch.Tensor:
        fused = self._weight * a + (1 - self._weight) * b
        if self._blur:
            blurred = ndimage.gaussian_filter(fused.cpu().numpy(), (0, 0, self._blur, self._blur), mode="nearest")
            fused = torch.from_numpy(blurred).to(a)
        mean = fused.mean((2, 3), keepdim=True)
        fused = mean + self._contrast * (fused - mean)
        sources = [generator] if isinstance(generator, torch.Generator) else generator
        drawn = torch.stack([torch.randn(fused.shape[1:], generator=source) for source in sources])
        fused = fused + self._noise * drawn.to(a)
        return fused.clamp(0, 1)
