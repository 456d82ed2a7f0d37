"""The network of EFRUFN: the cell of FRUFN with one set of weights, iterated towards an equilibrium.

Source: Wang, Cao, Deng, Vivone, IEEE TPAMI 2026, doi 10.1109/TPAMI.2026.3655694. The class is not published, the weights
are: the wiring was **inferred** from what they do. The state is (X, m), and the first image's map F1 enters each step anew:
X <- F1 + r m', where r and m' are what a cell gives of (X, Z, m); it starts from X = F1, m = 0. The iteration does not reach
a fixed point (the published weights' relative residual stays between 2e-3 and 2e-2), so the number of steps, five, is part
of the method.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from fusionbench.methods.frufn.network import Cell, Coder, Preset

STEPS = 5


class Network(Coder):
    """(N,1,H,W) in [0, 1] twice, sides multiples of 8 -> the fused image, linear, not clipped; the first image is the state.

    solver: "anderson" as in the authors' test, or "plain", which iterates; ``residuals`` holds the last solution's, one a
    sample: |f(x) - x| over all values of the state, divided by |f(x)|. In training mode it gives (2N,1,H,W), the images of
    two states, see :meth:`unrolled`.
    """

    def __init__(self, p: Preset) -> None:
        super().__init__(p)
        self.update_block = Cell(p)
        self.solver = "anderson"
        self.residuals = torch.empty(0)

    def step(self, start: Tensor, second: Tensor, state: Tensor) -> Tensor:
        """One evaluation of the map. start: the first image's map; state: (N, width + 1, H, W), X and then m."""
        added, mask = self.update_block(state[:, :-1], second, state[:, -1:])
        return torch.cat([start + added, mask], dim=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        start, z, mask = self.encode(first, second)
        step, state = functools.partial(self.step, start, z), torch.cat([start, mask], dim=1)
        if self.training:
            return self.unrolled(step, state)
        state, absolute = (anderson if self.solver == "anderson" else plain)(step, state)
        self.residuals = (absolute / _norm(state)).detach()
        return self.decode(state[:, :-1])

    def unrolled(self, step: Callable[[Tensor], Tensor], state: Tensor) -> Tensor:
        """The images after three and after six plain steps, of which only the third and the sixth have a gradient.

        "Phantom gradient" of one step: Geng et al., NeurIPS 2021, arXiv 2111.05177. That there is one such step and two
        losses is inferred from the authors' test script; after which steps they take them is not known.
        """
        images = []
        for _ in range(2):
            with torch.no_grad():
                state, _ = plain(step, state, 2)
            state = step(state)
            images.append(self.decode(state[:, :-1]))
        return torch.cat(images)


def plain(step: Callable[[Tensor], Tensor], x: Tensor, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """x <- step(x), so many times; returns the last image and its absolute residual, (N,)."""
    before = x
    for _ in range(steps):
        before, x = x, step(x)
    return x, _norm(x - before)


def anderson(
    step: Callable[[Tensor], Tensor], x: Tensor, steps: int = STEPS, memory: int = 6, ridge: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """Anderson's acceleration of x <- step(x), mixing 1: the image with the least absolute residual, and that, (N,).

    ``steps`` evaluations: at x, at its image, then each at the combination of the kept images (weights of sum one) whose
    residuals, with a ridge on the weights, cancel best. Anderson, Journal of the ACM 1965, doi 10.1145/321296.321305, as in
    the deep equilibrium models whose test settings the authors use. Of the later evaluations the best is returned, sample by
    sample.
    """
    images = [step(x)]
    residuals = [images[0] - x]
    images.append(step(images[0]))
    residuals.append(images[1] - images[0])
    best, least = images[1], torch.full_like(_norm(x), torch.inf)
    for _ in range(2, steps):
        share = _combination(torch.stack(residuals[-memory:], dim=1).flatten(2), ridge)
        x = torch.einsum("nk,nk...->n...", share, torch.stack(images[-memory:], dim=1))
        images.append(step(x))
        residuals.append(images[-1] - x)
        norm = _norm(residuals[-1])
        better = norm < least
        best = torch.where(better[:, None, None, None], images[-1], best)
        least = torch.where(better, norm, least)
    return best, least


def _combination(residuals: Tensor, ridge: float) -> Tensor:
    """(N, kept, values) -> (N, kept) weights of sum one that minimise |sum a r|^2 + ridge |a|^2."""
    n, kept = residuals.shape[:2]
    system = residuals.new_zeros(n, kept + 1, kept + 1)
    system[:, 0, 1:] = system[:, 1:, 0] = 1
    system[:, 1:, 1:] = residuals @ residuals.transpose(1, 2) + ridge * torch.eye(kept).to(residuals)
    wanted = residuals.new_zeros(n, kept + 1, 1)
    wanted[:, 0] = 1
    share: Tensor = torch.linalg.solve(system, wanted)[:, 1:, 0]
    return share


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=(1, 2, 3))
    return norm
