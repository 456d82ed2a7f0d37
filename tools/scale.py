"""Scale by simulation: throughput and memory over many pairs, and the speed-up of two processes over one.

``python tools/scale.py pairs --count 20000`` and ``python tools/scale.py speedup``: print the tables of docs/scale.md.
"""

from __future__ import annotations

import argparse
import os
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

    def notify(stage: str, done: int, total: int) -> None:
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


def speedup(limit: int, methods: list[str]) -> None:
    """One run with one worker and with two: seconds in all, and after a fifth of the rows, when all workers are there."""
    first: dict[str, bytes] = {}
    base = 0.0
    print("| engine | seconds in all | seconds of work | speed-up of the work | CSV |\n| --- | --: | --: | --: | --- |")
    for engine in ("local:1", "local:2"):
        rows: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            run(
                methods,
                ["phantom/pet-mri"],
                Path(folder),
                split="train" if limit > 24 else "test",
                device="cpu",
                limit=limit,
                engine=engine,
                notify=lambda stage, done, total, rows=rows: (  # type: ignore[misc]
                    rows.append(time.monotonic()) if "checking" not in stage and done else None
                ),
            )
            whole, work = time.monotonic() - start, rows[-1] - rows[len(rows) // 5]
            tables = {p.name: p.read_bytes() for p in sorted(Path(folder).glob("scores/*/*/*.csv"))}
        first, base = first or tables, base or work
        same = "the same bytes" if tables == first else "OTHER BYTES"
        print(f"| {engine} | {whole:.1f} | {work:.1f} | {base / work:.2f} | {same} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pairs", "speedup"])
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--engine", default="serial")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("-m", "--method", action="append", default=[])
    options = parser.parse_args()
    if options.what == "pairs":
        pairs(options.count, options.engine)
    else:
        speedup(options.limit, options.method or ["laplacian", "dwt", "guided-filter", "gtf"])


if __name__ == "__main__":
    main()
