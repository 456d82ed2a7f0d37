"""Observers against closed forms: known signals in Gaussian noise, where the best area is known."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import kendalltau, norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from fusionbench import observers, stats
from fusionbench.errors import InputError
from fusionbench.observers import pixels

SIZE = 41
Floats = NDArray[np.float64]


def blob(deviation: float = 3.0, height: float = 1.0) -> Floats:
    axis = np.arange(SIZE) - SIZE // 2
    one = np.exp(-(axis**2) / (2 * deviation**2))
    return height * np.outer(one, one)


def study(noise: Floats, signal: Floats, seed: int = 0) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Images (M, H, W), whether the signal is there, and subjects, four images each."""
    m = len(noise)
    present = np.arange(m) % 2 == 0
    return noise + present[:, None, None] * signal, present, np.arange(m) // 4


def judged(features: Floats, present: NDArray[np.bool_], subjects: NDArray[np.int64]) -> observers.Auc:
    folds = observers.fold_of(subjects)
    return observers.area(observers.linear_responses(features, present, folds), present, folds, subjects)


def inside(auc: observers.Auc, expected: float) -> None:
    """The analytic value lies within the interval, widened by a fifth for the finite training set and the 1 in 20."""
    slack = 0.2 * (auc.high - auc.low)
    assert auc.low - slack <= expected <= auc.high + slack, (auc, expected)


def test_area_on_white_noise_is_the_analytic_one() -> None:
    """d'^2 = |P s|^2, P the projection on the channels: 1 for a Gaussian signal that the first channel matches."""
    signal = blob(height=0.2)
    noise = np.random.default_rng(1).standard_normal((2400, SIZE, SIZE))
    images, present, subjects = study(noise, signal)
    channels = observers.laguerre_gauss(SIZE, 3 * np.sqrt(2 * np.pi), 4)  # exp(-pi r^2 / a^2) is the signal itself
    basis = np.linalg.qr(channels.reshape(4, -1).T)[0].T
    d = np.linalg.norm(basis @ signal.ravel())
    assert d == pytest.approx(np.linalg.norm(signal), rel=1e-3)
    inside(judged(observers.read(images, channels), present, subjects), norm.cdf(d / np.sqrt(2)))


def test_area_on_correlated_noise_is_the_analytic_one() -> None:
    """d'^2 = (U s)^T (U K U^T)^-1 (U s), K the covariance of white noise that has been smoothed."""
    rng = np.random.default_rng(2)
    noise = gaussian_filter(rng.standard_normal((2400, SIZE, SIZE)), (0, 2, 2), mode="wrap")
    signal = blob(height=0.16)
    channels = observers.laguerre_gauss(SIZE, 8.0, 5).reshape(5, -1)
    smooth = np.stack([gaussian_filter(u.reshape(SIZE, SIZE), 2, mode="wrap").ravel() for u in channels])
    mean = channels @ signal.ravel()  # U K U^T = (U G)(U G)^T, G the smoothing, which is symmetric
    d = float(np.sqrt(mean @ np.linalg.solve(smooth @ smooth.T, mean)))
    images, present, subjects = study(noise, signal)
    features = observers.read(images, channels.reshape(5, SIZE, SIZE))
    inside(judged(features, present, subjects), norm.cdf(d / np.sqrt(2)))
    naive = features @ mean  # a matched filter that ignores the correlation is worse
    assert roc_auc_score(present, naive) < norm.cdf(d / np.sqrt(2))


def test_noise_alone_is_at_chance_and_swapped_labels_mirror() -> None:
    noise = np.random.default_rng(3).standard_normal((2000, SIZE, SIZE))
    images, present, subjects = study(noise, blob(height=0.0))
    features = observers.read(images, observers.difference_of_gaussians(SIZE))
    folds = observers.fold_of(subjects)
    responses = observers.linear_responses(features, present, folds)
    auc = observers.area(responses, present, folds, subjects)
    assert auc.low < 0.5 < auc.high
    mirrored = observers.area(responses, ~present, folds, subjects)
    assert mirrored.value == pytest.approx(1 - auc.value, abs=1e-12)


