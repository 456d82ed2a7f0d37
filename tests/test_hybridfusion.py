"""HybridFusion against values computed with the authors' own classes (tests/golden/hybridfusion_tiny.npz, at base 8)."""

import numpy as np
import pytest
import torch

from fusionbench.audit.contracts import method_checks
from fusionbench.errors import InputError
from fusionbench.methods._losses import gaussian_ssim
from fusionbench.methods.hybridfusion.losses import LossWeights, divergence, fusion_loss
from fusionbench.methods.hybridfusion.network import PRESETS, Network, Preset, blend, fuse, pyramid
from fusionbench.methods.hybridfusion.spec import SPEC, Objective
from fusionbench.training import Split, TrainingPair, load_strict, save_weights
from tests.networks import count, prepared, random_pairs, read_golden, seeded

MAPS = ("inc", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4")


@pytest.fixture(scope="module")
def golden():
    return read_golden("hybridfusion_tiny")


@pytest.fixture
def network(golden):
    made = Network(Preset(base=8)).eval()
    load_strict(made, {k.removeprefix("net/"): v for k, v in golden.items() if k.startswith("net/")}, "golden")
    return made


def test_maps_weight_and_fused_image_are_golden(golden, network):
    seen: dict[str, torch.Tensor] = {}
    for name in MAPS:
        network.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, out))
    with torch.no_grad():
        found = fuse(network, golden["y"], golden["b"])
    for image, name in zip(found, ("fused_y", "weight", "logvar"), strict=True):
        torch.testing.assert_close(image, golden[name], rtol=0, atol=1e-5)
    for name in MAPS:
        expected = golden[f"map_{name}"]
        torch.testing.assert_close(seen[name][:1], expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def luminance(rgb):
    """Of RGB in [-1, 1], as the authors make it."""
    shares = torch.tensor([0.299, 0.587, 0.114]).to(rgb)[:, None, None]
    return ((rgb / 2 + 0.5) * shares).sum(1, keepdim=True).clamp(0, 1) * 2 - 1


def test_both_are_golden_in_double_precision(golden, network):
    y = luminance(golden["a_rgb"].double())
    torch.testing.assert_close(y.float(), golden["y"], rtol=0, atol=1e-6)
    with torch.no_grad():
        fused, weight, _ = fuse(network.double(), y, golden["b"].double())
    torch.testing.assert_close(weight, golden["weight_double"], rtol=0, atol=1e-6)
    torch.testing.assert_close(fused, golden["fused_y_double"], rtol=0, atol=1e-6)


def test_pyramid_is_golden_also_at_odd_sizes_and_gives_an_image_back(golden, network):
    for index, level in enumerate(pyramid(golden["y"])):
        torch.testing.assert_close(level, golden[f"pyramid_y_{index}"], rtol=0, atol=1e-6)
    a, b = golden["odd_a"], golden["odd_b"]
    torch.testing.assert_close(blend(a, b, golden["odd_w"]), golden["odd_fused"], rtol=0, atol=1e-5)
    torch.testing.assert_close(blend(a, a, golden["odd_w"]), a, rtol=0, atol=1e-6)
    with torch.no_grad():
        _, weight, logvar = fuse(network, a, b)
    torch.testing.assert_close(weight, golden["odd_weight"], rtol=0, atol=1e-5)
    torch.testing.assert_close(logvar, golden["odd_logvar"], rtol=0, atol=1e-5)


def test_loss_and_its_gradient_are_golden(golden):
    fused = golden["loss_F"].clone().requires_grad_()
    total, terms = fusion_loss(fused, golden["a_rgb"], golden["b"])
    g = {key.removeprefix("loss_"): float(v) for key, v in golden.items() if v.ndim == 0}
    expected = {
        "structure": g["ssim_a"] + g["ssim_b"],
        "maximum": g["max"],
        "consistency": g["consist"],
        "gradient": g["grad"],
        "colour": g["color"],
    }
    assert {name: float(value.detach()) for name, value in terms.items()} == pytest.approx(expected, rel=1e-6)
    assert total.item() == pytest.approx(g["total"], rel=1e-6)
    total.backward()
    scale = float(golden["loss_dF"].abs().max())
    torch.testing.assert_close(fused.grad, golden["loss_dF"], rtol=0, atol=1e-4 * scale)
    x, y = golden["a_rgb"][:1, :1] / 2 + 0.5, golden["b"][:1] / 2 + 0.5
    assert 1 - gaussian_ssim(x, y, "valid", size=48).item() == pytest.approx(golden["ssim_range1"].item(), abs=1e-5)


def test_a_step_in_colour_has_the_golden_gradients(golden, network):
    fused, weight, logvar = fuse(network, golden["y"], golden["b"])
    rgb = to_rgb(fused.clamp(-1, 1), golden["cb"], golden["cr"])
    torch.testing.assert_close(rgb, golden["fused_rgb"], rtol=0, atol=1e-5)
    fusion, kl = fusion_loss(rgb, golden["a_rgb"], golden["b"])[0], divergence(weight, logvar)
    assert fusion.item() == pytest.approx(golden["step_fusion"].item(), rel=1e-6)
    assert kl.item() == pytest.approx(golden["step_kl"].item(), rel=1e-6)
    total = LossWeights().total * fusion + LossWeights().divergence * kl
    assert total.item() == pytest.approx(golden["step_total"].item(), rel=1e-6)
    total.backward()
    for name, key in {
        "outc": "outc.weight",
        "inc": "inc.double_conv.0.weight",
        "up1": "up1.conv.double_conv.3.weight",
    }.items():
        got, expected = network.get_parameter(key).grad, golden[f"grad_{name}"]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def to_rgb(y, cb, cr):
    """Luminance and chroma in [-1, 1] -> RGB, as the authors make it."""
    y, cb, cr = (y + 1) / 2, cb / 2, cr / 2
    rgb = torch.cat([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], dim=1)
    return rgb.clamp(0, 1) * 2 - 1


def test_a_grey_image_counts_as_one_repeated_three_times():
    a, b, fused = torch.rand(3, 2, 1, 50, 52, generator=torch.Generator().manual_seed(0)) * 2 - 1
    grey, terms = fusion_loss(fused, a, b)
    coloured, more = fusion_loss(fused.repeat(1, 3, 1, 1), a.repeat(1, 3, 1, 1), b)
    assert grey.item() == pytest.approx(coloured.item(), rel=1e-5)
    assert more.keys() - terms.keys() == {"colour"}
    assert abs(more["colour"].item()) < 1e-5


def test_published_sizes():
    with torch.device("meta"):
        assert count(Network(PRESETS["paper"])) == 17_262_466
        assert [count(Network(Preset(base))) for base in (4, 8, 16)] == [68_026, 270_834, 1_080_802]
    with pytest.raises(InputError, match="base is 0"):
        Preset(base=0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    SPEC.save(path, Network(Preset(base=2)), Preset(base=2), {"trained_by": "chance"})
    return path


def test_method_takes_levels_to_both_sides_of_zero_and_repeats_itself(weights):
    a, b = random_pairs(2, 20, 24)
    network = SPEC.load(weights)[0].eval()
    with torch.no_grad():
        expected = fuse(network, b * 2 - 1, a * 2 - 1)[0] / 2 + 0.5
    method = prepared("hybridfusion", weights)
    fused = method.fuse(a, b, torch.Generator())
    torch.testing.assert_close(fused, expected.clamp(0, 1), rtol=0, atol=1e-5)
    assert torch.equal(fused, method.fuse(a, b, seeded(1, 2)))
    torch.testing.assert_close(method.fuse(a, a, torch.Generator()), a, rtol=0, atol=1e-5)


def test_method_keeps_its_contract_with_any_weights(weights):
    for _, check in method_checks(f"hybridfusion:weights={weights}"):
        check()  # raises Broken


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (17, 17), (65, 98)])
def test_any_size_is_padded_and_cropped_back(weights, size):
    a, b = random_pairs(1, *size)
    fused = prepared("hybridfusion", weights).fuse(a, b, torch.Generator())
    assert fused.shape == a.shape
    assert 0 <= fused.min() <= fused.max() <= 1


