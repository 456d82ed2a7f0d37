"""Scale by simulation: throughput and memory over many pairs, and the speed-up of two processes over one.

``python tools/scale.py pairs --count 20000`` and ``python tools/scale.py speedup``: print the tables of docs/scale.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil

from fusionbench.bench import run
from fusionbench.registry import import_module


def pairs(count: int, engine: str) -> None:
    """Time and memory after every tenth of the pairs."""
    os.environ["FUSIONBENCH_SIMULATED"] = str(count)
    import_module(str(Path(__file__).with_name("simulated.py")))
    me = psutil.Process()
    peak = {"workers": 0}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1.0):
            sizes = [child.memory_info().rss for child in me.children() if child.is_running()]
            peak["workers"] = max([peak["workers"], *sizes])

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    last: dict[str, float] = {"time": start}
    print(
        "| stage | rows | seconds | rows a second | driver MB | largest worker MB |\n| --- | --: | --: | --: | --: | --: |"
    )

    def notify(stage: str, done: int, total: int, item: str = "") -> None:
        step = max(1, total // 5)
        if done and done % step == 0 and "checking" not in stage:
            now = time.monotonic()
            rate = step / (now - last["time"])
            last["time"] = now
            memory = me.memory_info().rss / 1e6
            name = stage.rpartition(" ")[2]
            print(
                f"| {name} | {done} | {now - start:.0f} | {rate:.0f} | {memory:.0f} | {peak['workers'] / 1e6:.0f} |",
                flush=True,
            )
            peak["workers"] = 0

    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            begun = time.monotonic()
            outcome = run(
                ["average", "maximum"],
                ["simulated/pet-mri"],
                Path(folder),
                metrics=["en", "sd", "mi"],
                device="cpu",
                engine=engine,
                notify=notify,
            )
            print(f"\n{outcome.fused} fused, {outcome.scored} scored in {time.monotonic() - begun:.0f} s ({engine})\n")
            last["time"] = start = time.monotonic()
    stop.set()
    watcher.join()


def speedup(limit: int, methods: list[str], rounds: int) -> None:
    """Runs with one worker and with two, in turns: seconds in all, and after a fifth of the rows, with all workers there."""
    times: dict[str, list[tuple[float, float]]] = {"local:1": [], "local:2": []}
    tables: list[dict[str, bytes]] = []
    print("| round | engine | seconds in all | seconds of work | CPU seconds |\n| --- | --- | --: | --: | --: |")
    for number in range(rounds):
        for engine, seconds in times.items():
            with tempfile.TemporaryDirectory() as folder:
                *spent, used = timed(Path(folder), limit, methods, engine)
                tables.append({p.name: p.read_bytes() for p in sorted(Path(folder).glob("scores/*/*/*.csv"))})
            seconds.append((spent[0], spent[1]))
            print(f"| {number + 1} | {engine} | {spent[0]:.1f} | {spent[1]:.1f} | {used:.1f} |", flush=True)
    for n, what in enumerate(("in all", "of the work")):
        ratios = [one[n] / two[n] for one, two in zip(*times.values(), strict=True)]
        print(f"speed-up {what}: {statistics.median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)})")
    print("the same bytes" if all(t == tables[0] for t in tables) else "OTHER BYTES")


def timed(folder: Path, limit: int, methods: list[str], engine: str) -> tuple[float, float, float]:
    """(seconds in all, seconds of work, CPU seconds of this process and its workers) of one run."""
    rows: list[float] = []
    before = os.times()
    start = time.monotonic()

    def notify(stage: str, done: int, total: int, item: str = "") -> None:
        if "checking" not in stage and done:
            rows.append(time.monotonic())

    split = "train" if limit > 24 else "test"
    run(methods, ["phantom/pet-mri"], folder, split=split, device="cpu", limit=limit, engine=engine, notify=notify)
    whole, after = time.monotonic() - start, os.times()
    return whole, rows[-1] - rows[len(rows) // 5], sum(after[:4]) - sum(before[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pairs", "speedup"])
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--engine", default="serial")
    parser.add_argument("--limit", type=int, default=24, help="speedup: pairs")
    parser.add_argument("--rounds", type=int, default=3, help="speedup: how often")
    parser.add_argument("-m", "--method", action="append", default=[])
    options = parser.parse_args()
    if options.what == "pairs":
        pairs(options.count, options.engine)
    else:
        speedup(options.limit, options.method or ["laplacian", "dwt", "guided-filter", "gtf"], options.rounds)


if __name__ == "__main__":
    main()
