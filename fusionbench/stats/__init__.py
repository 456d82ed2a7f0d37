"""The statistics of a comparison of methods: pure functions on pandas frames, no files, no torch.

A *score frame* has a row a pair and a column a method; ``better`` is "higher" or "lower". Nothing here drops a NaN in
silence: each function says what an undefined score does. ``patients`` names whose each pair is: the unit of all tests and
intervals but those of ``significance``, which count pairs.
"""

from fusionbench.stats.claims import (
    ALPHA,
    Claim,
    claim,
    congruence,
    interval,
    patients_needed,
    probability_false,
    verdict,
)
from fusionbench.stats.patients import (
    by_patient,
    confidence_set,
    equivalence,
    max_t,
    pairwise_by_patient,
    sign_flip,
    smallest_p,
)
from fusionbench.stats.ranks import borda, pair_ranks, rank, rank_beside, rank_margin, share_of_wins
from fusionbench.stats.significance import (
    Friedman,
    Nemenyi,
    cliques,
    critical_difference,
    friedman,
    holm,
    nemenyi,
    pairwise,
    rank_biserial,
    wilcoxon,
)
from fusionbench.stats.stability import (
    MIN_PATIENTS,
    RESAMPLES,
    Bootstrap,
    bootstrap,
    mean_rank,
    places,
    resampled_means,
    resampled_ranks,
    resamples,
    without_each_method,
    without_each_metric,
    without_each_patient,
)

__all__ = [
    "ALPHA",
    "MIN_PATIENTS",
    "RESAMPLES",
    "Bootstrap",
    "Claim",
    "Friedman",
    "Nemenyi",
    "bootstrap",
    "borda",
    "by_patient",
    "claim",
    "cliques",
    "confidence_set",
    "congruence",
    "critical_difference",
    "equivalence",
    "friedman",
    "holm",
    "interval",
    "max_t",
    "mean_rank",
    "nemenyi",
    "pair_ranks",
    "pairwise",
    "pairwise_by_patient",
    "patients_needed",
    "places",
    "probability_false",
    "rank",
    "rank_beside",
    "rank_biserial",
    "rank_margin",
    "resampled_means",
    "resampled_ranks",
    "resamples",
    "share_of_wins",
    "sign_flip",
    "smallest_p",
    "verdict",
    "wilcoxon",
    "without_each_method",
    "without_each_metric",
    "without_each_patient",
]
