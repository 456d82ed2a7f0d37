"""Agreement with eight public tools on four synthetic triples (tests/golden/README.md says how the values were made)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray
from scipy import signal

from fusionbench.metrics import PROFILES, _ops, evaluate, features, gradients, phase, structure
from fusionbench.metrics._triple import Image
from fusionbench.pairs import read_picture
from tests.conftest import SHARED
from tools import golden_table
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


@pytest.mark.parametrize("triple", TRIPLES)
def test_edges_turned_by_pi_are_the_ports(triple: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With arctan2 in place of atan the same formulas give the port's numbers, single precision aside."""

    def turned(image: Image) -> tuple[torch.Tensor, torch.Tensor]:
        left, down = _ops.three_by_three(image.x, 2.0, "reflect")
        across, down = -left / 8, down / 8
        turn = torch.where((across == 0) & (down == 0), 0.0, torch.atan2(across, -down))
        return torch.sqrt(across**2 + down**2), turn

    monkeypatch.setattr(gradients, "_reflected_polar", turned)
    a, b, f = load_triple(triple)
    for metric, name in (("QABF", "qabf@petrovic"), ("LABF", "labf"), ("NABF", "nabf"), ("NABF1", "nabf@petrovic")):
        theirs = next(r.value for r in golden_rows() if (r.triple, r.metric) == (triple, metric))
        assert evaluate(f, a, b, name)[name][0] == pytest.approx(theirs, rel=5e-6), metric


def test_cvejics_first_metric_is_zero_whatever_the_images() -> None:
    values = {r.metric: r.value for r in golden_rows() if r.tool == "liu2012" and r.triple == "texture"}
    first = [r.value for r in golden_rows() if (r.tool, r.metric) == ("liu2012", "QC1")]
    assert first == [0.0] * 4
    assert values["QC"] > 0.5  # the second one, on the same images


@pytest.mark.parametrize(("triple", "none"), [("brain", 36_606), ("texture", 0), ("noise", 0)])
def test_windows_without_variance_make_the_tools_mean_nan(triple: str, none: int) -> None:
    """metricYang.m: the share of the sources' variances is 0 / 0 there, and so the mean is NaN."""
    a, b, _ = (image.astype(float) for image in load_triple(triple))
    _, _, va, vb, _ = moments(a, b, gaussian_window(7))
    with np.errstate(invalid="ignore"):
        share = va / (va + vb)
    theirs = {r.metric: r.value for r in golden_rows() if (r.tool, r.triple) == ("liu2012", triple)}
    assert np.isnan(share).sum() == none
    assert np.isnan(theirs["QY"]) == np.isnan(theirs["QC"]) == bool(none)


def separable(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, ...]:
    """The moments of an 11 x 11 Gaussian window, rows first and then columns: the same sums in another order."""
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    rows, columns = taps[:, None], taps[None]
    mean = [
        signal.correlate2d(signal.correlate2d(i, rows, "valid"), columns, "valid") for i in (x, y, x * x, y * y, x * y)
    ]
    mx, my = mean[:2]
    return mx, my, mean[2] - mx * mx, mean[3] - my * my, mean[4] - mx * my


@pytest.mark.parametrize(("triple", "apart"), [("edges", True), ("texture", False), ("noise", False), ("brain", False)])
def test_flat_windows_are_weighed_by_the_order_of_adding_up(triple: str, apart: bool) -> None:
    """One formula, E[x^2] - E[x]^2, summed in two dimensions or by rows and columns: apart in flat windows above black."""
    a, b, f = (image.astype(float) for image in load_triple(triple))

    def peilla(of: Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[Any, ...]]) -> float:
        def similar(x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
            mx, my, vx, vy, cxy = of(x, y)
            return (2 * mx * my + 6.5025) * (2 * cxy + 58.5225) / ((mx**2 + my**2 + 6.5025) * (vx + vy + 58.5225))

        _, _, va, vb, _ = of(a, b)
        with np.errstate(invalid="ignore"):
            share = np.where(va + vb == 0, 0.5, va / (va + vb))
        return float((share * similar(a, f) + (1 - share) * similar(b, f)).mean())

    whole, by_axis = peilla(lambda x, y: moments(x, y, gaussian_window(11))), peilla(separable)
    assert (abs(whole - by_axis) > 1e-3) is apart
    theirs = [r.value for r in golden_rows() if r.triple == triple and (r.tool, r.metric) in QS_OF_TWO_TOOLS]
    assert (abs(theirs[0] - theirs[1]) > 1e-3) is apart


QS_OF_TWO_TOOLS = {("liu2012", "QS"), ("image_fusion_metric_python", "Q")}


@pytest.mark.parametrize(("triple", "apart"), [("brain", True), ("edges", True), ("texture", False), ("noise", False)])
def test_qcb_on_flat_black_moves_when_an_image_is_flipped(triple: str, apart: bool) -> None:
    """Nothing in its definition tells left from right or top from bottom; rounding errors of the transform do."""
    a, b, f = load_triple(triple)
    upright = evaluate(f, a, b, "qcb")["qcb"][0]
    flipped = evaluate(f[::-1].copy(), a[::-1].copy(), b[::-1].copy(), "qcb")["qcb"][0]
    assert bool(abs(upright - flipped) > 1e-4) is apart
    assert abs(upright - flipped) < 6e-3


def test_a_row_explained_without_a_test_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    golden_table.check_causes()
    monkeypatch.setitem(
        UNMATCHED, ("brain", "liu2012", "QS"), golden_table.Cause("For some reason.", "test_of_nothing")
    )
    with pytest.raises(ValueError, match="explained by test_of_nothing"):
        golden_table.check_causes()
