"""Information theory on grey-level histograms: entropy, cross entropy, mutual information and its normalised relatives."""

from __future__ import annotations

import math

import torch

from fusionbench.metrics import METRICS, MetricFacts, _ops, variant
from fusionbench.metrics._ops import safe_ratio, stretched, sum_of
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.statistics import EVALUATOR

_LN2 = 0.6931471805599453


def image_entropy(t: Triple, image: Image) -> torch.Tensor:
    """(N,) Shannon entropy of an image's histogram in nats, remembered."""
    return image.memo("entropy", lambda: _ops.entropy(_ops.histogram(t, image), compiled=t.compiled))


def mutual_information(t: Triple, x: Image, y: Image) -> torch.Tensor:
    """(N,) mutual information of two images in nats, remembered; never below 0."""

    def compute() -> torch.Tensor:
        both = _ops.entropy(_ops.joint(t, x, y), compiled=t.compiled)
        return (image_entropy(t, x) + image_entropy(t, y) - both).clamp_min(0.0)

    return y.memo(("mi", x.key), compute)


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
    return image_entropy(t, t.f) / _LN2


MI = MetricFacts(
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


@METRICS.register(MI)
def mi(t: Triple) -> torch.Tensor:
    """(N,) in nats."""
    return mutual_information(t, t.a, t.f) + mutual_information(t, t.b, t.f)


_MI_BITS = variant(
    MI,
    name="mi@bits",
    title="Mutual information, bits, sum over the sources",
    short="MI (bits)",
    range="0 to 16",
    unit="bits",
    origin="DenseFuse family as intended; Python ports of Tang's toolbox",
    convention="Base 2, sum over the two sources: mi / ln 2.",
    traps=("See mi.",),
)


@METRICS.register(_MI_BITS)
def mi_bits(t: Triple) -> torch.Tensor:
    """(N,) in bits."""
    return mi(t) / _LN2


@METRICS.register(
    variant(
        _MI_BITS,
        name="mi@strict",
        title="Mutual information, bits, mean over the sources",
        short="MI (mean, bits)",
        range="0 to 8",
        formula="The mean of I(A; F) and I(B; F) on the joint histograms of 256 x 256 levels.",
        origin="",
        convention="Base 2, mean over the two sources: mi / (2 ln 2).",
    )
)
def mi_strict(t: Triple) -> torch.Tensor:
    """(N,) in bits."""
    return mi(t) / (2 * _LN2)


@METRICS.register(
    variant(
        _MI_BITS,
        name="mi@tang",
        title="Mutual information as Tang's toolbox adds it up: bits, levels 254 and 255 merged in the joint histogram",
        short="MI (Tang)",
        formula="H(A) + H(F) - H(A, F), plus the same for B.",
        origin="Evaluation-for-Image-Fusion (Tang), Hab.m: uint8 + 1 saturates",
        convention="Base 2, sum over the sources; the joint entropy alone merges the levels 254 and 255.",
        traps=("With many saturated pixels it exceeds the true mutual information; otherwise it equals mi@bits.",),
    )
)
def mi_tang(t: Triple) -> torch.Tensor:
    """(N,) in bits."""
    result = torch.zeros((), dtype=torch.float64, device=t.f.x.device)
    for source in (t.a, t.b):
        counts = _ops.joint(t, source, t.f).clone()
        counts[:, 254] += counts[:, 255]
        counts[:, 255] = 0
        counts[:, :, 254] += counts[:, :, 255]
        counts[:, :, 255] = 0
        both = _ops.entropy(counts, compiled=t.compiled)
        result = result + image_entropy(t, source) + image_entropy(t, t.f) - both
    return result / _LN2


@METRICS.register(
    variant(
        MI,
        name="mi@vifb",
        title="Mutual information after stretching each image, nats, sum over the sources",
        short="MI (VIFB)",
        formula="As mi, on images whose levels were stretched to 0..255 and rounded.",
        origin="VIFB metricsMutinf.m",
        convention="Natural logarithm, sum. Stretching is one to one on levels, so only rounding of ties could tell "
        "it from mi.",
        traps=("The same column heading as Tang's bits.",),
    )
)
def mi_vifb(t: Triple) -> torch.Tensor:
    """(N,) in nats."""
    f = stretched(t.f)
    return mutual_information(t, stretched(t.a), f) + mutual_information(t, stretched(t.b), f)


def _normalised(t: Triple, x: Image, y: Image) -> torch.Tensor:
    return safe_ratio(2 * mutual_information(t, x, y), image_entropy(t, x) + image_entropy(t, y))


_NMI = MetricFacts(
    name="nmi",
    title="Normalised mutual information (Hossny), sum over the sources",
    short="NMI",
    family="information",
    direction="higher",
    customary="higher",
    range="0 to 2",
    reference="Hossny, Nahavandi, Creighton, Comments on 'Information measure for performance of image fusion', El. "
    "Letters 2008",
    doi="10.1049/el:20081754",
    origin="imageFusionMetrics metricMI.m (Q_MI), MEFB metricsNMI.m (NMI)",
    formula="2 I(A; F) / (H(A) + H(F)) + 2 I(B; F) / (H(B) + H(F)).",
    convention="Images stretched to 0..255 first (changes nothing but ties); sum over the sources.",
    traps=("IVIF_ZOO leaves out H(F).", "Flat background raises it: I and H shrink together."),
    degenerate="NaN where the fused image and a source are both flat: no entropy to normalise by.",
)


@METRICS.register(_NMI)
def nmi(t: Triple) -> torch.Tensor:
    """(N,) sum of two normalised values."""
    f = stretched(t.f)
    return _normalised(t, stretched(t.a), f) + _normalised(t, stretched(t.b), f)


@METRICS.register(
    variant(
        _NMI,
        name="nmi@strict",
        title="Normalised mutual information, mean over the sources",
        short="NMI (mean)",
        range="0 to 1",
        formula="The mean of 2 I(A; F) / (H(A) + H(F)) and the same for B.",
        origin="",
        convention="Levels as they are; mean over the sources.",
        traps=("A copy of one source scores at least 0.5.",),
    )
)
def nmi_strict(t: Triple) -> torch.Tensor:
    """(N,) mean of two normalised values."""
    return (_normalised(t, t.a, t.f) + _normalised(t, t.b, t.f)) / 2


CE = MetricFacts(
    name="ce",
    title="Cross entropy (relative entropy of the histograms)",
    short="CE",
    family="information",
    direction="lower",
    customary="lower",
    range="unbounded, can be negative",
    unit="bits",
    reference="Bulanon, Burks, Alchanatis, Image fusion of visible and thermal images for fruit detection, "
    "Biosyst. Eng. 2009",
    doi="10.1016/j.biosystemseng.2009.02.009",
    origin="VIFB and MEFB metricsCross_entropy.m",
    formula="Sum over levels of p_A log2(p_A / p_F), averaged over the two sources.",
    convention="Base 2; levels missing from either histogram are left out, so it is no true divergence and can be "
    "negative.",
    traps=(
        "It compares histograms only: any shuffle of the pixels keeps it.",
        "IVIF_ZOO computes another thing (BCE).",
    ),
    degenerate="Always defined.",
)


def cross_entropies(t: Triple) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) in bits, of each source."""
    p_f = _ops.histogram(t, t.f).double()
    p_f = p_f / p_f.sum(1, keepdim=True)
    found = []
    for source in (t.a, t.b):
        p = _ops.histogram(t, source).double()
        p = p / p.sum(1, keepdim=True)
        both = (p > 0) & (p_f > 0)
        ratio = p / torch.where(both, p_f, 1.0)
        found.append(torch.where(both, p * torch.log2(ratio.clamp_min(1e-300)), 0.0).sum(1))
    return found[0], found[1]


@METRICS.register(CE)
def ce(t: Triple) -> torch.Tensor:
    """(N,) in bits."""
    first, second = cross_entropies(t)
    return (first + second) / 2


def _tsallis(t: Triple, x: Image, y: Image, q: float, *, transposed: bool) -> torch.Tensor:
    """(N,) Tsallis divergence of the joint histogram from the product of its marginals.

    ``transposed``: the marginals are exchanged, as tsallis.m has them.
    """
    joint = _ops.joint(t, x, y).double()
    joint = joint / joint.sum((1, 2), keepdim=True)
    p_x, p_y = joint.sum(2), joint.sum(1)
    if transposed:
        p_x, p_y = p_y, p_x
    product = p_x[:, :, None] * p_y[:, None, :]
    counts = (product > 0) & (joint > 0)
    terms = torch.where(counts, joint, 1.0) ** q / torch.where(counts, product, 1.0) ** (q - 1)
    total = torch.where(counts, terms, 0.0).sum((1, 2))
    return (1 - total) / (1 - q)


def _nava(t: Triple, a: Image, b: Image, f: Image, *, transposed: bool) -> torch.Tensor:
    q = 0.43137
    divergence = [_tsallis(t, x, y, q, transposed=transposed) for x, y in ((a, f), (b, f), (a, b))]
    entropies = (image_entropy(t, a) / _LN2) ** q + (image_entropy(t, b) / _LN2) ** q
    return safe_ratio(divergence[0] + divergence[1], entropies + divergence[2])


_QTE = MetricFacts(
    name="qte",
    title="Tsallis mutual information, normalised (Nava), with the marginals exchanged",
    short="QTE",
    family="information",
    direction="higher",
    customary="higher",
    range="unbounded",
    reference="Nava, Cristobal, Escalante-Ramirez, Mutual information improves image fusion quality assessments, SPIE "
    "Newsroom 2007",
    doi="10.1117/2.1200708.0824",
    origin="imageFusionMetrics metricMI.m (sw = 3) with tsallis.m",
    formula="(I_q(A; F) + I_q(B; F)) / (H(A)^q + H(B)^q + I_q(A; B)), I_q the Tsallis divergence of order q.",
    convention="q = 0.43137; images stretched; entropies in bits; marginals transposed relative to the joint, as "
    "coded.",
    traps=(
        "tsallis.m takes column sums for the first image: qte@strict has them right. MI and NCC survive by symmetry.",
    ),
    degenerate="NaN where both sources are flat.",
    symmetric=False,
)


@METRICS.register(_QTE)
def qte(t: Triple) -> torch.Tensor:
    """(N,) normalised sum of Tsallis divergences."""
    return _nava(t, stretched(t.a), stretched(t.b), stretched(t.f), transposed=True)


@METRICS.register(
    variant(
        _QTE,
        name="qte@strict",
        title="Tsallis mutual information, normalised (Nava), right marginals",
        short="QTE (strict)",
        range="0 upwards",
        origin="",
        convention="q = 0.43137; levels as they are; entropies in bits.",
        traps=(),
        symmetric=True,
    )
)
def qte_strict(t: Triple) -> torch.Tensor:
    """(N,) normalised sum of Tsallis divergences."""
    return _nava(t, t.a, t.b, t.f, transposed=False)


@METRICS.register(
    variant(
        _QTE,
        name="qte@1.85",
        title="Tsallis mutual information (Cvejic), with the marginals exchanged",
        short="TE",
        formula="I_q(A; F) + I_q(B; F), I_q the Tsallis divergence of the joint histogram from the product of the "
        "marginals.",
        degenerate="Always defined.",
        reference="Cvejic, Canagarajah, Bull, Image fusion metric based on mutual information and Tsallis entropy, "
        "El. Letters 2006",
        doi="10.1049/el:20060693",
        origin="imageFusionMetrics metricMI.m (sw = 2) with tsallis.m; MEFB metricsTE.m",
        convention="q = 1.85, sum over the sources, images stretched, marginals transposed relative to the joint, as "
        "coded.",
        traps=(
            "Dominated by rare level pairs: 0.06 to 29 on four test triples.",
            "See qte for the exchanged marginals.",
        ),
        symmetric=True,
    )
)
def qte_cvejic(t: Triple) -> torch.Tensor:
    """(N,) sum of two Tsallis divergences."""
    f = stretched(t.f)
    return sum_of(_tsallis(t, stretched(source), f, 1.85, transposed=True) for source in (t.a, t.b))


@METRICS.register(
    MetricFacts(
        name="qncie",
        title="Nonlinear correlation information entropy",
        short="QNCIE",
        family="information",
        direction="higher",
        customary="higher",
        range="0 to 1; 0.8 to 0.83 in practice",
        reference="Wang, Shen, Jin, Performance evaluation of image fusion techniques, in Image Fusion (Stathaki), "
        "2008",
        doi="10.1016/B978-0-12-372529-5.00017-2",
        origin="imageFusionMetrics metricWang.m; MEFB metricsQncie.m",
        formula="1 + sum (l_i / 3) log_256(l_i / 3) over the eigenvalues l_i of the 3 x 3 matrix of nonlinear "
        "correlation coefficients NCC = H(X) + H(Y) - H(X, Y) in base 256 of A, B and F.",
        convention="256 levels, base 256, ones on the diagonal, images stretched.",
        traps=("I(A; B) enters: it moves with the pair, not only with the method. Its spread over methods is tiny.",),
        degenerate="Always defined; 1 - log_256 3 = 0.80188 where all three are unrelated.",
    )
)
def qncie(t: Triple) -> torch.Tensor:
    """(N,) in base 256."""
    a, b, f = stretched(t.a), stretched(t.b), stretched(t.f)
    ab, af, bf = (mutual_information(t, x, y) / math.log(256) for x, y in ((a, b), (a, f), (b, f)))
    one = torch.ones_like(ab)
    matrix = torch.stack([one, ab, af, ab, one, bf, af, bf, one], dim=1).reshape(-1, 3, 3)
    share = torch.linalg.eigvalsh(matrix).clamp_min(0.0) / 3
    order: torch.Tensor = torch.special.xlogy(share, share).sum(1)
    return 1 + order / math.log(256)
