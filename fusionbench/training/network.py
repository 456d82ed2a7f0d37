"""What a trained family of networks is: sizes, stages, losses, files; training, saving and import of all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from fusionbench.errors import InputError
from fusionbench.training.data import Split
from fusionbench.training.loop import Notify, train
from fusionbench.training.recipe import PairRecipe, Recipe, Settings, Terms
from fusionbench.training.weights import load_network, load_pickle, load_strict, load_weights, save_network

P = TypeVar("P")
N = TypeVar("N", bound=nn.Module)
Fields = TypeVar("Fields")


@dataclasses.dataclass(frozen=True)
class NoChoice:
    """The preset of a network of one size."""


@dataclasses.dataclass(frozen=True)
class Stage(Generic[N]):
    """One stage of a training.

    settings: how to train unless told otherwise, by the preset's name. recipe: made of the whole network, the loss weights
    (None if the family has none), the preset's name and the settings. part: the submodule that it trains, "" for the whole
    network; a stage before the last must have one. facts: further lines of the card, by the preset's name.
    """

    name: str
    settings: Callable[[str], Settings]
    recipe: Callable[[N, Any, str, Settings], Recipe]
    part: str = ""
    facts: Callable[[str], Mapping[str, Any]] = lambda preset: {}
    channels_last: bool = True


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A checkpoint (.pth) that the authors published.

    title: what people call it; part: the submodule that it fills, "" for the whole; prefix: what every key begins with and
    ours do not; ignored: keys that are no weights.
    """

    title: str
    part: str = ""
    prefix: str = ""
    ignored: frozenset[str] = frozenset()


class _Best:
    """Remembers the step of the best weights, for the card; a resumed run may have had them before."""

    def __init__(self) -> None:
        self.line: dict[str, int] = {}

    def __call__(self, state: Mapping[str, Tensor], step: int) -> None:
        self.line = {"best_step": step}


