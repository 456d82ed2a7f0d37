"""The statistics of a comparison of methods: pure functions on pandas frames, no files, no torch.

A *score frame* has a row a pair and a column a method; ``better`` is "higher" or "lower". Nothing here drops a NaN in
silence: each function says what an undefined score does.
"""

from fusionbench.stats.intervals import RESAMPLES, Bootstrap, bootstrap
from fusionbench.stats.ranks import borda, pair_ranks, rank, rank_beside, share_of_wins
from fusionbench.stats.significance import (
    ALPHA,
    Friedman,
    Nemenyi,
    against_best,
    cliques,
    critical_difference,
    friedman,
    holm,
    nemenyi,
    pairwise,
    rank_biserial,
    tied_with_best,
    wilcoxon,
)

__all__ = [
    "ALPHA",
    "RESAMPLES",
    "Bootstrap",
    "Friedman",
    "Nemenyi",
    "against_best",
    "bootstrap",
    "borda",
    "cliques",
    "critical_difference",
    "friedman",
    "holm",
    "nemenyi",
    "pair_ranks",
    "pairwise",
    "rank",
    "rank_beside",
    "rank_biserial",
    "share_of_wins",
    "tied_with_best",
    "wilcoxon",
]
