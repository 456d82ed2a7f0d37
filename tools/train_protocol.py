"""Train every configuration of docs/protocol.md at once on one GPU.

    python tools/train_protocol.py pack HARVARD_FOLDER pairs.npz
    python tools/train_protocol.py run pairs.npz --out training/protocol --seconds 540
    python tools/train_protocol.py keep training/protocol results/protocol

``pack`` gathers the pairs that the protocol trains and validates on, checks their numbers and writes them into one file.
``run`` starts a process for each job, measures how fast the jobs go beside each other, sets the steps, trains, and leaves in
--out ``protocol.json`` (facts, curves) and ``jobs/NAME.safetensors``, renewed every minute: whatever ends it, the best
weights so far are there. A job that fails is reported and the others go on; with --strict none starts unless all can.
``keep`` writes a run's configurations as they would be shipped (those above 1 MB as float16), their cards without curves.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import gc
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from protocol_jobs import (
    JOBS,
    SIZES,
    SMALL,
    SMALL_STEPS,
    UNTRAINED,
    Built,
    Job,
    Size,
    build,
    protocol_split,
    read_pairs,
    untrained,
    write_pairs,
)
from torch import Tensor

from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.methods.dmfnet.spec import DENOISE
from fusionbench.methods.dmfnet.spec import SPEC as DMFNET
from fusionbench.training import Split, Trial, save_weights, train


@dataclasses.dataclass(frozen=True)
class Order:
    """What a worker is told: how many steps, when to stop (time.monotonic), and whose features to read."""

    steps: int
    until: float
    features: Path


def work(
    job: Job, size: Size, pairs: Path, folder: Path, features: Path, facts: dict[str, Any], pipe: Connection
) -> None:
    """A job's process: be ready, be measured as often as asked, train as ordered; say how each went."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        split = read_pairs(pairs)
        gpu = torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU") != "true"
        torch.backends.cudnn.benchmark = gpu
        torch.backends.cudnn.benchmark_limit = 4
        trial, graph, note = _try(job, size, split, gpu, features)
        pipe.send(("ready", note))
        torch.backends.cudnn.benchmark = False  # what was found is kept; validation need not search again
        while not isinstance(asked := pipe.recv(), Order):
            pipe.send(("rate", trial.rate(asked)))
        del trial
        gc.collect()
        facts = {
            **facts,
            "gpu": torch.cuda.get_device_name() if gpu else "none (CPU)",
            "torch": torch.__version__,
            "configuration": job.name,
            "steps": asked.steps,
        }
        pipe.send(
            ("done", _train(job, build(job, size, asked.steps, graph, asked.features), split, folder, asked, facts))
        )
    except BaseException:
        pipe.send(("failed", traceback.format_exc()))


def _try(job: Job, size: Size, split: Split, gpu: bool, features: Path) -> tuple[Trial, bool, str]:
    """Steps of a job, recorded as a CUDA graph where that works."""
    note = ""
    for graph in (True, False) if gpu else (False,):
        built = build(job, size, 100_000, graph, features)
        try:
            return Trial(built.recipe, split.train, built.settings, channels_last=built.channels_last), graph, note
        except RuntimeError as error:
            if not graph:
                raise
            note = f"not recorded as a graph: {str(error).strip().splitlines()[0]}"
    raise AssertionError("not reached")


def _train(job: Job, built: Built, split: Split, folder: Path, order: Order, facts: dict[str, Any]) -> dict[str, Any]:
    file = folder / f"{job.name}.safetensors"
    best: dict[str, Any] = {}
    card = {**built.card, **split.describe()}

    def keep(state: Mapping[str, Tensor], step: int) -> None:
        best.update(state=state, step=step)
        save_weights(file, built.tensors(state), {**card, "protocol": {**facts, "best_step": step}})

    train(
        built.recipe,
        split,
        built.settings,
        folder / job.name,
        save_minutes=1.0,
        channels_last=built.channels_last,
        until=order.until,
        keep=keep,
    )
    if not best:
        raise InputError(f"{job.name}: its time was over before its first step")
    rows = read_csv(folder / job.name / "log.csv")
    done = {
        **facts,
        "best_step": best["step"],
        "steps_done": int(rows[-1]["step"]),
        "seconds": round(rows[-1]["seconds"], 1),
        "validation": read_csv(folder / job.name / "validation.csv"),
        "curve": thinned(rows, 50),
    }
    save_weights(file, built.tensors(best["state"]), {**card, "protocol": done})
    return done


def read_csv(path: Path) -> list[dict[str, float]]:
    """The rows of a log, [] where there is none yet."""
    if not path.is_file():
        return []
    with path.open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def thinned(rows: list[dict[str, float]], count: int) -> list[dict[str, float]]:
    """The means of `count` equal stretches of a log, to five digits."""
    groups = (
        [list(part) for part in np.array_split(np.array(rows, dtype=object), min(count, len(rows)))] if rows else []
    )
    return [{key: float(f"{np.mean([row[key] for row in part]):.5g}") for key in part[0]} for part in groups]


