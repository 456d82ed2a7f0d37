"""From what an observer reads to what it can tell: templates, areas under the ROC curve, states, efficiency.

Everything is judged on subjects that the rule was not trained on: folds divide subjects, never images. An area is the mean
over folds of the Mann-Whitney statistic within the fold, since responses of different templates have no common scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.stats import norm

from fusionbench.errors import InputError
from fusionbench.observers.channels import read

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
_DRAWS = 1000


def fold_of(subjects: NDArray[np.generic], count: int = 10, seed: int = 0) -> Integers:
    """(M,) fold of each image, 0..count - 1: all images of a subject in one, subjects dealt out at random.

    Raises InputError where there are fewer subjects than folds.
    """
    names, index = np.unique(subjects, return_inverse=True)
    if count < 2 or len(names) < count:
        raise InputError(
            f"{len(names)} subjects cannot be divided into {count} folds; take more subjects or fewer folds"
        )
    dealt = np.random.default_rng(seed).permutation(np.arange(len(names)) % count)
    folds: Integers = dealt[index].astype(np.int64)
    return folds


def _checked(features: Floats, labels: NDArray[np.generic], folds: Integers) -> None:
    if not (len(features) == len(labels) == len(folds)):
        raise InputError(f"{len(features)} images, {len(labels)} labels, {len(folds)} folds; give one of each an image")
    if not np.isfinite(features).all():
        raise InputError("a feature is NaN or infinite; an observer cannot use it")
    for fold in np.unique(folds):
        for part, what in ((folds == fold, "holds"), (folds != fold, "leaves")):
            if len(np.unique(labels[part])) < len(np.unique(labels)):
                raise InputError(f"fold {fold} {what} no image of one of the states; take more subjects or fewer folds")


def hotelling(features: Floats, present: Flags) -> tuple[Floats, float]:
    """The channelised Hotelling template of training images, (C,), and its offset: w = S^-1 (m1 - m0).

    S is the mean of the two class covariances; m, the class means. Responses w v - offset have mean +-d'^2 / 2. A channel
    that never varies, or repeats others, gets no weight (pseudo-inverse). Myers, Barrett, JOSA A 4, 1987,
    doi 10.1364/JOSAA.4.002447.
    """
    one, none = features[present], features[~present]
    spread = (np.cov(one, rowvar=False, ddof=1) + np.cov(none, rowvar=False, ddof=1)) / 2
    spread = np.atleast_2d(spread)
    scale = np.sqrt(np.maximum(np.diag(spread), np.finfo(float).tiny))
    # On the scale of each channel's own deviation, so that what counts as rank does not depend on units.
    inverse = linalg.pinvh(spread / np.outer(scale, scale), rtol=1e-10)
    template: Floats = inverse @ ((one.mean(0) - none.mean(0)) / scale) / scale
    return template, float(template @ (one.mean(0) + none.mean(0)) / 2)


def linear_responses(
    features: Floats, present: Flags, folds: Integers, *, internal_noise: float = 0.0, seed: int = 0
) -> Floats:
    """(M,) responses of the channelised Hotelling observer, each by the template of the other folds.

    ``features`` (M, C); ``present`` (M,) whether the finding is there. ``internal_noise``: deviation of a reader's own
    noise in each channel, as a share of that channel's deviation over the training images; drawn from ``seed``.
    Raises InputError.
    """
    _checked(features, present, folds)
    if internal_noise:
        noise = np.random.default_rng(seed).standard_normal(features.shape)
        features = features + internal_noise * features.std(0) * noise
    out = np.empty(len(features))
    for fold in np.unique(folds):
        judged = folds == fold
        template, offset = hotelling(features[~judged], present[~judged])
        out[judged] = features[judged] @ template - offset
    return out


def boosted_responses(features: Floats, present: Flags, folds: Integers, *, seed: int = 0) -> Floats:
    """(M,) log odds by gradient-boosted trees (scikit-learn), each fold by trees grown on the others: a reader who need
    not be linear, for displays whose brightness does not follow the quantity. Raises InputError."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    _checked(features, present, folds)
    out = np.empty(len(features))
    for fold in np.unique(folds):
        judged = folds == fold
        trees = HistGradientBoostingClassifier(
            max_iter=60,
            max_leaf_nodes=8,
            learning_rate=0.1,
            min_samples_leaf=20,
            early_stopping=False,
            random_state=seed,
        )
        trees.fit(features[~judged], present[~judged])
        out[judged] = trees.decision_function(features[judged])
    return out


