"""Images of millions of pixels: the same numbers in strips, time that grows with the pixels, memory as stated."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from fusionbench.metrics import evaluate
from tools.golden_table import load_triple


def enlarged(h: int, w: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """The golden triple "texture" (180 x 203), its pixels in order again and again."""
    a, b, f = (np.resize(x, (h, w)) for x in load_triple("texture"))
    return a, b, f


def test_strips_give_what_whole_maps_give() -> None:
    """The values are those of the torch path, which makes whole maps: ``evaluate(..., compiled=False)``."""
    a, b, f = enlarged(2051, 2063)
    expected = {
        "sf": 39.18697085305824,
        "ag": 12.639780580920617,
        "vif": 0.2200376676298452,
        "vif@reversed": 0.252030099495799,
        "qabf": 0.2598164217072368,
        "ssim": 1.2016234909785903,
        "cc": 0.6536849287163153,
    }
    found = evaluate(f, a, b, list(expected))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-11), name


@pytest.mark.slow
def test_time_grows_with_the_pixels() -> None:
    """16.8 million pixels took forty times as long as a little fewer."""
    seconds = []
    for side in (2049, 4098):
        a, b, f = enlarged(side, side)
        evaluate(f[:64, :64], a[:64, :64], b[:64, :64], "dmfnet")
        start = time.process_time()
        evaluate(f, a, b, "dmfnet")
        seconds.append(time.process_time() - start)
    assert seconds[1] < 12 * seconds[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
def test_67_million_pixels_take_the_stated_memory() -> None:
    """docs/datasets.md says 2.5 GB for 8192 x 8192."""
    code = (
        "import resource, numpy as np; from fusionbench.metrics import evaluate\n"
        "a, b, f = (np.resize(np.arange(k, dtype=np.uint8), (8192, 8192)) for k in (199, 233, 251))\n"
        "print(evaluate(f, a, b, 'dmfnet')['ssim'][0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    score, kilobytes = map(float, done.stdout.split())
    assert -2 < score < 2
    assert kilobytes < 2.5e6