class Crew:
    """The workers of a run, what became of each, and the files that hold it all."""

    def __init__(self, out: Path, scratch: Path, start: Callable[[Job, Connection], Any]) -> None:
        self.out, self.scratch = out, scratch
        self.pipes: dict[str, Connection] = {}
        self.processes: dict[str, Any] = {}
        self.notes: dict[str, dict[str, Any]] = {job.name: {"state": "starting"} for job in JOBS}
        self.facts: dict[str, Any] = {}
        self.collected = self.started = time.monotonic()
        for job in JOBS:
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            self.processes[job.name], self.pipes[job.name] = start(job, theirs), ours
            theirs.close()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)

    def alive(self, *groups: str) -> list[str]:
        """The jobs of these groups (of all, if none is named) that have not ended."""
        return [j.name for j in JOBS if j.name in self.pipes and (not groups or j.group in groups)]

    def end(self, name: str, state: str, detail: Any) -> None:
        self.notes[name].update(state=state, detail=detail)
        self.say(f"{name}: {state}" + (f"\n{detail}" if isinstance(detail, str) else ""))
        self.pipes.pop(name).close()

    def tell(self, name: str, message: Any) -> None:
        try:
            self.pipes[name].send(message)
        except OSError:
            self.end(name, "failed", f"its process is gone, exit code {self.processes[name].exitcode}")

    def hear(self, names: Iterable[str], until: float, strict: bool = False) -> dict[str, Any]:
        """One answer of each of these jobs, or the end of it; those that are late are not in the result. strict: wait no
        longer once one has failed."""
        answers: dict[str, Any] = {}
        pending = set(names)
        while (pending := pending & self.pipes.keys()) and time.monotonic() < until:
            if strict and len(self.pipes) < len(JOBS):
                break
            if time.monotonic() - self.collected > 60:
                self.collect()
            of_pipe = {pipe: name for name, pipe in self.pipes.items()}
            for pipe in wait(list(of_pipe), timeout=min(1.0, max(0.0, until - time.monotonic()))):
                name = of_pipe[pipe]  # type: ignore[index]
                try:
                    kind, value = self.pipes[name].recv()
                except (EOFError, OSError):
                    kind, value = "failed", f"its process ended, exit code {self.processes[name].exitcode}"
                if kind in ("failed", "done"):
                    self.end(name, kind, value)
                else:
                    answers[name] = value
                    pending.discard(name)
        return answers

    def measure(self, names: Iterable[str], seconds: float, until: float) -> dict[str, float]:
        """Steps a second of each job while all of them run."""
        names = list(names)
        for name in names:
            self.tell(name, seconds)
        rates = self.hear(names, until)
        self.say("steps a second: " + ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items()))
        return rates

    def order(self, names: Iterable[str], order: Order) -> None:
        for name in names:
            self.notes[name].update(state="training", steps=order.steps)
            self.say(f"{name}: {order.steps} steps")
            self.tell(name, order)

    def stop(self) -> None:
        """End what still runs; its best weights so far are on disk."""
        for name in self.alive():
            self.end(name, "cut off", None)
        for process in self.processes.values():
            if process.is_alive():
                process.kill()
        self.collect()

    def collect(self) -> None:
        """Write what became of each job by now."""
        self.collected = time.monotonic()
        jobs = {}
        for name, note in self.notes.items():
            rows = read_csv(self.scratch / name / "log.csv")
            checks = read_csv(self.scratch / name / "validation.csv")
            jobs[name] = {**note, "validation": checks, "curve": thinned(rows, 400)}
        facts = {**self.facts, "seconds": round(time.monotonic() - self.started, 1), "jobs": jobs}
        write_bytes(self.out / "protocol.json", json.dumps(facts, indent=1).encode())


