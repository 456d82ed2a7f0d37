"""The training loop that every trained method shares: accelerate, EMA, exact resume, CSV and TensorBoard, time left.

A method hands over a :class:`Recipe` and the pairs; the loop knows neither its network nor its loss. Whatever is random in
step k (crops, noise, dropout) is seeded by (seed, k), so a resumed run computes what an unbroken one would have.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import importlib
import io
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.training.data import Split, TrainingPair, draw_crops, sample_seed, sample_seeds
from fusionbench.training.stops import Stops
from fusionbench.training.weights import load_pickle, load_strict

if TYPE_CHECKING:  # of the extra `train`, imported when a training starts: weights are read without it
    import accelerate
    from torch.utils.tensorboard import SummaryWriter

FORMAT = 1


class Recipe(Protocol):
    """What a method brings to the loop."""

    name: str
    network: nn.Module
    """All that is trained, as one module; frozen parts stay outside."""

    @property
    def loss(self) -> Callable[..., tuple[Tensor, Mapping[str, Tensor]]]:
        """``loss(network, a, b, seeds=seeds)``, or ``loss(network, a, b, target, seeds=seeds)`` if the pairs have targets:
        mean loss over a batch, and its terms for the log. Images: (N,1,h,w) in [-1, 1]; seeds: one a sample, for whatever
        is random. Must call ``network`` (which may be wrapped for several processes), never ``self.network``."""

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """Figures over held-out pairs; the first is minimised to choose the best weights."""

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        """(N,1,H,W) pictures in [0, 1] to look at, or None."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. `batch` counts samples of one process and one accumulation step.

    schedule: "one-cycle" (up over the first tenth, cosine down to a hundredth), "cosine" (no rise), "constant".
    pool: each position of a batch draws from this many different samples only, which a recipe may cache; 0: all differ.
    precision: "no", "bf16" or "fp16". ema: decay of the averaged weights, which validation and the result use; 0 for none.
    """

    steps: int
    batch: int = 4
    crop: int = 96
    lr: float = 1e-4
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.999
    accumulate: int = 1
    precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0
    validate_every: int = 500
    pool: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "crop", "accumulate", "validate_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not 0 <= self.ema < 1 or self.lr <= 0:
            raise InputError(f"ema {self.ema} must be in [0, 1) and lr {self.lr} above 0")


def learning_rate(settings: Settings, step: int) -> float:
    """The learning rate of step 0, 1, ..., steps - 1."""
    if settings.schedule == "constant":
        return settings.lr
    rise = max(1, settings.steps // 10) if settings.schedule == "one-cycle" else 0
    if step < rise:
        return settings.lr * (0.1 + 0.9 * (step + 1) / rise)
    done = (step - rise) / max(1, settings.steps - rise)
    return settings.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def mean_terms(rows: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each term over the rows, for a recipe's validation."""
    kept = [{name: value.item() for name, value in row.items()} for row in rows]
    return {name: sum(row[name] for row in kept) / len(kept) for name in kept[0]}


def train(
    recipe: Recipe,
    split: Split,
    settings: Settings,
    out: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    save_minutes: float = 2.0,
    channels_last: bool = True,
) -> nn.Module:
    """Train ``recipe.network`` and return it with the best averaged weights (by validation; the last where there is none).

    Writes ``out/state.pt`` (everything, for resuming), ``out/log.csv``, ``out/validation.csv`` and TensorBoard events.
    ``stop_after`` ends the session at that step, resumable. SIGINT and SIGTERM do so at the end of the step at hand: then
    they act as they would have (KeyboardInterrupt). Raises InputError when ``out`` holds another run, or ``resume`` finds
    none, or one with other settings, or a package of the extra ``train`` is missing.
    """
    accelerator = _extra("accelerate").Accelerator(
        mixed_precision=settings.precision, gradient_accumulation_steps=settings.accumulate
    )
    network = recipe.network.to(accelerator.device)
    if channels_last:
        nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    run = _Run(recipe, settings, out, network, accelerator)
    run.restore(resume)
    last = settings.steps if stop_after is None else min(stop_after, settings.steps)
    with Stops() as stops, torch.random.fork_rng(devices=[]), _progress(accelerator.is_main_process) as progress:
        bar = progress.add_task(recipe.name, total=settings.steps, completed=run.step, note="")
        saved = time.monotonic()
        stopping = False
        while not stopping:
            if run.validation_due(split.validation):
                progress.update(bar, note="validating")
                stops.interruptible(lambda: run.validate(split.validation))
            stopping = run.any_process(stops.asked is not None)
            if stopping or run.step >= last:
                break
            note = run.advance(split.train)
            progress.update(bar, completed=run.step, note=note)
            if time.monotonic() - saved > 60 * save_minutes:
                run.save()
                saved = time.monotonic()
        run.save()
        run.close()
    if stopping or stops.asked is not None:  # or while that was saved
        stops.pass_on()
    network.load_state_dict(run.best or run.averaged())
    return network


