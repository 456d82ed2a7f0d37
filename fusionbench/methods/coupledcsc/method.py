"""Unfolded coupled convolutional sparse coding as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned

if TYPE_CHECKING:
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="coupled-csc",
        title="Unfolded coupled convolutional sparse coding (after Marivani 2022)",
        family="learned",
        year=2022,
        reference="after Marivani, Tsiligianni, Cornelis and Deligiannis, Designing CNNs for multimodal image restoration "
        "and fusion via unfolding the method of multipliers, IEEE TCSVT 2022",
        doi="10.1109/TCSVT.2022.3163649",
        licence="own implementation and weights; weights for research use, trained on AANLIB images",
        trained=True,
        origin="trained here",
        trained_on=("harvard",),
        trained_for=("ssim",),
        identity=False,
        theirs="both sources coded over coupled convolutional dictionaries, the iterations unfolded into a trained network",
        ours="three unfolded soft-threshold steps with shared and private codes, a two-layer decoder, and training without "
        "references: DM-FNet's published loss plus the sources' reconstruction from their codes",
    )
)
class CoupledCscMethod(Learned):
    """Shared and private sparse codes by three learned iterations; the fused image is decoded from all of them.

    ``weights``: a file of ``fusionbench train coupled-csc``, "" for the shipped one.
    """

    package = "coupledcsc"

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.coupledcsc.spec import SPEC  # heavy; not needed to list methods

        return SPEC