def test_bf16_is_close_to_float32(weights):
    a, b = random_pairs(1, 32, 32)
    exact, fast = (
        prepared("hybridfusion", weights, precision=p).fuse(a, b, torch.Generator()) for p in ("float32", "bf16")
    )
    assert 0 < (exact - fast).abs().max() < 3e-2


def test_missing_damaged_and_foreign_weights_are_told(weights, tmp_path):
    with pytest.raises(InputError, match="no such weights file"):
        prepared("hybridfusion", tmp_path / "nowhere.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        prepared("hybridfusion", damaged)
    for size in ({}, {"preset": {"base": 0}}, {"preset": {"width": 4}}):
        save_weights(damaged, {"x": torch.zeros(1)}, {"kind": "hybridfusion", **size})
        with pytest.raises(InputError, match="does not describe this network"):
            prepared("hybridfusion", damaged)
    save_weights(damaged, {"x": torch.zeros(1)}, {"kind": "frufn"})
    with pytest.raises(InputError, match="holds weights of 'frufn'"):
        prepared("hybridfusion", damaged)
    with pytest.raises(InputError, match="not of"):
        SPEC.load(weights, PRESETS["paper"])
    with pytest.raises(InputError, match="no published files"):
        SPEC.convert_published([damaged], tmp_path / "out.safetensors")


def some_pairs(count=4, size=64):
    images = np.random.default_rng(0).integers(0, 256, (2 * count, size, size)).astype(np.uint8)
    pairs = [TrainingPair("ct-mri", f"{i}", f"{i}", images[2 * i], images[2 * i + 1]) for i in range(count)]
    return Split(pairs[:-1], pairs[-1:])


def trained(out, start=None, **changes):
    overrides = {"steps": 6, "batch": 2, "crop": 48, "validate_every": 3, **changes}
    return SPEC.train(some_pairs(), out, network={"base": "2"}, overrides=overrides, start=start)


def test_training_lowers_the_loss_and_its_file_is_loaded(tmp_path):
    file = trained(tmp_path / "run", steps=30, lr=1e-2)
    losses = np.loadtxt(tmp_path / "run" / "log.csv", delimiter=",", skiprows=1)[:, 3]
    assert losses[-5:].mean() < losses[:5].mean()
    network, card = SPEC.load(file, Preset(base=2))
    assert card["loss"]["total"] == 0.1
    assert card["train"]["steps"] == 30
    assert 3 <= card["train"]["best_step"] <= 30
    assert network.state_dict()["inc.double_conv.1.running_var"].ne(1).all()
    assert prepared("hybridfusion", file).fuse(*random_pairs(1, 20, 24), torch.Generator()).shape == (1, 1, 20, 24)
    with pytest.raises(InputError, match="--crop 48"):
        trained(tmp_path / "small", crop=40)


def test_the_loss_of_training_is_that_of_luminance(golden, network):
    mri, other = golden["b"] / 2 + 0.5, golden["y"] / 2 + 0.5
    total, terms = Objective(LossWeights())(network, mri, other)
    fused, weight, logvar = fuse(network, golden["y"], golden["b"])
    expected = 0.1 * fusion_loss(fused.clamp(-1, 1), golden["y"], golden["b"])[0] + 1e-5 * divergence(weight, logvar)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert sum(term.item() for term in terms.values()) == pytest.approx(total.item(), rel=1e-5)
