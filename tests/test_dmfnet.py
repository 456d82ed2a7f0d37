"""DM-FNet against values computed with the authors' own classes (tests/golden/dmfnet_tiny.npz, at a tiny width)."""

import pytest
import torch

from fusionbench.errors import InputError
from fusionbench.methods._learned import pad_to_multiple
from fusionbench.methods._sr3 import add_noise, sqrt_alpha_bar
from fusionbench.methods.dmfnet.losses import fusion_loss
from fusionbench.methods.dmfnet.method import DMFNetMethod
from fusionbench.methods.dmfnet.model import (
    PRESETS,
    DMFNet,
    Noise,
    Preset,
    build_head,
    build_unet,
    decoder_maps,
    draw_noise,
)
from fusionbench.methods.dmfnet.spec import SPEC
from fusionbench.methods.dmfnet.tiling import run_tiled
from fusionbench.training import save_weights
from tests.networks import count, prepared, random_pairs, read_golden, seeded

TINY = Preset(inner=16, groups=8, dropout=0.2)


@pytest.fixture(scope="module")
def golden():
    return read_golden("dmfnet_tiny")


@pytest.fixture(scope="module")
def tiny(golden):
    model = DMFNet(TINY).eval().requires_grad_(False)
    prefix = "unet/denoise_fn."
    model.unet.load_state_dict({k[len(prefix) :]: v for k, v in golden.items() if k.startswith(prefix)})
    model.head.load_state_dict({k[5:]: v for k, v in golden.items() if k.startswith("head/")})
    return model


def golden_noise(golden):
    eps = [[golden[f"noise_{m}_{t}"][0, 0] for t in (5, 10, 20)] for m in ("MRI", "Other")]
    level = [[golden[f"s_{m}_{t}"][0, 0] for t in (5, 10, 20)] for m in ("MRI", "Other")]
    return Noise(
        torch.stack([torch.stack(row) for row in eps])[:, None],
        torch.stack([torch.stack(row) for row in level])[:, None],
    )


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("modality", ["MRI", "Other"])
@pytest.mark.parametrize("step", [5, 10, 20])
def test_unet_predicts_the_golden_x0(golden, tiny, modality, step):
    clean = golden["mri" if modality == "MRI" else "other"]
    level = golden[f"s_{modality}_{step}"][:, 0]
    noisy = add_noise(clean, level, golden[f"noise_{modality}_{step}"])
    torch.testing.assert_close(noisy, golden[f"noisy_{modality}_{step}"], rtol=0, atol=1e-6)
    torch.testing.assert_close(tiny.unet(noisy, level), golden[f"x0_{modality}_{step}"], rtol=0, atol=1e-5)


@pytest.mark.usefixtures("either_way")
def test_head_reads_the_golden_maps(golden, tiny):
    maps = decoder_maps(tiny.unet, golden["mri"], golden["other"], golden_noise(golden))
    for got, index in zip(maps, (14, 11, 8, 5, 2), strict=True):
        width = got.shape[1] // 3
        for row, modality in enumerate(("MRI", "Other")):
            expected = golden[f"feat_{modality}_5_{index}"]
            torch.testing.assert_close(got[row : row + 1, :width], expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("either_way")
def test_fused_image_is_golden(golden, tiny):
    fused = tiny(golden["mri"], golden["other"], golden_noise(golden))
    torch.testing.assert_close(fused, golden["fused"], rtol=0, atol=1e-5)


def test_loss_is_golden(golden):
    total, terms = fusion_loss(golden["loss_F"], golden["loss_mri"], golden["loss_other"])
    assert total.item() == pytest.approx(golden["loss_total"].item(), abs=1e-5)
    assert terms["intensity"].item() == pytest.approx(golden["loss_intensity"].item(), abs=1e-5)
    rest = terms["gradient"] + terms["structure"]
    assert rest.item() == pytest.approx(golden["loss_gradient_plus_structure"].item(), abs=1e-5)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_are_golden(golden, schedule):
    torch.testing.assert_close(sqrt_alpha_bar(schedule, 2000), golden[f"sqrt_alpha_bar_{schedule}"], rtol=0, atol=1e-12)


def test_parameter_counts_of_the_published_size():
    with torch.device("meta"):
        assert count(build_unet(PRESETS["paper"])) == 20_670_081
        assert count(build_head(PRESETS["paper"])) == 3_026_640


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tiny):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    SPEC.save(path, tiny, TINY, {"trained_by": "chance"})
    return path


def method(weights, **settings):
    return prepared("dmfnet", weights, **settings)


def test_method_gives_the_network_s_output_in_the_unit_range(tiny, weights):
    a, b = random_pairs(1, 64, 80)
    noise = draw_noise(seeded(5), 64, 80)
    expected = tiny(2 * a - 1, 2 * b - 1, noise).clamp(-1, 1) / 2 + 0.5
    torch.testing.assert_close(method(weights).fuse(a, b, seeded(5)), expected, rtol=0, atol=1e-5)


