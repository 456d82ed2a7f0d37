"""Laws of the metrics: symmetry, identity, degradation, batches, odd sizes, flat images, masks, bad input."""

from __future__ import annotations

import dataclasses
import gc
import io
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy import ndimage

from fusionbench.datasets import create_task
from fusionbench.errors import InputError
from fusionbench.metrics import (
    METRICS,
    PROFILES,
    evaluate,
    explain,
    foreground_mask,
    groups,
    prepare,
    reason,
    select,
    variant,
)
from tools.golden_table import load_triple

UInt8 = NDArray[np.uint8]
PLAIN = [name for name in METRICS.names() if not METRICS[name].facts.needs]
SMALL = [name for name in PLAIN if METRICS[name].facts.min_size <= 64]


def images(seed: int, n: int = 3, h: int = 64, w: int = 64) -> tuple[UInt8, UInt8, UInt8]:
    """Smooth random pictures with a dark surround, and a mixture of both."""
    rng = np.random.default_rng(seed)
    base = ndimage.gaussian_filter(rng.normal(size=(2, n, h, w)), (0, 0, 2, 2), mode="wrap")
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    scaled = np.clip(128 + 220 * base / base.std() / 4, 0, 255) * (x**2 + y**2 < 0.8)
    a, b = np.rint(scaled).astype(np.uint8)
    return a, b, np.rint(0.6 * a + 0.4 * b.astype(float)).astype(np.uint8)


@pytest.fixture(scope="module")
def scores() -> dict[str, NDArray[np.float64]]:
    a, b, f = images(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return evaluate(f, a, b, SMALL)


def test_batch_equals_singles_to_1e_12(scores: dict[str, NDArray[np.float64]]) -> None:
    a, b, f = images(1)
    for i in range(3):
        single = evaluate(f[i], a[i], b[i], SMALL)
        for name in SMALL:
            assert single[name] == pytest.approx(scores[name][i : i + 1], rel=1e-12, abs=1e-14, nan_ok=True), name


def test_kept_sources_change_nothing(scores: dict[str, NDArray[np.float64]]) -> None:
    a, b, f = images(1)
    sources = prepare(a, b)
    sources.score(b, SMALL)
    again = sources.score(f, SMALL)
    assert all(np.array_equal(again[name], scores[name], equal_nan=True) for name in SMALL)


def test_torch_path_agrees_to_1e_9(scores: dict[str, NDArray[np.float64]]) -> None:
    a, b, f = images(1)
    plain = evaluate(torch.from_numpy(f), torch.from_numpy(a), torch.from_numpy(b), SMALL, compiled=False)
    for name in SMALL:
        # qcb divides rounding errors of the Fourier transform; see its traps
        assert plain[name] == pytest.approx(scores[name], rel=1e-6 if name == "qcb" else 1e-9, nan_ok=True), name


def test_qcb_is_the_same_in_every_batch_and_on_every_processor() -> None:
    """Black background makes it a quotient of rounding errors, which must be the same ones wherever this runs."""
    a, b, f = images(2, n=3)
    for image in (a, b, f):
        image[:, :30] = 0
    together = evaluate(f, a, b, "qcb")["qcb"]
    alone = [evaluate(f[i], a[i], b[i], "qcb")["qcb"][0] for i in range(3)]
    assert together.tolist() == alone
    assert together[0] == pytest.approx(0.8293194479326176, rel=1e-10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_to_1e_9(scores: dict[str, NDArray[np.float64]]) -> None:
    a, b, f = images(1)
    there = evaluate(f, a, b, SMALL, device="cuda")
    for name in SMALL:
        assert there[name] == pytest.approx(scores[name], rel=2e-2 if name == "qcb" else 1e-9, nan_ok=True), name


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=4, deadline=None)
def test_exchanging_the_sources(seed: int) -> None:
    a, b, f = images(seed, n=1, h=48, w=53)
    names = [n for n in SMALL if METRICS[n].facts.symmetric and METRICS[n].facts.min_size <= 48]
    one, other = evaluate(f, a, b, names), evaluate(f, b, a, names)
    for name in names:
        assert one[name] == pytest.approx(other[name], rel=1e-9, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("cc", 1.0),
        ("mse", 0.0),
        ("rmse", 0.0),
        ("ssim", 2.0),
        ("ssim@l2", 2.0),
        ("ssim@vifb", 2.0),
        ("ssim@strict", 1.0),
        ("uqi", 1.0),
        ("mef-ssim", 1.0),
        ("qs", 1.0),
        ("qw", 1.0),
        ("qe", 1.0),
        ("qc@strict", 1.0),
        ("qy@strict", 1.0),
        ("vif", 2.0),
        ("vif@strict", 1.0),
        ("nmi", 2.0),
        ("nmi@strict", 1.0),
        ("ce", 0.0),
        ("qsf", 0.0),
        ("qm", 3.0),
        ("labf", 0.0),
        ("nabf", 0.0),
        ("nabf@unit", 0.0),
        ("mae", 0.0),
        ("pfe", 0.0),
        ("ergas", 0.0),
        ("scc", 1.0),
        ("ce@rms", 0.0),
        ("fsim", 1.0),
        ("qcv", 0.0),
        ("qcb", 1.0),
        ("fmi@pixel", 1.0),
        ("fmi@gradient", 1.0),
        ("fmi@edge", 1.0),
        ("fmi@dct", 1.0),
        ("fmi@wavelet", 1.0),
    ],
)
def test_identical_images(name: str, best: float) -> None:
    a = images(2, n=1)[0]
    assert evaluate(a, a, a, name)[name][0] == pytest.approx(best, rel=1e-6, abs=2e-2 if name == "labf" else 1e-6)


