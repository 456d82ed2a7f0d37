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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.training.data import Split, TrainingPair, draw_crops, sample_seed, sample_seeds
from fusionbench.training.graph import Recorded
from fusionbench.training.recipe import Recipe, RecordableRecipe, Settings, learning_rate
from fusionbench.training.stops import Stops
from fusionbench.training.weights import load_pickle, load_strict

if TYPE_CHECKING:  # of the extra `train`, imported when a training starts: weights are read without it
    import accelerate
    from torch.utils.tensorboard import SummaryWriter

Notify = Callable[[str, int, int, str], None]
"""How progress is told: (what is trained, steps done, steps in all, the losses)."""

Checked = tuple[dict[str, float], Tensor | None]
"""What a validation finds: figures, the first the loss, and pictures."""

FORMAT = 1
LOOK_EVERY = 20  # steps between two looks at the losses on a GPU, each of which waits for it


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
    until: float | None = None,
    keep: Callable[[Mapping[str, Tensor], int], None] | None = None,
    notify: Notify = lambda stage, done, total, item: None,
) -> nn.Module:
    """Train ``recipe.network`` and return it with the best averaged weights (by validation; the last where there is none).

    Writes ``out/state.pt`` (everything, for resuming), ``out/log.csv``, ``out/validation.csv`` and TensorBoard events.
    ``stop_after`` ends the session at that step, resumable. SIGINT and SIGTERM do so at the end of the step at hand: then
    they act as they would have (KeyboardInterrupt). ``until``, a time of ``time.monotonic``, ends it after one more
    validation. ``keep(state, step)`` is given every state that is the best so far. ``notify``: of the main process
    alone, after every step. Raises InputError when ``out`` holds
    another run, or ``resume`` finds none, or one with other settings, or a package of the extra ``train`` is missing.
    """
    run = _start(recipe, settings, out, channels_last)
    run.keep = keep
    run.restore(resume)
    last = settings.steps if stop_after is None else min(stop_after, settings.steps)
    tell = notify if run.accelerator.is_main_process else lambda *said: None
    with Stops() as stops, torch.random.fork_rng(devices=[]):
        saved = time.monotonic()
        stopping = False
        while not stopping:
            if run.validation_due(split.validation):
                tell(recipe.name, run.step, settings.steps, "validating")
                run.record(stops.interruptible(lambda: run.validate(split.validation)))
            stopping = run.any_process(stops.asked is not None)
            late = until is not None and run.any_process(time.monotonic() >= until)
            if stopping or late or run.step >= last:
                break
            note = run.advance(split.train)
            tell(recipe.name, run.step, settings.steps, note)
            if time.monotonic() - saved > 60 * save_minutes:
                run.save()
                saved = time.monotonic()
        if late and run.step and split.validation and not run.validated():
            run.record(run.validate(split.validation))
        run.save()
        run.close()
    if stopping or stops.asked is not None:  # or while that was saved
        stops.pass_on()
    run.network.load_state_dict(run.best or run.averaged())
    return run.network


class Trial:
    """Steps taken for their speed alone: they change ``recipe.network`` and write nothing."""

    def __init__(
        self, recipe: Recipe, pairs: list[TrainingPair], settings: Settings, *, channels_last: bool = True
    ) -> None:
        self._run, self._pairs = _start(recipe, settings, Path(), channels_last), pairs
        for _ in range(5):  # the first are slow: memory is taken, convolutions are chosen
            self._run.advance(pairs)
        self._run.look()

    def rate(self, seconds: float) -> float:
        """Steps a second, over about that many seconds."""
        started, first = time.monotonic(), self._run.step
        while time.monotonic() - started < seconds:
            self._run.advance(self._pairs)
        self._run.look()
        return (self._run.step - first) / (time.monotonic() - started)


