"""HybridFusion as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned, Precision, autocast

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="hybridfusion",
        title="HybridFusion (compact)",
        family="learned",
        year=2026,
        reference="Zhang, He and Liu, Hybrid Fusion: one-minute efficient training for zero-shot cross-domain image fusion, "
        "arXiv 2602.20851, 2026",
        doi="10.48550/arXiv.2602.20851",
        licence="own implementation and weights, Apache-2.0; trained on generated images",
        trained=True,
        origin="trained here",
        trained_on=("phantom@train",),
        trained_for=("ssim",),
    )
)
class HybridFusionMethod(Learned):
    """Settings: ``weights``: a .safetensors file of ``fusionbench train``, "" for the shipped one; ``precision``: "float32",
    or "bf16" and "fp16" autocast.

    Luminance is fused; the other modality's chroma is put back by the engine, as the authors do. Images are fused whole.
    """

    package = "hybridfusion"

    def __init__(self, *, weights: str = "", precision: Precision = "float32") -> None:
        super().__init__(weights=weights)
        self._precision = precision

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.hybridfusion.spec import SPEC  # heavy; not needed to list methods

        return SPEC

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> the same. One pair at a time: the maps of a large one fill memory."""
        import torch  # heavy; not needed to list methods

        from fusionbench.methods.hybridfusion.network import fuse

        network, fused = self.network(), []
        with torch.inference_mode(), autocast(self._precision, a.device):
            for mri, other in zip(a[:, None] * 2 - 1, b[:, None] * 2 - 1, strict=True):
                fused.append(fuse(network, other, mri)[0].float() / 2 + 0.5)
        return torch.cat(fused).clamp(0, 1)
