"""The plain convolutional fuser as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned

if TYPE_CHECKING:
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="cnn-fuse",
        title="Plain CNN fuser",
        family="learned",
        year=2026,
        reference="this suite: five convolutions, trained with the published loss of DM-FNet",
        licence="own implementation and weights; weights for research use, trained on AANLIB images",
        trained=True,
        origin="trained here",
        trained_on=("harvard",),
        trained_for=("ssim",),
        identity=False,
    )
)
class CnnFuseMethod(Learned):
    """Five convolutions on both sources, added to their maximum: what any larger network should beat.

    ``weights``: a file of ``fusionbench train cnn-fuse``, "" for the shipped one.
    """

    package = "cnnfuse"

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.cnnfuse.spec import SPEC  # heavy; not needed to list methods

        return SPEC
