"""Looking something up answers at once: what it does not need is not loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "numba",
    "pandas",
    "matplotlib",
    "scipy.ndimage",
    "scipy.stats",
    "scipy.sparse",
    "pywt",
    "skimage",
    "loky",
)
CODE = """
import contextlib, io, json, sys, types
from fusionbench.cli import main
said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
    main({arguments}, prog_name="fusionbench")
# A module that is named and not yet run has a type of its own.
print(json.dumps([len(said.getvalue()), [name for name, module in sys.modules.items() if type(module) is types.ModuleType]]))
"""


def after(*arguments: str) -> tuple[int, set[str]]:
    """What a command printed (characters), and the modules that were loaded by then, in a process of its own."""
    code = CODE.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    printed, loaded = json.loads(done.stdout)
    return printed, set(loaded)


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (["--help"], 250),
        (["list"], 650),
        (["list", "profiles"], 550),
        (["explain", "ssim"], 550),
        (["explain", "dmfnet"], 650),
        (["data", "list"], 550),
    ],
)
def test_a_look_up_loads_nothing_heavy(arguments: list[str], most: int) -> None:
    printed, loaded = after(*arguments)
    assert printed > 300
    assert not loaded & set(HEAVY)
    assert len(loaded) <= most


def test_the_package_itself_is_light() -> None:
    code = "import sys, fusionbench; print(len(sys.modules), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    count, numpy = done.stdout.split()
    assert (int(count) < 120, numpy) == (True, "False")


def test_what_is_loaded_late_works_when_it_is_used() -> None:
    code = (
        "from fusionbench.cli.lazy import heavy_modules_late\n"
        "with heavy_modules_late():\n"
        "    import torch\n"
        "    from fusionbench.metrics import evaluate\n"
        "import numpy as np\n"
        "x = np.arange(4096, dtype=np.uint8).reshape(64, 64)\n"
        "print(evaluate(x, x, x, ['en', 'ssim', 'qabf'])['en'], torch.__version__[:1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[8.] 2\n"
