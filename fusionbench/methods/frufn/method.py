"""FRUFN as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.training import NetworkSpec

First = Literal["other", "mri"]


FACTS = MethodFacts(
    name="frufn",
    title="FRUFN (compact)",
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


@METHODS.register(FACTS)
class FrufnMethod(Learned):
    """Settings: ``weights``: a .safetensors file of ``fusionbench train`` or ``weights import``, "" for the shipped compact
    one; ``first``: which image is the state, to which positive
    differences of the second are added: "other" (the authors' order for PET and SPECT, and the training's here), or "mri"
    (theirs for CT).

    Images are fused whole: the mask sees all of an image, so tiles would change the result.
    """

    package = "frufn"

    def __init__(self, *, weights: str = "", first: First = "other") -> None:
        super().__init__(weights=weights)
        self._first = first

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.frufn.spec import SPEC  # heavy; not needed to list methods

        return SPEC

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> the same. One pair at a time: the maps of a large one fill memory."""
        import torch  # heavy; not needed to list methods

        from fusionbench.methods.frufn.network import fuse

        network, (first, second) = self.network(), ((a, b) if self._first == "mri" else (b, a))
        with torch.inference_mode():
            pairs = zip(first[:, None], second[:, None], strict=True)
            return torch.cat([fuse(network, x, y) for x, y in pairs]).clamp(0, 1)
