"""Statistics by patient: against plain enumerations, double loops and closed forms, and what few patients cannot show."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike
from scipy import stats as scipy_stats

from fusionbench import stats
from tests.test_stats import blocks


def flips(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=n))


def statistic(values: ArrayLike) -> float:
    d = np.asarray(values, dtype=float)
    norm = math.sqrt((d**2).sum())
    return abs(d.sum()) / norm if norm else 0.0


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (3, 1), (6, 2), (9, 3), (11, 4)])
def test_sign_flip_is_a_plain_enumeration(n: int, seed: int) -> None:
    d = np.random.default_rng(seed).normal(0.4, 1, n)
    hits = sum(abs((np.array(s) * d).sum()) >= abs(d.sum()) - 1e-12 for s in flips(n))
    assert stats.sign_flip(d) == hits / 2**n


def test_sign_flip_agrees_with_scipys_permutation_test() -> None:
    d = np.random.default_rng(5).normal(0.5, 1, 10)
    found = scipy_stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert stats.sign_flip(d) == pytest.approx(found.pvalue, abs=1e-12)


def test_drawn_signs_agree_with_all_signs() -> None:
    """25 patients: 2^25 flips by a transform of integers (the distribution of the flipped sum), 100,000 by draws."""
    d = np.random.default_rng(6).integers(-9, 12, 25)
    distribution = np.ones(1)
    for value in np.abs(d):
        step = np.zeros(2 * value + 1)
        step[0] += 0.5
        step[-1] += 0.5
        distribution = np.convolve(distribution, step)
    sums = np.arange(len(distribution)) - np.abs(d).sum()
    exact = distribution[np.abs(sums) >= abs(d.sum())].sum()
    assert stats.sign_flip(d) == pytest.approx(exact, abs=4 * math.sqrt(exact / 1e5))
    assert stats.sign_flip(d) == stats.sign_flip(d)


@pytest.mark.parametrize(
    ("n", "least"), [(1, 1.0), (3, 0.25), (5, 0.0625), (6, 0.03125), (15, 2**-14), (30, 1 / 100_001)]
)
def test_the_smallest_p(n: int, least: float) -> None:
    assert stats.smallest_p(n) == least == stats.sign_flip(np.arange(1.0, n + 1))


def test_undefined_and_equal_differences() -> None:
    assert stats.sign_flip([1.0, np.nan, 2.0, 3.0]) == 0.25
    assert math.isnan(stats.sign_flip([np.nan]))
    assert stats.sign_flip([0.0, 0.0, 0.0]) == 1.0


def test_max_t_is_a_plain_double_loop() -> None:
    """Free step-down of Westfall and Young, one flip and one comparison at a time."""
    d = blocks(7, 5, seed=7) + np.array([0.0, 0.9, 0.2, -0.7, 0.1])
    d.iloc[2, 4] = np.nan
    values = d.to_numpy()
    observed = [statistic(c[~np.isnan(c)]) for c in values.T]
    order = sorted(range(5), key=lambda c: -observed[c])
    hits = [0] * 5
    for s in flips(7):
        for k in range(5):
            later = [statistic((np.array(s) * values[:, c])[~np.isnan(values[:, c])]) for c in order[k:]]
            hits[k] += max(later) >= observed[order[k]] - 1e-12
    expected, largest = [0.0] * 5, 0.0
    for k in range(5):
        largest = max(largest, hits[k] / 2**7)
        expected[order[k]] = largest
    assert stats.max_t(d).tolist() == pytest.approx(expected, abs=1e-12)


def test_max_t_of_one_comparison_is_the_sign_flip_test_and_copies_cost_nothing() -> None:
    d = np.random.default_rng(8).normal(0.5, 1, 9)
    assert stats.max_t(pd.DataFrame({"a": d}))["a"] == stats.sign_flip(d)
    assert set(stats.max_t(pd.DataFrame(dict.fromkeys("abcdef", d)))) == {stats.sign_flip(d)}
    assert stats.max_t(pd.DataFrame({"a": d, "b": d * np.nan})).isna().tolist() == [False, True]


def test_pairwise_by_patient() -> None:
    scores = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [0.0, 0, 4, 2], "c": [1.0, 2, 3, np.nan]})
    table = stats.pairwise_by_patient(scores)
    assert table[["first", "second"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert table["patients"].tolist() == [4, 3, 3]
    assert table["difference"].tolist() == pytest.approx([1.0, 0.0, -2 / 3])
    assert table["agree"].tolist() == pytest.approx([0.75, 1.0, 2 / 3])
    assert table["p"].tolist() == [stats.sign_flip([1, 2, -1, 2]), 1.0, stats.sign_flip([-1, -2, 1])]
    assert table["p_adjusted"].tolist() == pytest.approx(
        stats.max_t(pd.DataFrame({"ab": [1, 2, -1, 2], "ac": [0, 0, 0, np.nan], "bc": [-1, -2, 1, np.nan]})).tolist()
    )


def test_patients_are_averaged_over_their_pairs() -> None:
    frame = pd.DataFrame({"a": [1.0, 3.0, 5.0], "b": [1.0, np.nan, 2.0]}, index=["p", "q", "r"])
    found = stats.by_patient(frame, ["x", "x", "y"])
    assert found.index.tolist() == ["x", "y"]
    assert found["a"].tolist() == [2.0, 5.0]
    np.testing.assert_array_equal(found["b"], [np.nan, 2.0])
    for patients, words in ((["x"], "1 patients for 3 pairs"), (["x", "", "y"], "a pair has no patient")):
        with pytest.raises(ValueError, match=words):
            stats.by_patient(frame, patients)


def test_confidence_set_is_a_plain_elimination() -> None:
    """The range statistic over all flips, one set of methods at a time."""
    scores = blocks(8, 4, seed=9) + np.array([0.0, 0.4, 1.5, 2.5])
    left, p, largest = [str(name) for name in scores], {}, 0.0
    while len(left) > 1:
        pairs = list(itertools.combinations(left, 2))
        d = np.array([scores[i] - scores[j] for i, j in pairs])
        observed = max(statistic(x) for x in d)
        hits = sum(max(statistic(x * np.array(s)) for x in d) >= observed - 1e-12 for s in flips(8))
        largest = max(largest, hits / 2**8)

        def beaten(m: str, others: list[str]) -> float:
            ways = [np.sign((scores[m] - scores[o]).sum()) * statistic(scores[m] - scores[o]) for o in others if o != m]
            return float(max(ways))

        out = max(left, key=lambda m: beaten(m, left))
        p[out] = largest
        left.remove(out)
    p[left[0]] = 1.0
    assert stats.confidence_set(scores).to_dict() == pytest.approx(p, abs=1e-12)


def test_confidence_set_agrees_with_arch() -> None:
    """PyPI arch 8.0.0, MCS(losses, 0.05, reps=10000, block_size=1, method="R", bootstrap="circular", seed=0): p values
    of the Model Confidence Set on these 200 losses of five models. Its statistic has a bootstrap's variance, ours flips."""
    losses = pd.DataFrame(
        np.random.default_rng(10).normal(size=(200, 5)) * 0.5 + np.array(MCS_MEANS), columns=list("abcde")
    )
    found = stats.confidence_set(losses)
    for model, p in MCS_ARCH.items():
        assert found[model] == pytest.approx(p, abs=0.02)


