"""Fusion over small patches: LP-SR, and latent low-rank representation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._dictionaries import SEEN, dictionary
from fusionbench.methods.baselines._sparse import matching_pursuit
from fusionbench.methods.baselines.pyramids import fuse_laplacian

Image = NDArray[np.float64]

SIZE = 8


@METHODS.register(
    MethodFacts(
        name="lp-sr",
        title="Laplacian pyramid with sparse representation (LP-SR)",
        family="sparse",
        origin="reimplemented",
        trained_on=(SEEN,),
        year=2015,
        reference="Liu, Liu and Wang, A general framework for image fusion based on multi-scale transform and sparse "
        "representation, Information Fusion 2015",
        doi="10.1016/j.inffus.2014.09.004",
        licence="own implementation, Apache-2.0; dictionary learned here from the Harvard training pairs",
        identity=False,
    )
)
@per_image
def lp_sr(a: Image, b: Image, *, levels: int = 4, residual: float = 0.1) -> Image:
    """Laplacian pyramid as in ``laplacian``, its top band by sparse representation over a learned dictionary.

    8x8 patches two pixels apart, means kept aside, coded until the ``residual`` norm (images in [0, 1]); the source whose
    code has the larger L1 norm gives patch and mean.
    """
    return fuse_laplacian(a, b, levels, lambda x, y: _fuse_top(x, y, residual))


def _fuse_top(a: Image, b: Image, residual: float) -> Image:
    height, width = a.shape
    rest = [(0, max(0, SIZE - side)) for side in a.shape]
    a, b = (np.pad(x, rest, mode="symmetric") for x in (a, b))
    starts = [np.unique([*range(0, side - SIZE, 2), side - SIZE]) for side in a.shape]
    codes = []
    for image in (a, b):
        patches = np.lib.stride_tricks.sliding_window_view(image, (SIZE, SIZE))[np.ix_(*starts)].reshape(-1, SIZE**2)
        means = patches.mean(axis=1, keepdims=True)
        approximate, norms = matching_pursuit(dictionary("patch"), patches - means, residual, SIZE**2 // 2)
        codes.append((approximate + means, norms))
    chosen = np.where((codes[0][1] >= codes[1][1])[:, None], codes[0][0], codes[1][0])
    return place(chosen, starts, a.shape)[:height, :width]


def place(patches: Image, starts: list[NDArray[np.intp]], shape: tuple[int, ...]) -> Image:
    """The image whose every pixel is the mean over the patches that cover it; ``starts`` are their rows and columns."""
    total, cover = np.zeros(shape), np.zeros(shape)
    rows, columns = np.ix_(*starts)
    grid = patches.reshape(len(starts[0]), len(starts[1]), SIZE, SIZE)
    for row in range(SIZE):
        for column in range(SIZE):
            np.add.at(total, (rows + row, columns + column), grid[:, :, row, column])
            np.add.at(cover, (rows + row, columns + column), 1)
    return total / cover


@METHODS.register(
    MethodFacts(
        name="latlrr",
        title="Latent low-rank representation (MDLatLRR)",
        family="sparse",
        origin="reimplemented",
        trained_on=(SEEN,),
        year=2020,
        reference="Li, Wu and Kittler, MDLatLRR: A novel decomposition method for infrared and visible image fusion, "
        "IEEE TIP 2020",
        doi="10.1109/TIP.2020.2975984",
        licence="own implementation, Apache-2.0; projection learned here from the Harvard training pairs",
        symmetric=True,
    )
)
@per_image
def latlrr(a: Image, b: Image, *, levels: int = 2) -> Image:
    """Details are what a learned projection keeps of every 8x8 patch; patches weighted by nuclear norm, base averaged.

    ``levels`` of decomposition, each of the last one's base. Raises InputError for images below 8 x 8 pixels or levels
    outside 1 to 4.
    """
    if not 1 <= levels <= 4:
        raise InputError(f"levels={levels}: give 1 to 4 levels")
    if min(a.shape) < SIZE:
        raise InputError(f"image of {a.shape[1]} x {a.shape[0]}: latlrr needs at least {SIZE} x {SIZE} pixels")
    projection = dictionary("latlrr")
    starts = [np.arange(side - SIZE + 1) for side in a.shape]

    def whole(details: Image) -> Image:
        return place(details.T, starts, a.shape)

    fused = np.zeros_like(a)
    for _ in range(levels):
        details_a, details_b = projection @ _columns(a), projection @ _columns(b)
        norm_a, norm_b = _nuclear_norms(details_a), _nuclear_norms(details_b)
        total = norm_a + norm_b
        share = np.divide(norm_a, total, out=np.full_like(total, 0.5), where=total > 0)
        fused += whole(details_b + share * (details_a - details_b))
        a, b = a - whole(details_a), b - whole(details_b)
    return fused + (a + b) / 2


def _columns(image: Image) -> Image:
    """(64, patches): every 8x8 patch, one pixel apart."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIZE, SIZE))
    return windows.reshape(-1, SIZE * SIZE).T


def _nuclear_norms(columns: Image) -> Image:
    """Sum of the singular values of each column seen as an 8x8 matrix."""
    patches = columns.T.reshape(-1, SIZE, SIZE)
    values = np.linalg.eigvalsh(patches @ patches.transpose(0, 2, 1))
    return np.asarray(np.sqrt(values.clip(0)).sum(axis=1))
