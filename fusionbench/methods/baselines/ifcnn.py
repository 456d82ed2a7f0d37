"""IFCNN-MAX, with weights that the user supplies."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods._places import authors_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from fusionbench.methods import Generators

SHAPES = {
    "conv1.weight": (64, 3, 7, 7),
    "conv2.conv.weight": (64, 64, 3, 3),
    "conv3.conv.weight": (64, 64, 3, 3),
    "conv4.weight": (3, 64, 1, 1),
    "conv4.bias": (3,),
}
for _layer in ("conv2", "conv3"):
    SHAPES |= {f"{_layer}.bn.{name}": (64,) for name in ("weight", "bias", "running_mean", "running_var")}

REMEDY = "get its authors' with: fusionbench weights fetch ifcnn, then give ifcnn-max:weights=authors (or weights=FILE)"


@METHODS.register(
    MethodFacts(
        name="ifcnn-max",
        title="IFCNN-MAX",
        family="learned",
        year=2020,
        reference="Zhang, Liu, Sun, Yan, Zhao and Zhang, IFCNN: A general image fusion framework based on convolutional "
        "neural network, Information Fusion 2020",
        doi="10.1016/j.inffus.2019.07.011",
        licence="own implementation, Apache-2.0; the weights are the authors' and not shipped",
        trained=True,
        origin="authors' weights",
        trained_on=("NYU-D2",),
        trained_for=("mse",),
        symmetric=True,
        identity=False,
    )
)
class IfcnnMax:
    """Two convolutions a source, elementwise maximum, two more; the images are seen as grey RGB in [0, 1].

    ``weights``: the authors' state dict (IFCNN-MAX.pth), "authors" for the one that ``weights fetch`` has put
    here. The output is truncated to 8 bits and turned grey, as published.
    """

    def __init__(self, *, weights: Literal["authors"] | Path | None = None) -> None:
        self._path = self.authors_file() if isinstance(weights, str) else weights
        self._weights: dict[str, torch.Tensor] = {}

    @staticmethod
    def unavailable() -> str | None:
        """Why the method cannot run as listed."""
        return f"needs weights: {REMEDY}"

    @staticmethod
    def authors_file() -> Path:
        """Where the authors' file is kept, once fetched."""
        return authors_file("ifcnn-max", ".pth")

    @classmethod
    def take_published(cls, files: Sequence[Path], card: Mapping[str, Any]) -> None:
        """Keep the authors' file as it is. Raises InputError for one that is not theirs."""
        import torch  # heavy

        (file,) = files
        cls(weights=file).prepare(torch.device("cpu"))
        write_bytes(cls.authors_file(), file.read_bytes())

    def digest(self) -> str:
        """SHA-256 of the weights file, "" without one."""
        if self._path is None or not self._path.is_file():
            return ""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def supports(self, task: str) -> str | None:
        return None if self._path is not None else self.unavailable()

    def prepare(self, device: torch.device) -> None:
        """Read the weights. Raises InputError when there are none, or they are not those of IFCNN."""
        import torch  # heavy

        if self._path is None:
            raise InputError(f"ifcnn-max: no weights; {REMEDY}")
        try:
            state = torch.load(self._path, map_location=device, weights_only=True)
        except FileNotFoundError:
            raise InputError(f"{self._path}: no such file; {REMEDY}") from None
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError):
            raise InputError(f"{self._path}: not a file of PyTorch weights; {REMEDY}") from None
        for name, shape in SHAPES.items():
            found = state.get(name) if isinstance(state, dict) else None
            if found is None or tuple(found.shape) != shape:
                raise InputError(f"{self._path}: {name} of shape {shape} is not in it; {REMEDY}")
        self._weights = {name: state[name].float() for name in SHAPES}

    def fuse(self, a: torch.Tensor, b: torch.Tensor, generator: Generators) -> torch.Tensor:
        import torch  # heavy
        from torch.nn import functional

        if not self._weights:
            raise RuntimeError("call prepare() before fuse()")
        weights = self._weights

        def block(x: torch.Tensor, name: str) -> torch.Tensor:
            x = functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), weights[f"{name}.conv.weight"])
            mean, variance = weights[f"{name}.bn.running_mean"], weights[f"{name}.bn.running_var"]
            scale, shift = weights[f"{name}.bn.weight"], weights[f"{name}.bn.bias"]
            return functional.batch_norm(x, mean, variance, scale, shift).relu()

        def features(x: torch.Tensor) -> torch.Tensor:
            padded = functional.pad(x.expand(-1, 3, -1, -1), (3, 3, 3, 3), mode="replicate")
            return block(functional.conv2d(padded, weights["conv1.weight"]), "conv2")

        with torch.inference_mode():
            mixed = block(features(a).maximum(features(b)), "conv3")
            rgb = functional.conv2d(mixed, weights["conv4.weight"], weights["conv4.bias"]).clamp(0, 1)
            levels = (rgb * 255).to(torch.int32)
            # BT.601 in 14-bit fixed point, as OpenCV rounds it: that is how the published images were made grey.
            grey = (levels[:, :1] * 4899 + levels[:, 1:2] * 9617 + levels[:, 2:] * 1868 + 8192) >> 14
            fused: torch.Tensor = grey.to(a.dtype) / 255
            return fused
