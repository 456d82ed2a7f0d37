"""Diff-IF as the engine calls it: any image size, one generator a pair, averaged noise draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned, Precision, autocast, generator_of_each, pad_to_multiple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="diffif",
        title="Diff-IF (compact)",
        family="diffusion",
        year=2024,
        reference="Yi, Tang, Zhang, Xu, Ma, Diff-IF: Multi-modality image fusion via diffusion model with fusion knowledge "
        "prior, Information Fusion; trained on prior images that were chosen by SSIM, VIF and Qabf",
        doi="10.1016/j.inffus.2024.102450",
        licence="own implementation and weights; weights for research use, trained on AANLIB images",
        trained=True,
        origin="trained here",
        trained_on=("harvard",),
        trained_for=("ssim", "vif", "qabf"),
        identity=False,
        stochastic=True,
    )
)
class DiffIFMethod(Learned):
    """Settings: ``weights``: a .safetensors file, "" for the shipped compact ones; ``steps``: sampling steps, 4 as
    published; ``draws``: noise draws to average; ``precision``: "float32", or "bf16" and "fp16" autocast."""

    package = "diffif"
    channels_last = True

    def __init__(
        self,
        *,
        weights: str = "",
        steps: int = 4,
        draws: int = 1,
        precision: Precision = "float32",
    ) -> None:
        if not 1 <= steps <= 1000 or draws < 1:
            raise InputError(f"steps={steps}, draws={draws}: give 1 to 1000 steps and 1 draw or more")
        super().__init__(weights=weights)
        self._steps, self._draws, self._precision = steps, draws, precision

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.diffif.spec import SPEC  # heavy; not needed to list methods

        return SPEC

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> fused, the same. ``generator``: one, or one a pair. One pair at a time: the
        maps of a large one fill memory."""
        import torch  # heavy; not needed to list methods

        generators = generator_of_each(generator, len(a))
        with torch.inference_mode():
            fused = [self._fuse_pair(x[None], y[None], g) for x, y, g in zip(a, b, generators, strict=True)]
        return torch.cat(fused)

    def _fuse_pair(self, a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
        import torch  # heavy; not needed to list methods

        from fusionbench.methods.diffif.model import STRIDE, draw_noise, sample

        height, width = a.shape[-2:]
        m, o = (pad_to_multiple(image * 2 - 1, STRIDE) for image in (a, b))
        total = torch.zeros_like(m)
        with autocast(self._precision, m.device):
            for _ in range(self._draws):
                total += sample(self.network(), o, m, draw_noise([generator], self._steps, *m.shape[-2:]))
        return (total[..., :height, :width] / self._draws / 2 + 0.5).contiguous()
