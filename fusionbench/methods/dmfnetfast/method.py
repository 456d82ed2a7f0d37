"""The one-pass student of DM-FNet as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned

if TYPE_CHECKING:
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="dmfnet-fast",
        title="DM-FNet, one-pass student",
        family="learned",
        year=2026,
        reference="this suite: a small U-Net trained to give the averaged image of its DM-FNet; after He, Wang, Liu, Li, "
        "Huang, IEEE TMM 2025",
        doi="10.1109/TMM.2025.3613156",
        licence="own implementation and weights; weights for research use, trained on AANLIB images",
        trained=True,
        origin="trained here",
        trained_on=("harvard:11,15,16,20,21,25,28,29,3,32,33,35,36,37,4,40,41,9,PET 25,PET 41",),
        trained_for=("ssim",),
        identity=False,
    )
)
class DMFNetFastMethod(Learned):
    """``weights``: a file of ``fusionbench train dmfnet-fast``, "" for the shipped one. No noise, no U-Net passes: for daily
    use where the teacher's seconds a pair are too many."""

    package = "dmfnetfast"
    channels_last = True

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.dmfnetfast.spec import SPEC  # heavy; not needed to list methods

        return SPEC