MCS_MEANS = [0.0, 0.02, 0.05, 0.1, 0.2]
MCS_ARCH = {"a": 1.0, "b": 0.3729, "c": 0.3729, "d": 0.0927, "e": 0.0008}


def test_confidence_set_of_few_patients_holds_everybody() -> None:
    scores = blocks(3, 6, seed=11) + 10.0 * np.arange(6)
    assert (stats.confidence_set(scores) >= 0.25).all()
    assert stats.confidence_set(scores[["m0"]]).tolist() == [1.0]
    assert stats.confidence_set(scores[:0]).isna().all()
    scores.loc[0, "m0"] = np.nan
    assert stats.confidence_set(scores).isna().tolist() == [True] + [False] * 5


@pytest.mark.parametrize("n", [4, 5, 9])
def test_equivalence_is_the_90_percent_interval_within_the_margin(n: int) -> None:
    d = np.random.default_rng(n).normal(0.05, 0.2, n)
    low, high = stats.interval(d, 0.9)
    for margin in np.linspace(0.01, 0.6, 41):
        assert (stats.equivalence(d[:, None], margin)[0] <= 0.05) == (-margin <= low and high <= margin)


def test_the_interval_holds_what_the_test_does_not_refuse() -> None:
    d = np.random.default_rng(12).normal(0.5, 1, 8)
    low, high = stats.interval(d)
    for inside, outside in ((low + 1e-6, low - 1e-6), (high - 1e-6, high + 1e-6)):
        assert stats.sign_flip(d - inside) > 0.05 >= stats.sign_flip(d - outside)
    assert stats.interval(np.array([1.0, 2, 3, 4, 5])) == (-math.inf, math.inf)
    assert stats.interval(np.arange(6.0)) == (0.0, 5.0)


