"""Agreement with eight public tools on four synthetic triples (tests/golden/README.md says how the values were made)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray
from scipy import signal

from fusionbench.metrics import PROFILES, evaluate, features, phase, structure
from fusionbench.metrics._triple import Image
from fusionbench.pairs import read_picture
from tests.conftest import SHARED
from tools.golden_table import MATCHES, TRIPLES, UNMATCHED, golden_rows, load_triple, tolerance

ROWS = [row for row in golden_rows() if np.isfinite(row.value) and (row.tool, row.metric) in MATCHES]
COMPARED = [row for row in ROWS if (row.triple, row.tool, row.metric) not in UNMATCHED]


def test_every_golden_row_is_matched_or_explained() -> None:
    left = {(r.tool, r.metric) for r in golden_rows()} - set(MATCHES) - {key[1:] for key in UNMATCHED}
    assert not left
    assert len(list(golden_rows())) == 376


@pytest.mark.parametrize("triple", TRIPLES)
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
def test_golden_values(triple: str, compiled: bool) -> None:
    a, b, f = load_triple(triple)
    rows = [row for row in COMPARED if row.triple == triple]
    assert len(rows) > 60
    ids = sorted({MATCHES[row.tool, row.metric] for row in rows})
    got = evaluate(f, a, b, ids, compiled=compiled)
    wrong = []
    for row in rows:
        value = float(got[MATCHES[row.tool, row.metric]][0])
        if not abs(value - row.value) <= tolerance(row) * abs(row.value):
            wrong.append((row, value))
    assert not wrong


def test_dmfnet_profile_to_1e_9_in_a_batch_and_singly() -> None:
    images = [load_triple(name) for name in ("edges", "edges")]
    a, b, f = (np.stack([triple[k] for triple in images]) for k in range(3))
    batch = evaluate(f, a, b, "dmfnet")
    single = evaluate(f[0], a[0], b[0], "dmfnet")
    values = {MATCHES[r.tool, r.metric]: r.value for r in ROWS if r.tool == "dmfnet_evaluator" and r.triple == "edges"}
    for name in PROFILES["dmfnet"].metrics:
        assert batch[name].shape == (2,)
        assert batch[name] == pytest.approx(values[name], rel=1e-9)
        assert single[name] == pytest.approx(values[name], rel=1e-9)


@pytest.mark.parametrize(("triple", "within"), [("texture", 1e-12), ("noise", 1e-12), ("brain", 2e-5), ("edges", 2e-2)])
def test_fmi_wavelet_is_the_port_with_the_sign_of_matlab(
    triple: str, within: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """values.csv has the number of a port whose high-pass filter has the other sign; texture moves by 1e-4."""
    meyer = features._meyer()
    bank = (meyer.dec_lo, [-tap for tap in meyer.dec_hi], meyer.rec_lo, [-tap for tap in meyer.rec_hi])
    a, b, f = load_triple(triple)
    ours = evaluate(f, a, b, "fmi@wavelet")["fmi@wavelet"][0]
    monkeypatch.setattr(features, "_meyer", lambda: pywt.Wavelet("the port's", filter_bank=bank))
    theirs = next(r.value for r in golden_rows() if (r.triple, r.metric) == (triple, "FMI_wavelet"))
    assert evaluate(f, a, b, "fmi@wavelet")["fmi@wavelet"][0] == pytest.approx(theirs, rel=within)
    assert abs(ours - theirs) > 1e-4 * theirs


def test_ms_ssim_halves_as_wang_does() -> None:
    """msssim.m: imfilter(im, ones(2) / 4, "symmetric", "same"), then every second row and column."""
    image = np.random.default_rng(0).random((1, 9, 14))
    padded = np.pad(image[0], ((0, 1), (0, 1)), mode="symmetric")
    filtered = (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4
    halved = structure._halved(Image(None, torch.from_numpy(image)), piq=False).x
    np.testing.assert_allclose(halved[0].numpy(), filtered[::2, ::2], rtol=1e-15)


@pytest.mark.parametrize("shape", [(700, 650), (771, 1030), (1290, 1281)])  # means of 3 x 3 and 5 x 5 pixels, odd rests
def test_fsim_reduces_as_its_authors_do(shape: tuple[int, int]) -> None:
    """FeatureSIM.m: conv2(im, fspecial("average", F), "same"), then every F-th row and column from the first."""
    image = np.random.default_rng(0).random((1, *shape))
    factor = max(1, round(min(shape) / 256))
    whole = signal.convolve2d(image[0], np.full((factor, factor), 1 / factor**2))
    same = whole[factor // 2 :, factor // 2 :][: shape[0], : shape[1]]
    reduced = phase._reduced(Image(None, torch.from_numpy(image))).x
    np.testing.assert_allclose(reduced[0].numpy(), same[::factor, ::factor], rtol=1e-12)


@pytest.mark.parametrize("key", sorted(UNMATCHED), ids="/".join)
def test_exceptions_are_needed(key: tuple[str, str, str]) -> None:
    """A row that comes to agree must leave the list of exceptions."""
    triple, tool, metric = key
    row = next(r for r in golden_rows() if (r.triple, r.tool, r.metric) == key)
    name = MATCHES.get((tool, metric))
    if name is None or not np.isfinite(row.value):
        assert metric == "QC1" or np.isnan(row.value)
        return
    a, b, f = load_triple(triple)
    value = float(evaluate(f, a, b, name)[name][0])
    assert abs(value - row.value) > tolerance(row) * abs(row.value)


def moments(x: NDArray[np.float64], y: NDArray[np.float64], window: NDArray[np.float64]) -> tuple[Any, ...]:
    """Weighted means, variances and covariance of valid windows, each summed in two dimensions as filter2 does."""
    mean = [signal.correlate2d(image, window, "valid") for image in (x, y, x * x, y * y, x * y)]
    mx, my = mean[:2]
    return mx, my, mean[2] - mx * mx, mean[3] - my * my, mean[4] - mx * my


def similarity(
    x: NDArray[np.float64], y: NDArray[np.float64], window: NDArray[np.float64], c1: float, c2: float
) -> Any:
    mx, my, vx, vy, cxy = moments(x, y, window)
    return (2 * mx * my + c1) * (2 * cxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def gaussian_window(side: int) -> NDArray[np.float64]:
    axis = np.arange(side) - side // 2
    window = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.5**2))
    return np.asarray(window / window.sum())


@pytest.mark.skipif(not SHARED.exists(), reason="the real pairs are not in ../shared")
@pytest.mark.parametrize("task", ["CT-MRI", "PET-MRI", "SPECT-MRI"])
def test_qs_and_qy_are_the_tools_on_real_pairs(task: str) -> None:
    """metricPeilla.m and metricYang.m written out, on averages of real pairs, which are black, flat and varied in turn."""
    for file in sorted((SHARED / "harvard" / task / "test" / "MRI").glob("*.png"))[::6]:
        a, b = (read_picture(f).grey for f in (file, file.parents[1] / task.removesuffix("-MRI") / file.name))
        f = ((a.astype(int) + b + 1) // 2).astype(np.uint8)
        x, y, z = (image.astype(float) for image in (a, b, f))
        with np.errstate(invalid="ignore"):
            window = gaussian_window(11)
            _, _, va, vb, _ = moments(x, y, window)
            share = np.where(va + vb == 0, 0.5, va / (va + vb))
            first, second = (similarity(s, z, window, 6.5025, 58.5225) for s in (x, y))
            qs = (share * first + (1 - share) * second).mean()
            window = gaussian_window(7)
            _, _, va, vb, _ = moments(x, y, window)
            share = va / (va + vb)
            first, second, between = (similarity(*pair, window, 2e-16, 2e-16) for pair in ((x, z), (y, z), (x, y)))
            values = np.where(between >= 0.75, share * first + (1 - share) * second, np.maximum(first, second))
            qy = values[~np.isnan(share)].mean()
        found = evaluate(f, a, b, ["qs", "qy"])
        assert found["qs"][0] == pytest.approx(qs, abs=1e-9), file
        assert found["qy"][0] == pytest.approx(qy, abs=1e-4), file
