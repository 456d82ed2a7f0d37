"""Fusion by convolutional sparse coding: CSR and CSMCA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionbench.methods import METHODS, MethodFacts
from fusionbench.methods.baselines._dictionaries import SEEN, dictionary

if TYPE_CHECKING:
    import torch

LICENCE = "own implementation, Apache-2.0; dictionaries learned here from the Harvard training pairs"


@METHODS.register(
    MethodFacts(
        name="csr",
        title="Convolutional sparse representation (CSR)",
        family="sparse",
        origin="reimplemented",
        trained_on=(SEEN,),
        year=2016,
        reference="Liu, Chen, Ward and Wang, Image fusion with convolutional sparse representation, "
        "IEEE Signal Processing Letters 2016",
        doi="10.1109/LSP.2016.2618776",
        licence=LICENCE,
        identity=False,
    )
)
def csr(a: torch.Tensor, b: torch.Tensor, *, sparsity: float = 0.01, iterations: int = 40) -> torch.Tensor:
    """High band: the codes of the source with the larger mean L1 activity (radius 3); low band averaged.

    ``sparsity`` is the paper's lambda; ``iterations`` bounds the solver (the paper: 500).
    """
    import torch  # heavy

    from fusionbench.methods.baselines import _convolutional as coding

    fused = []
    for pair in torch.stack([a[:, 0], b[:, 0]], dim=1):  # one at a time: the codes of a pair fill 16 MB
        low, high = coding.split_bands(pair, 5.0)
        spectrum = coding.spectra(_filters("csr", pair), tuple(pair.shape[1:]))
        codes, _ = coding.sparse_codes(high, spectrum, sparsity, iterations=iterations)
        fused.append(low.mean(dim=0) + coding.synthesize(_choose(codes, 3)[None], spectrum)[0])
    return torch.stack(fused)[:, None].clamp(0, 1)


@METHODS.register(
    MethodFacts(
        name="csmca",
        title="Convolutional sparsity based morphological component analysis (CSMCA)",
        family="sparse",
        origin="reimplemented",
        trained_on=(SEEN,),
        year=2019,
        reference="Liu, Chen, Ward and Wang, Medical image fusion via convolutional sparsity based morphological "
        "component analysis, IEEE Signal Processing Letters 2019",
        doi="10.1109/LSP.2019.2895749",
        licence=LICENCE,
        identity=False,
    )
)
def csmca(a: torch.Tensor, b: torch.Tensor, *, rounds: int = 6, iterations: int = 10) -> torch.Tensor:
    """High band split into cartoon and texture codes in ``rounds`` of falling sparsity; each chosen by its activity.

    Activity windows of radius 5 (cartoon) and 2 (texture); low band averaged. The paper runs 30 solver iterations in each
    round from zero; here every round goes on from the last one's codes, and ``iterations`` is smaller.
    """
    import torch  # heavy

    from fusionbench.methods.baselines import _convolutional as coding

    fused = []
    for pair in torch.stack([a[:, 0], b[:, 0]], dim=1):
        shape = (pair.shape[1], pair.shape[2])
        low, high = coding.split_bands(pair, 60.0)
        spectra = [coding.spectra(_filters(name, pair), shape) for name in ("cartoon", "texture")]
        parts = [torch.zeros_like(high), torch.zeros_like(high)]
        states: list[tuple[torch.Tensor, torch.Tensor] | None] = [None, None]
        for round_ in range(1, rounds + 1):
            sparsity = max(0.6 - 0.1 * round_, 0.005)
            for index in (0, 1):
                rest = high - parts[1 - index]
                state = coding.sparse_codes(rest, spectra[index], sparsity, iterations=iterations, start=states[index])
                states[index] = state
                parts[index] = coding.synthesize(state[0], spectra[index])
        image = low.mean(dim=0)
        for found, spectrum, radius in zip(states, spectra, (5, 2), strict=True):
            if found is not None:
                image = image + coding.synthesize(_choose(found[0], radius)[None], spectrum)[0]
        fused.append(image)
    return torch.stack(fused)[:, None].clamp(0, 1)


def _filters(name: str, like: torch.Tensor) -> torch.Tensor:
    import torch  # heavy

    return torch.from_numpy(dictionary(name)).to(like)


def _choose(codes: torch.Tensor, radius: int) -> torch.Tensor:
    """(2, M, H, W) codes of both sources -> (M, H, W) those of the one with the larger windowed L1 activity."""
    import torch  # heavy

    activity = codes.abs().sum(dim=1, keepdim=True)
    window = min(2 * radius + 1, 2 * min(codes.shape[-2:]) - 1)
    activity = torch.nn.functional.avg_pool2d(activity, window, 1, window // 2, count_include_pad=False)
    return torch.where(activity[0] >= activity[1], codes[0], codes[1])
