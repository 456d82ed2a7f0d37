"""Where a number comes from: code, weights, data, settings, seed, versions, device. It travels in every score file."""

from __future__ import annotations

import functools
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fusionbench.datasets.degraded import about, parse_degradation
from fusionbench.files import package_version
from fusionbench.methods.reconstruction import reconstruction_about
from fusionbench.scores import fingerprint

PACKAGES = ("torch", "numpy", "scipy", "pillow")


def making(device: str) -> dict[str, Any]:
    """Versions, commit and device of this process, as score files keep them."""
    return {
        "versions": dict(_versions()),
        "commit": commit(),
        "device": device,
        "device_name": device_name(device),
    }


def making_id(made: Mapping[str, Any]) -> str:
    """Eight digits that stand for a :func:`making` in the records of pairs."""
    return fingerprint(made)[:8]


@functools.cache
def _versions() -> Mapping[str, str]:
    own = {"python": platform.python_version(), "fusionbench": package_version()}
    return own | {name: version(name) for name in PACKAGES}


@functools.cache
def commit() -> str:
    """The commit of the code that runs, with ``+`` when files were changed since; "" where it is not a git checkout."""
    home = Path(__file__).resolve().parents[1]
    if not (home.parent / ".git").exists():  # installed: some other repository may hold the environment
        return ""
    try:
        git = ["git", "-C", str(home)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        status = [*git, "status", "--porcelain", "--untracked-files=no", "--", str(home)]
        changed = subprocess.run(status, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


@functools.cache
def device_name(device: str) -> str:
    """The card's name, or the processor's, as the operating system calls it."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def plain(value: Any) -> Any:
    """The same thing in what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def corruption_about(text: str) -> dict[str, Any]:
    """What score files say of a degradation, and of what restored it."""
    flaw = parse_degradation(text)
    restored = {"reconstruction": reconstruction_about(flaw.reconstruct)} if flaw.reconstruct else {}
    return {**about(flaw), **restored}
