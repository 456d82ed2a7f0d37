"""The network of CMD-Net, single coil: unrolled cascades that restore an image from some columns of its k-space.

Source: Qiao, Li, Wang, Huang, "Collaborative model-driven network for MRI reconstruction", arXiv 2402.03383, versions 1
and 2, as in the released code; state-dict keys are those of that code. A later version of the text (MCU-Net, 2025) is
another network.

Complex images are (N,2,H,W), real and imaginary. k-space is the orthonormal 2-D transform without shift: frequency zero at
index 0. A mask (N,1,1,W) or (W,) holds ones for the columns that were measured, in that order.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.errors import InputError

SMALLEST = 32  # sides below leave one pixel at the bottom of a U-Net, which has no variance


@dataclasses.dataclass(frozen=True)
class Preset:
    """Size of the network. cascades: how many, no weights shared; variational, correction: filters of the U-Nets in the
    first branch and after the attention; hidden: channels in the sparse branch and the attention."""

    cascades: int = 10
    variational: int = 16
    correction: int = 4
    hidden: int = 32

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 1 or (name == "cascades" and value < 2):
                raise InputError(f"{name} is {value}; give {2 if name == 'cascades' else 1} or more")


PRESETS = {
    "paper": Preset(),
    "compact": Preset(cascades=3, variational=4, correction=2, hidden=8),
}


def magnitude(x: Tensor) -> Tensor:
    """(N,2,H,W) -> (N,1,H,W), with what keeps its gradient finite at zero."""
    return (x.square() + 1e-8).sum(1, keepdim=True).sqrt()


def to_kspace(x: Tensor) -> Tensor:
    """(N,2,H,W) -> (N,2,H,W)."""
    return _pair(torch.fft.fft2(_complex(x), norm="ortho"))


def from_kspace(k: Tensor) -> Tensor:
    """(N,2,H,W) -> (N,2,H,W)."""
    return _pair(torch.fft.ifft2(_complex(k), norm="ortho"))


def _complex(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.permute(0, 2, 3, 1).contiguous())


def _pair(z: Tensor) -> Tensor:
    return torch.view_as_real(z).permute(0, 3, 1, 2)


class _Step(nn.Module):
    """A gradient step of learnt length towards the measured data."""

    def __init__(self) -> None:
        super().__init__()
        self.lambda_step = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: Tensor, k0: Tensor, mask: Tensor) -> Tensor:
        return x - self.lambda_step * from_kspace(mask * (mask * to_kspace(x) - k0))


class _Block(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        half = [nn.InstanceNorm2d(cout), nn.LeakyReLU(0.2), nn.Identity()]
        self.layers = nn.Sequential(
            nn.Conv2d(cin, cout, 3, padding=1, bias=False),
            *half,
            nn.Conv2d(cout, cout, 3, padding=1, bias=False),
            *half,
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class _Up(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(cin, cout, 2, stride=2, bias=False), nn.InstanceNorm2d(cout), nn.LeakyReLU(0.2)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class UNet(nn.Module):
    """Two channels to two, four levels; each channel normalised by the image's own statistics."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(5)]
        self.down_sample_layers = nn.ModuleList(
            [_Block(cin, cout) for cin, cout in zip([2, *widths[:3]], widths[:4], strict=True)]
        )
        self.conv = _Block(widths[3], widths[4])
        pairs = [(widths[level + 1], widths[level]) for level in (3, 2, 1, 0)]
        self.up_transpose_conv = nn.ModuleList([_Up(cin, cout) for cin, cout in pairs])
        self.up_conv = nn.ModuleList([_Block(cin, cout) for cin, cout in pairs[:3]])
        self.up_conv.append(nn.Sequential(_Block(*pairs[3]), nn.Conv2d(filters, 2, 1)))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for layer in self.down_sample_layers:
            x = layer(x)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        x = self.conv(x)
        for up, conv in zip(self.up_transpose_conv, self.up_conv, strict=True):
            x, skip = up(x), skips.pop()
            missing = [skip.shape[axis] - x.shape[axis] for axis in (3, 2)]
            if any(missing):
                x = F.pad(x, (0, missing[0], 0, missing[1]), mode="reflect")
            x = conv(torch.cat([x, skip], 1))
        return x