@dataclasses.dataclass(frozen=True)
class Auc:
    """An area under the ROC curve, or a share, with its 95 % interval, and the bootstrap draws that the interval is of."""

    value: float
    low: float
    high: float
    draws: Floats = dataclasses.field(repr=False, compare=False)


def area(
    responses: Floats,
    present: Flags,
    folds: Integers,
    subjects: NDArray[np.generic],
    *,
    draws: int = _DRAWS,
    seed: int = 0,
) -> Auc:
    """Area under the ROC curve of cross-validated responses, with the interval by bootstrap of subjects.

    Within each fold the Mann-Whitney statistic (ties count half); over folds their mean by number of pairs. Subjects are
    drawn with replacement, all images of one together; equal ``seed`` and subjects give equal draws, so differences
    between observers of the same images are paired. Raises InputError.
    """
    _checked(responses[:, None], present, folds)
    names, index = np.unique(subjects, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws).astype(np.float64)
    weights = np.concatenate([np.ones((1, len(names))), counts])[:, index]
    won = np.zeros(draws + 1)
    pairs = np.zeros(draws + 1)
    for fold in np.unique(folds):
        one, none = (folds == fold) & present, (folds == fold) & ~present
        difference = responses[one][:, None] - responses[none][None, :]
        better = (difference > 0) + 0.5 * (difference == 0)
        won += ((weights[:, one] @ better) * weights[:, none]).sum(1)
        pairs += weights[:, one].sum(1) * weights[:, none].sum(1)
    values = won / pairs
    return interval(float(values[0]), values[1:])


def detectability(auc: float | Floats) -> Floats:
    """d' of an area: sqrt(2) times the normal quantile, the distance of two normal classes with that area. Areas of 0 and 1
    give infinity."""
    d: Floats = np.sqrt(2.0) * norm.ppf(auc)
    return d


def efficiency(fused: Auc, both: Auc) -> tuple[float, float, float]:
    """(d' of the fused image / d' of both sources)^2 with its 95 % interval: the share of information that survived.

    Below chance counts as nothing survived. NaN where both sources show nothing. Tanner, Birdsall, JASA 30, 1958,
    doi 10.1121/1.1909809.
    """
    top = np.maximum(detectability(np.append(fused.draws, fused.value)), 0.0)
    bottom = detectability(np.append(both.draws, both.value))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(bottom > 0, (top / bottom) ** 2, np.nan)
    known = share[:-1][~np.isnan(share[:-1])]
    # No interpolation: a draw in which an area is 1 has an infinite d'.
    low, high = np.quantile(known, (0.025, 0.975), method="inverted_cdf") if known.size else (np.nan, np.nan)
    return float(share[-1]), float(low), float(high)


def state_accuracy(features: Floats, states: Integers, folds: Integers) -> Flags:
    """(M,) whether a linear discriminant (Fisher; one covariance for all, equal priors), trained on the other folds, names
    the state. Its mean is the accuracy; chance is one over the number of states. Raises InputError."""
    _checked(features, states, folds)
    right = np.zeros(len(features), dtype=np.bool_)
    kinds = np.unique(states)
    for fold in np.unique(folds):
        train, judged = folds != fold, folds == fold
        means = np.stack([features[train & (states == k)].mean(0) for k in kinds])
        residual = features[train] - means[np.searchsorted(kinds, states[train])]
        spread = np.atleast_2d(residual.T @ residual / (len(residual) - len(kinds)))
        scale = np.sqrt(np.maximum(np.diag(spread), np.finfo(float).tiny))
        weights = linalg.pinvh(spread / np.outer(scale, scale), rtol=1e-10) / np.outer(scale, scale) @ means.T
        scores = features[judged] @ weights - (means * weights.T).sum(1) / 2
        right[judged] = kinds[scores.argmax(1)] == states[judged]
    return right


