"""Gradient transfer fusion (GTF): the intensities of one source, the gradients of the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fusionbench.methods import METHODS, MethodFacts, per_image

Image = NDArray[np.float64]


@METHODS.register(
    MethodFacts(
        name="gtf",
        title="Gradient transfer and total variation (GTF)",
        family="optimisation",
        origin="reimplemented",
        year=2016,
        reference="Ma, Chen, Li and Huang, Infrared and visible image fusion via gradient transfer and total variation "
        "minimization, Information Fusion 2016",
        doi="10.1016/j.inffus.2016.02.001",
    )
)
@per_image
def gtf(a: Image, b: Image, *, weight: float = 4.0, loops: int = 5) -> Image:
    """a + argmin over u of |u - (b - a)|_1 + weight TV(u): intensities of ``b`` (infrared in the paper), edges of ``a``."""
    return a + l1_tv(b - a, weight, loops)


def l1_tv(image: Image, weight: float, loops: int) -> Image:
    """argmin |u - image|_1 + weight * isotropic TV(u), by iteratively reweighted norms (doi:10.1109/TIP.2008.2008420).

    Both norms are floored at the 5 % (data) and 1 % (gradient) quantile, as in the GTF authors' settings, but not below
    1e-3: a flat background would make them zero.
    """
    from scipy.sparse.linalg import cg  # heavy; not needed to list methods

    height, width = image.shape
    gradient = sparse.vstack(
        [
            sparse.kron(_forward(height), sparse.eye_array(width)),
            sparse.kron(sparse.eye_array(height), _forward(width)),
        ]
    ).tocsr()
    target = image.ravel()
    solution = target
    for loop in range(loops):
        misfit = np.abs(solution - target) if loop else np.abs(target)
        slope = np.hypot(*np.split(gradient @ solution, 2))
        data = 1 / np.maximum(misfit, max(np.quantile(misfit, 0.05), 1e-3))
        smooth = np.tile(weight / np.maximum(slope, max(np.quantile(slope, 0.01), 1e-3)), 2)
        matrix = (sparse.diags_array(data) + gradient.T @ sparse.diags_array(smooth) @ gradient).tocsr()
        scale = sparse.diags_array(1 / matrix.diagonal())
        solution, _ = cg(matrix, data * target, x0=solution, rtol=1e-4, maxiter=200, M=scale)
    return np.asarray(solution).reshape(height, width)


def _forward(size: int) -> sparse.csr_array:
    """(size, size) forward differences, the last row zero."""
    matrix = sparse.diags_array([-np.ones(size), np.ones(size - 1)], offsets=[0, 1]).tolil()
    matrix[-1] = 0
    return matrix.tocsr()
