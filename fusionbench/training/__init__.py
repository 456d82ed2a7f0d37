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
from fusionbench.training.network import NetworkSpec, NoChoice, PublishedFile, Stage, change_fields, one_size
from fusionbench.training.recipe import PairRecipe, Recipe, Settings, Terms, learning_rate, mean_terms
from fusionbench.training.weights import load_pickle, load_strict, load_weights, save_weights

__all__ = [
    "NetworkSpec",
    "NoChoice",
    "PairRecipe",
    "PublishedFile",
    "Recipe",
    "Settings",
    "Split",
    "Stage",
    "Terms",
    "TrainingPair",
    "Trial",
    "change_fields",
    "draw_crops",
    "learning_rate",
    "load_pickle",
    "load_strict",
    "load_weights",
    "mean_terms",
    "one_size",
    "sample_seed",
    "sample_seeds",
    "save_weights",
    "split_by_case",
    "spread",
    "to_signed",
    "train",
    "without_copies",
]
