"""fusionbench: pair -> method -> fused image -> metrics -> score table -> report.

The public names below are loaded on first use, so that importing the package costs nothing::

    from fusionbench import evaluate, METHODS

    scores = evaluate(fused, mri, pet, metrics="dmfnet")  # uint8 in, {"en": array of shape (N,), ...} out
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionbench.bench import run
    from fusionbench.datasets import TASKS
    from fusionbench.errors import InputError
    from fusionbench.methods import METHODS
    from fusionbench.metrics import METRICS, evaluate
    from fusionbench.pairs import Pair
    from fusionbench.report import write_report

__version__ = "0.1.0"
__all__ = ["METHODS", "METRICS", "TASKS", "InputError", "Pair", "__version__", "evaluate", "run", "write_report"]

_HOMES = {
    "run": "fusionbench.bench",
    "TASKS": "fusionbench.datasets",
    "InputError": "fusionbench.errors",
    "METHODS": "fusionbench.methods",
    "METRICS": "fusionbench.metrics",
    "evaluate": "fusionbench.metrics",
    "Pair": "fusionbench.pairs",
    "write_report": "fusionbench.report",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fusionbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