def test_an_image_tells_all_of_itself() -> None:
    a = images(2, n=1)[0]
    value = evaluate(a, a, a, ["en", "mi@strict", "mi@bits"])
    assert value["mi@strict"] == pytest.approx(value["en"], rel=1e-12)
    assert value["mi@bits"] == pytest.approx(2 * value["en"], rel=1e-12)


def test_identical_images_reach_the_ceiling_of_qabf_and_no_more() -> None:
    a = images(2, n=1)[0]
    value = evaluate(a, a, a, ["qabf", "qabf@strict"])
    assert 0.974 < value["qabf"][0] < 0.9755
    assert 0.974 < value["qabf@strict"][0] < 0.9755


def degraded(f: UInt8) -> dict[str, UInt8]:
    rng = np.random.default_rng(3)
    buffer = io.BytesIO()
    Picture.fromarray(f).save(buffer, format="JPEG", quality=8)
    return {
        "blur": np.rint(ndimage.gaussian_filter(f.astype(float), 3)).astype(np.uint8),
        "noise": np.clip(np.rint(f + rng.normal(0, 25, f.shape)), 0, 255).astype(np.uint8),
        "jpeg": np.asarray(Picture.open(buffer)),
        "contrast": np.rint(f * 0.4).astype(np.uint8),
    }