def fresh(build: Callable[[P], N]) -> Callable[[P, int], N]:
    """``build(preset)`` after the seed is set: a network as its layers initialise themselves."""

    def make(preset: P, seed: int) -> N:
        torch.manual_seed(seed)
        return build(preset)

    return make


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSpec(Generic[P, N]):
    """A family of trained networks: everything that training, files and inference need to know of it.

    name: the "kind" in its files' cards, and the name of the file that training writes. title: what people call it.
    presets: sizes by name, each of type ``size``. build: a network of a size; initial: one to train, from a size and a seed
    (default: ``build`` after the seed is set). stages: in order. losses: loss weights by preset, a dataclass; {} where the
    loss is fixed. published: the authors' files, in the order that ``weights import`` takes them. half: presets whose files
    store float16. needs_target: trains on a third image of each pair, which ``fusionbench prior`` makes.
    """

    name: str
    title: str
    size: type[P]
    presets: Mapping[str, P]
    build: Callable[[P], N]
    stages: Sequence[Stage[N]]
    initial: Callable[[P, int], N] | None = None
    losses: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    published: Sequence[PublishedFile] = ()
    half: frozenset[str] = frozenset()
    needs_target: bool = False

    def preset(self, name: str) -> P:
        """Look a size up. Raises InputError for an unknown name."""
        if name not in self.presets and len(self.presets) == 1:
            raise InputError(f"{self.title} has one size; leave --preset out")
        if name not in self.presets:
            raise InputError(f"unknown preset {name!r} of {self.title}; take one of: {', '.join(self.presets)}")
        return self.presets[name]

    def save(self, path: Path, network: N, preset: P, card: Mapping[str, Any], half: bool = False) -> None:
        """Write a network with a card that says how to build it and what was trained on what."""
        save_network(path, network, self.name, preset, card, half)

    def load(self, path: Path, expected: P | None = None) -> tuple[N, dict[str, Any]]:
        """(network, card) from a file; see :func:`fusionbench.training.weights.load_network`."""
        return load_network(path, self.name, self.size, self.build, expected)

    def save_part(self, path: Path, stage: Stage[N], network: N, preset: P, card: Mapping[str, Any]) -> None:
        """Write what a stage before the last trained, for the next stage to start from."""
        save_network(path, network.get_submodule(stage.part), f"{self.name}-{stage.name}", preset, card)

    def load_part(self, path: Path, stage: Stage[N], network: N) -> dict[str, Any]:
        """Fill the part of a network that a stage trained; returns the card. Raises InputError for another file."""
        tensors, card = load_weights(path, f"{self.name}-{stage.name}")
        load_strict(network.get_submodule(stage.part), tensors, str(path))
        return card

    def convert_published(
        self, files: Sequence[Path], out: Path, preset: str | P = "paper", card: Mapping[str, Any] | None = None
    ) -> None:
        """Turn the authors' files into one of ours. ``card``: more lines for the weights' card.

        Strict: every key must be known and of the right shape. Raises InputError listing what is missing, extra or
        misshapen, for another number of files, or for a family without published files; such files are not converted.
        """
        titles = ", ".join(file.title for file in self.published)
        if not self.published:
            raise InputError(f"no published files of {self.title} can be read")
        if len(files) != len(self.published):
            raise InputError(f"{len(files)} files for {self.name}; give {len(self.published)}: {titles}")
        size = self.preset(preset) if isinstance(preset, str) else preset
        network = self.build(size)
        for path, file in zip(files, self.published, strict=True):
            tensors = {
                key.removeprefix(file.prefix) if key.startswith(file.prefix) else f"(no prefix) {key}": value
                for key, value in load_pickle(path).items()
                if key not in file.ignored
            }
            load_strict(network.get_submodule(file.part), tensors, str(path))
        origin = {"trained_by": f"the authors of {self.title}", "files": [f.name for f in files], "stage": "imported"}
        self.save(out, network, size, {**origin, **(card or {})})

    def train(
        self,
        split: Split,
        out: Path,
        *,
        stage: str = "all",
        preset: str = "compact",
        overrides: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
        start: Path | None = None,
        resume: bool = False,
        until: float | None = None,
        card: Mapping[str, Any] | None = None,
        notify: Notify = lambda stage, done, total, item: None,
    ) -> Path:
        """Train; returns the file written into ``out``: ``NAME.safetensors``, or ``STAGE.safetensors`` of an earlier stage.

        overrides: fields of :class:`Settings` to change in every stage that runs; loss: fields of the loss weights; network:
        fields of the preset; start: weights to go on from, in place of random ones: a stage that runs starts from its part
        of them, and a later stage alone keeps the rest as it is; card: more lines for the weights' card; notify: told of
        every step. A stage alone reads the ones before it from ``out``. With ``resume`` a finished earlier stage is passed
        over. ``until``, a time of ``time.monotonic``, cuts a stage off; its best weights so far are written.

        Raises InputError for an unknown stage, preset or field, or pairs without a target where they need one.
        """
        self._check(stage, split)
        size, weights = change_fields(self.preset(preset), network, "network setting"), self._loss(preset, loss)
        model, lines = self._start(start, size, preset, overrides)
        lines = {**split.describe(), **lines, **(card or {})}
        if weights is not None:
            lines["loss"] = dataclasses.asdict(weights)
        for s in self.stages:
            last, wanted = s is self.stages[-1], stage in ("all", s.name)
            file = out / f"{self.name if last else s.name}.safetensors"
            folder = out / s.name if len(self.stages) > 1 else out
            if not last and (not wanted or (resume and file.is_file())):
                if start is None or wanted:
                    lines[s.name] = self.load_part(file, s, model).get(s.name)
                continue
            settings = dataclasses.replace(s.settings(preset), **(overrides or {}))
            again = resume and (s is self.stages[0] or stage == s.name or (folder / "state.pt").is_file())
            recipe, best = s.recipe(model, weights, preset, settings), _Best()
            ends: dict[str, Any] = {"until": until, "keep": best, "notify": notify}
            train(recipe, split, settings, folder, resume=again, channels_last=s.channels_last, **ends)
            lines[s.name] = {**dataclasses.asdict(settings), **best.line, **s.facts(preset)}
            model.cpu()
            if last:
                self.save(file, model, size, lines, preset in self.half)
            else:
                self.save_part(file, s, model, size, lines)
            if stage == s.name:
                break
        return file

    def _check(self, stage: str, split: Split) -> None:
        """Raises InputError for a stage that there is not, and for pairs without the targets that are needed."""
        names = [s.name for s in self.stages]
        if stage not in ("all", *names):
            if len(names) == 1:
                raise InputError(f"{self.title} has one stage; leave --stage out")
            raise InputError(f"stage {stage!r}: take one of {', '.join([*names, 'all'])}")
        if self.needs_target and any(pair.target is None for pair in [*split.train, *split.validation]):
            raise InputError(
                f"{self.title} learns from prior fused images; make them with fusionbench prior, then give --prior"
            )

    def _start(
        self, file: Path | None, size: P, preset: str, overrides: Mapping[str, Any] | None
    ) -> tuple[N, dict[str, Any]]:
        """The network that training begins with, and a line about it for the card."""
        if file is not None:
            model, card = self.load(file, size)
            return model, {"started_from": card}
        seed = dataclasses.replace(self.stages[0].settings(preset), **(overrides or {})).seed
        return (self.initial or fresh(self.build))(size, seed), {}

    def _loss(self, preset: str, changes: Mapping[str, Any] | None) -> Any:
        if not self.losses:
            if changes:
                raise InputError(f"{self.title} has a fixed loss; leave --loss out")
            return None
        return change_fields(self.losses[preset], changes, "loss term")


def one_size(
    name: str, title: str, build: Callable[[], N], loss: Callable[[nn.Module, Tensor, Tensor], Terms]
) -> NetworkSpec[NoChoice, N]:
    """The spec of a small network of one size, trained in one stage with a fixed loss on images in [0, 1]."""
    settings = Settings(steps=2000, batch=4, crop=64, lr=2e-3, ema=0.99, validate_every=200)
    stage: Stage[N] = Stage(
        "train",
        lambda preset: settings,
        lambda network, weights, preset, settings: PairRecipe(name, network, loss),
        channels_last=False,
    )
    return NetworkSpec(
        name=name,
        title=title,
        size=NoChoice,
        presets={"compact": NoChoice()},
        build=lambda preset: build(),
        stages=(stage,),
    )


def change_fields(base: Fields, changes: Mapping[str, Any] | None, noun: str) -> Fields:
    """A settings dataclass with some fields changed; text is read as the type that the field has.

    Raises InputError for a field that there is not, or a value of another type. noun: what to call a field.
    """
    names = [field.name for field in dataclasses.fields(cast(Any, base))]
    values = {}
    for name, value in (changes or {}).items():
        if name not in names:
            raise InputError(f"no {noun} {name!r}; there are: {', '.join(names) or 'none'}")
        kind = type(getattr(base, name))
        try:
            values[name] = kind(value)
        except ValueError:
            raise InputError(f"{noun} {name}={value}: give a value of type {kind.__name__}") from None
    return cast(Fields, dataclasses.replace(cast(Any, base), **values))
