"""Statistics: closed small examples, agreement with scipy called by hand, and awkward data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from fusionbench import stats

# AUC of C4.5 and its variants on 14 data sets: Demsar (2006), table 6; 0.9751 is printed 0.975 and ranked ahead of it.
DEMSAR = pd.DataFrame(
    {
        "c45": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
        "m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
        "cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
        "mcf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
    }
)


def blocks(pairs: int, methods: int, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(pairs, methods))
    return pd.DataFrame(values, columns=[f"m{i}" for i in range(methods)])


def test_demsars_published_example() -> None:
    lower_better = -DEMSAR
    result = stats.friedman(lower_better)
    nemenyi = stats.nemenyi(lower_better)
    assert isinstance(result, stats.Friedman)
    assert isinstance(nemenyi, stats.Nemenyi)
    # The paper prints average ranks 3.143, 2.000, 2.893, 1.964 and CD 1.25 at alpha 0.05.
    assert nemenyi.ranks.round(3).to_dict() == {"mcf": 1.964, "m": 2.0, "cf": 2.893, "c45": 3.143}
    assert nemenyi.difference == pytest.approx(1.25, abs=0.005)
    # Its chi-square (9.28) and F (3.69) leave ties uncorrected; the correction can only raise them.
    plain = 12 * 14 / (4 * 5) * ((nemenyi.ranks**2).sum() - 4 * 5**2 / 4)
    assert plain == pytest.approx(9.28, abs=0.005)
    assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=0.005)
    assert result.chi2 > plain
    assert result.p < 0.05


def test_friedman_is_scipys_and_iman_davenport_is_its_formula() -> None:
    data = blocks(12, 5)
    result = stats.friedman(data)
    assert isinstance(result, stats.Friedman)
    by_hand = scipy_stats.friedmanchisquare(*data.to_numpy().T)
    assert (result.chi2, result.p_chi2) == pytest.approx((by_hand.statistic, by_hand.pvalue), rel=1e-12)
    f = 11 * by_hand.statistic / (12 * 4 - by_hand.statistic)
    assert result.f == pytest.approx(f, rel=1e-12)
    assert result.p == pytest.approx(scipy_stats.f.sf(f, 4, 44), rel=1e-12)
    assert result.w == pytest.approx(by_hand.statistic / 48, rel=1e-12)


def test_friedman_of_perfect_agreement_and_of_nothing() -> None:
    agreed = pd.DataFrame([[1.0, 2.0, 3.0]] * 4, columns=list("abc"))
    result = stats.friedman(agreed)
    assert isinstance(result, stats.Friedman)
    assert (result.w, result.f) == (1.0, math.inf)
    assert result.p == pytest.approx(1 / 6**3)
    assert stats.friedman(agreed * 0) == "all methods are tied on every pair"
    assert "three methods" in str(stats.friedman(agreed[["a", "b"]]))
    assert "two pairs" in str(stats.friedman(agreed[:1]))
    assert "three methods" in str(stats.friedman(agreed[[]]))


# Row "m0" of scikit_posthocs 0.17.1, posthoc_nemenyi_friedman, on the blocks of the test below.
NEMENYI = [1.0, 0.482134559821, 0.0743021159016, 9.12158017941e-06, 2.94433976089e-08, 2.91033863675e-12]


def test_nemenyi_is_that_of_scikit_posthocs_and_agrees_with_its_own_critical_difference() -> None:
    data = blocks(20, 6, seed=3) + np.arange(6)
    result = stats.nemenyi(data)
    assert isinstance(result, stats.Nemenyi)
    assert [result.p.loc["m0", name] for name in data.columns] == pytest.approx(NEMENYI, rel=1e-9)
    for a in data.columns:
        for b in data.columns:
            if a != b:
                apart = abs(result.ranks[a] - result.ranks[b])
                assert (apart >= result.difference) == (result.p[b][a] < 0.05)
                together = any(a in group and b in group for group in result.groups)
                assert together == (apart < result.difference)


def test_nemenyi_needs_two_methods_and_two_pairs() -> None:
    told = "Nemenyi's test needs two methods and two pairs or more, here"
    assert stats.nemenyi(blocks(9, 1)) == f"{told} 1 and 9"
    assert stats.nemenyi(blocks(1, 4)) == f"{told} 4 and 1"
    assert isinstance(stats.nemenyi(blocks(2, 2)), stats.Nemenyi)


def test_cliques_are_maximal_runs() -> None:
    ranks = pd.Series({"a": 1.0, "b": 1.5, "c": 3.0, "d": 3.2, "e": 9.0})
    assert stats.cliques(ranks, 1.75) == [["a", "b"], ["b", "c", "d"]]
    assert stats.cliques(ranks, 0.1) == []
    assert stats.cliques(pd.Series({"a": 1.0, "b": 2.0, "c": 3.0}), 1.0) == []  # so far apart is significant
    assert stats.cliques(ranks, 100) == [list("abcde")]


def test_ranks_ties_and_undefined() -> None:
    values = pd.Series({"a": 2.0, "b": 2.0, "c": 5.0, "d": np.nan})
    assert stats.rank(values, "higher").to_dict() == {"c": 1, "a": 2.5, "b": 2.5, "d": 4}
    assert stats.rank(values, "lower").to_dict() == {"a": 1.5, "b": 1.5, "c": 3, "d": 4}
    with pytest.raises(ValueError, match="sideways"):
        stats.rank(values, "sideways")


def test_controls_get_the_rank_they_would_have() -> None:
    values = pd.Series({"a": 3.0, "b": 2.0, "c": 1.0, "top": 9.0, "equal": 2.0, "last": 0.0, "none": np.nan})
    ranks = stats.rank_beside(values, "higher", {"top", "equal", "last", "none"})
    assert ranks.to_dict() == {"a": 1, "b": 2, "c": 3, "top": 1, "equal": 2.5, "last": 4, "none": 4}
    assert stats.rank_beside(values, "lower", {"top", "equal", "last", "none"})["top"] == 4


def test_borda_and_wins() -> None:
    means = pd.DataFrame({"up": [3.0, 2.0, 1.0], "down": [5.0, 1.0, 1.0]}, index=list("abc"))
    better = {"up": "higher", "down": "lower"}
    assert stats.share_of_wins(means, better).to_dict() == {"a": 0.5, "b": 0.25, "c": 0.25}
    assert stats.share_of_wins(means[["up"]], better).to_dict() == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert stats.share_of_wins(means[[]], better).to_dict() == {"a": 0.0, "b": 0.0, "c": 0.0}
    frames = {
        "up": pd.DataFrame([[3.0, 2.0, 1.0]], columns=list("abc")),
        "down": pd.DataFrame([[5.0, 1, 1]], columns=list("abc")),
    }
    assert stats.borda(frames, better).to_dict() == {"a": 0.5, "b": 0.625, "c": 0.375}
    assert stats.borda({"up": frames["up"][["a"]]}, better).isna().all()


def test_holm_by_hand() -> None:
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    assert stats.holm(p) == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    assert stats.holm(np.array([0.6, 0.01])).tolist() == [0.6, 0.02]
    assert stats.holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def signs(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the signed-rank test by trying all signs."""
    moved = differences[differences != 0]
    ranks = scipy_stats.rankdata(np.abs(moved))
    sums = np.array(list(itertools.product((0, 1), repeat=len(moved)))) @ ranks
    observed = ranks[moved > 0].sum()
    return float(min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean())))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.4, 8.0]), st.booleans())