def test_the_interval_of_many_patients_is_students() -> None:
    d = np.random.default_rng(13).normal(0.2, 1, 200)
    expected = scipy_stats.t.interval(0.95, 199, d.mean(), d.std(ddof=1) / math.sqrt(200))
    assert stats.interval(d) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("effect", "p", "inside", "patients", "word"),
    [
        (1.0, 0.05, math.nan, 10, "better"),
        (-1.0, 0.01, math.nan, 10, "worse"),
        (1.0, 0.01, 0.05, 10, "equivalent"),  # certain, and too small to be of use
        (1.0, 0.06, 0.06, 10, "not separable"),
        (1.0, 0.25, 0.5, 3, "not decidable"),
        (1.0, math.nan, math.nan, 10, "not separable"),
    ],
)
def test_verdicts(effect: float, p: float, inside: float, patients: int, word: str) -> None:
    assert stats.verdict(effect, p, inside, patients) == word


def test_a_claim() -> None:
    d = np.random.default_rng(14).normal(0.8, 0.5, 12)
    found = stats.claim([*d, np.nan], margin=0.1)
    assert (found.patients, found.verdict) == (12, "better")
    assert found.effect == pytest.approx(d.mean())
    assert found.p == stats.sign_flip(d)
    assert found.agree == (d > 0).mean()
    assert found.low < found.effect < found.high
    assert stats.claim(-d).verdict == "worse"
    assert stats.claim([0.01, -0.01, 0.02, 0.0, 0.01, -0.01], margin=0.1).verdict == "equivalent"
    assert stats.claim([5.0, 6.0, 7.0]).verdict == "not decidable"
    with pytest.raises(ValueError, match="no patient has a defined difference"):
        stats.claim([np.nan])


def test_patients_needed_are_those_of_students_power() -> None:
    """Differences that are as good as normal: n of the paired t test at 80 %, by scipy's noncentral t."""
    d = scipy_stats.norm.ppf((np.arange(200) + 0.5) / 200)
    d = d / d.std() + 0.6

    def power(n: int) -> float:
        limit = scipy_stats.t.ppf(0.975, n - 1)
        return float(scipy_stats.nct.sf(limit, n - 1, 0.6 * math.sqrt(n)))

    expected = next(n for n in range(3, 100) if power(n) >= 0.8)
    assert stats.patients_needed(d) == pytest.approx(expected, abs=4)
    assert stats.patients_needed(np.array([1.0, 1.0, 1.0])) == 6  # no fewer can show anything
    assert stats.patients_needed(np.array([1.0, -1.0])) is None
    assert stats.patients_needed(np.zeros(5)) is None


def test_the_probability_that_a_printed_claim_is_false() -> None:
    """Draws from the posterior: variance by scaled inverse chi-square, mean by the normal distribution given it."""
    means, deviations, n, r = (0.61, 0.59), (0.05, 0.06), 24, 0.7
    random = np.random.default_rng(15)
    variance = 0.05**2 + 0.06**2 - 2 * r * 0.05 * 0.06
    drawn = variance * (n - 1) / random.chisquare(n - 1, 400_000)
    difference = 0.02 + random.normal(size=400_000) * np.sqrt(drawn / n)
    assert stats.probability_false(means, deviations, n, r) == pytest.approx((difference <= 0).mean(), abs=0.002)
    assert stats.probability_false(means, deviations, n) > stats.probability_false(means, deviations, n, 0.9)
    assert stats.probability_false((1, 1), (1, 2), 9) == 0.5
    assert stats.probability_false((2, 1), (0, 0), 9) == 0.0
    for bad in (((1, 1), (1, 1), 1, 0), ((1, 1), (-1, 1), 5, 0), ((1, 1), (1, 1), 5, 1.5)):
        with pytest.raises(ValueError, match=r"n = 1|deviations"):
            stats.probability_false(*bad)


def test_the_probability_is_the_p_of_the_paired_t_test_where_scores_are_known() -> None:
    a, b = np.random.default_rng(16).normal(0.2, 1, (2, 18)) + np.random.default_rng(17).normal(size=18)
    found = stats.probability_false((a.mean(), b.mean()), (a.std(ddof=1), b.std(ddof=1)), 18, stats.congruence(a, b))
    assert found == pytest.approx(scipy_stats.ttest_rel(a, b, alternative="greater").pvalue, abs=1e-12)


