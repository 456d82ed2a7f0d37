"""What a method costs: parameters, FLOPs, seconds a pair, peak memory; measured in a process of its own.

The numbers go into the score files of the method (``about["profile_stats"]``), where the report finds them:

* ``parameters``: numbers that the method's torch modules hold; 0 for a method without weights.
* ``flops``: of one pair, as torch's FlopCounterMode counts them (two per multiply-add of convolutions, matrix products and
  attention; nothing else is counted); None where nothing was counted, as in methods written in NumPy.
* ``seconds``: median of ``runs`` timed runs on one pair, after two that are not timed.
* ``peak_memory``: bytes by which the process grew at its peak, from before the weights were loaded; on CUDA, the peak of
  torch's allocations on the card.
* ``height``, ``width``, ``threads``, ``runs``, ``device``, ``device_name``, ``torch``: how it was measured.
"""

from __future__ import annotations

import concurrent.futures as futures
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from fusionbench.bench import resolve_device
from fusionbench.bench.ledger import locked
from fusionbench.bench.pools import LokyPool, threads_of
from fusionbench.bench.provenance import device_name
from fusionbench.bench.work import TaskRef, fuse_pair, import_plugins, plugin_source
from fusionbench.errors import InputError
from fusionbench.methods import Method, create_method
from fusionbench.pairs import Pair
from fusionbench.scores import Key, find_tables, read_table, write_table

WARM_UP = 2


def profile(spec: str, pair: Pair, *, device: str = "auto", runs: int = 7, threads: int = 1) -> dict[str, Any]:
    """Measure one method on one pair, in a fresh process.

    Raises InputError for an unknown method or device, and when the method fails or its process dies.
    """
    plugin = create_method(spec).plugin
    source = plugin_source(plugin.factory)
    pool = LokyPool(1)
    try:
        task = pool.start().submit(measure, spec, source, pair, resolve_device(device), runs, threads)
        return task.result()
    except futures.BrokenExecutor as error:
        raise InputError(f"{spec}: its process died while it was measured ({error}); is there enough memory?") from None
    finally:
        pool.stop()


def measure(spec: str, source: str, pair: Pair, device: str, runs: int, threads: int) -> dict[str, Any]:
    """What the fresh process does; see :func:`profile`."""
    import_plugins((source,) if source else ())
    method = create_method(spec).method
    with threads_of(threads):
        before = _start_peak(device)
        method.prepare(torch.device(device))
        try:
            times = [fuse_pair(method, pair, device, 0)[1] for _ in range(WARM_UP + runs)][WARM_UP:]
            peak = _peak(device) - before
            flops = _flops(method, pair, device)
        except Exception as error:  # whatever the method raises is told in one line
            raise InputError(f"{spec}: failed on pair {pair.id} ({type(error).__name__}: {error})") from None
    return {
        "parameters": count_parameters(method),
        "flops": flops or None,
        "seconds": round(statistics.median(times), 6),
        "peak_memory": max(0, peak),
        "height": pair.a.shape[0],
        "width": pair.a.shape[1],
        "threads": threads,
        "runs": runs,
        "device": device,
        "device_name": device_name(device),
        "torch": torch.__version__,
    }


def store(results: Path, spec: str, stats: Mapping[str, Any]) -> list[Key]:
    """Write a measurement into every table of the method in a results folder; returns their keys."""
    name = create_method(spec).label
    keys = [key for key in find_tables(results) if key.method == name]
    if keys:
        with locked(results):
            for key in keys:
                table = read_table(results, key)
                table.about["profile_stats"] = dict(stats)
                write_table(results, table)
    return keys


def sample_pair(task: str, data: Sequence[Path]) -> Pair:
    """The first test pair of a task."""
    opened = TaskRef(task, tuple(data)).open()
    return opened.load(opened.ids()[0])


def count_parameters(method: Method) -> int:
    """Numbers in all parameters of the torch modules that a method holds, however deep; shared ones once."""
    found = {id(p): p.numel() for module in _modules(method, set()) for p in module.parameters()}
    return sum(found.values())


def _modules(thing: Any, seen: set[int]) -> Iterator[torch.nn.Module]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.nn.Module):
        yield thing
        return
    if isinstance(thing, Mapping):
        parts = list(thing.values())
    elif isinstance(thing, (list, tuple, set)):
        parts = list(thing)
    elif type(thing).__module__.partition(".")[0] in ("builtins", "numpy", "torch"):
        parts = []
    else:
        parts = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    for part in parts:
        if not isinstance(part, type):
            yield from _modules(part, seen)


def _flops(method: Method, pair: Pair, device: str) -> int:
    a, b = (torch.from_numpy(x).to(device, torch.float32)[None, None] / 255.0 for x in (pair.a, pair.b))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        method.fuse(a, b, torch.Generator().manual_seed(0))
    return int(counter.get_total_flops())


def _start_peak(device: str) -> int:
    """Forget earlier peaks; bytes in use now."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux: the highest value since the process began then stands for both
        return _peak(device)
    return int(psutil.Process().memory_info().rss)


def _peak(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
