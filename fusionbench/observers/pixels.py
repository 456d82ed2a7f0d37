"""A pixel task: tissues and findings labelled by one fixed classifier on what an image shows, judged by Dice.

"Fusion helps segmentation", tested: the classifier (histogram gradient boosting of scikit-learn on the multi-scale features
of scikit-image) is trained on regions of some subjects of one method and labels those of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.observers.channels import middle
from fusionbench.observers.judge import Auc, share

Floats = NDArray[np.float64]
Labels = NDArray[np.uint8]

CLASSES = ("fluid", "grey", "white", "bone", "finding")
"""Labels 1 to 5; 0 is everything else."""
_MAPS = ("csf", "gm", "wm", "bone")
SAMPLED = 60  # training pixels an image, and as many of its finding
MOST_SUBJECTS = 50
"""More are not read: fifty tell Dice to about 0.01, and thousands of images would take minutes a method."""


def label_map(truth: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> Labels:
    """(H, W) uint8: the tissue that fills most of a pixel, and over it the finding, in whichever image it is."""
    labels = np.zeros(shape, np.uint8)
    for number, name in enumerate(_MAPS, 1):
        if name in truth:
            labels[truth[name] > 0.5] = number
    if "lesion" in truth:
        labels[truth["lesion"] > 0] = len(CLASSES)
    return labels


def classify(
    regions: Sequence[Floats], labels: Labels, subjects: NDArray[np.str_], halves: NDArray[np.int64], *, seed: int = 0
) -> dict[str, Auc]:
    """Dice of each class with its 95 % interval by bootstrap of subjects.

    ``regions``: stacks (M, H, W) read side by side; ``labels`` (M, H, W); ``subjects`` (M,); ``halves`` (M,) 0 or 1, all
    images of a subject alike: each half is labelled by a classifier trained on the other. Dice: 2 |P and T| / (|P| + |T|)
    over all pixels of the central 65 x 65. Raises InputError where images and labels differ in number or size.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if any(part.shape != labels.shape for part in regions):
        raise InputError(f"labels of shape {labels.shape} do not belong to regions of shape {regions[0].shape}")
    features = _features(regions)
    truth = middle(labels).reshape(len(labels), -1)
    counts = np.zeros((len(labels), len(CLASSES), 2))
    for half in (0, 1):
        train, judged = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
        image, pixel = _sample(truth, train, seed)
        trees = HistGradientBoostingClassifier(
            max_iter=30, max_leaf_nodes=12, learning_rate=0.2, early_stopping=False, random_state=seed
        )
        trees.fit(features[image, pixel], truth[image, pixel])
        said = trees.predict(features[judged].reshape(-1, features.shape[2])).reshape(len(judged), -1)
        for k in range(len(CLASSES)):
            here, there = said == k + 1, truth[judged] == k + 1
            counts[judged, k, 0] = 2 * (here & there).sum(1)
            counts[judged, k, 1] = here.sum(1) + there.sum(1)
    return {name: share(counts[:, k, 0], counts[:, k, 1], subjects) for k, name in enumerate(CLASSES)}


def _features(regions: Sequence[Floats]) -> NDArray[np.float32]:
    """(M, pixels, features) of the central window: intensity, edges and texture at scales of 1 to 8 pixels."""
    from skimage.feature import multiscale_basic_features

    images = []
    for parts in zip(*regions, strict=True):
        seen = [
            multiscale_basic_features(part.astype(np.float32) / 255, sigma_min=1, sigma_max=8)  # type: ignore[no-untyped-call]
            for part in parts
        ]
        images.append(middle(np.concatenate(seen, -1)[None]).reshape(-1, seen[0].shape[2] * len(seen)))
    return np.stack(images).astype(np.float32)


def _sample(truth: Labels, images: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(image, pixel) to train on: some of each image, and some of its finding, which is small."""
    rng = np.random.default_rng(seed)
    chosen: list[tuple[int, int]] = []
    for n in images:
        found = np.flatnonzero(truth[n] == len(CLASSES))
        some = rng.permutation(found)[:SAMPLED]
        anywhere = rng.integers(truth.shape[1], size=SAMPLED)
        chosen += [(int(n), int(p)) for p in (*anywhere, *some)]
    image, pixel = np.array(chosen, dtype=np.int64).T
    return image, pixel
