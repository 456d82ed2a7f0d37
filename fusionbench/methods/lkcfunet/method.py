"""LKC-FUNet as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned, Precision, autocast

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="lkcfunet",
        title="LKC-FUNet (compact)",
        family="learned",
        year=2026,
        reference="He, Wang, Li, Shu, Li, Yang, Huang and Li, Rethinking normalization strategies and convolutional "
        "kernels for multimodal image fusion, Pattern Recognition, arXiv 2411.10036",
        doi="10.1016/j.patcog.2025.112903",
        licence="own implementation and weights; weights for research use, trained on AANLIB images",
        trained=True,
        origin="trained here",
        trained_on=("harvard",),
        trained_for=("ssim", "vif"),
        identity=False,
    )
)
class LKCFUNetMethod(Learned):
    """Settings: ``weights``: a .safetensors file of ``fusionbench train`` or ``weights import``, "" for the shipped compact
    one; ``precision``: "float32", or "bf16" and "fp16" autocast; ``value_range``: what the network is fed and gives, "unit"
    for [0, 1] or "signed" for [-1, 1] (the authors' training code says one, their test code the other).

    Images are fused whole: group normalisation takes its statistics from the whole image, so tiles would change the result,
    and memory grows with the image.
    """

    package = "lkcfunet"

    def __init__(
        self,
        *,
        weights: str = "",
        precision: Precision = "float32",
        value_range: Literal["unit", "signed"] = "unit",
    ) -> None:
        super().__init__(weights=weights)
        self._precision, self._signed = precision, value_range == "signed"

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.lkcfunet.spec import SPEC  # heavy; not needed to list methods

        return SPEC

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> the same. One pair at a time: the maps of a large one fill memory."""
        import torch  # heavy; not needed to list methods

        from fusionbench.methods.lkcfunet.network import fuse

        network, fused = self.network(), []
        with torch.inference_mode(), autocast(self._precision, a.device):
            for x, y in zip(a[:, None], b[:, None], strict=True):
                if self._signed:
                    fused.append(fuse(network, x * 2 - 1, y * 2 - 1).float() / 2 + 0.5)
                else:
                    fused.append(fuse(network, x, y).float())
        return torch.cat(fused).clamp(0, 1)
