"""Diff-IF as the engine calls it: any image size, one generator a pair, averaged noise draws."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import generator_of_each, pad_to_multiple, shipped

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.methods.diffif.model import DiffIF


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
        identity=False,
        stochastic=True,
    )
)
class DiffIFMethod:
    """Settings: ``weights``: a .safetensors file, "" for the shipped compact ones; ``steps``: sampling steps, 4 as
    published; ``draws``: noise draws to average; ``precision``: "float32", or "bf16" and "fp16" autocast."""

    def __init__(
        self,
        *,
        weights: str = "",
        steps: int = 4,
        draws: int = 1,
        precision: Literal["float32", "bf16", "fp16"] = "float32",
    ) -> None:
        if not 1 <= steps <= 1000 or draws < 1:
            raise InputError(f"steps={steps}, draws={draws}: give 1 to 1000 steps and 1 draw or more")
        self._file = Path(weights) if weights else shipped("diffif")
        self._steps, self._draws, self._precision = steps, draws, precision
        self._model: DiffIF | None = None

    @classmethod
    def unavailable(cls) -> str | None:
        """Why the method cannot run as listed: its weights are not in this installation."""
        if shipped("diffif").is_file():
            return None
        return "its weights are not in this installation; train it with fusionbench train, or give weights=FILE"

    def digest(self) -> str:
        """SHA-256 of the weights file; "" where it is missing, which ``prepare`` reports."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest() if self._file.is_file() else ""

    def prepare(self, device: torch.device) -> None:
        """Load the weights. Raises InputError when they are missing, damaged or of another network."""
        import torch  # heavy; not needed to list methods

        from fusionbench.methods.diffif.checkpoints import load_model

        model = load_model(self._file)[0].eval().requires_grad_(False).to(device)
        torch.nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
        self._model = model

    def supports(self, task: str) -> str | None:
        return None

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

        if self._model is None:
            raise RuntimeError("call prepare(device) before fuse")
        height, width = a.shape[-2:]
        m, o = (pad_to_multiple(image * 2 - 1, STRIDE) for image in (a, b))
        dtype = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self._precision]
        total = torch.zeros_like(m)
        with torch.autocast(m.device.type, dtype=dtype, enabled=dtype is not None):
            for _ in range(self._draws):
                total += sample(self._model, o, m, draw_noise([generator], self._steps, *m.shape[-2:]))
        return (total[..., :height, :width] / self._draws / 2 + 0.5).contiguous()
