"""The engine: plans what is missing or stale, has it fused and scored, and keeps what comes back."""

from fusionbench.bench.arrays import fuse
from fusionbench.bench.forecast import Forecast, forecast
from fusionbench.bench.images import score_folders
from fusionbench.bench.ledger import Notify, Outcome, silent
from fusionbench.bench.plan import resolve_device, run

__all__ = ["Forecast", "Notify", "Outcome", "forecast", "fuse", "resolve_device", "run", "score_folders", "silent"]