def test_congruence() -> None:
    assert stats.congruence([1, 2, 3, np.nan], [2, 4, 6.5, 1]) == pytest.approx(
        np.corrcoef([1, 2, 3], [2, 4, 6.5])[0, 1]
    )
    assert math.isnan(stats.congruence([1, 1, 1], [1, 2, 3]))
    assert math.isnan(stats.congruence([1], [1]))


def test_equal_methods_are_seldom_told_apart() -> None:
    """Ten equal methods, 24 pairs of few patients whose slices correlate by 0.8: a false "better" on at most 5 % of boards
    (300 here; tools/false_alarms.py has 1,000 of each kind), and never with three patients."""
    random = np.random.default_rng(18)
    for patients, boards in ((3, 100), (10, 300)):
        whose = np.arange(24) % patients
        false = 0
        for _ in range(boards):
            shared, own = random.normal(size=(patients, 10)), random.normal(size=(24, 10))
            scores = pd.DataFrame(math.sqrt(0.8) * shared[whose] + math.sqrt(0.2) * own)
            ranks = stats.by_patient(stats.pair_ranks({"x": scores}, {"x": "higher"}), [str(p) for p in whose])
            false += bool((stats.pairwise_by_patient(ranks)["p_adjusted"] <= stats.ALPHA).any())
        assert false == 0 if patients == 3 else false <= 0.05 * boards + 2 * math.sqrt(0.05 * 0.95 * boards)


