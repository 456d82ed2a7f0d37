"""Conventions of old toolboxes and distances from the sources: against plain NumPy written from their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fusionbench.datasets import create_task
from fusionbench.metrics import METRICS, PROFILES, evaluate
from tools.golden_table import load_triple

UInt8 = NDArray[np.uint8]
TRIPLES = ("brain", "texture", "noise", "edges")


@pytest.fixture(params=TRIPLES)
def triple(request: pytest.FixtureRequest) -> tuple[UInt8, UInt8, UInt8]:
    return load_triple(request.param)


def value(name: str, triple: tuple[UInt8, UInt8, UInt8]) -> float:
    a, b, f = triple
    return float(evaluate(f, a, b, name)[name][0])


def test_distances_are_their_definitions(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    a, b, f = (image.astype(float) for image in triple)
    assert value("mae", triple) == pytest.approx(np.mean([np.abs(f - s).mean() for s in (a, b)]), rel=1e-12)
    pfe = np.mean([100 * np.linalg.norm(s - f) / np.linalg.norm(s) for s in (a, b)])
    assert value("pfe", triple) == pytest.approx(pfe, rel=1e-12)
    ergas = np.mean([100 * math.sqrt(((s - f) ** 2).mean()) / s.mean() for s in (a, b)])
    assert value("ergas", triple) == pytest.approx(ergas, rel=1e-12)


@pytest.mark.parametrize("task", ["ct-mri", "pet-mri"])
def test_pfe_of_the_spectral_norm_is_lower_by_what_its_trap_says(task: str) -> None:
    phantoms = create_task(f"phantom/{task}")
    for name in phantoms.ids()[:2]:
        a, b = (x.astype(float) for x in (phantoms.load(name).a, phantoms.load(name).b))
        for f in (np.rint((a + b) / 2), np.maximum(a, b)):
            spectral = np.mean([100 * np.linalg.norm(s - f, 2) / np.linalg.norm(s, 2) for s in (a, b)])
            assert 0.47 < spectral / value("pfe", (a.astype(np.uint8), b.astype(np.uint8), f.astype(np.uint8))) < 0.72


def test_scc_is_a_correlation_of_laplacians(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    def high(x: UInt8) -> NDArray[np.float64]:
        y, out = x.astype(float), np.zeros((x.shape[0] - 2, x.shape[1] - 2))
        for i in range(1, x.shape[0] - 1):
            for j in range(1, x.shape[1] - 1):
                out[i - 1, j - 1] = 9 * y[i, j] - y[i - 1 : i + 2, j - 1 : j + 2].sum()
        return out

    a, b, f = map(high, triple)
    expected = (np.corrcoef(a.ravel(), f.ravel())[0, 1] + np.corrcoef(b.ravel(), f.ravel())[0, 1]) / 2
    assert value("scc", triple) == pytest.approx(expected, rel=1e-9)


def test_overall_cross_entropy(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    a, b, f = (np.bincount(image.ravel(), minlength=256) / image.size for image in triple)
    each = [sum(p * math.log2(p / q) for p, q in zip(s, f, strict=True) if p > 0 and q > 0) for s in (a, b)]
    assert value("ce@rms", triple) == pytest.approx(math.sqrt((each[0] ** 2 + each[1] ** 2) / 2), rel=1e-9)
    assert value("ce", triple) == pytest.approx(np.mean(each), rel=1e-9)


def test_spectral_angle() -> None:
    a, b, f = load_triple("brain")
    random = np.random.default_rng(0)
    color, fused = random.integers(0, 256, (2, *a.shape, 3)).astype(np.uint8)
    color[:40] = 0
    found = float(evaluate(f, a, b, "sam", color=color, fused_rgb=fused)["sam"][0])
    angles = []
    for x, y in zip(color.reshape(-1, 3).astype(float), fused.reshape(-1, 3).astype(float), strict=True):
        if x.any() and y.any():
            angles.append(math.degrees(math.acos(min(1.0, x @ y / (np.linalg.norm(x) * np.linalg.norm(y))))))
    assert found == pytest.approx(np.mean(angles), rel=1e-9)
    twice = (np.minimum(color, 127) * 2).astype(np.uint8)
    assert evaluate(f, a, b, "sam", color=np.minimum(color, 127), fused_rgb=twice)["sam"][0] == pytest.approx(
        0, abs=1e-5
    )
    assert np.isnan(evaluate(f, a, b, "sam", color=color * 0, fused_rgb=fused)["sam"][0])


def test_matlabs_saturating_deviation(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    f = triple[2]
    mean = f.sum(dtype=np.int64) / f.size
    squares = []
    for level in f.ravel().tolist():
        above = min(255, max(0, math.floor(level - mean + 0.5) if level > mean else 0))
        squares.append(min(255, above * above))
    assert value("sd@uint8", triple) == pytest.approx(math.sqrt(np.mean(squares)), rel=1e-12)
    assert value("sd@uint8", triple) < 16


def test_numpys_spatial_frequency_of_uint8(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    """What NumPy itself makes of the expression."""
    f = triple[2]
    rows, columns = f[:, 1:] - f[:, :-1], f[1:] - f[:-1]
    assert rows.dtype == np.uint8
    expected = math.sqrt((rows**2).mean() + (columns**2).mean())
    assert value("sf@uint8", triple) == pytest.approx(expected, rel=1e-12)
    assert value("sf@unit", triple) == pytest.approx(value("sf", triple) / 255, rel=1e-12)


def test_the_densefuse_familys_mutual_information_is_twice_the_entropy(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    """Rows as samples: H(A) + H(F) - H(A, F) where the joint term is that of indices, and cancels; 2.0000 on all triples."""
    assert value("mi@rows", triple) == pytest.approx(2 * value("en", triple), rel=1e-12)
    a, b, f = triple
    other = b[::-1].copy()
    assert value("mi@rows", (other, a, f)) == value("mi@rows", triple)


def test_equal_edges_in_unit_images_count_as_lost() -> None:
    """Values of the reference notes for a perfect copy: 0.9753 on 0..255, far below on [0, 1]."""
    a = load_triple("brain")[0]
    assert value("qabf", (a, a, a)) == pytest.approx(0.975, abs=2e-3)
    found = value("qabf@unit", (a, a, a))
    assert found < 0.8
    x = np.pad(a / 255.0, 1)
    smooth = [x[:-2] + 2 * x[1:-1] + x[2:], x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]]
    right, down = smooth[0][:, 2:] - smooth[0][:, :-2], smooth[1][2:] - smooth[1][:-2]
    g = np.hypot(right, down)
    quality = 0.9994 / (1 + np.exp(-15 * (g - 0.5))) * 0.9879 / (1 + np.exp(-22 * (1 - 0.8)))
    assert found == pytest.approx((quality * g).sum() / g.sum(), rel=1e-9)


def test_channel_by_channel_is_the_mean_of_three_grey_scores() -> None:
    a, b, f = load_triple("brain")
    color = np.stack([b, b // 2, 255 - b], axis=-1)
    fused = np.stack([f, f // 3, f[::-1]], axis=-1)
    each = [value("qabf", (a, color[..., k].copy(), fused[..., k].copy())) for k in range(3)]
    assert evaluate(f, a, b, "qabf@rgb", color=color, fused_rgb=fused)["qabf@rgb"][0] == pytest.approx(
        np.mean(each), rel=1e-12
    )


@pytest.mark.parametrize(
    ("name", "summed", "unit"),
    [
        ("brain", 0.590910461332617, 0.6219287980419754),
        ("texture", 0.3706704738555293, 0.3068830781364934),
        ("noise", 0.2368082558370665, 0.2670539221142656),
    ],
)
def test_vif_on_the_steerable_pyramid(name: str, summed: float, unit: float) -> None:
    """The steps of vifvec.m in plain NumPy on the pyramid of pyrtools 1.1.1 (SteerablePyramidSpace, order 5, reflect1), with
    its corrDn for the windows: computed apart from this package."""
    triple = load_triple(name)
    assert value("vif@wavelet", triple) == pytest.approx(summed, rel=1e-10)
    assert value("vif@wavelet-unit", triple) == pytest.approx(unit, rel=1e-10)
    a = triple[0]
    assert value("vif@wavelet", (a, a, a)) == pytest.approx(2.0, rel=1e-9)
    assert math.isnan(value("vif@wavelet", (np.full_like(a, 9), a, a)))


def test_the_threshold_of_artefacts_is_never_reached_in_unit_images(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    """Gradients in [0, 1] stay below 2, so every pixel weighs the same: the share is a plain mean."""
    a, b, f = triple
    assert value("nabf@unit", (a, a, a)) == 0.0
    noisy = np.clip(f.astype(int) + np.random.default_rng(0).integers(-40, 41, f.shape), 0, 255).astype(np.uint8)
    assert value("nabf@unit", (a, b, noisy)) != pytest.approx(value("nabf", (a, b, noisy)), rel=0.05)


def test_profile_tang2022_needs_nothing_and_differs_from_tang2023(triple: tuple[UInt8, UInt8, UInt8]) -> None:
    a, b, f = triple
    scores = evaluate(f, a, b, "tang2022")
    assert list(scores) == list(PROFILES["tang2022"].metrics)
    assert all(np.isfinite(v).all() for v in scores.values())
    assert set(PROFILES["tang2022"].metrics) & {"sd", "qabf", "nabf", "sf", "vif"} == set()


@pytest.mark.parametrize(
    "name", ["mae", "pfe", "ergas", "sam", "scc", "ce@rms", "sd@uint8", "sf@uint8", "mi@rows", "qabf@unit"]
)
def test_each_tells_its_trap(name: str) -> None:
    facts = METRICS[name].facts
    assert facts.traps
    assert facts.reference or facts.origin
