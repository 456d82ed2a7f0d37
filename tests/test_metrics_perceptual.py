"""piq's metrics: its values, one image at a time, without its face; masks."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from fusionbench.metrics import METRICS, evaluate
from fusionbench.metrics.perceptual import piq_module
from tools.golden_table import load_triple

NAMES = ("gmsd", "ms-gmsd", "vsi", "haarpsi", "mdsi", "sr-sim", "dss", "iw-ssim")


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_ofpiq_modules_values_over_the_sources(name: str) -> None:
    a, b, f = load_triple("brain")
    module, function = METRICS[name].facts.origin.removeprefix("piq 0.8, ").split(".")
    measure = getattr(piq_module(module), function)
    tensors = [torch.from_numpy(x.astype(float))[None, None] for x in (a, b, f)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that grey images are copied into three channels
        values = [float(measure(tensors[2], s, data_range=255.0)) for s in tensors[:2]]
    assert evaluate(f, a, b, name)[name][0] == pytest.approx(np.mean(values), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_identical_images_have_the_best_value(name: str) -> None:
    a = load_triple("brain")[0]
    best = 0.0 if METRICS[name].facts.direction == "lower" else 1.0
    assert evaluate(a, a, a, name)[name][0] == pytest.approx(best, abs=1e-9)


def testpiq_module_is_loaded_late_and_leaves_no_trace() -> None:
    """Neither it nor torchvision is imported for other metrics, and whoever imports piq afterwards gets all of it."""
    program = """
import sys
import numpy as np
from fusionbench.metrics import evaluate
x = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
evaluate(x, x, x, "ssim")
assert "piq" not in sys.modules
evaluate(x, x, x, "gmsd")
assert not [name for name in sys.modules if name.split(".")[0] in ("piq", "torchvision")]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_mask_means_the_rectangle_around_it() -> None:
    a, b, f = load_triple("brain")
    mask = np.zeros(a.shape, dtype=bool)
    mask[30:200, 40:220] = True
    mask[60:70, 60:70] = False
    inside = evaluate(f, a, b, ["gmsd", "iw-ssim"], mask=mask)
    box = np.s_[30:200, 40:220]
    for name in ("gmsd", "iw-ssim"):
        assert inside[f"{name}+mask"][0] == evaluate(f[box].copy(), a[box].copy(), b[box].copy(), name)[name][0]
    mask[:] = False
    mask[100, 100] = True
    assert np.isnan(evaluate(f, a, b, "iw-ssim", mask=mask)["iw-ssim+mask"][0])