_SMOOTH = "the worse-off source is the smoother one of these two, and smoothing nears it"
_FAINT = "the worse-off source is the fainter one of these two, and losing contrast nears it"
_SIGNED = "it falls with gradient strength beyond the sources', whatever causes it: "
# (degradation, metric) -> why the definition does not see the degradation, or rewards it. Nothing else is exempt.
BLIND = {
    ("contrast", "cc"): "a correlation ignores a constant factor, rounding aside",
    ("contrast", "ce"): "levels that either histogram lacks are left out, so squeezing the histogram loses terms",
    ("contrast", "ce@rms"): "as ce",
    ("contrast", "nabf@unit"): "as nabf",
    ("contrast", "nabf"): _SIGNED + "weak gradients are no artefacts",
    ("contrast", "nabf@petrovic"): _SIGNED + "weak gradients are no artefacts",
    ("contrast", "vif@reversed"): "the fused image is the reference: the less it holds, the easier the sources hold it",
    ("contrast", "qte"): "exchanged marginals: cells are weighed by another level's probability",
    ("blur", "mse"): "the average of the sources is its optimum, and smoothing a maximum nears it",
    ("blur", "mse@unit"): "as mse",
    ("blur", "psnr@255"): "as mse",
    ("blur", "psnr@tang"): "as mse",
    ("blur", "ce"): "it compares histograms, not places, and smoothing fills gaps of the fused one",
    ("blur", "ce@rms"): "as ce",
    ("blur", "qte"): "exchanged marginals: spreading the joint histogram adds cells that weigh too much",
    ("blur", "qte@1.85"): "exchanged marginals: spreading the joint histogram adds cells that weigh too much",
    ("contrast", "cc@worst"): "as cc",
    ("contrast", "ms-ssim@worst"): _FAINT,
    ("contrast", "ssim@worst"): _FAINT,
    ("blur", "cc@worst"): _SMOOTH,
    ("blur", "ms-ssim@worst"): _SMOOTH,
    ("blur", "psnr@worst"): _SMOOTH,
    ("blur", "ssim@worst"): _SMOOTH,
    ("blur", "vif@worst"): _SMOOTH,
    ("jpeg", "ms-ssim@worst"): "blocks of quality 10 resemble the coarse scales of the worse-off source, by 0.001",
    ("noise", "nabf@tang"): "the first source stands for the fused image: noise in F hides its gradients",
    ("noise", "psnr"): "the peak is max(F), which noise raises to 255",
    ("jpeg", "psnr"): "the peak is max(F), which overshoot raises",
    ("jpeg", "qsf@strict"): "it compares total activity: ringing fills what the fused image lacks",
    ("jpeg", "qte"): "exchanged marginals: spreading the joint histogram adds cells that weigh too much",
    ("jpeg", "qte@1.85"): "exchanged marginals: spreading the joint histogram adds cells that weigh too much",
}
DIRECTED = [name for name in PLAIN if METRICS[name].facts.direction != "describes"]


@pytest.fixture(scope="module")
def losses() -> dict[str, dict[str, list[float]]]:
    """Degradation -> directed metric -> how much worse it makes a maximum and another fused image, in the metric's sense."""
    a, b, other = (image[40:216, 40:216] for image in load_triple("brain"))
    found: dict[str, dict[str, list[float]]] = {}
    for f in (np.maximum(a, b), other):
        sources = prepare(a, b)
        good = sources.score(f, DIRECTED)
        for kind, worse in degraded(f).items():
            bad = sources.score(worse, DIRECTED)
            for name in DIRECTED:
                sign = 1.0 if METRICS[name].facts.direction == "higher" else -1.0
                found.setdefault(kind, {}).setdefault(name, []).append(float(sign * (good[name][0] - bad[name][0])))
    return found


@pytest.mark.parametrize("kind", ["blur", "noise", "jpeg", "contrast"])
def test_degraded_fusion_scores_worse(kind: str, losses: dict[str, dict[str, list[float]]]) -> None:
    wrong = {name: loss for name, loss in losses[kind].items() if not min(loss) > 0 and (kind, name) not in BLIND}
    assert not wrong


@pytest.mark.parametrize("key", sorted(BLIND), ids="/".join)
def test_exemptions_are_needed(key: tuple[str, str], losses: dict[str, dict[str, list[float]]]) -> None:
    """A metric that sees the degradation after all must leave the list."""
    kind, name = key
    assert not min(losses[kind][name]) > 0


