"""CMD-Net against values computed with the authors' own class, and reconstruction as a step before fusion."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.bench import run
from fusionbench.bench.work import TaskRef
from fusionbench.datasets import create_task
from fusionbench.datasets.degraded import parse_degradation
from fusionbench.errors import InputError
from fusionbench.methods.cmdnet.losses import cascade_weights, dissimilarity, reconstruction_loss
from fusionbench.methods.cmdnet.masks import column_mask, fixed_mask
from fusionbench.methods.cmdnet.network import PRESETS, Network, Preset, from_kspace, magnitude, normalised, to_kspace
from fusionbench.methods.cmdnet.spec import SPEC, CMDNetRecipe
from fusionbench.methods.reconstruction import RECONSTRUCTIONS, create_reconstruction
from fusionbench.scores import Key, read_table
from fusionbench.training import Settings, Split, TrainingPair, load_strict, save_weights, train
from tests.networks import count, read_golden

TWO = Preset(cascades=2, variational=4, correction=2)
THREE = Preset(cascades=3, variational=4, correction=2)


def network_of(golden, size, dtype=torch.float64):
    network: Any = Network(size)
    found = {k.removeprefix("net/"): v for k, v in golden.items() if k.startswith("net/")}
    own = {k: v for k, v in found.items() if int(k.split(".")[1]) < size.cascades}
    load_strict(network, own, "golden")
    return network.to(dtype).eval()


def measured(golden, dtype=torch.float64):
    """(masked k-space, mask, scale, complex image) of the golden image."""
    image = golden["image"][:, None].to(dtype)
    image = torch.cat([image, torch.zeros_like(image)], 1)
    mask = golden["mask"].to(dtype)
    return *normalised(to_kspace(image), mask), mask, image


def channels_first(x):
    return x.movedim(-1, 1)


@pytest.fixture(scope="module")
def golden():
    return read_golden("cmdnet_tiny")


def test_masks_are_golden(golden):
    assert np.array_equal(np.fft.fftshift(fixed_mask(256)), golden["mask_centred_256"].numpy())
    assert np.array_equal(fixed_mask(50), golden["mask"].numpy())
    assert fixed_mask(256).sum() == 72
    drawn = [column_mask(np.random.default_rng(n).uniform(size=256), 4.0).mean() for n in range(100)]
    assert 0.24 < np.mean(drawn) < 0.26


def test_input_is_golden(golden):
    k0, scale, _, _ = measured(golden, torch.float32)
    torch.testing.assert_close(scale.flatten(), golden["scale"], rtol=1e-6, atol=0)
    torch.testing.assert_close(k0, channels_first(golden["kspace"][:, 0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(from_kspace(k0), channels_first(golden["zero_filled"]), rtol=0, atol=1e-5)


def test_cascades_are_golden_in_double_precision(golden):
    k0, _, mask, _ = measured(golden)
    outputs, symmetry = network_of(golden, TWO)(k0, mask)
    for number, output in enumerate(outputs, 1):
        torch.testing.assert_close(output, channels_first(golden[f"out{number}_double"]), rtol=0, atol=1e-10)
    torch.testing.assert_close(symmetry[0].float(), golden["symmetry1"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("c1_gradient_step_var", "var_blocks.0.gd_block"),
        ("c1_unet", "var_blocks.0.cnn1"),
        ("c1_unet_bottom", "var_blocks.0.cnn1.conv"),
        ("c1_var", "var_blocks.0"),
        ("c1_sparse", "sparse_blocks.0"),
        ("c1_attention", "attention.0"),
        ("c1_correction_unet", "conv_blocks.0"),
        ("c2_attention", "attention.1"),
    ],
)
def test_maps_are_golden(golden, name, path):
    network, seen = network_of(golden, TWO), []
    network.get_submodule(path).register_forward_hook(lambda _, __, out: seen.append(out))
    k0, _, mask, _ = measured(golden)
    network(k0, mask)
    ours = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    ours = torch.sigmoid(ours) if "attention" in name else ours
    expected = golden[f"map_{name}"]
    expected = channels_first(expected) if expected.shape[-1] == 2 else expected
    torch.testing.assert_close(ours[:1].float(), expected, rtol=0, atol=2e-4 * expected.abs().max().item())


def test_last_cascade_loss_and_gradients_are_golden(golden):
    network = network_of(golden, THREE)
    k0, scale, mask, image = measured(golden)
    outputs, symmetry = network(k0, mask)
    torch.testing.assert_close(outputs[-1], channels_first(golden["out3_double"]), rtol=0, atol=1e-10)
    torch.testing.assert_close((magnitude(outputs[-1]) * scale)[:, 0].float(), golden["magnitude"], rtol=0, atol=2e-4)
    outputs, symmetry = network(k0[:1], mask)
    target = (image / scale)[:1]
    total, _ = reconstruction_loss(outputs, symmetry, target)
    assert total.item() == pytest.approx(golden["loss_total"].item(), rel=1e-5)
    for output, missed, weight, row in zip(
        outputs, symmetry, cascade_weights(3), golden["loss_parts"].tolist(), strict=True
    ):
        squared, structure = (output - target).square().mean().item(), dissimilarity(output, target).item()
        parts = [squared, structure, weight, 0.01 * missed.square().mean().item()]
        assert parts == pytest.approx(row, rel=1e-4)
    total.backward()
    for name, weight in {
        "noise_level": network.dc_blocks[0].noise_lvl,
        "lambda_var": network.var_blocks[0].lambda_step,
        "lambda_gd": network.sparse_blocks[1].gd_block.lambda_step,
        "soft": network.sparse_blocks[0].soft_thr,
        "attention": network.attention[1][0].weight,
        "unet": network.var_blocks[0].cnn1.down_sample_layers[0].layers[0].weight,
    }.items():
        expected = golden[f"grad_{name}"].double()
        torch.testing.assert_close(weight.grad, expected, rtol=0, atol=2e-4 * expected.abs().max().item())


def test_published_size_and_one_noise_level_for_all_cascades():
    with torch.device("meta"):
        assert count(Network(PRESETS["paper"])) == 20_835_929
        assert count(Network(PRESETS["compact"])) == 461_557
    network: Any = Network(TWO)
    assert network.dc_blocks[0].noise_lvl is network.dc_blocks[1].noise_lvl


def some_pairs(count=4, size=48):
    images = np.random.default_rng(0).integers(0, 256, (2 * count, size, size)).astype(np.uint8)
    pairs = [TrainingPair("ct-mri", f"{i}", f"{i}", images[2 * i], images[2 * i + 1]) for i in range(count)]
    return Split(pairs[:-1], pairs[-1:])


SMALL = Preset(cascades=2, variational=2, correction=2, hidden=4)


def test_training_lowers_the_loss_and_a_stopped_one_repeats_the_unbroken(tmp_path):
    settings = Settings(steps=12, batch=2, crop=48, lr=5e-3, validate_every=6)

    def recipe():
        torch.manual_seed(0)
        return CMDNetRecipe(Network(SMALL), strip=32)

    whole: Any = train(recipe(), some_pairs(), settings, tmp_path / "whole", channels_last=False)
    losses = np.loadtxt(tmp_path / "whole" / "log.csv", delimiter=",", skiprows=1)[:, 3]
    assert losses[-3:].mean() < losses[:3].mean()
    assert whole.dc_blocks[0].noise_lvl is whole.dc_blocks[1].noise_lvl
    train(recipe(), some_pairs(), settings, tmp_path / "broken", channels_last=False, stop_after=5)
    again = train(recipe(), some_pairs(), settings, tmp_path / "broken", channels_last=False, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_strip_is_restored_from_its_own_spectrum():
    """Lines are left out along one axis, so the zero-filled strip is a strip of the zero-filled image."""
    image = torch.rand(1, 2, 40, 48, generator=torch.Generator().manual_seed(0))  # transposed: masks are of columns
    mask = torch.from_numpy(column_mask(np.random.default_rng(0).uniform(size=48), 4.0))
    whole, strip = (from_kspace(mask * to_kspace(x)) for x in (image, image[:, :, 5:37]))
    torch.testing.assert_close(whole[:, :, 5:37], strip, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def pair():
    return create_task("phantom/ct-mri").load("test-00003")


def error(restored, clean):
    return float(np.square(restored.astype(float) - clean).mean())


def prepared(name):
    made = create_reconstruction(name)
    made.prepare(torch.device("cpu"))
    return made


def test_wavelets_restore_better_than_zeros_and_keep_what_was_measured(pair):
    flaw = parse_degradation("undersample:accel=4,reconstruct=cs")
    cs = prepared("cs")
    seen: dict[str, Any] = {}

    def restore(kspace, mask):
        seen.update(kspace=kspace, mask=mask, image=cs.restore(kspace, mask))
        return seen["image"]

    restored = flaw.apply(pair, restore)
    zero_filled = parse_degradation("undersample:accel=4").apply(pair)
    assert error(restored.a, pair.a) < 0.8 * error(zero_filled.a, pair.a)
    assert np.array_equal(restored.b, pair.b)
    assert seen["mask"].sum() == 64
    again = cs.restore(seen["kspace"], seen["mask"])
    assert np.array_equal(again, seen["image"])


def test_a_whole_spectrum_comes_back(pair):
    image = pair.a[:65, 100:163] / 255.0
    restored = prepared("cs").restore(np.fft.fft2(image), np.ones(65))
    assert np.abs(restored - image).max() < 1e-9


def test_names_of_reconstructions():
    assert parse_degradation("undersample:accel=4,reconstruct=zero-filled").label == "undersample,accel=4"
    flaw = parse_degradation("undersample:accel=4,reconstruct=cs")
    assert flaw.label == "undersample,accel=4,reconstruct=cs"
    assert parse_degradation(flaw.label) == flaw
    for wrong in ("noise:sigma=0.1,reconstruct=cs", "undersample:reconstruct=", "undersample:reconstruct=../x"):
        with pytest.raises(InputError, match="cannot read"):
            parse_degradation(wrong)
    with pytest.raises(InputError, match="unknown reconstruction 'magic'"):
        TaskRef("phantom/ct-mri", corrupt="undersample:accel=4,reconstruct=magic").open()
    assert set(RECONSTRUCTIONS) == {"cs", "cmdnet"}


def test_runs_with_a_reconstruction_are_kept_apart_and_say_so(tmp_path: Path) -> None:
    flaws = ["undersample:accel=8", "undersample:accel=8,reconstruct=cs"]
    found = {}
    for flaw in flaws:
        outcome = run(
            ["source-a"], ["phantom/ct-mri"], tmp_path, metrics=["psnr"], limit=1, corrupt=[flaw], device="cpu"
        )
        (key,) = outcome.keys
        found[flaw] = read_table(tmp_path, key)
    assert key == Key("phantom+undersample,accel=8,reconstruct=cs", "ct-mri", "source-a")
    about = found[flaws[1]].about["corruption"]
    assert about["reconstruct"] == about["reconstruction"]["facts"]["name"] == "cs"
    assert "reconstruct" not in found[flaws[0]].about["corruption"]
    zero_filled, restored = (next(iter(table.pairs.values()))["scores"]["psnr"] for table in found.values())
    assert restored != zero_filled


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    SPEC.save(path, Network(SMALL), SMALL, {})
    return path


def test_cmdnet_takes_any_size_it_can_and_lines_of_the_first_axis(weights):
    cmdnet, network = prepared(f"cmdnet:weights={weights}"), SPEC.load(weights)[0].eval()
    image = np.random.default_rng(0).random((40, 51))
    mask = np.ones(40)
    mask[12:29:2] = 0
    kspace = np.fft.fft2(image) * mask[:, None]
    restored = cmdnet.restore(kspace, mask)
    turned = torch.from_numpy(image.T)[None, None].float()
    k0, scale = normalised(to_kspace(torch.cat([turned, 0 * turned], 1)), torch.from_numpy(mask).float())
    with torch.inference_mode():
        expected = (magnitude(network(k0, torch.from_numpy(mask).float())[0][-1]) * scale)[0, 0].T
    torch.testing.assert_close(torch.from_numpy(restored).float(), expected, rtol=0, atol=1e-3)
    assert np.array_equal(cmdnet.restore(kspace, mask), restored)
    assert not cmdnet.restore(0 * kspace, mask).any()
    with pytest.raises(InputError, match="32 x 32 or more, not 51 x 20"):
        cmdnet.restore(kspace[:20], mask[:20])


def test_missing_and_foreign_weights_are_told(weights, tmp_path):
    with pytest.raises(InputError, match="no such weights file"):
        prepared(f"cmdnet:weights={tmp_path / 'nowhere.safetensors'}")
    file = tmp_path / "foreign.safetensors"
    save_weights(file, {"x": torch.zeros(1)}, {"kind": "cmdnet", "preset": {"cascades": 1}})
    with pytest.raises(InputError, match="does not describe this network"):
        prepared(f"cmdnet:weights={file}")
    with pytest.raises(InputError, match="not of"):
        SPEC.load(weights, PRESETS["compact"])
    with pytest.raises(InputError, match="no published files of CMD-Net"):
        SPEC.convert_published([tmp_path / "theirs.pth"], tmp_path / "out.safetensors")


def test_shipped_weights_are_small_say_what_they_saw_and_restore(pair):
    factory: Any = RECONSTRUCTIONS["cmdnet"].factory
    file = Path(factory()._file)
    assert file.stat().st_size < 1_000_000
    _, card = SPEC.load(file, PRESETS["compact"])
    assert card["trained_on"] == []
    assert set(card["train_pairs"]) == {"phantom/ct-mri", "phantom/pet-mri", "phantom/spect-mri"}
    flaw = parse_degradation("undersample:accel=4,reconstruct=cmdnet")
    restored = flaw.apply(pair, prepared("cmdnet").restore)
    zero_filled = parse_degradation("undersample:accel=4").apply(pair)
    assert error(restored.a, pair.a) < error(zero_filled.a, pair.a)
