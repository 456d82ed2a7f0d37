"""EFRUFN as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods.frufn.method import First, FrufnMethod

if TYPE_CHECKING:
    import torch

    from fusionbench.training import NetworkSpec

Solver = Literal["anderson", "plain"]


@METHODS.register(
    MethodFacts(
        name="efrufn",
        title="EFRUFN (compact, wiring inferred)",
        family="learned",
        year=2026,
        reference="Wang, Cao, Deng and Vivone, A general image fusion approach exploiting gradient transfer learning and "
        "fusion rule unfolding, IEEE TPAMI",
        doi="10.1109/TPAMI.2026.3655694",
        licence="own implementation and weights, Apache-2.0; trained on generated images",
        trained=True,
        origin="trained here",
        trained_on=("phantom@train",),
        trained_for=("ssim", "sd"),
        identity=False,
    )
)
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