@pytest.mark.parametrize("shape", [(17, 31), (1, 40), (40, 1), (1, 1), (33, 50)])
def test_odd_sizes_give_a_value_or_a_clear_error(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    a, b, f = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    for name in PLAIN:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if min(shape) < METRICS[name].facts.min_size:
                with pytest.raises(InputError, match="needs images of at least"):
                    evaluate(f, a, b, name)
            else:
                assert not np.isinf(evaluate(f, a, b, name)[name]).any(), name


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
def test_flat_images_follow_the_written_rule(compiled: bool) -> None:
    picture = images(4, n=1)[0]
    black, grey = np.zeros_like(picture), np.full_like(picture, 128)
    for f, a, b in ((black, black, black), (grey, grey, grey), (black, picture, grey), (picture, black, black)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = evaluate(f, a, b, SMALL, compiled=compiled)
        for name, value in found.items():
            assert not np.isinf(value).any(), name
            assert "NaN" in reason(name) or not np.isnan(value).any(), name


def test_nan_where_no_value_can_be() -> None:
    picture = images(4, n=1)[0]
    flat = np.full_like(picture, 9)
    assert np.isnan(evaluate(picture, picture, picture, "psnr")["psnr"][0])
    assert np.isnan(evaluate(picture, picture, flat, "cc")["cc"][0])
    assert np.isnan(evaluate(picture, flat, picture, "vif")["vif"][0])
    assert evaluate(flat, picture, picture, "vif")["vif"][0] == 0.0


def test_flat_windows_above_black_score_what_the_tools_rounding_errors_amount_to() -> None:
    """A saturated region beside a black one: values of metricPeilla.m, metricCvejic.m and metricYang.m, transcribed."""
    a, b, f = (image.copy() for image in load_triple("texture"))
    for image, level in ((a, 255), (b, 0), (f, 128)):
        image[40:120, 40:140] = level
    found = evaluate(f, a, b, ["qs", "qw", "qc", "qy"])
    assert found["qs"] == pytest.approx(0.6090183784427768, rel=1e-9)
    assert found["qw"] == pytest.approx(0.38689346155803855, rel=1e-9)
    assert found["qc"] == pytest.approx(0.6448370297322548, rel=1e-3)
    assert found["qy"] == pytest.approx(0.5676333145059796, rel=1e-3)


def test_masks() -> None:
    a, b, f = images(6, n=2)
    names = [n for n in SMALL if n not in ("fmi@dct", "fmi@wavelet")]
    everywhere = evaluate(f, a, b, names, mask=np.ones(a.shape[1:], dtype=bool))
    without = evaluate(f, a, b, names)
    for name in names:
        expected = without[name]
        assert everywhere[f"{name}+mask"] == pytest.approx(expected, rel=1e-9, nan_ok=True), name
    inside = evaluate(f, a, b, "dmfnet", mask="foreground")
    assert list(inside) == [f"{name}+foreground" for name in PROFILES["dmfnet"].metrics]
    level = f[0][foreground_mask(torch.from_numpy(a), torch.from_numpy(b))[0].numpy()].astype(float)
    assert inside["sd+foreground"][0] == pytest.approx(level.std(), rel=1e-12)


def test_foreground_is_the_head() -> None:
    a, b, _ = load_triple("brain")
    head = foreground_mask(torch.from_numpy(a)[None], torch.from_numpy(b)[None])[0].numpy()
    assert 0.15 < head.mean() < 0.7
    assert not head[0].any()
    assert ndimage.binary_fill_holes(head).sum() == head.sum()


def test_the_foreground_keeps_regions_of_a_tenth_of_the_largest() -> None:
    a = np.zeros((1, 64, 64), dtype=np.uint8)
    a[0, 2:42, 2:42] = 200  # 1600 pixels
    a[0, 46:60, 4:20] = 200  # 224, a seventh
    a[0, 46:58, 40:52] = 200  # 144, less than a tenth
    head = foreground_mask(torch.from_numpy(a), torch.zeros(1, 64, 64, dtype=torch.uint8))[0]
    assert head[20, 20]
    assert head[52, 12]
    assert not head[52, 46]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, a, b: (f.astype(float) / 255, a, b), "uint8"),
        (lambda f, a, b: (f[:, :-1], a, b), "resample"),
        (lambda f, a, b: (f, a, b[:2]), "give one a pair"),
        (lambda f, a, b: (f[None], a, b), "has shape"),
        (lambda f, a, b: (f.tolist(), a, b), "is a list"),
        (lambda f, a, b: (f[:, :0], a[:, :0], b[:, :0]), "no pixels"),
    ],
)
def test_bad_input_is_refused(change: Callable[..., Any], message: str) -> None:
    a, b, f = images(7)
    f, a, b = change(f, a, b)
    with pytest.raises(InputError, match=message):
        evaluate(f, a, b, "en")


