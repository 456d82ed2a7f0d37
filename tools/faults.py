"""Try every fault for real, and write docs/reliability.md: times tried, times recovered, rows lost.

``python tools/faults.py [--times N] [--out docs/reliability.md]``: needs Linux; a full disk and a read-only folder need the
right to mount a tmpfs (root), and are told as not tried without it. Each trial runs the real command line in a process of
its own, on small generated pairs, and compares the CSV files with those of an undisturbed run, byte for byte.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from fusionbench.bench import run
from fusionbench.pairs import write_png

METHODS = ("average", "maximum", "laplacian", "dwt")
TASK = "folders/pet-mri"
UNITS, UNIT = 200, 8  # units of the trials with killed workers, and images in one
METRICS = ("en", "sd", "mi", "qabf")


class Bench:
    """Folders of pairs, the tables of an undisturbed run, and commands on them."""

    def __init__(self, root: Path, pairs: int) -> None:
        self.root, self.pairs = root, pairs
        self._larger: Bench | None = None
        rng = np.random.default_rng(0)
        for n in range(pairs):
            for name in ("a", "b"):
                write_png(root / name / f"p{n:03d}.png", rng.integers(0, 256, (96, 96), dtype=np.uint8))
        self.data = (root / "a", root / "b")
        self.here(root / "good")
        self.good = tables(root / "good")

    def larger(self) -> Bench:
        """The same with pairs enough for 200 units of fusing (and 50 of scoring); made once."""
        if self._larger is None:
            self._larger = Bench(self.root / "larger", UNITS * UNIT // len(METHODS))
        return self._larger

    def here(self, results: Path, **options: object) -> None:
        run(METHODS, [TASK], results, metrics=METRICS, data=self.data, device="cpu", **options)  # type: ignore[arg-type]

    def command(self, results: Path, *more: str) -> list[str]:
        words = [
            sys.executable,
            "-c",
            "from fusionbench.cli import main; main()",
            "run",
            "-t",
            TASK,
            "--results",
            str(results),
            *more,
        ]
        words += [word for method in METHODS for word in ("-m", method)]
        words += [word for metric in METRICS for word in ("--metric", metric)]
        return [*words, "--device", "cpu", "--data", str(self.data[0]), "--data", str(self.data[1])]

    def start(self, results: Path, *more: str) -> subprocess.Popen[str]:
        log = (self.root / "log").open("w+")
        return subprocess.Popen(self.command(results, *more), stdout=log, stderr=log, text=True)

    def same(self, results: Path) -> bool:
        return tables(results) == self.good

    def lost(self, results: Path) -> int:
        """Rows of the undisturbed run that are missing or other."""
        now = tables(results)
        return sum(len(set(v.splitlines()) - set(now.get(k, b"").splitlines())) for k, v in self.good.items())


def tables(results: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(results.glob("scores/*/*/*.csv"))}


def journal_lines(results: Path) -> int:
    return sum(p.read_bytes().count(b'"record"') for p in results.glob("scores/*/*/*.journal"))


Trial = Callable[[Bench, Path, random.Random], tuple[bool, str]]


def stopped(number: int, engine: str = "serial") -> Trial:
    """A signal to the driver at a random moment of its work, then the same command again."""

    def trial(bench: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
        moment = rng.randrange(1, len(METHODS) * bench.pairs)
        process = bench.start(results, "--engine", engine)
        while journal_lines(results) < moment and process.poll() is None:
            time.sleep(0.005)
        start = time.monotonic()
        process.send_signal(number)
        code = process.wait()
        took = time.monotonic() - start
        expected = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[signal.Signals(number)]
        bench.here(results)
        return code in (expected, 0) and bench.same(results), f"stopped within {took:.1f} s"

    return trial


def workers_killed(engine: str) -> Trial:
    """While a run of 200 units goes on a worker is killed, 2 to 4 s after the last kill and once rows have come in since."""

    def trial(small: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
        bench = small.larger()
        process = bench.start(results, "--engine", engine)
        stop = threading.Event()
        kills = []
        seen = 0

        def kill() -> None:
            nonlocal seen
            while not stop.wait(rng.uniform(2.0, 4.0)):
                if journal_lines(results) == seen:
                    continue  # the workers are still starting
                seen = journal_lines(results)
                with contextlib.suppress(psutil.Error):
                    running = psutil.Process(process.pid).children(recursive=True)
                    workers = [
                        c for c in running if "LokyProcess" in str(c.cmdline()) or "spawn_main" in str(c.cmdline())
                    ]
                    if workers:
                        kills.append(rng.choice(workers))
                        kills[-1].kill()

        killer = threading.Thread(target=kill)
        killer.start()
        code = process.wait()
        stop.set()
        killer.join()
        return code == 0 and bench.same(results), f"{len(kills)} workers killed, {bench.lost(results)} rows lost"

    return trial


def damaged(bench: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
    """A random file of a finished run is cut, or one of its bits is flipped; the same command again."""
    shutil.copytree(bench.root / "good", results)
    files = [
        p for pattern in ("scores/*/*/*.csv", "scores/*/*/*.json", "fused/*/*/*/*.png") for p in results.glob(pattern)
    ]
    path = rng.choice(sorted(files))
    data = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)) :]
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    bench.here(results)
    return bench.same(results), ""


def two_at_once(bench: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
    """A second run on the folder while one is at work: refused, and the first is not disturbed."""
    first = bench.start(results)
    while journal_lines(results) < 1 and first.poll() is None:
        time.sleep(0.005)
    first.send_signal(signal.SIGSTOP)  # held, so that it is still at work when the other one comes
    second = subprocess.run(bench.command(results), capture_output=True, text=True)
    first.send_signal(signal.SIGCONT)
    code = first.wait()
    refused = second.returncode == 2 and "another run" in second.stderr
    return code == 0 and refused and bench.same(results), ""


def clock_back(bench: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
    """Every file is from years ahead, as after the clock was set back; one is damaged. Nothing may trust the times."""
    shutil.copytree(bench.root / "good", results)
    ahead = time.time() + 10 * 365 * 86400
    for path in results.rglob("*"):
        os.utime(path, (ahead, ahead))
    path = rng.choice(sorted(results.glob("fused/*/*/*/*.png")))
    path.write_bytes(path.read_bytes()[:-20])
    os.utime(path, (ahead, ahead))
    bench.here(results)
    return bench.same(results), ""


@contextlib.contextmanager
def small_disk(where: Path, kilobytes: int) -> Iterator[None]:
    """A tmpfs of that size. Raises PermissionError without the right to mount."""
    where.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(where)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode != 0:
        raise PermissionError("no right to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def disk_full(bench: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
    """The disk fills up in the middle; then there is room again, and the same command."""
    with small_disk(results, rng.randrange(60, 400)):
        process = bench.start(results)
        code = process.wait()
        told = (bench.root / "log").read_text().strip().splitlines()
        subprocess.run(["mount", "-o", "remount,size=100m", str(results)], check=True)
        bench.here(results)
        one_line = len(told) == 1 and "No space left" in told[0]
        return code == 2 and one_line and bench.same(results), "one line on stderr"


def read_only(bench: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
    """The folder cannot be written to; then it can, and the same command."""
    with small_disk(results, 100_000):
        subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
        code = bench.start(results).wait()
        subprocess.run(["mount", "-o", "remount,rw", str(results)], check=True)
        bench.here(results)
        return code == 2 and bench.same(results), ""


def scheduler_lost(bench: Bench, results: Path, rng: random.Random) -> tuple[bool, str]:
    """The Dask scheduler is killed in the middle; then the same command."""
    address = f"tcp://127.0.0.1:{rng.randrange(20000, 40000)}"
    binary = str(Path(sys.executable).with_name("dask"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = [binary, "scheduler", "--host", address, "--no-dashboard"]
    scheduler = subprocess.Popen(words, **quiet)  # type: ignore[call-overload]
    worker = subprocess.Popen([binary, "worker", address, "--nthreads", "1", "--no-dashboard"], **quiet)  # type: ignore[call-overload]
    try:
        time.sleep(10)
        process = bench.start(results, "--engine", f"dask:{address}")
        deadline = time.monotonic() + 120
        while journal_lines(results) < 8 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        scheduler.kill()
        start = time.monotonic()
        code = process.wait(timeout=180)
        took = time.monotonic() - start
    finally:
        for part in (scheduler, worker):
            with contextlib.suppress(ProcessLookupError):
                part.kill()
            part.wait()
    bench.here(results)
    return code in (0, 2) and bench.same(results), f"exit code {code} after {took:.0f} s"


FAULTS: dict[str, tuple[Trial, float]] = {
    "driver killed (SIGKILL) at a random moment, then run again": (stopped(signal.SIGKILL), 1),
    "Ctrl-C (SIGINT) at a random moment, then run again": (stopped(signal.SIGINT), 1),
    "SIGTERM at a random moment, then run again": (stopped(signal.SIGTERM), 1),
    "a worker killed (SIGKILL) every few seconds of 200 units of work, `--engine local:2`": (
        workers_killed("local:2"),
        0.4,
    ),
    "the same with `--engine dask:2`": (workers_killed("dask:2"), 0.4),
    "driver of `--engine local:2` killed (SIGKILL), then run again": (stopped(signal.SIGKILL, "local:2"), 0.4),
    "driver of `--engine dask:2` killed (SIGKILL), then run again": (stopped(signal.SIGKILL, "dask:2"), 0.4),
    "a stored file cut short or a bit flipped (CSV, JSON, PNG)": (damaged, 10),
    "two runs on one folder": (two_at_once, 0.6),
    "clock set back ten years, an image damaged": (clock_back, 2),
    "disk full in the middle, then room": (disk_full, 1),
    "folder read-only, then writable": (read_only, 0.4),
    "Dask scheduler killed in the middle, then run again": (scheduler_lost, 0.4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="scales how often each fault is tried")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument(
        "--only", default="", help="faults whose name holds this; the others stay as they are on the page"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/reliability.md"))
    options = parser.parse_args()
    rows = known_rows(options.out) if options.only else {}
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), options.pairs)
        for name, (trial, share) in FAULTS.items():
            if options.only not in name:
                continue
            tried = recovered = lost = 0
            notes: list[str] = []
            for n in range(max(1, round(options.times * share))):
                results = Path(temporary) / f"r{list(FAULTS).index(name)}-{n}"
                try:
                    good, note = trial(bench, results, random.Random(f"{name}/{n}"))
                except PermissionError as error:
                    notes = [f"not tried: {error}"]
                    break
                tried += 1
                recovered += good
                lost += 0 if good else bench.lost(results)
                notes += [note] if note else []
                shutil.rmtree(results, ignore_errors=True)
            shown = notes[-1] if notes else ""
            rows[name] = f"| {name} | {tried} | {recovered} | {lost} | {shown} |"
            print(rows[name], flush=True)
    text = "\n".join(rows[name] for name in FAULTS if name in rows)
    options.out.write_text(PAGE.format(rows=text, units=len(METHODS) * options.pairs, **machine()), encoding="utf-8")


def known_rows(page: Path) -> dict[str, str]:
    """What the page says already: fault -> its line."""
    lines = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")}


def machine() -> dict[str, str]:
    return {"python": platform.python_version(), "system": platform.system(), "cores": str(os.cpu_count())}


PAGE = """# Reliability: what was tried, and what it cost

