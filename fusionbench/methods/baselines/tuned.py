"""Systems whose text could be had in part only, rebuilt after it: shearlet rules, and parameters searched for each pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines import _search
from fusionbench.methods.baselines._nonsubsampled import pyramid_inverse, shearlet, shearlet_inverse
from fusionbench.methods.baselines.shearlets import DIRECTIONS, SIZES, activity, modified_laplacian

if TYPE_CHECKING:
    import torch

    from fusionbench.methods import Generators

Image = NDArray[np.float64]

OBJECTIVE = "entropy / 8 + 2 x standard deviation + 4 x mean gradient of the fused image"


@METHODS.register(
    MethodFacts(
        name="nsst-wlf",
        title="NSST, weight local features and sum-modified-Laplacian (after Ouerghi 2020)",
        family="multiscale",
        origin="reimplemented",
        year=2020,
        reference="after Ouerghi, Mourali and Zagrouba, Multi-modal image fusion based on weight local features and novel "
        "sum-modified-Laplacian in non-subsampled shearlet transform domain, ISVC 2020",
        doi="10.1007/978-3-030-64559-5_13",
        theirs="NSST; low band by weight local features times a novel sum-modified-Laplacian",
        ours="both taken as WLE and WSEML of Yin et al. 2019; directional bands by the same Laplacian, larger one wins; "
        "filters and directions of NSST-PAPCNN",
    )
)
@per_image
def nsst_wlf(a: Image, b: Image) -> Image:
    """Low band: the source with the larger local energy times modified Laplacian. Details: larger modified Laplacian."""
    (low_a, bands_a), (low_b, bands_b) = (shearlet(x, DIRECTIONS, SIZES) for x in (a, b))
    low = np.where(activity(low_a) >= activity(low_b), low_a, low_b)
    return shearlet_inverse(low, _details(bands_a, bands_b), SIZES)


@METHODS.register(
    MethodFacts(
        name="nsst-jaya",
        title="NSST, low band tuned by JAYA (after Shilpa 2022)",
        family="optimisation",
        origin="reimplemented",
        trained_for=("en", "sd", "ag"),
        year=2022,
        reference="after Shilpa, Ragesh Rajan, Asha and Shyam, Enhanced JAYA optimization based medical image fusion in "
        "adaptive non subsampled shearlet transform domain, JESTECH 2022",
        stochastic=True,
        theirs="NSST; weights of the low band searched by an enhanced JAYA for each pair",
        ours=f"plain JAYA; the two parameters are slope and offset of a sigmoid of the log activity ratio; objective: "
        f"{OBJECTIVE}; details as in nsst-wlf",
    )
)
def nsst_jaya(
    a: torch.Tensor, b: torch.Tensor, *, population: int = 10, iterations: int = 20, generator: Generators
) -> torch.Tensor:
    """NSST whose low band is blended by a sigmoid tuned with JAYA: ``population`` candidates, ``iterations`` rounds."""
    return _search.per_pair(
        lambda x, y, random: _tuned(x, y, _search.jaya, population, iterations, random), a, b, generator
    )


@METHODS.register(
    MethodFacts(
        name="nsst-search",
        title="NSST, low band tuned by identity search (after Jose 2021)",
        family="optimisation",
        origin="reimplemented",
        trained_for=("en", "sd", "ag"),
        year=2021,
        reference="after Jose et al., An image quality enhancement scheme employing adolescent identity search algorithm in "
        "the NSST domain for multimodal medical image fusion, Biomedical Signal Processing and Control 2021",
        doi="10.1016/j.bspc.2021.102480",
        stochastic=True,
        theirs="NSST; fusion parameters searched by the adolescent identity search algorithm for each pair",
        ours=f"a simplified search with its three kinds of move; parameters, objective ({OBJECTIVE}) and details as in "
        "nsst-jaya",
    )
)
def nsst_search(
    a: torch.Tensor, b: torch.Tensor, *, population: int = 10, iterations: int = 20, generator: Generators
) -> torch.Tensor:
    """As ``nsst-jaya``, with a population search of three moves in place of JAYA."""
    return _search.per_pair(
        lambda x, y, random: _tuned(x, y, _search.identity_search, population, iterations, random), a, b, generator
    )


def _tuned(
    a: Image,
    b: Image,
    search: Callable[[_search.Score, int, int, int, np.random.Generator], Image],
    population: int,
    iterations: int,
    random: np.random.Generator,
) -> Image:
    (low_a, bands_a), (low_b, bands_b) = (shearlet(x, DIRECTIONS, SIZES) for x in (a, b))
    details = shearlet_inverse(np.zeros_like(a), _details(bands_a, bands_b), SIZES)
    ratio = np.log((activity(low_a) + 1e-6) / (activity(low_b) + 1e-6))
    nothing = [np.zeros_like(a)] * len(DIRECTIONS)

    def fuse(parameters: Image) -> Image:
        # The unit square becomes a slope of 0 to 4 and an offset of -4 to 4.
        slope, offset = 4 * parameters[0], 8 * parameters[1] - 4
        share = 1 / (1 + np.exp(-np.clip(slope * ratio + offset, -50, 50)))
        return pyramid_inverse(low_b + share * (low_a - low_b), nothing, "maxflat") + details

    best = search(lambda point: _search.objective(fuse(point)), 2, population, iterations, random)
    return fuse(best)


def _details(bands_a: list[Image], bands_b: list[Image]) -> list[Image]:
    """Each directional coefficient from the source with the larger modified Laplacian there."""
    fused = []
    for scale_a, scale_b in zip(bands_a, bands_b, strict=True):
        pairs = zip(scale_a, scale_b, strict=True)
        fused.append(np.stack([np.where(modified_laplacian(x) >= modified_laplacian(y), x, y) for x, y in pairs]))
    return fused


@METHODS.register(
    MethodFacts(
        name="spectrum-mask",
        title="Optimum spectrum mask by grey wolves (after Daniel 2017)",
        family="optimisation",
        origin="reimplemented",
        trained_for=("en", "sd", "ag", "cc"),
        year=2017,
        reference="after Daniel, Anitha, Kamaleshwaran and Rani, Optimum spectrum mask based medical image fusion using "
        "Gray Wolf Optimization, Biomedical Signal Processing and Control 2017",
        identity=False,
        stochastic=True,
        theirs="fusion by masks on the sources' spectra, whose scale is searched by grey wolf optimisation for each pair",
        ours="masks are Gaussian in frequency on a cosine spectrum (cut-off, share of each source below and above it, gain "
        f"above it); objective: {OBJECTIVE}, plus the correlations with both sources",
    )
)
def spectrum_mask(
    a: torch.Tensor, b: torch.Tensor, *, population: int = 12, iterations: int = 20, generator: Generators
) -> torch.Tensor:
    """Both spectra blended by masks of four parameters found by ``population`` wolves in ``iterations`` rounds."""
    return _search.per_pair(lambda x, y, random: _masked(x, y, population, iterations, random), a, b, generator)


def _masked(a: Image, b: Image, population: int, iterations: int, random: np.random.Generator) -> Image:
    spectra = [fft.dctn(x, type=2, norm="ortho") for x in (a, b)]
    rows, columns = (np.arange(size) / (2 * size) for size in a.shape)  # cycles per pixel
    squared = rows[:, None] ** 2 + columns**2

    def fuse(parameters: Image) -> Image:
        cutoff, below, above, gain = parameters
        low = np.exp(-squared / (2 * (0.01 + 0.24 * cutoff) ** 2))
        share = below * low + above * (1 - low)
        mixed = (spectra[1] + share * (spectra[0] - spectra[1])) * (1 + 0.5 * gain * (1 - low))
        return np.asarray(fft.idctn(mixed, type=2, norm="ortho"))

    def score(parameters: Image) -> float:
        image = fuse(parameters)
        return _search.objective(image) + _correlation(image, a) + _correlation(image, b)

    return fuse(_search.grey_wolves(score, 4, population, iterations, random))


def _correlation(x: Image, y: Image) -> float:
    """Pearson correlation; 0 where one image is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale > 1e-9 else 0.0