def test_bad_names_masks_and_needs() -> None:
    a, b, f = images(7)
    with pytest.raises(InputError, match="did you mean 'ssim"):
        evaluate(f, a, b, "ssmi")
    with pytest.raises(InputError, match="image 1"):
        evaluate(f, a, b, "en", mask=np.stack([np.ones((64, 64)), np.zeros((64, 64)), np.ones((64, 64))]))
    with pytest.raises(InputError, match="coloured second source"):
        evaluate(f, a, b, "tracer-error")
    with pytest.raises(InputError, match="no metric"):
        evaluate(f, a, b, [])


_HOLED = np.where(np.arange(64 * 64).reshape(64, 64) == 70, np.nan, 1.0)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(64), r"mask has shape \(64,\); give .* of shape \(64, 50\) or \(3, 64, 50\)"),
        (np.ones((50, 64)), r"mask has shape \(50, 64\)"),
        (np.ones((2, 64, 50)), r"mask has shape \(2, 64, 50\)"),
        (np.ones((64, 50, 3)), r"mask has shape \(64, 50, 3\)"),
        (7, r"mask has shape \(\)"),
        (_HOLED[:, :50], r"mask holds nan at \(1, 6\), neither inside nor outside"),
        (torch.from_numpy(_HOLED[:, :50]), r"mask holds nan at \(1, 6\)"),
        (np.full((64, 50), "yes"), "give an array of booleans or numbers"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask: object, message: str) -> None:
    a, b, f = (image[:, :, :50] for image in images(7))
    with pytest.raises(InputError, match=message):
        evaluate(f, a, b, "en", mask=mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("metrics", [3, None, ["en", 3], [None]])
def test_what_is_no_name_of_a_metric_is_refused(metrics: object) -> None:
    a, b, f = images(7)
    with pytest.raises(InputError, match=r"give (a profile|text)"):
        evaluate(f, a, b, metrics)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"give (a profile|text)"):
        prepare(a, b).score(f, metrics)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["meta", "warp", "cuda:99", []])
def test_a_device_that_is_not_there_is_refused(device: object) -> None:
    a, b, f = images(7)
    with pytest.raises(InputError, match=r"device .*; use cpu"):
        evaluate(f, a, b, "en", device=device)  # type: ignore[arg-type]


def test_ground_truth_that_does_not_fit_is_refused() -> None:
    a, b, f = images(7, n=1)
    with pytest.raises(InputError, match="lacks 'wm'"):
        evaluate(f, a, b, "lesion-cnr", truth={"gm": a[0]})
    with pytest.raises(InputError, match=r"truth 'gm' has shape \(3,\)"):
        evaluate(f, a, b, "lesion-cnr", truth={"gm": np.ones(3)})


def test_a_metric_name_cannot_hold_a_mask() -> None:
    with pytest.raises(ValueError, match="is for masks"):
        dataclasses.replace(METRICS["en"].facts, name="en+edge")


def test_select_explain_and_groups() -> None:
    assert select(["DMFNet"], ["qg", "EN"]) == [*PROFILES["dmfnet"].metrics, "qg"]
    assert select([], ["qg"]) == ["qg"]
    text = explain("ssim@l2+foreground")
    assert "data range 2" in text
    assert "10.1109/TIP.2003.819861" in text
    assert {facts.name for family in groups().values() for facts in family} == set(METRICS.names())
    for profile in PROFILES.values():
        assert set(profile.metrics) <= set(METRICS.names())
        assert set(profile.core) <= set(profile.metrics)


def test_nothing_outlives_a_call() -> None:
    """Memory stays flat in the number of pairs: all maps go with the last reference, without the garbage collector."""
    a, b, f = images(8, n=1)
    gc.collect()
    gc.disable()
    try:
        sources = prepare(a, b)
        sources.score(f, [name for name in SMALL if not name.startswith("fmi")])
        part = weakref.ref(next(iter(sources._parts)).b)
        del sources
        assert part() is None
    finally:
        gc.enable()