def test_both_sources_are_never_below_the_better_one() -> None:
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((2, 2000, SIZE, SIZE))
    present = np.arange(2000) % 2 == 0
    images = noise + present[:, None, None] * blob(height=0.12)
    subjects = np.arange(2000) // 4
    channels = observers.laguerre_gauss(SIZE, 8.0)
    one, other = (observers.read(x, channels) for x in images)
    both = judged(np.hstack([one, other]), present, subjects)
    single = [judged(x, present, subjects) for x in (one, other)]
    assert both.high >= max(s.value for s in single)
    share, low, high = observers.efficiency(single[0], both)
    assert low < share < high
    assert share == pytest.approx(0.5, abs=0.15)  # independent noise of equal power: half of the information each
    assert observers.efficiency(both, both)[0] == 1.0
    certain = observers.Auc(1.0, 1.0, 1.0, np.ones(1000))
    assert observers.efficiency(certain, both)[0] == np.inf
    chance = observers.Auc(0.5, 0.5, 0.5, np.full(1000, 0.5))
    assert np.isnan(observers.efficiency(both, chance)).all()


def test_the_template_is_fishers() -> None:
    """Same direction as scikit-learn's linear discriminant, whose covariance is the same for equal classes."""
    rng = np.random.default_rng(5)
    present = np.arange(400) % 2 == 0
    features = rng.standard_normal((400, 4)) @ rng.standard_normal((4, 4)) + present[:, None] * [0.5, 0, -0.3, 1]
    template, offset = observers.judge.hotelling(features, present)
    fisher = LinearDiscriminantAnalysis(solver="lsqr").fit(features, present)
    ratio = template / fisher.coef_[0]
    assert np.ptp(ratio) / ratio.mean() < 1e-9
    assert offset == pytest.approx(-fisher.intercept_[0] * ratio.mean(), rel=1e-9)


