"""Training machinery shared by all trained methods: pairs and crops, the loop, weights on disk. Knows no method."""

from fusionbench.training.data import (
    Split,
    TrainingPair,
    draw_crops,
    sample_seed,
    sample_seeds,
    split_by_case,
    spread,
    to_signed,
    without_copies,
)
from fusionbench.training.loop import Trial, train
from fusionbench.training.recipe import Recipe, Settings, learning_rate, mean_terms
from fusionbench.training.weights import load_pickle, load_strict, load_weights, save_weights

__all__ = [
    "Recipe",
    "Settings",
    "Split",
    "TrainingPair",
    "Trial",
    "draw_crops",
    "learning_rate",
    "load_pickle",
    "load_strict",
    "load_weights",
    "mean_terms",
    "sample_seed",
    "sample_seeds",
    "save_weights",
    "split_by_case",
    "spread",
    "to_signed",
    "train",
    "without_copies",
]
