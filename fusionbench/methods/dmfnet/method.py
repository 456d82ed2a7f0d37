"""DM-FNet as the engine calls it: any image size, averaged noise draws, tiles, and smaller batches when CUDA is full."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned, Precision, autocast, generator_of_each, pad_to_multiple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.methods.dmfnet.model import Noise
    from fusionbench.training import NetworkSpec

_log = logging.getLogger(__name__)

STRIDE = 16
SMALLEST = 64  # the spatial attention reflects three pixels of the coarsest of five levels


@METHODS.register(
    MethodFacts(
        name="dmfnet",
        title="DM-FNet (compact)",
        family="diffusion",
        year=2025,
        reference="He, Wang, Liu, Li, Huang, DM-FNet: Unified multimodal medical image fusion via diffusion "
        "process-trained encoder-decoder, IEEE TMM",
        doi="10.1109/TMM.2025.3613156",
        licence="own implementation and weights; weights for research use, trained on AANLIB images",
        trained=True,
        origin="trained here",
        trained_on=("harvard",),
        trained_for=("en", "sd", "sf", "mi", "qabf", "vif", "ssim"),
        identity=False,
        stochastic=True,
    )
)
class DMFNetMethod(Learned):
    """Settings: ``weights``: a .safetensors file, "" for the shipped compact ones; ``draws``: noise draws to average;
    ``precision``: "float32", or "bf16" and "fp16" autocast; ``tile``: images with a longer side are fused in tiles of this
    size that overlap by a quarter and are blended; ``batch``: most pairs at once; ``compile``: use ``torch.compile``."""

    package = "dmfnet"
    channels_last = True

    def __init__(
        self,
        *,
        weights: str = "",
        draws: int = 1,
        precision: Precision = "float32",
        tile: int = 1024,
        batch: int = 8,
        compile: bool = False,
    ) -> None:
        if draws < 1 or batch < 1:
            raise InputError(f"draws={draws}, batch={batch}: give 1 or more")
        if tile < SMALLEST or tile % STRIDE:
            raise InputError(f"tile={tile}: give a multiple of {STRIDE}, at least {SMALLEST}")
        super().__init__(weights=weights)
        self._draws, self._precision, self._tile, self._batch = draws, precision, tile, batch
        self._compile = compile
        self._run: Any = None

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.dmfnet.spec import SPEC  # heavy; not needed to list methods

        return SPEC

    def prepare(self, device: torch.device) -> None:
        """Load the weights. Raises InputError when they are missing, damaged or of another network."""
        import torch  # heavy; not needed to list methods

        super().prepare(device)
        model = self.network()
        self._run = torch.compile(model) if self._compile else model

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> fused, the same. ``generator``: one, or one a pair."""
        import torch  # heavy; not needed to list methods

        self.network()  # which tells that prepare was not called
        generators = generator_of_each(generator, len(a))
        fused, first, size = [], 0, self._batch
        while first < len(a):
            part = slice(first, first + size)
            states = [g.get_state() for g in generators[part]]
            try:
                fused.append(self._fuse_batch(a[part], b[part], generators[part]))
                first += size
            except torch.cuda.OutOfMemoryError:
                if size == 1:
                    raise InputError(
                        f"the GPU has no memory for one {a.shape[-1]} x {a.shape[-2]} pair; use a smaller tile or the CPU"
                    ) from None
                for g, state in zip(generators[part], states, strict=True):
                    g.set_state(state)
                size = max(1, size // 2)
                torch.cuda.empty_cache()
                _log.warning("CUDA out of memory: going on with batches of %d pairs", size)
        return torch.cat(fused)

    def _fuse_batch(self, a: Tensor, b: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        import torch  # heavy; not needed to list methods

        from fusionbench.methods.dmfnet.model import draw_noise
        from fusionbench.methods.dmfnet.tiling import run_tiled

        height, width = a.shape[-2:]
        x, y = (pad_to_multiple(image * 2 - 1, STRIDE, SMALLEST) for image in (a, b))
        total = torch.zeros_like(x)
        for _ in range(self._draws):
            noise = draw_noise(generators, *x.shape[-2:])
            total += run_tiled(self._pass, x, y, noise, self._tile)
        fused = total[..., :height, :width] / self._draws
        return (fused.clamp(-1, 1) / 2 + 0.5).contiguous()

    def _pass(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        import torch  # heavy; not needed to list methods

        with torch.inference_mode(), autocast(self._precision, x.device):
            result: Tensor = self._run(x, y, noise)
        return result.float()
