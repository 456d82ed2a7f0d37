"""fusionbench: pair -> method -> fused image -> metrics -> score table -> report.

The public names below are loaded on first use, so that importing the package costs nothing::

    from fusionbench import METHODS, evaluate, fuse

    fused = fuse("laplacian", mri, pet)  # (H, W) or (H, W, 3), uint8 or floats in [0, 1]; uint8 out
    scores = evaluate(fused, mri, pet, metrics="dmfnet")  # uint8 in, {"en": array of shape (N,), ...} out

and, of what a run left in a folder::

    from fusionbench import load_board, load_scores, plots

    frame = load_scores("results")  # a row a score: task, pair, patient, method, metric, value
    board = load_board("results", "pet-mri")  # shows itself in a notebook
    plots.boxes(board, "ssim", axis)  # on a matplotlib axis
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionbench.bench import fuse, run
    from fusionbench.datasets import TASKS
    from fusionbench.errors import InputError
    from fusionbench.methods import METHODS
    from fusionbench.metrics import METRICS, evaluate
    from fusionbench.pairs import Pair
    from fusionbench.report import Board, load_board, load_boards, plots, write_report
    from fusionbench.scores import load_scores

__version__ = "0.1.0"
__all__ = [
    "METHODS",
    "METRICS",
    "TASKS",
    "Board",
    "InputError",
    "Pair",
    "__version__",
    "evaluate",
    "fuse",
    "load_board",
    "load_boards",
    "load_scores",
    "plots",
    "run",
    "write_report",
]

_HOMES = {
    "fuse": "fusionbench.bench",
    "run": "fusionbench.bench",
    "TASKS": "fusionbench.datasets",
    "InputError": "fusionbench.errors",
    "METHODS": "fusionbench.methods",
    "METRICS": "fusionbench.metrics",
    "evaluate": "fusionbench.metrics",
    "Pair": "fusionbench.pairs",
    "Board": "fusionbench.report",
    "load_board": "fusionbench.report",
    "load_boards": "fusionbench.report",
    "plots": "fusionbench.report",
    "write_report": "fusionbench.report",
    "load_scores": "fusionbench.scores",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fusionbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
