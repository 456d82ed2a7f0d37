"""Sparse coding of many small patches: batch orthogonal matching pursuit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods.baselines._compiled import jit

Array = NDArray[np.float64]


def matching_pursuit(atoms: Array, signals: Array, residual: float, most: int) -> tuple[Array, Array]:
    """Approximate every row of (N, n) ``signals`` by few of the (n, K) unit ``atoms``.

    Atoms join one by one (orthogonal matching pursuit in its batch form, Rubinstein, Zibulevsky and Elad 2008) until the
    rest has at most the norm ``residual``, or ``most`` are in use. Returns approximations (N, n) and L1 norms (N,).
    """
    codes = _batch(atoms.T @ atoms, signals @ atoms, (signals**2).sum(axis=1), residual**2, most)
    return codes @ atoms.T, np.abs(codes).sum(axis=1)


@jit
def _batch(gram: Array, matches: Array, energies: Array, tolerance: float, most: int) -> Array:
    count, size = matches.shape
    codes = np.zeros((count, size))
    factor = np.zeros((most, most))
    chosen = np.zeros(most, dtype=np.int64)
    values = np.zeros(most)
    for row in range(count):
        used = 0
        rest = energies[row]
        match = matches[row].copy()
        while rest > tolerance and used < most:
            best = np.argmax(np.abs(match))
            if abs(match[best]) < 1e-12:
                break
            # One more row of the Cholesky factor of the chosen atoms' Gram matrix.
            diagonal = gram[best, best]
            for i in range(used):
                entry = gram[chosen[i], best]
                for j in range(i):
                    entry -= factor[i, j] * factor[used, j]
                factor[used, i] = entry / factor[i, i]
                diagonal -= factor[used, i] ** 2
            if diagonal < 1e-12:
                break
            factor[used, used] = np.sqrt(diagonal)
            chosen[used] = best
            used += 1
            for i in range(used):
                entry = matches[row, chosen[i]]
                for j in range(i):
                    entry -= factor[i, j] * values[j]
                values[i] = entry / factor[i, i]
            for i in range(used - 1, -1, -1):
                entry = values[i]
                for j in range(i + 1, used):
                    entry -= factor[j, i] * values[j]
                values[i] = entry / factor[i, i]
            match[:] = matches[row]
            rest = energies[row]
            for i in range(used):
                match -= values[i] * gram[chosen[i]]
                rest -= values[i] * matches[row, chosen[i]]
            for i in range(used):
                match[chosen[i]] = 0.0
        for i in range(used):
            codes[row, chosen[i]] = values[i]
    return codes