def run(options: argparse.Namespace) -> int:
    """Returns how many jobs gave no weights."""
    begin, seconds, size = time.monotonic(), options.seconds, SIZES[options.size]
    scratch = options.out / "jobs"
    features = scratch / f"{UNTRAINED}.safetensors"
    untrained_card = {"protocol": {"page": "docs/protocol.md", "configuration": UNTRAINED, "seed": 0, "steps": 0}}
    DMFNET.save_part(features, DENOISE, untrained(size), size.dmfnet, untrained_card)
    facts = {"page": "docs/protocol.md", "commit": options.commit, "seed": 0, "size": options.size, "board_looks": 0}
    if options.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # what accelerate reads
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

    def start(job: Job, pipe: Connection) -> Any:
        arguments = (job, size, options.pairs, scratch, features, facts, pipe)
        process = multiprocessing.get_context("spawn").Process(target=work, args=arguments, daemon=True)
        process.start()
        return process

    crew = Crew(options.out, scratch, start)
    crew.facts = {**facts, **read_pairs(options.pairs).describe()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _direct(crew, options.strict, begin, seconds, scratch)
    finally:
        crew.stop()
        weights = [job.name for job in JOBS if (scratch / f"{job.name}.safetensors").is_file()]
        crew.say(f"{len(weights)} of {len(JOBS)} jobs gave weights: {', '.join(weights)}")
    return len(JOBS) - len(weights)


def _direct(crew: Crew, strict: bool, begin: float, seconds: float, scratch: Path) -> None:
    """The run from its first process to its last step; see docs/protocol.md."""
    stop = begin + 0.92 * seconds  # then the last validations, and the files
    ready = crew.hear(crew.alive(), begin + min(150, 0.4 * seconds), strict)
    for name, note in ready.items():
        crew.say(f"{name}: ready {note}")
    if strict and len(ready.keys() & set(crew.alive())) < len(JOBS):
        crew.say(f"only {len(ready)} jobs are ready: stopped, as --strict says")
        return
    for name in set(crew.alive()) - ready.keys():
        crew.end(name, "failed", "not ready in time")
        crew.processes[name].kill()
    window = min(8.0, 0.015 * seconds)
    patience = max(30.0, 4 * window)
    first = crew.measure(crew.alive("denoise", "lkcfunet", *SMALL), window, time.monotonic() + patience)
    second = crew.measure(crew.alive("fuse", "lkcfunet"), window, time.monotonic() + patience)

    def steps(group: str, share: float, *measured: Mapping[str, float]) -> int:
        """What the slowest job of the group does in that many seconds."""
        rates = [rates[j.name] for j in JOBS for rates in measured if j.group == group and j.name in rates]
        return max(12, int(min(rates, default=0.0) * share))

    now = time.monotonic()
    left, half = stop - now, now + 0.5 * (stop - now)
    crew.order(crew.alive("denoise"), Order(steps("denoise", 0.34 * left, first), half, scratch))
    crew.order(crew.alive("lkcfunet"), Order(steps("lkcfunet", 0.8 * left, first, second), stop, scratch))
    for group in SMALL:
        crew.order(crew.alive(group), Order(min(SMALL_STEPS, steps(group, 0.33 * left, first)), stop, scratch))

    crew.hear(crew.alive("denoise"), half + 0.05 * left)
    count = steps("fuse", 0.86 * (stop - time.monotonic()), second)
    for job in JOBS:
        features = scratch / f"{job.reads}.safetensors"
        if job.group == "fuse" and job.name in crew.pipes:
            if features.is_file():
                crew.order([job.name], Order(count, stop, features))
            else:
                crew.end(job.name, "failed", f"{job.reads} left no weights")
    crew.hear(crew.alive(), begin + 0.97 * seconds)


def keep(out: Path, kept: Path) -> list[Path]:
    """Write a run's weights into a folder; those of Stage I are in the files of the networks that read them."""
    written = []
    for file in sorted((out / "jobs").glob("*.safetensors")):
        with safetensors.safe_open(file, "pt") as weights:
            card = json.loads(weights.metadata()["card"])
            tensors = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118 (not a dict)
        if card["kind"] == f"{DMFNET.name}-{DENOISE.name}":
            continue
        for facts in (card["protocol"], card.get("stage_one") or {}):
            facts.pop("curve", None)
            facts["validation"] = [
                {key: float(f"{value:.5g}") for key, value in row.items()} for row in facts.get("validation", [])
            ]
        save_weights(kept / file.name, tensors, card, half=file.stat().st_size > 1_000_000)
        written.append(kept / file.name)
    if not written:
        raise InputError(f"{out}: no jobs/*.safetensors of a run; give the --out of one")
    return written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    pack = commands.add_parser("pack", help="write the protocol's pairs into one file")
    pack.add_argument("data", type=Path)
    pack.add_argument("pairs", type=Path)
    keeper = commands.add_parser("keep", help="write a run's weights as they would be shipped")
    keeper.add_argument("out", type=Path)
    keeper.add_argument("kept", type=Path)
    trainer = commands.add_parser("run", help="train all configurations")
    trainer.add_argument("pairs", type=Path)
    trainer.add_argument("--out", type=Path, default=Path("training/protocol"))
    trainer.add_argument("--seconds", type=float, default=540.0, help="wall time of it all")
    trainer.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    trainer.add_argument("--size", choices=list(SIZES), default="compact")
    trainer.add_argument("--strict", action="store_true", help="train nothing unless every job can")
    trainer.add_argument("--commit", default="", help="of this source tree, for the cards")
    options = parser.parse_args()
    try:
        if options.command == "run":
            if options.device == "cuda" and not torch.cuda.is_available():
                raise InputError("no CUDA device; give --device cpu")
            return run(options)
        if options.command == "keep":
            print("\n".join(map(str, keep(options.out, options.kept))))
            return 0
        split = protocol_split(options.data)
        write_pairs(options.pairs, split)
        print(json.dumps(split.describe(), indent=1))
        print(f"wrote {options.pairs}, {options.pairs.stat().st_size / 1e6:.1f} MB")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
