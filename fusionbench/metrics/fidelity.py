"""Visual information fidelity: VIF in the pixel domain."""

from __future__ import annotations

import torch

from fusionbench.metrics import METRICS, MetricFacts, _kernels, _ops
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics.statistics import EVALUATOR

_SIZES = (17, 9, 5, 3)
_EPS = 1e-10


def _scale(t: Triple, image: Image, scale: int) -> torch.Tensor:
    """The image at scale 0..3: each is blurred with its own window and halved from the one before. Remembered."""
    if scale == 0:
        return image.x
    taps = _ops.gaussian(_SIZES[scale], _SIZES[scale] / 5)
    return image.memo(
        ("vif scale", scale), lambda: _ops.blur(_scale(t, image, scale - 1), taps, 2, compiled=t.compiled)
    )


def _moments(t: Triple, image: Image, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Local mean and variance (not below 0) at one scale, remembered."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        x = _scale(t, image, scale)
        taps = _ops.gaussian(_SIZES[scale], _SIZES[scale] / 5)
        mean = _ops.blur(x, taps, compiled=t.compiled)
        square = _ops.blur_product(x, x, taps, compiled=t.compiled)
        if t.compiled:
            _kernels.variance(square.numpy(), mean.numpy())
            return mean, square
        return mean, (square - mean**2).clamp_min(0.0)

    return image.memo(("vif moments", scale), compute)


def _inside(t: Triple, scale: int) -> torch.Tensor | None:
    """The mask on the window centres of one scale: (N, h, w) bool."""
    mask, offset = t.mask, 0
    if mask is None:
        return None
    for s in range(1, scale + 1):
        half = _SIZES[s] // 2
        mask = mask[:, half : mask.shape[1] - half : 2, half : mask.shape[2] - half : 2]
    offset = _SIZES[scale] // 2
    return mask[:, offset : mask.shape[1] - offset, offset : mask.shape[2] - offset]


def _log_sum(values: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
    return (torch.log(values) if inside is None else torch.where(inside, torch.log(values), 0.0)).sum((1, 2))


def _information(t: Triple, image: Image) -> torch.Tensor:
    """(N,) information in a source over all scales, in nats, remembered."""

    def compute() -> torch.Tensor:
        out = torch.zeros(len(image.x), dtype=torch.float64, device=image.x.device)
        for scale in range(4):
            v = _moments(t, image, scale)[1]
            if t.compiled:
                _kernels.log_information(v.numpy(), out.numpy())
            else:
                out = out + _log_sum(1 + torch.where(v < _EPS, 0.0, v) / 2, _inside(t, scale))
        return out

    return image.memo("vif information", compute)


def _shared(t: Triple, source: Image) -> torch.Tensor:
    """(N,) information of a source that can be had from the fused image, over all scales, in nats."""
    out = torch.zeros(len(source.x), dtype=torch.float64, device=source.x.device)
    for scale in range(4):
        taps = _ops.gaussian(_SIZES[scale], _SIZES[scale] / 5)
        m1, v1 = _moments(t, source, scale)
        m2, v2 = _moments(t, t.f, scale)
        product = _ops.blur_product(_scale(t, source, scale), _scale(t, t.f, scale), taps, compiled=t.compiled)
        if t.compiled:
            maps = (m.numpy() for m in (m1, v1, m2, v2, product, out))
            _kernels.log_shared_information(*maps)
            continue
        covariance = product - m1 * m2
        gain = covariance / (v1 + _EPS)
        noise = (v2 - gain * covariance).clamp_min(_EPS)
        counts = (v1 >= _EPS) & (v2 >= _EPS) & (gain > 0)
        out = out + _log_sum(torch.where(counts, 1 + gain**2 * v1 / (noise + 2), 1.0), _inside(t, scale))
    return out


@METRICS.register(
    MetricFacts(
        name="vif",
        title="Visual information fidelity, pixel domain, sum over the sources",
        short="VIF",
        family="fidelity",
        direction="higher",
        customary="higher",
        range="0 to about 2; above where contrast is enhanced",
        reference="Sheikh, Bovik, Image information and visual quality, IEEE Trans. Image Processing 2006",
        doi="10.1109/TIP.2005.859378",
        origin=EVALUATOR + " (there called VIFF); Tang's toolbox (called VIF)",
        formula="Information about each source that remains in the fused image over the information in that source, Gaussian "
        "channel model in local windows on four scales; VIF(A, F) + VIF(B, F).",
        convention="Pixel domain, Gaussian windows 17, 9, 5, 3 with sigma N / 5, noise variance 2 on 0..255, the source is the "
        "reference, sum over the sources.",
        traps=(
            "VIFF (Han 2013) and wavelet VIF go by the same name: other numbers, other ranking (tau 0.1 to 0.4).",
            "On [0, 1] images a noise variance of 2 gives 1.25 instead of 0.51.",
            "Exchanging reference and fused image changes it by about 10 %.",
        ),
        degenerate="NaN where a source is flat: it holds no information (the copied code prints 1). 0 for a flat fused image.",
        min_size=41,
    )
)
def vif(t: Triple) -> torch.Tensor:
    """(N,) sum of two ratios."""
    return _shared(t, t.a) / _information(t, t.a) + _shared(t, t.b) / _information(t, t.b)