def test_bootstrap_of_one_value_a_case_matches_the_plain_bootstrap_of_means() -> None:
    scores = {"x": blocks(15, 2, seed=2)}
    result = stats.bootstrap(scores, ["x"], {"x": "higher"}, [f"case{i}" for i in range(15)], count=4000)
    assert isinstance(result, stats.Bootstrap)
    plain = scipy_stats.bootstrap(
        (scores["x"]["m0"].to_numpy(),), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert result.low.loc["m0", "x"] == pytest.approx(plain.low, abs=0.06)
    assert result.high.loc["m0", "x"] == pytest.approx(plain.high, abs=0.06)


def test_bootstrap_resamples_whole_patients() -> None:
    """Five patients of many identical slices: an interval that took slices for independent would be narrow."""
    frame = pd.DataFrame({"a": np.repeat(np.arange(5.0), 20)})
    result = stats.bootstrap({"x": frame}, ["x"], {"x": "higher"}, [str(n // 20) for n in range(100)])
    assert isinstance(result, stats.Bootstrap)
    assert result.patients == 5
    assert result.low["x"].to_list()[0] < 1.0
    assert result.high["x"].to_list()[0] > 3.0


def test_bootstrap_draws_the_same_patients_every_time() -> None:
    one, two = (
        stats.bootstrap({"x": blocks(9, 3, seed=4)}, ["x"], {"x": "lower"}, list("aabbccdef")) for _ in range(2)
    )
    assert isinstance(one, stats.Bootstrap)
    assert isinstance(two, stats.Bootstrap)
    pd.testing.assert_frame_equal(one.low, two.low, check_exact=True)
    pd.testing.assert_frame_equal(one.places, two.places, check_exact=True)


def test_bootstrap_controls_undefined_and_too_few_patients() -> None:
    frame = blocks(10, 3)
    frame.loc[0, "m1"] = np.nan
    cases = list("aabbccddee")
    result = stats.bootstrap({"x": frame}, ["x"], {"x": "higher"}, cases, controls={"m2"})
    assert isinstance(result, stats.Bootstrap)
    assert list(result.rank_low.index) == list(result.places.index) == ["m0", "m1"]
    assert np.isnan(result.low["x"]["m1"])
    assert (result.rank_low["m1"], result.rank_high["m0"]) == (2.0, 1.0)  # undefined always ranks last
    assert result.first.to_dict() == {"m0": 1.0, "m1": 0.0}
    assert result.expected.to_dict() == {"m0": 1.0, "m1": 2.0}
    assert result.among_three.to_dict() == {"m0": 1.0, "m1": 1.0}
    assert stats.bootstrap({"x": frame}, ["x"], {"x": "higher"}, list("aaabbbcccc")) == (
        "intervals need 5 patients or more, here 3 (10 different resamples)"
    )


def test_places_are_shared_by_those_that_tie() -> None:
    found = stats.places(pd.DataFrame({"a": [1.0, 1.0], "b": [1.0, 2.0], "c": [3.0, 2.0]}))
    assert list(found.loc["a"]) == [0.75, 0.25, 0.0]
    assert list(found.loc["b"]) == [0.25, 0.5, 0.25]
    assert list(found.loc["c"]) == [0.0, 0.25, 0.75]


def test_persons_are_drawn_in_all_their_tasks_at_once_and_no_task_is_lost() -> None:
    drawn = stats.resamples({"one": ["a", "a", "b", "c"], "two": ["b", "d", "e"]}, 50)
    assert (drawn["one"][:, 0] == drawn["one"][:, 1]).all()
    assert (drawn["one"][:, 2] == drawn["two"][:, 0]).all()  # b
    assert (drawn["one"][:, 2] == 1).all()  # alone in its group
    assert (drawn["one"][:, 1] + drawn["one"][:, 3] == 2).all()
    assert (drawn["two"][:, 1:].sum(axis=1) == 2).all()
    assert set(drawn["two"][:, 1]) == {0.0, 1.0, 2.0}


def test_leaving_one_out() -> None:
    scores = {"x": blocks(6, 3, seed=20), "y": blocks(6, 3, seed=21)}
    better, patients = {"x": "higher", "y": "lower"}, list("aabbcc")
    means = pd.DataFrame({m: f.mean() for m, f in scores.items()})
    ranks = pd.DataFrame({m: stats.rank(means[m], better[m]) for m in scores})
    assert stats.mean_rank(means, better).tolist() == ranks.mean(axis=1).tolist()
    assert stats.without_each_metric(ranks)["x"].tolist() == ranks["y"].tolist()
    few = stats.without_each_method(means, better)["m1"]
    assert few.drop("m1").to_dict() == stats.mean_rank(means.drop(index="m1"), better).to_dict()
    assert np.isnan(few["m1"])
    kept = pd.DataFrame({m: f[2:].mean() for m, f in scores.items()})
    assert stats.without_each_patient(scores, better, patients)["a"].tolist() == stats.mean_rank(kept, better).tolist()
    with pytest.raises(ValueError, match="two or more, here 1"):
        stats.without_each_metric(ranks[["x"]])
    with pytest.raises(ValueError, match="two or more, here 1"):
        stats.without_each_patient(scores, better, ["a"] * 6)


def test_the_margin_of_ranks_is_a_plain_loop() -> None:
    scores = {"x": blocks(4, 5, seed=22).round(1), "y": blocks(4, 5, seed=23)}
    better, margins = {"x": "higher", "y": "lower"}, {"x": 0.3, "y": 0.5}
    moves = []
    for pair, method, up in itertools.product(range(4), scores["x"].columns, (1, -1)):
        change = 0.0
        for metric, frame in scores.items():
            still = pd.Series(frame.to_numpy()[pair], index=frame.columns)
            moved = still.copy()
            moved[method] += up * margins[metric] * (1 if better[metric] == "higher" else -1)
            change += stats.rank(moved, better[metric])[method] - stats.rank(still, better[metric])[method]
        moves.append(abs(change / 2))
    assert stats.rank_margin(scores, better, margins) == pytest.approx(np.median(moves))
    assert stats.rank_margin(scores, better, {"x": 0.0, "y": 0.0}) == 0.0


def test_win_rates() -> None:
    ranks = pd.DataFrame({"a": [1.0, 2.0, 1.0, np.nan], "b": [2.0, 1.0, 1.0, 1.0], "c": [np.nan] * 4})
    found = stats.win_rates(ranks)
    assert (found.to_numpy()[0, 1], found.to_numpy()[1, 0]) == (0.5, 0.5)
    assert np.isnan(found.to_numpy()[0, [0, 2]]).all()
    ranks["b"] = [2.0, 3.0, 1.0, 1.0]
    assert stats.win_rates(ranks).to_numpy()[0, 1] == pytest.approx(2.5 / 3)


def test_equivalence_is_a_plain_enumeration_of_two_one_sided_tests() -> None:
    d = np.array([0.1, -0.2, 0.3, 0.05, 0.15])
    sides = []
    for side in (1, -1):
        inside = 0.4 - side * d
        sides.append(sum((np.array(s) * inside).sum() >= inside.sum() - 1e-12 for s in flips(5)) / 2**5)
    assert stats.equivalence(d[:, None], 0.4)[0] == max(sides)


def test_the_margin_of_ranks_of_equal_scores_is_half_a_rank() -> None:
    scores = {"x": pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})}
    assert stats.rank_margin(scores, {"x": "higher"}, {"x": 0.5}) == 0.5
