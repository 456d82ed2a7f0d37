"""EFRUFN as the engine calls it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from fusionbench.methods import METHODS
from fusionbench.methods.frufn.method import FACTS, First, FrufnMethod

if TYPE_CHECKING:
    import torch

    from fusionbench.training import NetworkSpec

Solver = Literal["anderson", "plain"]


@METHODS.register(dataclasses.replace(FACTS, name="efrufn", title="EFRUFN (compact, wiring inferred)"))
class EfrufnMethod(FrufnMethod):
    """Settings: ``weights`` and ``first`` as for ``frufn``, and ``solver``: "anderson", five evaluations as in the authors'
    test, or "plain", five steps.

    How close the last images came to an equilibrium is in ``residuals`` after ``fuse``.
    """

    package = "efrufn"

    def __init__(self, *, weights: str = "", first: First = "other", solver: Solver = "anderson") -> None:
        super().__init__(weights=weights, first=first)
        self._solver = solver

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.efrufn.spec import SPEC  # heavy; not needed to list methods

        return SPEC

    def prepare(self, device: torch.device) -> None:
        super().prepare(device)
        self.network().solver = self._solver

    @property
    def residuals(self) -> list[float]:
        """Of the pair fused last: |f(x) - x| / |f(x)| at the state x that was decoded; [] before the first."""
        return [float(value) for value in self.network().residuals]