def test_wilcoxon_with_ties_and_zeros_tries_all_signs(pairs: int, seed: int, scale: float, missing: bool) -> None:
    random = np.random.default_rng(seed)
    values = np.round(random.normal(size=(pairs, 6)) * scale)
    values[:, 5] = 0
    if missing:
        values[random.integers(pairs), 1] = np.nan
    for column, p in zip(values.T, stats.wilcoxon(values), strict=True):
        kept = column[~np.isnan(column)]
        expected = math.nan if kept.size == 0 else signs(kept) if kept.any() else 1.0
        assert p == pytest.approx(expected, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(("pairs", "method"), [(8, "exact"), (24, "exact"), (50, "exact"), (51, "asymptotic")])
def test_wilcoxon_without_ties_is_scipys(pairs: int, method: str) -> None:
    values = np.random.default_rng(pairs).normal(0.2, size=(pairs, 3))
    for column, p in zip(values.T, stats.wilcoxon(values), strict=True):
        assert p == pytest.approx(scipy_stats.wilcoxon(column, method=method).pvalue, rel=1e-10)


def test_wilcoxon_of_24_tied_pairs_is_exact() -> None:
    """All in favour: 2 / 2**24, where the normal approximation says 2e-5."""
    assert stats.wilcoxon(np.ones((24, 1)))[0] == 2 / 2**24


def test_pairwise_table() -> None:
    scores = blocks(10, 3, seed=5) + np.array([0.0, 0.5, 3.0])
    table = stats.pairwise(scores, "higher")
    assert list(zip(table["first"], table["second"], strict=True)) == [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    line = table.iloc[1]
    assert line["difference"] == pytest.approx((scores["m0"] - scores["m2"]).mean())
    assert line["effect"] == -1.0  # m2 is better on every pair
    assert line["p"] == scipy_stats.wilcoxon(scores["m0"], scores["m2"]).pvalue == 2 / 2**10
    assert stats.pairwise(scores, "lower")["effect"].iloc[1] == 1.0
    assert stats.pairwise(scores[["m0"]], "higher").empty
    assert stats.pairwise(scores[:0], "higher").empty
    assert stats.pairwise(scores[:1], "higher")["p_holm"].tolist() == [1.0, 1.0, 1.0]


def test_pairwise_of_few_defined_pairs() -> None:
    scores = pd.DataFrame({"m0": [1.0, 2.0], "m1": [0.5, np.nan], "m2": [np.nan, np.nan]})
    table = stats.pairwise(scores, "higher")
    assert table["pairs"].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(table["difference"], [0.5, np.nan, np.nan])


def test_rank_biserial_by_hand() -> None:
    assert stats.rank_biserial(np.array([1.0, 2.0, -3.0, 0.0])) == pytest.approx((1 + 2 - 3) / 6)
    assert stats.rank_biserial(np.array([0.0, 0.0])) == 0.0
