"""LKC-FUNet against values computed with the authors' own class (tests/golden/lkcfunet_tiny.npz, at a tiny width)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.methods._losses import gaussian_ssim
from fusionbench.methods.lkcfunet.losses import fusion_loss
from fusionbench.methods.lkcfunet.network import PRESETS, Network, Preset
from fusionbench.training import load_strict

TINY = Preset(inner=4)
GOLDEN = Path(__file__).parent / "golden" / "lkcfunet_tiny.npz"
MAPS = {
    "init": "init_conv",
    "stem": "IN_conv",
    "enc0": "downs.1",
    "enc1": "downs.4",
    "enc2": "downs.7",
    "mid": "mid",
    "gate2": "ups.0",
    "dec2": "ups.3",
    "up2": "ups.4",
    "gate1": "ups.5",
    "dec1": "ups.8",
    "gate0": "ups.10",
    "dec0": "ups.12",
    "last": "ups.13",
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@pytest.fixture(scope="module")
def published(golden):
    return {key.removeprefix("net/"): value for key, value in golden.items() if key.startswith("net/")}


@pytest.fixture(scope="module")
def tiny(published):
    network = Network(TINY).eval().requires_grad_(False)
    load_strict(network, {key.removeprefix("model."): value for key, value in published.items()}, "golden")
    return network


@pytest.fixture(scope="module")
def images(golden):
    return torch.cat([golden["other"], golden["mri"]], dim=1)


@pytest.fixture(scope="module")
def outputs(tiny, images):
    seen = {}
    hooks = [
        tiny.get_submodule(path).register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, out))
        for name, path in MAPS.items()
    ]
    seen["fused"] = tiny(images)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_golden(golden, outputs, name):
    expected = golden[f"map_{name}"]
    atol = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(outputs[name][:1], expected, rtol=0, atol=atol)


def test_fused_image_is_golden(golden, outputs):
    torch.testing.assert_close(outputs["fused"], golden["fused"], rtol=0, atol=1e-5)


def test_fused_image_is_golden_in_double_precision(golden, published, images):
    network = Network(TINY).eval().requires_grad_(False)
    load_strict(network, {key.removeprefix("model."): value for key, value in published.items()}, "golden")
    fused = network.double()(images.double())
    torch.testing.assert_close(fused, golden["fused_double"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("span", ["01", "11"])
def test_loss_and_its_gradient_are_golden(golden, span):
    g = {key.removeprefix(f"loss{span}_"): v for key, v in golden.items() if key.startswith(f"loss{span}_")}
    fused = g["F"].clone().requires_grad_()
    total, terms = fusion_loss(fused, g["mri"], g["other"])
    for name, key in {"intensity": "intensity", "gradient": "gradient", "structure": "ssim"}.items():
        assert terms[name].item() == pytest.approx(g[key].item(), abs=1e-5), name
    assert total.item() == pytest.approx(g["total"].item(), abs=1e-5)
    for source in ("mri", "other"):
        assert gaussian_ssim(g[source], g["F"]).item() == pytest.approx(g[f"ssim_{source}_F"].item(), abs=1e-5)
    total.backward()
    scale = g["dF"].abs().max().item()
    torch.testing.assert_close(fused.grad, g["dF"], rtol=0, atol=1e-5 * scale)


def test_published_size():
    with torch.device("meta"):
        network = Network(PRESETS["paper"])
    assert sum(p.numel() for p in network.parameters()) == 41_174_438
    assert len(network.state_dict()) == 276
    assert sum(t.numel() for t in network.state_dict().values()) == 41_176_054
