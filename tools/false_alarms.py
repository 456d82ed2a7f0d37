"""How often boards of equal methods show a "better", and how often a true difference is found: for docs/inference.md.

    python tools/false_alarms.py [--boards 1000] [--patients 3 10 15] [--effect 0 1.5 2.5]

A board: 10 methods, 24 pairs of 3, 10 or 15 patients, scores of one metric whose slices of one patient correlate by 0.8. Two
tests on ranks within pairs: that of version 0.1.0 (Wilcoxon over the 24 pairs, Holm over the 45 comparisons), and sign flips
by patient with step-down max-T. False alarms: boards of equal methods with at least one "better". Power: boards on which the
first method, which has ``effect`` standard deviations more, is called better than the tenth.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from fusionbench import stats

METHODS, PAIRS, CORRELATION = 10, 24, 0.8


def board(patients: int, effect: float, random: np.random.Generator) -> tuple[pd.DataFrame, list[str]]:
    """(pair x method scores, the patient of each pair)."""
    whose = np.arange(PAIRS) * patients // PAIRS
    shared, own = random.normal(size=(patients, METHODS)), random.normal(size=(PAIRS, METHODS))
    scores = np.sqrt(CORRELATION) * shared[whose] + np.sqrt(1 - CORRELATION) * own
    scores[:, 0] += effect
    return pd.DataFrame(scores), [str(name) for name in whose]


def calls(scores: pd.DataFrame, patients: list[str]) -> tuple[pd.Series, pd.Series]:
    """Adjusted p of every two methods by pairs and by patient, in one order; the ninth is that of first and tenth."""
    blocks = stats.pair_ranks({"": scores}, {"": "higher"})
    old = stats.pairwise(blocks, "lower")["p_holm"]
    return old, stats.pairwise_by_patient(stats.by_patient(blocks, patients))["p_adjusted"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=1000)
    parser.add_argument("--patients", type=int, nargs="+", default=[3, 10, 15])
    parser.add_argument("--effect", type=float, nargs="+", default=[0.0, 1.5, 2.5])
    options = parser.parse_args()
    print("| patients | true effect | by pairs (0.1.0) | by patient |\n|--:|--:|--:|--:|")
    for patients in options.patients:
        for effect in options.effect:
            random = np.random.default_rng(patients)
            found = np.zeros(2)
            for _ in range(options.boards):
                both = calls(*board(patients, effect, random))
                found += [bool((p <= stats.ALPHA).any() if effect == 0 else p[8] <= stats.ALPHA) for p in both]
            told = " | ".join(f"{share:.1%}" for share in found / options.boards)
            print(f"| {patients} | {effect or 'none'} | {told} |", flush=True)


if __name__ == "__main__":
    main()
