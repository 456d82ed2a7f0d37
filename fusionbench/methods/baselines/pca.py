"""Principal components: one global weight for each source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.methods.baselines._filters import leading_weights

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="pca",
        title="PCA",
        family="subspace",
        origin="reimplemented",
        year=2008,
        reference="Naidu and Raol, Pixel-level image fusion using wavelets and principal component analysis, DSJ 2008",
        doi="10.14429/dsj.58.1653",
        symmetric=True,
    )
)
@per_image
def pca(a: Image, b: Image) -> Image:
    """w1 a + w2 b, the weights being the leading eigenvector of the 2x2 covariance divided by its sum.

    Constant and exactly opposed sources, for which that is undefined, are averaged.
    """
    first, second = leading_weights(a, b)
    return first * a + second * b
