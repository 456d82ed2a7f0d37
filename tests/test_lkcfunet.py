"""LKC-FUNet against values computed with the authors' own class (tests/golden/lkcfunet_tiny.npz, at a tiny width)."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F

from fusionbench.audit.contracts import method_checks
from fusionbench.cli import main
from fusionbench.errors import InputError
from fusionbench.methods._losses import gaussian_ssim
from fusionbench.methods.lkcfunet.fourier import LargeConv2d, fourier_conv
from fusionbench.methods.lkcfunet.losses import fusion_loss
from fusionbench.methods.lkcfunet.network import PRESETS, Network, Preset
from fusionbench.methods.lkcfunet.spec import SPEC
from fusionbench.training import Split, TrainingPair, load_strict, save_weights
from tests.networks import prepared, random_pairs, read_golden

TINY = Preset(inner=4)
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
    return read_golden("lkcfunet_tiny")


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
    seen: dict[str, torch.Tensor] = {}
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


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("size", [(5, 9), (64, 40), (70, 150)])
def test_fourier_convolution_is_the_direct_one(size, depthwise):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, *size, generator=g, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 1 if depthwise else 6, 11, 11, generator=g, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, 6, *size, generator=g, dtype=torch.float64)
    expected = F.conv2d(x, weight, padding=5, groups=6 if depthwise else 1)
    got = fourier_conv(x, weight, depthwise=depthwise)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    for ours, theirs in zip(
        torch.autograd.grad(got, (x, weight), upstream),
        torch.autograd.grad(expected, (x, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_small_kernels_stay_direct_and_large_ones_are_close_in_single_precision():
    x = torch.randn(1, 8, 40, 40, generator=torch.Generator().manual_seed(0))
    for kernel in (3, 5, 11, 15):
        conv = LargeConv2d(8, 8, kernel).requires_grad_(False)
        direct = F.conv2d(x, conv.weight, conv.bias, padding=kernel // 2)
        torch.testing.assert_close(conv(x), direct, rtol=0, atol=0 if kernel < 9 else 1e-5)


@pytest.mark.parametrize("kernel", ["3", "large"])
@pytest.mark.parametrize("normalisation", ["batch", "group", "instance+group"])
def test_ablation_changes_norms_and_kernels_of_the_body_alone(normalisation, kernel):
    network: Any = Network(Preset(inner=2, normalisation=normalisation, kernel=kernel))
    assert network(torch.rand(2, 2, 16, 16)).shape == (2, 1, 16, 16)
    large = network.downs[1].res_block
    groups = {"batch": None, "group": 2, "instance+group": 1}[normalisation]
    assert getattr(large.prelkb_bn, "num_groups", None) == groups
    residual = network.downs[0].res_block.block1.block
    assert getattr(residual[0], "num_groups", None) == (None if normalisation == "batch" else 2)
    assert residual[3].kernel_size == large.large_kernel["lkb_origin"].conv.kernel_size
    assert residual[3].kernel_size[0] == (15 if kernel == "large" else 3)
    assert isinstance(network.IN_conv[0], torch.nn.BatchNorm2d)
    assert isinstance(network.ups[0].bn, torch.nn.BatchNorm2d)


def test_dropped_branches_keep_their_mean():
    torch.manual_seed(0)
    block = Network(Preset(inner=2, dropout=0.5)).mid[0].train()
    x = torch.rand(1, 8, 4, 4).expand(400, 8, 4, 4)
    shift = (block(x) - x).detach().flatten(1)
    kept = shift.abs().amax(1) > 0
    assert 0.4 < kept.float().mean() < 0.6
    torch.testing.assert_close(shift[kept], (2 * (block.eval()(x) - x)).detach().flatten(1)[kept], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tiny):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    SPEC.save(path, tiny, TINY, {"trained_by": "chance"})
    return path


def method(weights, **settings):
    return prepared("lkcfunet", weights, **settings)


def test_method_feeds_the_other_image_first_and_clips(tiny, weights):
    a, b = random_pairs(2, 20, 24)
    fused = method(weights).fuse(a, b, torch.Generator())
    torch.testing.assert_close(fused, tiny(torch.cat([b, a], dim=1)).clamp(0, 1), rtol=0, atol=1e-5)
    assert torch.equal(fused, method(weights).fuse(a, b, torch.Generator()))
    signed = method(weights, value_range="signed").fuse(a, b, torch.Generator())
    expected = tiny(torch.cat([b, a], dim=1) * 2 - 1) / 2 + 0.5
    torch.testing.assert_close(signed, expected.clamp(0, 1), rtol=0, atol=1e-5)


def test_method_keeps_its_contract_with_any_weights(weights):
    for _, check in method_checks(f"lkcfunet:weights={weights}"):
        check()  # raises Broken


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (17, 17), (65, 98)])
def test_any_size_is_padded_and_cropped_back(weights, size):
    a, b = random_pairs(1, *size)
    fused = method(weights).fuse(a, b, torch.Generator())
    assert fused.shape == a.shape
    assert 0 <= fused.min() <= fused.max() <= 1


def test_bf16_is_close_to_float32(weights):
    a, b = random_pairs(1, 32, 32)
    exact, fast = (method(weights, precision=p).fuse(a, b, torch.Generator()) for p in ("float32", "bf16"))
    assert 0 < (exact - fast).abs().max() < 3e-2


def test_published_file_is_converted_by_key(published, tiny, tmp_path):
    torch.save(published, tmp_path / "best_MIF.pth")
    SPEC.convert_published([tmp_path / "best_MIF.pth"], tmp_path / "out.safetensors", TINY)
    network, card = SPEC.load(tmp_path / "out.safetensors", TINY)
    for name, value in tiny.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert card["files"] == ["best_MIF.pth"]

    broken = {**published, "model.init_conv.bias": torch.zeros(3)}
    broken["optimizer"] = broken.pop("model.final_conv.block.3.bias")
    torch.save(broken, tmp_path / "bad.pth")
    with pytest.raises(InputError) as error:
        SPEC.convert_published([tmp_path / "bad.pth"], tmp_path / "bad.safetensors", TINY)
    for part in ("missing final_conv.block.3.bias", "extra (no prefix) optimizer", "is (3,), must be (4,)"):
        assert part in str(error.value)
    assert not (tmp_path / "bad.safetensors").exists()


def test_published_files_are_imported_from_the_command_line(published, tmp_path):
    file, out = tmp_path / "best_MIF.pth", tmp_path / "out.safetensors"
    torch.save({f"model.{key}": value for key, value in Network(PRESETS["compact"]).state_dict().items()}, file)

    def weights_import(*arguments):
        return CliRunner().invoke(main, ["weights", "import", *map(str, arguments), "-o", str(out)])

    done = weights_import(file, "--method", "lkcfunet", "--preset", "compact")
    assert done.exit_code == 0, done.output
    assert f"-m lkcfunet:weights={out}" in done.output
    SPEC.load(out, PRESETS["compact"])
    for arguments, message in (
        ((file,), "1 files for dmfnet"),
        ((file, file, "--method", "lkcfunet"), "2 files for lkcfunet"),
        ((file, "--method", "average"), "no published files of method 'average'"),
        ((file, "--method", "lkcfunet", "--preset", "huge"), "unknown preset 'huge'"),
    ):
        refused = weights_import(*arguments)
        assert refused.exit_code != 0
        assert message in str(refused.exception) + refused.output


def test_missing_damaged_and_foreign_weights_are_told(weights, tmp_path):
    with pytest.raises(InputError, match="no such weights file"):
        method(tmp_path / "nowhere.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:20000])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        method(damaged)
    for size in ({}, {"preset": {"inner": 3}}, {"preset": {"inner": 4, "kernel": "9"}}):
        save_weights(damaged, {"x": torch.zeros(1)}, {"kind": "lkcfunet", **size})
        with pytest.raises(InputError, match="does not describe this network"):
            method(damaged)
    with pytest.raises(InputError, match="not of"):
        SPEC.load(weights, PRESETS["paper"])


def some_pairs(count=4, size=48):
    images = np.random.default_rng(0).integers(0, 256, (2 * count, size, size)).astype(np.uint8)
    pairs = [TrainingPair("ct-mri", f"{i}", f"{i}", images[2 * i], images[2 * i + 1]) for i in range(count)]
    return Split(pairs[:-1], pairs[-1:])


def trained(out, start=None, resume=False, **changes):
    overrides = {"steps": 6, "batch": 2, "crop": 44, "validate_every": 3, "precision": "no", **changes}
    return SPEC.train(some_pairs(), out, network={"inner": "2"}, overrides=overrides, start=start, resume=resume)


def test_training_lowers_the_loss_and_its_file_is_loaded(tmp_path):
    file = trained(tmp_path / "run", steps=40, lr=3e-3)
    losses = np.loadtxt(tmp_path / "run" / "log.csv", delimiter=",", skiprows=1)[:, 3]
    assert losses[-5:].mean() < losses[:5].mean()
    network: Any
    network, card = SPEC.load(file, dataclasses.replace(PRESETS["compact"], inner=2))
    assert card["loss"]["fidelity"] == 0.5
    assert card["train"]["steps"] == 40
    assert not torch.equal(network.IN_conv[0].running_mean, torch.zeros(2))
    fused = method(file).fuse(*random_pairs(1, 20, 24), torch.Generator())
    assert fused.shape == (1, 1, 20, 24)


def test_crop_too_small_for_the_loss_is_refused(tmp_path):
    with pytest.raises(InputError, match="--crop 41"):
        trained(tmp_path, crop=40)


def test_training_goes_on_from_weights_and_refuses_what_it_does_not_have(tmp_path):
    first = trained(tmp_path / "first", steps=1)
    second = trained(tmp_path / "second", start=first, steps=1)
    assert SPEC.load(second)[1]["started_from"]["train"]["steps"] == 1
    for options, message in (
        ({"loss": {"sharpness": 1}}, "no loss term 'sharpness'"),
        ({"loss": {"gradient": "much"}}, "give a value of type float"),
        ({"network": {"depth": 3}}, "no network setting 'depth'"),
        ({"network": {"normalisation": "layer"}}, "normalisation is 'layer'"),
        ({"network": {"inner": 5}}, "even number"),
        ({"preset": "huge"}, "unknown preset"),
        ({"start": first}, "give its own --preset and --network"),
    ):
        with pytest.raises(InputError, match=message):
            SPEC.train(some_pairs(), tmp_path / "third", **options)
    with pytest.raises(InputError, match="one stage"):
        SPEC.train(some_pairs(), tmp_path / "third", stage="fuse")
    assert not (tmp_path / "third").exists()