def _start(recipe: Recipe, settings: Settings, out: Path, channels_last: bool) -> _Run:
    accelerator = _extra("accelerate").Accelerator(
        mixed_precision=settings.precision, gradient_accumulation_steps=settings.accumulate
    )
    network = recipe.network.to(accelerator.device)
    if channels_last:
        nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return _Run(recipe, settings, out, network, accelerator)


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
        self.recording = settings.graph and accelerator.device.type == "cuda"
        if self.recording and not isinstance(recipe, RecordableRecipe):
            raise InputError(f"{recipe.name} cannot be recorded as a CUDA graph; leave graph out")
        if self.recording and (accelerator.num_processes > 1 or settings.accumulate > 1):
            raise InputError("a CUDA graph is for one process and one batch a step; leave graph or accumulate out")
        # What changes from step to step must be on the GPU for a recorded step to see it.
        rate = torch.tensor(settings.lr, device=accelerator.device) if self.recording else settings.lr
        optimizer = kind(
            parameters,
            rate,
            weight_decay=settings.weight_decay,
            capturable=self.recording,
            fused=self.recording or None,
        )
        compiled: Any = torch.compile(network) if settings.compile else network
        self.wrapped, self.optimizer = accelerator.prepare(compiled, optimizer)
        self.step = 0
        self.seconds = 0.0
        self.best: dict[str, Tensor] | None = None
        self.best_score = math.inf
        self.rows: list[dict[str, float]] = []
        self.checks: list[dict[str, float]] = []
        self.unread: list[tuple[dict[str, float], Tensor]] = []
        self.terms: list[str] = []
        self.recorded: Recorded | None = None
        self.keep: Callable[[Mapping[str, Tensor], int], None] | None = None
        self.board: SummaryWriter | None = None
        self.writer = _extra("torch.utils.tensorboard").SummaryWriter  # asked for before anything is trained

    def advance(self, pairs: list[TrainingPair]) -> str:
        """One optimiser step; returns what the progress bar says. A GPU is waited for every LOOK_EVERY steps only."""
        s, started = self.settings, time.monotonic()
        rate = learning_rate(s, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        self.wrapped.train()
        size, rank, world = s.batch, self.accelerator.process_index, self.accelerator.num_processes
        parts = []
        for micro in range(s.accumulate):
            first = (micro * world + rank) * size
            samples = range(first, first + size)
            seeds = sample_seeds(s.seed, self.step, samples, s.pool)
            crops = draw_crops(pairs, seeds, s.crop)
            torch.manual_seed(sample_seed(s.seed, self.step, first, 1))  # dropout has no generator of its own
            parts.append(self._replay(crops, seeds) if self.recording else self._compute(crops, seeds))
        self._update_average()
        self.step += 1
        self.seconds += time.monotonic() - started
        row = {"step": self.step, "lr": rate, "seconds": self.seconds}
        self.unread.append((row, torch.stack(parts).mean(0)))
        if len(self.unread) >= (LOOK_EVERY if self.accelerator.device.type == "cuda" else 1):
            self.look()
        return f"loss {self.rows[-1]['loss']:.4f}" if self.rows else ""

    def _compute(self, crops: Sequence[Tensor], seeds: list[int]) -> Tensor:
        images = [image.to(self.accelerator.device) for image in crops]
        return self._learn(lambda: self.recipe.loss(self.wrapped, *images, seeds=seeds))

    def _learn(self, loss_of: Callable[[], tuple[Tensor, Mapping[str, Tensor]]]) -> Tensor:
        """Forward, backward and update; returns the loss and its terms, (1 + terms,)."""
        with self.accelerator.accumulate(self.wrapped):
            with self.accelerator.autocast():
                loss, parts = loss_of()
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients and self.settings.clip:
                self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.settings.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.terms = ["loss", *parts]
        return torch.stack([loss, *parts.values()]).detach()

    def _replay(self, crops: Sequence[Tensor], seeds: list[int]) -> Tensor:
        recipe = self.recipe
        if not isinstance(recipe, RecordableRecipe):  # __init__ has seen to it
            raise TypeError(f"{recipe.name} cannot be recorded")
        inputs = [x.pin_memory() for x in (*crops, *recipe.draw(seeds, *crops[0].shape[-2:]))]
        if self.recorded is None:
            self.recorded = Recorded(
                lambda *x: self._learn(lambda: recipe.loss_of(self.wrapped, *x)),
                [x.to(self.accelerator.device) for x in inputs],
                self._trained,
            )
        return self.recorded(inputs)

    def _trained(self) -> list[Tensor]:
        """All that a step changes in place."""
        held = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*self.network.parameters(), *self.network.buffers(), *(v for v in held if isinstance(v, Tensor))]

    def look(self) -> None:
        """Read the losses of the steps since the last look. Raises ValueError for one that is not finite."""
        if not self.unread:
            return
        started = time.monotonic()
        for (row, _), values in zip(self.unread, torch.stack([v for _, v in self.unread]).tolist(), strict=True):
            if not math.isfinite(values[0]):
                raise ValueError(
                    f"{self.recipe.name}: the loss is {values[0]} at step {int(row['step']) - 1}; lower the learning rate"
                )
            self.rows.append({**row, **dict(zip(self.terms, values, strict=True))})
        self.unread.clear()
        self.seconds += time.monotonic() - started

    def _update_average(self) -> None:
        # A short warm-up, else the random start would weigh on short runs.
        decay = min(self.settings.ema, (self.step + 1) / (self.step + 10)) if self.settings.ema else 0.0
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
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
        now = self.step > 0 and (self.step % self.settings.validate_every == 0 or self.step == self.settings.steps)
        return bool(pairs) and now and not self.validated()

    def validated(self) -> bool:
        return bool(self.checks) and self.checks[-1]["step"] == self.step

    def validate(self, pairs: list[TrainingPair]) -> Checked | None:
        """Figures and pictures of the averaged weights, which nothing keeps yet; None off the main process."""
        self.look()
        if not self.accelerator.is_main_process:
            return None
        with torch.no_grad():
            return dict(self.recipe.validate(self.average, pairs)), self.recipe.samples(self.average, pairs)

    def record(self, checked: Checked | None) -> None:
        """Keep what a validation found, and its weights if they are the best so far; nothing where it found nothing."""
        if checked is None:
            return
        figures, pictures = checked
        score = next(iter(figures.values()))
        if score < self.best_score:
            self.best, self.best_score = self.averaged(), score
            if self.keep is not None:
                self.keep(self.best, self.step)
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
        self.look()
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