class _Run:
    """The state of one training run; :func:`train` reads as its table of contents."""

    def __init__(
        self, recipe: Recipe, settings: Settings, out: Path, network: nn.Module, accelerator: accelerate.Accelerator
    ) -> None:
        self.recipe, self.settings, self.out, self.accelerator = recipe, settings, out, accelerator
        self.network = network
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        parameters = [p for p in network.parameters() if p.requires_grad]
        optimizer = kind(parameters, settings.lr, weight_decay=settings.weight_decay)
        compiled: Any = torch.compile(network) if settings.compile else network
        self.wrapped, self.optimizer = accelerator.prepare(compiled, optimizer)
        self.step = 0
        self.seconds = 0.0
        self.best: dict[str, Tensor] | None = None
        self.best_score = math.inf
        self.rows: list[dict[str, float]] = []
        self.checks: list[dict[str, float]] = []
        self.board: SummaryWriter | None = None
        self.writer = _extra("torch.utils.tensorboard").SummaryWriter  # asked for before anything is trained

    def advance(self, pairs: list[TrainingPair]) -> str:
        """One optimiser step; returns what the progress bar says."""
        s, started = self.settings, time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(s, self.step)
        self.wrapped.train()
        size, rank, world = s.batch, self.accelerator.process_index, self.accelerator.num_processes
        total = 0.0
        terms: dict[str, float] = {}
        for micro in range(s.accumulate):
            first = (micro * world + rank) * size
            samples = range(first, first + size)
            seeds = sample_seeds(s.seed, self.step, samples, s.pool)
            crops = draw_crops(pairs, seeds, s.crop)
            torch.manual_seed(sample_seed(s.seed, self.step, first, 1))  # dropout has no generator of its own
            with self.accelerator.accumulate(self.wrapped):
                images = [image.to(self.accelerator.device) for image in crops]
                with self.accelerator.autocast():
                    loss, parts = self.recipe.loss(self.wrapped, *images, seeds=seeds)
                if not torch.isfinite(loss):
                    raise ValueError(
                        f"{self.recipe.name}: the loss is {loss.item()} at step {self.step}; lower the learning rate"
                    )
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients and s.clip:
                    self.accelerator.clip_grad_norm_(self.wrapped.parameters(), s.clip)
                self.optimizer.step()
                self.optimizer.zero_grad()
            total += loss.item() / s.accumulate
            for key, value in parts.items():
                terms[key] = terms.get(key, 0.0) + value.item() / s.accumulate
        self._update_average()
        self.step += 1
        self.seconds += time.monotonic() - started
        rate = self.optimizer.param_groups[0]["lr"]
        self.rows.append({"step": self.step, "lr": rate, "seconds": self.seconds, "loss": total, **terms})
        return f"loss {total:.4f}"

    def _update_average(self) -> None:
        # A short warm-up, else the random start would weigh on short runs.
        decay = min(self.settings.ema, (self.step + 1) / (self.step + 10)) if self.settings.ema else 0.0
        with torch.no_grad():
            for kept, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(value, 1 - decay)
            for held, state in zip(self.average.buffers(), self.network.buffers(), strict=True):
                if state.is_floating_point():  # the running statistics of batch normalisation belong to the weights
                    held.lerp_(state, 1 - decay)
                else:
                    held.copy_(state)

    def averaged(self) -> dict[str, Tensor]:
        return {key: value.detach().clone() for key, value in self.average.state_dict().items()}

    def any_process(self, stopping: bool) -> bool:
        """Whether any of the processes stops: all must at the same step, for each waits for the others' gradients."""
        if self.accelerator.num_processes == 1:
            return stopping
        return bool(self.accelerator.reduce(torch.tensor(float(stopping), device=self.accelerator.device)).item())

    def validation_due(self, pairs: list[TrainingPair]) -> bool:
        """Whether this step's validation is still to be done; after a stop in the middle of it, it is."""
        done = bool(self.checks) and self.checks[-1]["step"] == self.step
        now = self.step > 0 and (self.step % self.settings.validate_every == 0 or self.step == self.settings.steps)
        return bool(pairs) and now and not done

    def validate(self, pairs: list[TrainingPair]) -> None:
        """Score the averaged weights; keep them if they are the best so far."""
        if not self.accelerator.is_main_process:
            return
        with torch.no_grad():
            figures = dict(self.recipe.validate(self.average, pairs))
            pictures = self.recipe.samples(self.average, pairs)
        score = next(iter(figures.values()))
        if score < self.best_score:
            self.best, self.best_score = self.averaged(), score
        self.checks.append({"step": self.step, **figures})
        board = self._board()
        for key, value in figures.items():
            board.add_scalar(f"validation/{key}", value, self.step)
        if pictures is not None:
            board.add_images("fused", pictures, self.step)

    def restore(self, resume: bool) -> None:
        """Take up the run in ``out``, or make sure that there is none."""
        path = self.out / "state.pt"
        if not resume:
            if path.exists():
                raise InputError(f"{path}: a run is already here; add --resume to go on, or give another --out")
            return
        if not path.exists():
            raise InputError(f"{path}: nothing to resume; leave --resume out to start, or give the --out of the run")
        state = load_pickle(path)
        if state.get("format") != FORMAT or state.get("recipe") != self.recipe.name:
            raise InputError(f"{path}: not a checkpoint of {self.recipe.name}; give the folder of its own run")
        ours = dataclasses.asdict(self.settings)
        differing = [f"{k} was {v}, is {ours.get(k)}" for k, v in state["settings"].items() if ours.get(k) != v]
        if differing:
            raise InputError(f"{path}: settings differ from the run's: {', '.join(differing)}; use the same to resume")
        load_strict(self.network, state["network"], str(path))
        load_strict(self.average, state["average"], str(path))
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.best_score = state["best"], state["best_score"]
        self.rows, self.checks = state["rows"], state["checks"]

    def save(self) -> None:
        """Checkpoint and logs, each file atomically."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "format": FORMAT,
            "recipe": self.recipe.name,
            "settings": dataclasses.asdict(self.settings),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "best_score": self.best_score,
            "rows": self.rows,
            "checks": self.checks,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(self.out / "state.pt", buffer.getvalue())
        for name, rows in (("log.csv", self.rows), ("validation.csv", self.checks)):
            if rows:
                write_bytes(self.out / name, _csv(rows))
        board = self._board()
        for row in self.rows[-200:]:
            board.add_scalar("loss", row["loss"], int(row["step"]))
        board.flush()

    def close(self) -> None:
        self.accelerator.wait_for_everyone()
        if self.board is not None:
            self.board.close()

    def _board(self) -> SummaryWriter:
        self.board = self.board or self.writer(str(self.out / "tensorboard"), purge_step=self.step)
        return self.board


def _extra(module: str) -> Any:
    """A package that training alone needs, imported when one starts."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"training needs {error.name}: pip install accelerate tensorboard") from None


def _csv(rows: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _progress(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        disable=not shown,
    )