Made by `python tools/faults.py` ({system}, {cores} cores, Python {python}). Each trial is the real command line on {units}
images to fuse; *recovered* means that the CSV files of the finished run equal those of an undisturbed run byte for byte.

| Fault | tried | recovered | rows lost | last trial |
| --- | ---: | ---: | ---: | --- |
{rows}

## What holds it

- Every file is written under a temporary name, flushed to disk and renamed (`files.py`): it is whole or absent.
- A finished row is in its table's journal before the next one is taken. Journal lines, CSV and JSON carry checksums; images
  are checked by the digest of their pixels. A damaged table is put aside as `*.damaged`, its images are kept where the
  records are sound, and what is missing is computed again. Nothing looks at file times.
- One run works in a results folder at a time (`RESULTS/.lock`, given back by the system however a process ends).
- Ctrl-C and SIGTERM stop with one line and exit code 130 or 143; the same command goes on from there. A full disk or a
  folder that cannot be written to ends the run with one line and exit code 2; what is done is kept.
- A unit whose worker dies is tried again alone; if that dies too it is divided into its pairs; a pair whose worker dies
  three times while it is alone becomes a row with the reason. `fusionbench run --isolate` gives a method a process of its
  own with limits on time and memory: a hang, a crash, `os._exit` or a memory bomb costs that pair (`tests/test_isolate.py`).

## Hostile input

`tests/test_fuzz.py` gives every reader of files (images, data sets, NIfTI, DICOM, archives, weights, checkpoints, results,
method files, configuration: `tests/readers.py`) over 20,000 damaged and random inputs (`pytest -m slow tests/test_fuzz.py`):
each gives a result or one line that says what is wrong, in bounded time and memory, and writes nothing outside its folder.
Inputs that failed once are kept in `tests/fuzz` and tried ever after. `tools/fuzz.py` searches the same readers with
atheris, guided by coverage. Weights are loaded with `weights_only=True` or as safetensors, never unpickled: a test holds
that for the whole package. A network is only made when the size that a file claims fits the tensors in it.

`make audit` runs `pip-audit` on the pinned set. It needs the advisories of PyPI, which could not be reached where this page
was made: the pinned set has not been audited.
"""

if __name__ == "__main__":
    main()