def search(
    regions: Sequence[Floats], channels: Floats, present: Flags, folds: Integers, searched: Flags
) -> tuple[Floats, Integers]:
    """The observer who does not know the place: (M,) largest response over the places searched, and (M, 2) how many rows and
    columns from the middle it lies.

    ``regions``: stacks (M, H, W) or (M, H, W, K), read side by side, the place of the finding in the middle; ``channels``
    (C, h, w), smaller than the regions; ``searched`` (M, H - h + 1, W - w + 1): where in each image. The template is that
    of the known place, from the other folds. Gifford, King, Pretorius, Wells, IEEE TMI 24, 2005,
    doi 10.1109/TMI.2004.839362. Raises InputError where sizes do not fit.
    """
    planes = np.concatenate([part[..., None] if part.ndim == 3 else part for part in regions], -1)
    size = channels.shape[1]
    reach = (planes.shape[1] - size) // 2
    if reach < 0 or searched.shape != (len(planes), 2 * reach + 1, 2 * reach + 1) or not searched.any((1, 2)).all():
        raise InputError(f"regions of {planes.shape[1:3]} pixels leave no places for channels of {channels.shape[1:]}")
    known = read(planes[:, reach : reach + size, reach : reach + size], channels)
    _checked(known, present, folds)
    best, where = np.empty(len(planes)), np.empty((len(planes), 2), np.int64)
    for fold in np.unique(folds):
        judged = np.flatnonzero(folds == fold)
        template, offset = hotelling(known[folds != fold], present[folds != fold])
        weights = np.einsum("kc,chw->khw", template.reshape(planes.shape[3], -1), channels)
        maps = sum(_everywhere(planes[judged, :, :, k], weights[k]) for k in range(len(weights)))
        flat = np.where(searched[judged], maps - offset, -np.inf).reshape(len(judged), -1)
        at = flat.argmax(1)
        best[judged] = flat[np.arange(len(judged)), at]
        where[judged] = np.stack(np.unravel_index(at, searched.shape[1:]), 1) - reach
    return best, where


def _everywhere(stack: Floats, weights: Floats) -> Floats:
    """(M, H, W), (h, w) -> (M, H - h + 1, W - w + 1) weighted sums around each place.

    Weights made of Laguerre-Gauss channels are a sum of few products of a column and a row, one a channel at most: two
    small matrix products instead of a convolution.
    """
    u, s, v = np.linalg.svd(weights)
    rank = int((s > 1e-13 * s[0]).sum())
    if rank == 0:
        return np.zeros(
            (len(stack), *(full - part + 1 for full, part in zip(stack.shape[1:], weights.shape, strict=True)))
        )
    down = _bands_of((u[:, :rank] * s[:rank]).T, stack.shape[1])
    across = _bands_of(v[:rank], stack.shape[2])
    columns = down.reshape(-1, stack.shape[1]) @ stack  # (M, rank * places, W)
    columns = columns.reshape(len(stack), rank, -1, stack.shape[2])
    sums: Floats = sum(columns[:, r] @ across[r].T for r in range(rank))
    return sums


def _bands_of(taps: Floats, length: int) -> Floats:
    """(R, n) -> (R, length - n + 1, length) matrices: each row holds the taps, one place further on."""
    count, size = taps.shape
    places = length - size + 1
    bands = np.zeros((count, places, length))
    for place in range(places):
        bands[:, place, place : place + size] = taps
    return bands


def share(part: Floats, whole: Floats, subjects: NDArray[np.generic], *, draws: int = _DRAWS) -> Auc:
    """Sum of ``part`` over sum of ``whole``, (M,) each, with the 95 % interval by bootstrap of subjects."""
    _, index = np.unique(subjects, return_inverse=True)
    parts, wholes = np.bincount(index, part), np.bincount(index, whole)
    n = len(parts)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=draws)
    return interval(float(part.sum() / whole.sum()), (counts @ parts) / (counts @ wholes))


def interval(value: float, draws: Floats) -> Auc:
    """A value with the 95 % interval of its bootstrap draws."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return Auc(value, float(low), float(high), draws)