def test_a_variant_says_what_differs_and_nothing_else() -> None:
    base = METRICS["mi"].facts
    other = variant(base, name="mi@new", unit="bits")
    assert (other.name, other.unit, other.title, other.doi) == ("mi@new", "bits", base.title, base.doi)
    with pytest.raises(ValueError, match="inherits unit from 'mi'"):
        variant(base, name="mi@new", unit=base.unit)
    with pytest.raises(TypeError):
        variant(base, name="mi@new", colour="red")


@pytest.mark.parametrize("count", [1, 3])
def test_coloured_images_are_not_taken_for_many_grey_ones(count: int) -> None:
    rgb = [np.random.default_rng(n).integers(0, 256, (64, 48, 3)).astype(np.uint8) for n in range(3)]
    images = [rgb[n] if n < count else rgb[n][..., 0] for n in range(3)]
    with pytest.raises(
        InputError, match=r"shape \(64, 48, 3\), which is that of a coloured image; give its grey levels"
    ):
        evaluate(images[0], images[1], images[2], "en")


WORST = [name for name in METRICS.names() if name.endswith("@worst")]


def test_the_worst_source_is_the_smaller_of_two(scores: dict[str, NDArray[np.float64]]) -> None:
    """By the metric that it is built on, each source standing for both; and never above the mean over the sources."""
    a, b, f = images(1)
    means = {
        "cc": "cc", "ssim": "ssim@strict", "ms-ssim": "ms-ssim", "uqi": "uqi", "vif": "vif@strict", "qabf": "qabf@strict",
        "fsim": "fsim", "fmi": "fmi@pixel", "psnr": "psnr@255",
    }  # fmt: skip
    assert {name.partition("@")[0] for name in WORST} == {*means, "mi", "scd"}
    small = {name: base for name, base in means.items() if base in SMALL}
    alone = [evaluate(f, source, source, list(small.values())) for source in (a, b)]
    for name, base in small.items():
        expected = np.minimum(alone[0][base], alone[1][base])
        assert scores[f"{name}@worst"] == pytest.approx(expected, rel=1e-12), name
        assert (scores[f"{name}@worst"] <= scores[base] + 1e-12).all(), name


def test_closed_forms_of_the_worst_source() -> None:
    """A copy of A has of B what A has of B. Two binary sources, independent: it has nothing."""
    a = np.zeros((1, 192, 192), np.uint8)
    a[:, :, 96:] = 200
    b = a.transpose(0, 2, 1).copy()
    copy = evaluate(a, a, b, ["cc@worst", "mi@worst", "scd@worst", "psnr@worst"])
    assert copy["cc@worst"] == pytest.approx([0.0], abs=1e-12)
    assert copy["mi@worst"] == pytest.approx([0.0], abs=1e-12)
    assert copy["scd@worst"] == pytest.approx([0.0], abs=1e-12)
    assert copy["psnr@worst"] == pytest.approx([10 * np.log10(255**2 / (200**2 / 2))])
    # The sum of both holds either: H(A) = 1 bit, I(A; F) = H(F) - H(F | A) = 1.5 - 1 bits; r = 1 / sqrt 2.
    both = evaluate((a // 2 + b // 2), a, b, ["cc@worst", "mi@worst", "scd@worst"])
    assert both["cc@worst"] == pytest.approx([np.sqrt(0.5)])
    assert both["mi@worst"] == pytest.approx([0.5])
    assert both["scd@worst"] == pytest.approx([np.sqrt(0.5)])


def test_no_copy_wins_by_the_worst_source() -> None:
    """On anatomy: by each of them the average or the maximum is above a copy of either source."""
    pair = create_task("phantom/ct-mri").load("test-00000")
    average = ((pair.a.astype(int) + pair.b) // 2).astype(np.uint8)
    sources = prepare(pair.a, pair.b)
    a, b, mean, high = (sources.score(f, WORST) for f in (pair.a, pair.b, average, np.maximum(pair.a, pair.b)))
    for name in WORST:
        assert max(mean[name], high[name]) > max(a[name], b[name]), name
