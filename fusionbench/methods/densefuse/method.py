"""DenseFuse as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned

if TYPE_CHECKING:
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="densefuse",
        title="DenseFuse (L1)",
        family="learned",
        year=2019,
        reference="Li and Wu, DenseFuse: A fusion approach to infrared and visible images, IEEE TIP 2019",
        doi="10.1109/TIP.2018.2887342",
        licence="own implementation and weights; weights for research use, trained on AANLIB images",
        trained=True,
        origin="trained here",
        trained_on=("harvard",),
        trained_for=("ssim",),
        symmetric=True,
        identity=False,
    )
)
class DenseFuseMethod(Learned):
    """Autoencoder with a dense encoder, features blended by a softmax of their block-averaged L1 norms.

    Trained here to reconstruct single slices of all modalities (mean squared error and SSIM), as the paper does with
    photographs. ``weights``: a file of ``fusionbench train densefuse``, "" for the shipped one.
    """

    package = "densefuse"

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.densefuse.spec import SPEC  # heavy; not needed to list methods

        return SPEC
