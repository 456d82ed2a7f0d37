"""What the small learned methods share: shipped weights, inference on whole images, and training on pairs of crops."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.resources
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fusionbench.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from fusionbench.methods import Generators
    from fusionbench.training import Split, TrainingPair


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


class Learned:
    """A method whose network is ``Network()`` in ``fusionbench.methods.<package>.network``, called as ``network(a, b)``.

    ``weights``: a .safetensors file that ``fusionbench train`` wrote, "" for the shipped one.
    """

    package = ""

    def __init__(self, *, weights: str = "") -> None:
        self._file = Path(weights) if weights else shipped(self.package)
        self._network: nn.Module | None = None

    @classmethod
    def unavailable(cls) -> str | None:
        """Why the method cannot run as listed: its weights are not in this installation."""
        if shipped(cls.package).is_file():
            return None
        return "its weights are not in this installation; train it with fusionbench train, or give weights=FILE"

    def digest(self) -> str:
        """SHA-256 of the weights file, "" where it is missing."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest() if self._file.is_file() else ""

    def supports(self, task: str) -> str | None:
        return None

    def prepare(self, device: torch.device) -> None:
        """Load the weights. Raises InputError when they are missing, damaged or of another network."""
        from fusionbench.training import load_strict, load_weights  # heavy; not needed to list methods

        network: nn.Module = importlib.import_module(f"fusionbench.methods.{self.package}.network").Network()
        tensors, _ = load_weights(self._file, self.package)
        load_strict(network, tensors, str(self._file))
        self._network = network.eval().requires_grad_(False).to(device)

    def fuse(self, a: Tensor, b: Tensor, generator: Generators) -> Tensor:
        """(N,1,H,W) float32 in [0, 1] twice -> the same. One pair at a time: the maps of a large one fill memory."""
        import torch  # heavy; not needed to list methods

        if self._network is None:
            raise RuntimeError("call prepare(device) before fuse")
        with torch.inference_mode():
            return torch.cat([self._network(x[None], y[None]) for x, y in zip(a, b, strict=True)]).clamp(0, 1)


Fields = TypeVar("Fields")


def change_fields(base: Fields, changes: Mapping[str, Any] | None, noun: str) -> Fields:
    """A settings dataclass with some fields changed; text is read as the type that the field has.

    Raises InputError for a field that there is not, or a value of another type. noun: what to call a field.
    """
    names = [field.name for field in dataclasses.fields(cast(Any, base))]
    values = {}
    for name, value in (changes or {}).items():
        if name not in names:
            raise InputError(f"no {noun} {name!r}; there are: {', '.join(names)}")
        kind = type(getattr(base, name))
        try:
            values[name] = kind(value)
        except ValueError:
            raise InputError(f"{noun} {name}={value}: give a value of type {kind.__name__}") from None
    return cast(Fields, dataclasses.replace(cast(Any, base), **values))


Terms = tuple["Tensor", Mapping[str, "Tensor"]]


class PairRecipe:
    """A recipe for the training loop made of a network and a loss on images in [0, 1]: ``loss(network, a, b)``."""

    def __init__(self, name: str, network: nn.Module, loss: Callable[[nn.Module, Tensor, Tensor], Terms]) -> None:
        self.name = name
        self.network = network
        self._loss = loss

    def loss(self, network: nn.Module, a: Tensor, b: Tensor, seeds: list[int]) -> Terms:
        return self.loss_of(network, a, b)

    def draw(self, seeds: list[int], height: int, width: int) -> tuple[Tensor, ...]:
        return ()

    def loss_of(self, network: nn.Module, *images_and_draws: Tensor) -> Terms:
        a, b = images_and_draws
        return self._loss(network, a / 2 + 0.5, b / 2 + 0.5)

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """The loss and its terms over at most twelve whole pairs."""
        from fusionbench.training import mean_terms, to_signed  # heavy

        device = next(network.parameters()).device
        rows = []
        for pair in pairs[:: max(1, len(pairs) // 12)][:12]:
            a, b = (to_signed([image]).to(device) / 2 + 0.5 for image in (pair.a, pair.b))
            total, terms = self._loss(network, a, b)
            rows.append({"loss": total, **terms})
        return mean_terms(rows)

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        return None


def train_pairs(
    package: str,
    objective: Callable[[nn.Module, Tensor, Tensor], Terms],
    stage: str,
    split: Split,
    out: Path,
    *,
    defaults: Mapping[str, Any],
    preset_name: str = "compact",
    overrides: Mapping[str, Any] | None = None,
    start: Path | None = None,
    resume: bool = False,
    card: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
) -> Path:
    """Train a method of one stage and one size; returns the weights file written into ``out``.

    start: weights to go on from, in place of random ones.
    Raises InputError for another stage or preset, or loss weights, of which these methods have none.
    """
    import torch  # heavy

    from fusionbench.training import Settings, load_strict, load_weights, save_weights, train

    if stage != "all" or preset_name != "compact" or loss:
        raise InputError(f"{package} has one stage, one size and a fixed loss; leave --stage, --preset and --loss out")
    settings = Settings(**{**defaults, **(overrides or {})})
    torch.manual_seed(settings.seed)
    network: nn.Module = importlib.import_module(f"fusionbench.methods.{package}.network").Network()
    origin = {}
    if start is not None:
        tensors, origin["started_from"] = load_weights(start, package)
        load_strict(network, tensors, str(start))
    trained = train(PairRecipe(package, network, objective), split, settings, out, resume=resume, channels_last=False)
    facts = {"kind": package, "settings": dataclasses.asdict(settings), **split.describe(), **origin, **(card or {})}
    facts["licence"] = "weights for research use, trained on AANLIB images"
    file = out / f"{package}.safetensors"
    save_weights(file, trained.state_dict(), facts)
    return file
