"""Information theory on grey-level histograms: EN, MI."""

from __future__ import annotations

import torch

from fusionbench.metrics import METRICS, MetricFacts, _ops
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.statistics import EVALUATOR

_LN2 = 0.6931471805599453


def source_entropy(t: Triple, image: Image) -> torch.Tensor:
    """(N,) Shannon entropy of an image's histogram in nats, remembered."""
    return image.memo("entropy", lambda: _ops.entropy(_ops.histogram(t, image), compiled=t.compiled))


def mutual_information(t: Triple, source: Image) -> torch.Tensor:
    """(N,) mutual information of source and fused image in nats, remembered; never below 0."""

    def compute() -> torch.Tensor:
        both = _ops.entropy(_ops.joint(t, source, t.f), compiled=t.compiled)
        return (source_entropy(t, source) + source_entropy(t, t.f) - both).clamp_min(0.0)

    return t.f.memo(("mi", source), compute)


@METRICS.register(
    MetricFacts(
        name="en",
        title="Entropy",
        short="EN",
        family="information",
        direction="describes",
        customary="higher",
        range="0 to 8",
        unit="bits",
        reference="Roberts, van Aardt, Ahmed, Assessment of image fusion procedures using entropy, image quality, and "
        "multispectral classification, J. Appl. Remote Sens. 2008",
        doi="10.1117/1.2945910",
        origin=EVALUATOR + "; Tang's toolbox; VIFB; MEFB",
        formula="Shannon entropy of the fused image's histogram of 256 grey levels.",
        convention="Base 2. The one metric that everybody computes alike on 8-bit images.",
        traps=(
            "Noise raises it, and so does saving as JPEG (by 0.1 to 1 bit).",
            "On [0, 1] floats the copied code rounds to two levels and prints 0.6 instead of 4.7.",
            "Background is most of a medical slice: cropping changes it.",
        ),
        degenerate="Always defined; 0 for a flat image.",
    )
)
def en(t: Triple) -> torch.Tensor:
    """(N,) in bits."""
    return source_entropy(t, t.f) / _LN2


@METRICS.register(
    MetricFacts(
        name="mi",
        title="Mutual information, nats, sum over the sources",
        short="MI",
        family="information",
        direction="higher",
        customary="higher",
        range="0 to 11.09",
        unit="nats",
        reference="Qu, Zhang, Yan, Information measure for performance of image fusion, Electronics Letters 2002",
        doi="10.1049/el:20020212",
        origin=EVALUATOR + "; VIFB (after stretching each image)",
        formula="I(A; F) + I(B; F) on the joint histograms of 256 x 256 levels.",
        convention="Natural logarithm, sum over the two sources.",
        traps=(
            "Bits (Tang, DenseFuse family) are 1.4427 times larger; the same column heading is used for both.",
            "A copy of one source scores its whole entropy: pixel maximum and plain copies beat published networks.",
            "On unquantised floats every value is a level of its own: noise of 0.001 doubles it.",
            "The MATLAB files of the DenseFuse family print twice the entropy of F, whatever the sources.",
        ),
        degenerate="Always defined; 0 where the fused image is flat or both sources are.",
    )
)
def mi(t: Triple) -> torch.Tensor:
    """(N,) in nats."""
    return mutual_information(t, t.a) + mutual_information(t, t.b)
