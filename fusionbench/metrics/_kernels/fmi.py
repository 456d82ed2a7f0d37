"""Feature mutual information in 3 x 3 windows."""

from __future__ import annotations

import numpy as np

from fusionbench.metrics._kernels.compiler import Array, inlined, jit


@inlined
def _window(x: Array, m: int, i: int, j: int, p: Array, logs: Array, cumulative: Array) -> tuple[float, float, float]:
    """The 3 x 3 window at (i, j), column after column, as a distribution: -> entropy, position deviation, sum of p^2 - 1/9.

    Fills the nine probabilities, their logarithms (0 for p = 0) and their cumulative sums.
    """
    low = high = x[m, i, j]
    for k in range(9):
        v = x[m, i + k % 3, j + k // 3]
        p[k] = v
        low, high = min(low, v), max(high, v)
    total = 0.0
    for k in range(9):
        p[k] = (p[k] - low) / (high - low) if high > low else 1.0
        total += p[k]
    entropy = first = second = square = running = 0.0
    for k in range(9):
        q = p[k] / total
        p[k] = q
        logs[k] = np.log(q) if q > 0.0 else 0.0
        entropy -= q * logs[k]
        first += (k + 1) * q
        second += (k + 1) ** 2 * q
        square += q * q
        running += q
        cumulative[k] = running
    return entropy, np.sqrt(max(second - first * first, 0.0)), square - 1.0 / 9.0


@inlined
def _shared(p: Array, log_p: Array, cp: Array, q: Array, log_q: Array, cq: Array, r: float, deviations: float) -> float:
    """Mutual information of two distributions over nine places whose joint has correlation r: (1 - w) p q + w bound.

    The bound (both orders alike) has at most 17 cells with mass, a staircase; elsewhere the logarithm is a sum.
    """
    overlap = sum_p = sum_q = 0.0
    i = j = 0
    last = 0.0
    for k in range(9):
        sum_p += cp[k]
        sum_q += cq[k]
    while i < 9 and j < 9:
        step = min(cp[i], cq[j])
        overlap += (step - last) * (9 - i) * (9 - j)
        last = step
        if cp[i] < cq[j]:
            i += 1
        else:
            j += 1
    bound = overlap - sum_p * sum_q
    w = abs(r) * deviations / bound if bound != 0.0 else 0.0
    v = 1.0 - w
    log_v = np.log(abs(v)) if v != 0.0 else 0.0
    entropies = 0.0
    for k in range(9):
        entropies -= p[k] * log_p[k] + q[k] * log_q[k]
    joint = v * (entropies - log_v)
    i = j = 0
    last = 0.0
    while i < 9 and j < 9:
        step = min(cp[i], cq[j])
        mass = step - last
        last = step
        if mass > 0.0:
            product = v * p[i] * q[j]
            cell = w * mass + product
            joint += product * (log_v + log_p[i] + log_q[j])
            if cell != 0.0:
                joint -= cell * np.log(abs(cell))
        if cp[i] < cq[j]:
            i += 1
        else:
            j += 1
    return entropies - joint


@jit
def fmi_sum(a: Array, b: Array, f: Array, out: Array) -> None:
    """out[m] = sum over 3 x 3 windows of the normalised mutual information of a and f and of b and f, over 2."""
    p, log_p, cp = np.empty(9), np.empty(9), np.empty(9)
    q, log_q, cq = np.empty(9), np.empty(9), np.empty(9)
    back, log_back, c_back = np.empty(9), np.empty(9), np.empty(9)
    for m in range(f.shape[0]):
        total = 0.0
        for i in range(f.shape[1] - 2):
            for j in range(f.shape[2] - 2):
                ready = False
                h_q = d_q = s_q = 0.0
                for source in (a, b):
                    equal = True
                    for k in range(9):
                        equal &= source[m, i + k % 3, j + k // 3] == f[m, i + k % 3, j + k // 3]
                    if equal:
                        total += 0.5
                        continue
                    if not ready:
                        h_q, d_q, s_q = _window(f, m, i, j, q, log_q, cq)
                        ready = True
                    h_p, d_p, s_p = _window(source, m, i, j, p, log_p, cp)
                    if s_p < 1e-15 and s_q < 1e-15:
                        total += 0.5
                        continue
                    if s_p < 1e-15 or s_q < 1e-15 or d_p == 0.0 or d_q == 0.0:
                        continue
                    together = -1.0 / 9.0
                    for k in range(9):
                        together += p[k] * q[k]
                    r = together / np.sqrt(s_p * s_q)
                    running = 0.0
                    for k in range(9):
                        other = k if r >= 0.0 else 8 - k
                        back[k], log_back[k] = q[other], log_q[other]
                        running += back[k]
                        c_back[k] = running
                    shared = _shared(p, log_p, cp, back, log_back, c_back, r, d_p * d_q)
                    total += shared / (h_p + h_q)
        out[m] = total
