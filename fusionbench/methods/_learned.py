"""What the learned methods share: shipped weights, loading, and inference on whole images."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import safetensors

from fusionbench.errors import InputError
from fusionbench.methods._places import AUTHORS, authors_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

    from fusionbench.methods import Generators
    from fusionbench.training import NetworkSpec

Precision = Literal["float32", "bf16", "fp16"]


def shipped(package: str) -> Path:
    """The weights file inside a method's package."""
    return Path(str(importlib.resources.files(f"fusionbench.methods.{package}"))) / "weights" / f"{package}.safetensors"


def generator_of_each(generator: Generators, count: int) -> list[torch.Generator]:
    """One generator for each of `count` pairs, from one for all or a list of that length."""
    import torch  # heavy; not needed to list methods

    generators = [generator] * count if isinstance(generator, torch.Generator) else list(generator)
    if len(generators) != count:
        raise ValueError(f"{len(generators)} generators for {count} pairs; give one, or one a pair")
    return generators


def pad_to_multiple(image: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Extend (N,C,H,W) to the right and below by reflection, as often as it takes, to multiples of `multiple`."""
    import torch  # heavy; not needed to list methods

    for axis in (-2, -1):
        size = image.shape[axis]
        wanted = max(smallest, -(-size // multiple) * multiple)
        period = max(1, 2 * (size - 1))
        index = torch.arange(wanted, device=image.device) % period
        image = image.index_select(axis, torch.minimum(index, period - index) if size > 1 else index)
    return image


class Trained:
    """What holds a trained network: where its weights are, what they are, and how they are loaded.

    ``weights``: a .safetensors file that ``fusionbench train`` or ``weights import`` wrote, "" for the shipped one,
    "authors" for the one that ``weights fetch`` has imported.
    """

    package = ""
    """Of ``fusionbench.methods``: the folder that holds the network, its spec and the shipped weights."""
    channels_last = False
    """Whether its maps lie in channels-last order, in which a CPU convolves them without copying."""

    def __init__(self, *, weights: str = "") -> None:
        self._fetched = weights == AUTHORS
        self._file = self.authors_file() if self._fetched else Path(weights) if weights else shipped(self.package)
        self._network: Any = None

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        """What training, import and loading need to know of the network."""
        raise NotImplementedError

    @classmethod
    def unavailable(cls) -> str | None:
        """Why the method cannot run as listed: its weights are not in this installation."""
        if shipped(cls.package).is_file():
            return None
        return "its weights are not in this installation; train it with fusionbench train, or give weights=FILE"

    @classmethod
    def authors_file(cls) -> Path:
        """Where the authors' published weights are kept, once fetched."""
        return authors_file(cls.spec().name)

    @classmethod
    def take_published(cls, files: Sequence[Path], card: Mapping[str, Any]) -> None:
        """Import the authors' files. Raises InputError for files that are not theirs."""
        cls.spec().convert_published(files, cls.authors_file(), card=card)

    def digest(self) -> str:
        """SHA-256 of the weights file; "" where it is missing, which ``prepare`` reports."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest() if self._file.is_file() else ""

    def trained_on(self) -> tuple[str, ...] | None:
        """What the weights have seen, as their card says; None where it does not, or there is no such file."""
        try:
            with safetensors.safe_open(self._file, framework="np") as file:
                stated = json.loads((file.metadata() or {}).get("card", "{}")).get("trained_on")
        except (safetensors.SafetensorError, ValueError, OSError):
            return None  # prepare() says what is wrong with it
        return None if stated is None else tuple(map(str, stated))

    def prepare(self, device: torch.device) -> None:
        """Load the weights. Raises InputError when they are missing, damaged or of another network."""
        if self._fetched and not self._file.is_file():
            raise InputError(
                f"{self._file}: the authors' weights are not here; get them with: "
                f"fusionbench weights fetch {self.spec().name}"
            )
        network = self.spec().load(self._file)[0].eval().requires_grad_(False).to(device)
        if self.channels_last:
            import torch  # heavy; not needed to list methods

            torch.nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
        self._network = network

    def network(self) -> Any:
        """The network, ready. Raises RuntimeError before ``prepare``."""
        if self._network is None:
            raise RuntimeError("call prepare(device) before fuse")
        return self._network


class Learned(Trained):
    """A method with a trained network."""

    def supports(self, task: str) -> str | None:
        return None

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> the same. One pair at a time: the maps of a large one fill memory."""
        import torch  # heavy; not needed to list methods

        with torch.inference_mode():
            return torch.cat([self.network()(x[None], y[None]) for x, y in zip(a, b, strict=True)]).clamp(0, 1)


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to a precision; to none for "float32"."""
    import torch  # heavy; not needed to list methods

    dtype = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
