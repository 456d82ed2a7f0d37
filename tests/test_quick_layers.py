"""The quick forms of layers against PyTorch's own in double precision, and where they are not to be taken."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fusionbench.methods._layers import Pointwise, norm_silu, pointwise, quick, up_conv

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def maps(channels: int, height: int = 14, width: int = 18, layout: torch.memory_format = LAYOUTS[0]) -> torch.Tensor:
    x = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=layout)


def test_they_are_for_float32_without_gradient_or_autocast_alone():
    x = maps(4)
    assert not quick(x)
    with torch.no_grad():
        assert quick(x)
        assert not quick(x.double())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not quick(x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_pointwise_convolution(layout, bias):
    torch.manual_seed(1)
    layer = Pointwise(12, 7, bias=bias)
    x = maps(12, layout=layout)
    exact = F.conv2d(x.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double())
    torch.testing.assert_close(layer(x).double(), exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(pointwise(x, layer.weight, layer.bias), layer(x), rtol=0, atol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_convolution_of_a_doubled_map(layout):
    torch.manual_seed(1)
    conv = nn.Conv2d(6, 5, 3, padding=1)
    x = maps(6, 7, 10, layout)
    exact = up_conv(conv.double(), x.double())  # PyTorch's own
    torch.testing.assert_close(up_conv(conv.float(), x).double(), exact, rtol=0, atol=1e-5)
    assert exact.shape == (2, 5, 14, 20)


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_norm_with_a_shift_and_a_mean_far_from_zero(layout):
    torch.manual_seed(1)
    norm = nn.GroupNorm(4, 12)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x, shift = maps(12, layout=layout) + 5 * torch.randn(1, 12, 1, 1), torch.randn(2, 12)
    kept = x.clone()
    for added in (None, shift):
        whole = x if added is None else x + added[:, :, None, None]
        exact = F.silu(F.group_norm(whole.double(), 4, norm.weight.double(), norm.bias.double()))
        torch.testing.assert_close(norm_silu(norm, x, added).double(), exact, rtol=0, atol=2e-6)
    assert torch.equal(x, kept)


@torch.no_grad()
def test_a_compiler_is_given_layers_that_it_knows():
    torch.manual_seed(1)
    layer, conv = Pointwise(6, 6), nn.Conv2d(6, 5, 3, padding=1)
    compiled = torch.compile(lambda x: up_conv(conv, layer(x)), backend="aot_eager", fullgraph=True)
    x = maps(6)
    torch.testing.assert_close(compiled(x), up_conv(conv, layer(x)), rtol=0, atol=1e-5)