class _Variational(nn.Module):
    def __init__(self, filters: int) -> None:
        super().__init__()
        self.gd_block = _Step()
        self.lambda_step = nn.Parameter(torch.tensor([0.5]))
        self.cnn1 = UNet(filters)

    def forward(self, x: Tensor, k0: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.gd_block(x, k0, mask) + 2 * self.lambda_step * self.cnn1(x)
        return y


class _Sparse(nn.Module):
    """Soft thresholds between a learnt transform and its learnt inverse."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gd_block = _Step()
        self.soft_thr = nn.Parameter(torch.tensor([0.01]))
        self.conv1, self.conv2 = _two(2, hidden, hidden), _two(hidden, hidden, 2)

    def forward(self, x: Tensor, k0: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The restored image, and by how much transform and inverse miss their input."""
        r = self.gd_block(x, k0, mask)
        e = self.conv1(r)
        restored: Tensor = self.conv2(e.sign() * F.relu(e.abs() - self.soft_thr))
        return restored, self.conv2(e) - r


def _two(cin: int, hidden: int, cout: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(cin, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, cout, 3, padding=1))


class _Consistency(nn.Module):
    def __init__(self, noise_lvl: nn.Parameter) -> None:
        super().__init__()
        self.noise_lvl = noise_lvl

    def forward(self, x: Tensor, k0: Tensor, mask: Tensor) -> Tensor:
        v, k = self.noise_lvl, to_kspace(x)
        return from_kspace((1 - mask) * k + mask * (v * k + (1 - v) * k0))


class Network(nn.Module):
    """Measured k-space and mask -> the image after each cascade, and the symmetry terms of the sparse branches.

    k0: (N,2,H,W), scaled as `normalised` does; mask: (N,1,1,W) or (W,); both sides 32 or more. One noise level serves all
    cascades; the state dict holds it once for each.
    """

    def __init__(self, p: Preset) -> None:
        super().__init__()
        self.var_blocks = nn.ModuleList([_Variational(p.variational) for _ in range(p.cascades)])
        self.sparse_blocks = nn.ModuleList([_Sparse(p.hidden) for _ in range(p.cascades)])
        self.attention = nn.ModuleList([_two(10 if i else 6, p.hidden, 2) for i in range(p.cascades)])
        self.conv_blocks = nn.ModuleList([UNet(p.correction) for _ in range(p.cascades)])
        noise = nn.Parameter(torch.tensor([0.5]))
        self.dc_blocks = nn.ModuleList([_Consistency(noise) for _ in range(p.cascades)])

    def forward(self, k0: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        x = start = from_kspace(k0)
        outputs, symmetry = [], []
        before: list[Tensor] = []
        for variational, sparse, attention, correction, consistency in zip(
            self.var_blocks, self.sparse_blocks, self.attention, self.conv_blocks, self.dc_blocks, strict=True
        ):
            x1 = variational(x, k0, mask)
            x2, missed = sparse(x, k0, mask)
            seen = [before[0], x1, before[1], x2] if before else [x1, x2]
            share, correct = torch.sigmoid(attention(torch.cat([*seen, start], 1))).chunk(2, 1)
            y = (1 - share) * x2 + share * x1
            y = y + correct * correction(y)
            x = consistency(y, k0, mask)
            outputs.append(x)
            symmetry.append(missed)
            before = [x1, x2]
        return outputs, symmetry


def normalised(k: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Masked k-space over the largest magnitude of its image, and that magnitude: ((N,2,H,W), (N,1,1,1))."""
    measured = mask * k
    scale = magnitude(from_kspace(measured)).amax((1, 2, 3), keepdim=True)
    return measured / scale, scale
