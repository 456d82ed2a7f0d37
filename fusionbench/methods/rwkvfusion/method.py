"""RWKVFusion as the engine calls it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._learned import Learned, Precision, autocast

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.training import NetworkSpec


@METHODS.register(
    MethodFacts(
        name="rwkvfusion",
        title="RWKVFusion, image only (no language, no masks; compact)",
        family="learned",
        year=2025,
        reference="Cao, Liang, Deng and Vivone, An efficient image fusion network exploiting unifying language and mask "
        "guidance, IEEE TPAMI 2025",
        licence="own implementation and weights; weights trained on generated images alone",
        trained=True,
        origin="trained here",
        trained_on=("phantom@train",),
        trained_for=("ssim",),
        identity=False,
        theirs="a network guided by captions (T5 features) and masks (Florence-2 and SAM), 32 channels wide",
        ours="the variant without language and masks, 16 channels wide; both inputs are in the network and off: text=FILE "
        "and mask=FILE",
    )
)
class RWKVFusionMethod(Learned):
    """Settings: ``weights``: a .safetensors file of ``fusionbench train``, "" for the shipped compact one; ``precision``:
    "float32", or "bf16" and "fp16" autocast; ``mask``: a .npy array (2, H, W) of zeros and ones, other modality first, for
    every pair of the run; ``text``: a .npy array (512, 1024) of text features for every pair of the run, for weights of a
    network with a text branch.

    The shipped weights are of the image-only network and were trained with masks of zeros. Images are fused whole: the scans
    run over the whole image, so tiles would change the result.
    """

    package = "rwkvfusion"
    channels_last = True

    def __init__(self, *, weights: str = "", precision: Precision = "float32", mask: str = "", text: str = "") -> None:
        super().__init__(weights=weights)
        self._precision = precision
        self._guides = {"mask": mask, "text": text}
        self._mask: Tensor | None = None
        self._text: Tensor | None = None

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.rwkvfusion.spec import SPEC  # heavy; not needed to list methods

        return SPEC

    def digest(self) -> str:
        """Of the weights, and of mask and text if they are given."""
        files = [Path(file) for file in self._guides.values() if file]
        parts = [super().digest(), *(hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file())]
        return "+".join(parts)

    def prepare(self, device: torch.device) -> None:
        """Load the weights, mask and text. Raises InputError when one is missing, damaged or does not fit the network."""
        super().prepare(device)
        size = self.network().size
        if self._guides["text"]:
            if not size.text:
                raise InputError(
                    f"text={self._guides['text']}: these weights have no text branch; leave text out, or give weights of a "
                    "network trained with --network text=1024"
                )
            self._text = _read(self._guides["text"], "text", (size.tokens, size.text)).to(device)
        if self._guides["mask"]:
            self._mask = _read(self._guides["mask"], "mask", (2, None, None)).to(device)

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> the same. One pair at a time: the maps of a large one fill memory."""
        import torch  # heavy; not needed to list methods

        from fusionbench.methods.rwkvfusion.network import fuse

        if self._mask is not None and self._mask.shape[2:] != a.shape[2:]:
            wanted, have = ("x".join(map(str, x.shape[:1:-1])) for x in (a, self._mask))
            raise InputError(f"mask={self._guides['mask']}: is {have}, the images are {wanted}; give one of their size")
        with torch.inference_mode(), autocast(self._precision, a.device):
            fused = [
                fuse(self.network(), x, y, self._mask, self._text).float()
                for x, y in zip(a[:, None], b[:, None], strict=True)
            ]
        return torch.cat(fused).clamp(0, 1)


def _read(file: str, name: str, shape: tuple[int | None, ...]) -> Tensor:
    """A finite .npy array of a shape (None: any size) as (1, *shape) float32. Raises InputError naming the file."""
    import torch  # heavy; not needed to list methods

    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{name}={file}: not a readable .npy file ({error}); write it with numpy.save") from error
    form = " x ".join("any" if n is None else str(n) for n in shape)
    fits = isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and array.ndim == len(shape)
    if not fits or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        raise InputError(f"{name}={file}: holds no array of numbers of {form}; give one of that shape")
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{name}={file}: holds values that are not finite; replace them")
    return torch.from_numpy(values)[None]