def test_a_repeated_or_constant_channel_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    present = np.arange(800) % 2 == 0
    features = rng.standard_normal((800, 3)) + present[:, None] * 0.5
    folds = observers.fold_of(np.arange(800) // 2)
    plain = observers.linear_responses(features, present, folds)
    more = np.hstack([features, features[:, :1] * 1e-6, np.full((800, 1), 7.0)])
    assert np.allclose(observers.linear_responses(more, present, folds), plain, atol=1e-6)


def test_area_within_folds_against_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    responses = np.round(rng.standard_normal(300), 1)  # with ties
    present, subjects = rng.random(300) < 0.4, np.arange(300) // 3
    folds = observers.fold_of(subjects, 5)
    parts = [(folds == k) for k in range(5)]
    pairs = [present[p].sum() * (~present[p]).sum() for p in parts]
    expected = np.average([roc_auc_score(present[p], responses[p]) for p in parts], weights=pairs)
    assert observers.area(responses, present, folds, subjects).value == pytest.approx(expected, abs=1e-12)


def test_no_subject_judges_itself() -> None:
    """Labels drawn a subject: an observer that had seen any image of a subject would know the rest of it by its mark."""
    rng = np.random.default_rng(8)
    subjects = np.repeat(np.arange(60), 10)
    features = rng.standard_normal((60, 40))[subjects] + 0.01 * rng.standard_normal((600, 40))
    present = (rng.permutation(60) < 30)[subjects]
    folds = observers.fold_of(subjects)
    assert all(len(set(folds[subjects == s])) == 1 for s in range(60))
    for responses in (
        observers.linear_responses(features, present, folds),
        observers.boosted_responses(features, present, folds),
    ):
        assert observers.area(responses, present, folds, subjects).value < 0.75
    by_image = rng.permutation(np.arange(600) % 10)  # the mistake: images dealt out, not subjects
    leaked = observers.area(observers.linear_responses(features, present, by_image), present, by_image, subjects)
    assert leaked.value > 0.85


def test_four_states_by_two_independent_findings() -> None:
    """Two unit normals, each shifted by d: a state is named where both are right, Phi(d / 2)^2."""
    rng = np.random.default_rng(9)
    states = np.arange(4000) % 4
    shift = np.stack([states % 2, states // 2], 1) * 2.0
    right = observers.state_accuracy(rng.standard_normal((4000, 2)) + shift, states, observers.fold_of(np.arange(4000)))
    assert right.mean() == pytest.approx(norm.cdf(1.0) ** 2, abs=0.02)


def test_trees_read_what_a_line_cannot() -> None:
    rng = np.random.default_rng(10)
    present = np.arange(2000) % 2 == 0
    subjects = np.arange(2000)
    value = np.where(present, rng.choice([-2.0, 2.0], 2000), 0.0) + rng.standard_normal(2000)
    folds = observers.fold_of(subjects)
    line, trees = (
        observers.area(how(value[:, None], present, folds), present, folds, subjects)
        for how in (observers.linear_responses, observers.boosted_responses)
    )
    assert line.value < 0.6 < 0.8 < trees.value


def test_internal_noise_costs_and_search_costs() -> None:
    rng = np.random.default_rng(11)
    images, present, subjects = study(rng.standard_normal((1200, SIZE, SIZE)), blob(height=0.3))
    features = observers.read(images, observers.difference_of_gaussians(SIZE))
    folds = observers.fold_of(subjects)
    plain, noisy = (
        observers.area(
            observers.linear_responses(features, present, folds, internal_noise=n), present, folds, subjects
        ).value
        for n in (0.0, 1.0)
    )
    assert noisy < plain
    # A finding that could be anywhere in 13 x 13 places: it is found less often, and mostly where it is.
    channels = observers.laguerre_gauss(SIZE - 12, 8.0)
    searched = np.ones((1200, 13, 13), np.bool_)
    images = images + present[:, None, None] * blob(height=0.5)
    best, where = observers.search([images], channels, present, folds, searched)
    known = observers.linear_responses(observers.read(images[:, 6:-6, 6:-6], channels), present, folds)
    assert roc_auc_score(present, best) < roc_auc_score(present, known)
    near = np.hypot(*where.T) <= 2
    assert near[present].mean() > 0.5 > 0.2 > near[~present].mean()
    # Where only the place itself is searched, the answer is that of the known place.
    only = np.zeros_like(searched)
    only[:, 6, 6] = True
    best, where = observers.search([images], channels, present, folds, only)
    assert np.allclose(best, known)
    assert not where.any()
    # Stacks side by side, one of them empty, are the one that is not.
    twice, _ = observers.search([images, np.zeros_like(images)], channels, present, folds, only)
    assert np.allclose(twice, known)


def test_laguerre_gauss_is_orthonormal_and_bands_are_ordered() -> None:
    bank = observers.laguerre_gauss(101, 14.0, 6).reshape(6, -1)
    assert np.allclose(bank @ bank.T, np.eye(6), atol=1e-6)
    bands = observers.difference_of_gaussians(201, 6, first=0.02)
    power = np.abs(np.fft.fft2(bands)) ** 2
    rho = np.hypot(*np.meshgrid(np.fft.fftfreq(201), np.fft.fftfreq(201)))
    centres = (power * rho).sum((1, 2)) / power.sum((1, 2))
    assert (np.diff(centres) > 0).all()
    ring = observers.rings(21)
    assert np.allclose(ring.sum((1, 2)), 1)
    assert observers.ring_means(np.full((2, 21, 21), 3.0)).shape == (2, len(ring))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: observers.laguerre_gauss(20, 5.0), "no centre"),
        (lambda: observers.laguerre_gauss(21, 0.0), "width"),
        (lambda: observers.difference_of_gaussians(21, 0), "bank"),
        (lambda: observers.fold_of(np.arange(5)), "5 subjects"),
        (lambda: observers.read(np.zeros((1, 5, 5)), np.zeros((1, 7, 7))), "equal"),
        (lambda: observers.read(np.full((1, 5, 5), np.nan), np.zeros((1, 5, 5))), "NaN"),
        (lambda: observers.linear_responses(np.zeros((4, 1)), np.ones(4, bool), np.arange(3)), "one of each"),
        (
            lambda: observers.linear_responses(np.zeros((4, 1)), np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 1])),
            "no image of one of the states",
        ),
        (
            lambda: observers.search(
                [np.zeros((4, 9, 9))], np.zeros((1, 9, 9)), np.ones(4, bool), np.zeros(4, int), np.ones((4, 3, 3), bool)
            ),
            "no places",
        ),
    ],
)
def test_bad_input_is_told(call, says) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=says):
        call()