def test_noise_is_seeded_by_pair_and_a_batch_changes_nothing(weights):
    a, b = random_pairs(3, 64, 64)
    fuse = method(weights, batch=2).fuse
    together = fuse(a, b, seeded(1, 2, 3))
    torch.testing.assert_close(together[2:], fuse(a[2:], b[2:], seeded(3)), rtol=0, atol=1e-5)
    assert torch.equal(together, fuse(a, b, seeded(1, 2, 3)))
    assert not torch.equal(together[2:], fuse(a[2:], b[2:], seeded(4)))


def test_draws_are_averaged(weights):
    a, b = random_pairs(1, 64, 64)
    fuse = method(weights).fuse
    generator = torch.Generator().manual_seed(1)
    expected = (fuse(a, b, generator) + fuse(a, b, generator)) / 2
    torch.testing.assert_close(method(weights, draws=2).fuse(a, b, seeded(1)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (65, 97)])
def test_any_size_is_padded_and_cropped_back(weights, size):
    a, b = random_pairs(1, *size)
    fused = method(weights).fuse(a, b, seeded(1))
    assert fused.shape == a.shape
    assert 0 <= fused.min() <= fused.max() <= 1


def test_padding_reflects():
    image = torch.arange(4.0).view(1, 1, 1, 4)
    padded = pad_to_multiple(image, 10, 1)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert padded.shape == (1, 1, 10, 10)


def test_tiles_are_blended_without_a_trace_where_the_network_is_local():
    a, b = random_pairs(1, 160, 96)
    noise = draw_noise(seeded(1), 160, 96)
    seen = []

    def local(x, y, piece):
        seen.append(x.shape[-2:])
        return x - 2 * y + piece.eps[0, :, :1] + piece.level[0, 0, 0]

    blended = run_tiled(local, a, b, noise, 64)
    torch.testing.assert_close(blended, local(a, b, noise), rtol=0, atol=1e-5)
    assert set(seen[:-1]) == {(64, 64)}


def test_tiled_image_is_close_to_the_whole(weights):
    a, b = random_pairs(1, 96, 96)
    whole = method(weights).fuse(a, b, seeded(1))
    tiled = method(weights, tile=64).fuse(a, b, seeded(1))
    assert (whole - tiled).abs().mean() < 0.02


def test_bf16_is_close_to_float32(weights):
    a, b = random_pairs(1, 64, 64)
    exact, fast = (method(weights, precision=p).fuse(a, b, seeded(1)) for p in ("float32", "bf16"))
    assert (exact - fast).abs().max() < 2e-2


def test_published_files_are_converted_by_key(golden, tiny, tmp_path):
    denoiser = {k.removeprefix("unet/"): v for k, v in golden.items() if k.startswith("unet/")}
    denoiser["betas"] = torch.zeros(2000)
    fusion = {k.removeprefix("head/"): v for k, v in golden.items() if k.startswith("head/")}
    torch.save(denoiser, tmp_path / "gen.pth")
    torch.save(fusion, tmp_path / "fusion.pth")
    SPEC.convert_published([tmp_path / "gen.pth", tmp_path / "fusion.pth"], tmp_path / "out.safetensors", TINY)
    model, card = SPEC.load(tmp_path / "out.safetensors")
    for name, value in tiny.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert card["files"] == ["gen.pth", "fusion.pth"]

    denoiser["denoise_fn.init_conv.bias"] = torch.zeros(3)
    denoiser["optimizer"] = denoiser.pop("denoise_fn.final_conv.block.3.bias")
    torch.save(denoiser, tmp_path / "gen.pth")
    with pytest.raises(InputError) as error:
        SPEC.convert_published([tmp_path / "gen.pth", tmp_path / "fusion.pth"], tmp_path / "out2.safetensors", TINY)
    for part in (
        "missing final_conv.block.3.bias",
        "extra (no prefix) optimizer",
        "init_conv.bias is (3,), must be (16,)",
    ):
        assert part in str(error.value)
    assert not (tmp_path / "out2.safetensors").exists()


def test_missing_damaged_and_foreign_weights_are_told(weights, tmp_path):
    with pytest.raises(InputError, match="no such weights file"):
        method(tmp_path / "nowhere.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:20000])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        method(damaged)
    save_weights(damaged, {"x": torch.zeros(1)}, {"kind": "dmfnet"})
    with pytest.raises(InputError, match="does not describe this network"):
        method(damaged)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="draws=0"):
        DMFNetMethod(draws=0)
    with pytest.raises(InputError, match="tile=100"):
        DMFNetMethod(tile=100)