@given(st.integers(5, 30), st.integers(0, 2**32 - 1), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_agreement_is_scipys_tau(n: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    metric, yardstick = (pd.Series(rng.integers(0, levels, n).astype(float)) for _ in range(2))
    if metric.nunique() == 1 or yardstick.nunique() == 1:
        with pytest.raises(InputError, match="no order"):
            stats.agreement(metric, yardstick)
        return
    found = stats.agreement(metric, yardstick, draws=50)
    assert found.tau == pytest.approx(kendalltau(metric, yardstick).statistic, abs=1e-12)
    pairs = [(i, j) for i, j in itertools.combinations(range(n), 2) if yardstick[i] != yardstick[j]]
    right = [0.5 + 0.5 * np.sign((metric[i] - metric[j]) * (yardstick[i] - yardstick[j])) for i, j in pairs]
    assert found.right == pytest.approx(np.mean(right), abs=1e-12)


def test_agreement_knows_its_uncertainty_and_its_limits() -> None:
    names = [f"m{k}" for k in range(12)]
    yardstick = pd.Series(np.arange(12.0), names)
    same = stats.agreement(yardstick * 2 + 1, yardstick)
    assert (same.tau, same.low, same.high, same.right) == (1.0, 1.0, 1.0, 1.0)
    noise = stats.agreement(pd.Series(np.random.default_rng(1).permutation(12), names), yardstick)
    assert noise.low < 0 < noise.high
    assert stats.agreement(pd.Series([1.0, np.nan, *range(2, 12)], names), yardstick).methods == 11
    with pytest.raises(InputError, match="4 methods"):
        stats.agreement(yardstick[:4], yardstick)


def test_pixels_are_labelled_by_what_the_image_shows() -> None:
    """Dice against a plain count of pixels, near 1 where classes differ in level and near the prior where nothing shows."""
    rng = np.random.default_rng(4)
    m, size = 40, 65
    labels = np.zeros((m, size, size), np.uint8)
    for k in range(6):
        labels[:, 10 * k : 10 * k + 10] = k
    subjects, halves = np.repeat(np.arange(10), 4).astype(str), np.repeat(np.arange(10) % 2, 4)
    clear = labels * 40.0 + rng.normal(0, 2, labels.shape)
    found = pixels.classify([clear], labels, subjects, halves)
    assert list(found) == list(pixels.CLASSES)
    assert all(dice.low > 0.9 for dice in found.values())
    blind = pixels.classify([rng.normal(100, 2, labels.shape)], labels, subjects, halves)
    assert all(dice.high < 0.5 for dice in blind.values())
    # Both sources side by side are as good as the one that shows it all.
    both = pixels.classify([clear, rng.normal(100, 2, labels.shape)], labels, subjects, halves)
    assert all(both[name].value > 0.9 for name in found)
    with pytest.raises(InputError, match="do not belong"):
        pixels.classify([clear[:, 1:]], labels, subjects, halves)


def test_no_half_labels_itself() -> None:
    """Labels that are the subject's own mark cannot be learnt: each half is labelled by a classifier of the other."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 6, (24, 17, 17)).astype(np.uint8)
    images = np.repeat(np.arange(24.0), 17 * 17).reshape(24, 17, 17) * 10
    subjects, halves = np.arange(24).astype(str), np.arange(24) % 2
    labels[:] = rng.integers(1, 6, 24)[:, None, None]
    found = pixels.classify([images], labels, subjects, halves)
    assert np.mean([dice.value for dice in found.values() if np.isfinite(dice.value)]) < 0.6


def test_a_share_is_a_ratio_of_sums_with_its_interval() -> None:
    part, whole = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 6.0, 6.0])
    found = observers.judge.share(part, whole, np.array(["a", "a", "b", "b"]))
    assert found.value == pytest.approx(10 / 16)
    assert (found.low, found.high) == pytest.approx((7 / 12, 3 / 4))


def test_label_maps_put_the_finding_over_the_tissue() -> None:
    truth = {"gm": np.array([[0.9, 0.9, 0.1]]), "bone": np.array([[0.0, 0.0, 0.8]]), "lesion": np.array([[0, 1, 0]])}
    assert pixels.label_map(truth, (1, 3)).tolist() == [[2, 5, 4]]
