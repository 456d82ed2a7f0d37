"""RWKVFusion against values computed with the authors' own classes (tests/golden/rwkvfusion_tiny.npz, at a tiny width)."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.audit.contracts import method_checks
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.methods.rwkvfusion.losses import fusion_loss
from fusionbench.methods.rwkvfusion.network import PRESETS, Network, Preset, fuse
from fusionbench.methods.rwkvfusion.recurrence import recurrence
from fusionbench.methods.rwkvfusion.spec import SPEC, Objective, default_settings
from fusionbench.training import PairRecipe, Settings, Split, TrainingPair, load_strict, save_weights, train
from tests.networks import count, prepared, random_pairs, read_golden

FULL = Preset(width=16, head=8, text=24, tokens=6)
TINY = Preset(width=16, head=8)
MAPS = {
    "first_embedding": "patch_embd",
    "modal_embedding": "modal_in",
    "enc0_mifm": "encoders.0.mods.0.MIFM",
    "enc0_proj_in": "encoders.0.mods.0.mm_proj_in",
    "enc0_timemix": "encoders.0.mods.0.att_img",
    "enc0_channelmix": "encoders.0.mods.0.ffn_fusion",
    "down0": "downs.0",
    "enc1_timemix": "encoders.1.mods.0.att_img",
    "up0": "ups.0",
    "dec0_reduce": "decoders.0.mods.0",
    "dec0_mifm": "decoders.0.mods.1.MIFM",
    "dec0_block": "decoders.0.mods.1",
    "dec1_block": "decoders.1.mods.1",
    "after_body": "conv_after_body",
}


@pytest.fixture(scope="module")
def golden():
    return read_golden("rwkvfusion_tiny")


@pytest.fixture(scope="module")
def published(golden):
    return {key.removeprefix("net/"): value for key, value in golden.items() if key.startswith("net/")}


def with_language(published):
    network = Network(FULL).eval().requires_grad_(False)
    load_strict(network, published, "golden")
    return network


@pytest.fixture(scope="module")
def tiny(published):
    """The image-only network: the same without what belongs to language."""
    network = Network(TINY).eval().requires_grad_(False)
    load_strict(network, {key: published[key] for key in network.state_dict()}, "golden")
    return network


@pytest.fixture(scope="module")
def images(golden):
    return torch.cat([golden["other"], golden["mri"]], dim=1)


def test_recurrence_is_golden_at_any_chunk_and_in_double_precision(golden):
    r, k, v, w, u = (golden[f"wkv_{name}"] for name in "rkvwu")
    for chunk in (1, 2, 16, 64):
        torch.testing.assert_close(recurrence(r, k, v, w, u, chunk), golden["wkv_y"], rtol=0, atol=1e-10)


def by_steps(r, k, v, w, u):
    """The recurrence as it is written, token by token."""
    batch, tokens, width = r.shape
    heads, size = w.shape
    r, k, v = (x.view(batch, tokens, heads, size) for x in (r, k, v))
    decay, state, out = torch.exp(-torch.exp(w))[..., None], r.new_zeros(batch, heads, size, size), []
    for t in range(tokens):
        now = k[:, t, :, :, None] * v[:, t, :, None, :]
        out.append((r[:, t, :, None] @ (state + u[..., None] * now))[:, :, 0])
        state = decay * state + now
    return torch.stack(out, 1).reshape(batch, tokens, width)


@pytest.mark.parametrize("shift", [-6.0, 0.0, 4.0])
def test_chunks_are_the_recurrence_whether_it_forgets_slowly_or_at_once(shift):
    torch.manual_seed(0)
    r, k, v = torch.rand(3, 2, 300, 8) / 4
    w, u = torch.rand(2, 4) + shift, torch.rand(2, 4)
    exact = {name: x.double() for name, x in {"r": r, "k": k, "v": v, "w": w, "u": u}.items()}
    expected = by_steps(**exact)
    torch.testing.assert_close(recurrence(**exact, chunk=64), expected, rtol=0, atol=1e-12)
    largest = expected.abs().max().item()
    torch.testing.assert_close(recurrence(r, k, v, w, u).double(), expected, rtol=0, atol=1e-6 * largest)


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_golden(golden, tiny, images, name):
    seen: list[torch.Tensor] = []

    def look(_: object, __: object, out: Any) -> None:
        seen.append(out[0] if isinstance(out, tuple) else out)

    hook = tiny.get_submodule(MAPS[name]).register_forward_hook(look)
    tiny(images[:1])
    hook.remove()
    expected = golden[f"map_{name}"]
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.usefixtures("either_way")
def test_fused_images_are_golden_without_and_with_a_mask(golden, tiny, images):
    torch.testing.assert_close(tiny(images), golden["fused_raw"], rtol=0, atol=1e-5)
    torch.testing.assert_close(tiny(images, golden["mask"]), golden["fused_mask_raw"], rtol=0, atol=1e-5)
    torch.testing.assert_close(fuse(tiny, golden["mri"], golden["other"]), golden["fused_raw"], rtol=0, atol=1e-5)


def test_fused_image_is_golden_in_double_precision(golden, published, images):
    network = with_language(published).double()  # given no text, it is the image-only network
    torch.testing.assert_close(network(images.double()), golden["fused_raw_double"], rtol=0, atol=1e-10)


def test_language_is_golden(golden, published, images):
    network, text = with_language(published), golden["text"]
    silent = network(images[:1], None, torch.zeros_like(text))
    torch.testing.assert_close(silent, golden["fused_zerotext_raw"], rtol=0, atol=1e-5)
    told = network(images[:1], golden["mask"][:1], text)
    torch.testing.assert_close(told, golden["fused_text_raw"], rtol=0, atol=1e-5)


def test_each_sample_of_a_batch_hears_its_own_text(golden, published, images):
    network = with_language(published)
    texts = torch.cat([golden["text"], golden["text"].flip(1)])
    together = network(images, golden["mask"], texts)
    alone = torch.cat([network(images[i : i + 1], golden["mask"][i : i + 1], texts[i : i + 1]) for i in (0, 1)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_loss_and_its_gradient_are_golden(golden):
    fused = golden["loss_F"].clone().requires_grad_()
    total, terms = fusion_loss(fused, golden["loss_mri"], golden["loss_other"])
    for name, key in {"intensity": "intensity", "gradient": "gradient", "structure": "ssim"}.items():
        assert terms[name].item() == pytest.approx(golden[f"loss_{key}"].item(), rel=1e-6), name
    assert total.item() == pytest.approx(golden["loss_total"].item(), rel=1e-6)
    total.backward()
    scale = golden["loss_dF"].abs().max().item()
    torch.testing.assert_close(fused.grad, golden["loss_dF"], rtol=0, atol=1e-5 * scale)


def test_gradients_of_the_weights_are_golden(golden, published, images):
    """In double precision: some differences of the loss are so near zero that single precision flips their sign."""
    network: Any = with_language(published).double().requires_grad_()
    fused = network(images.double()).clamp(0, 1)
    total, _ = fusion_loss(fused, golden["mri"].double(), golden["other"].double())
    assert total.item() == pytest.approx(golden["grad_total"].item(), rel=1e-6)
    total.backward()
    first = network.encoders[0].mods[0]
    for name, weight in {
        "patch": network.patch_embd.weight,
        "time_decay0": first.att_img.time_decay,
        "time_first_mid": network.middle_blks.mods[0].att_img.time_faaaa,
        "mask_bias": first.MIFM.mask_convs[2].body.bias,
    }.items():
        expected = golden[f"grad_{name}"].double()
        torch.testing.assert_close(weight.grad, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_published_sizes():
    with torch.device("meta"):
        assert count(Network(dataclasses.replace(PRESETS["paper"], text=1024))) == 349_537
        assert count(Network(PRESETS["paper"])) == 247_137
    network: Any = Network(PRESETS["paper"])
    assert not network.encoders[0].mods[0].lerp_factor.any()
    decay = torch.exp(-torch.exp(network.encoders[0].mods[0].att_img.time_decay))
    assert 0.12 < decay.min() < 0.14 < 0.47 < decay.max() < 0.49


@pytest.mark.parametrize("wrong", [{"width": 3}, {"head": 3}, {"drop": 1.0}, {"tokens": 0}])
def test_a_size_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="give"):
        Preset(**{"width": 16, "head": 8, **wrong})


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tiny):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    SPEC.save(path, tiny, TINY, {"trained_by": "chance"})
    return path


def method(weights, **settings):
    return prepared("rwkvfusion", weights, **settings)


def test_method_is_deterministic_and_keeps_its_contract(tiny, weights):
    a, b = random_pairs(2, 20, 24)
    fused = method(weights).fuse(a, b, torch.Generator())
    torch.testing.assert_close(fused, tiny(torch.cat([b, a], 1)).clamp(0, 1), rtol=0, atol=1e-5)
    assert torch.equal(fused, method(weights).fuse(a, b, torch.Generator()))
    for _, check in method_checks(f"rwkvfusion:weights={weights}"):
        check()  # raises Broken


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (17, 17)])
def test_any_size_is_padded_and_cropped_back(weights, size):
    a, b = random_pairs(1, *size)
    fused = method(weights).fuse(a, b, torch.Generator())
    assert fused.shape == a.shape
    assert 0 <= fused.min() <= fused.max() <= 1


def test_masks_and_text_come_from_files(golden, published, tiny, weights, tmp_path):
    a, b = golden["mri"][:1], golden["other"][:1]
    np.save(tmp_path / "mask.npy", golden["mask"][0].numpy().astype(np.uint8))
    np.save(tmp_path / "text.npy", golden["text"][0].numpy())
    masked = method(weights, mask=tmp_path / "mask.npy")
    expected = tiny(torch.cat([b, a], 1), golden["mask"][:1]).clamp(0, 1)
    torch.testing.assert_close(masked.fuse(a, b, torch.Generator()), expected, rtol=0, atol=1e-5)
    assert masked.digest() != method(weights).digest()

    full = tmp_path / "full.safetensors"
    SPEC.save(full, with_language(published), FULL, {})
    told = method(full, mask=tmp_path / "mask.npy", text=tmp_path / "text.npy").fuse(a, b, torch.Generator())
    torch.testing.assert_close(told, golden["fused_text_raw"].clamp(0, 1), rtol=0, atol=1e-5)


def test_masks_and_text_that_do_not_fit_are_refused(weights, tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((8, 8)))
    np.save(tmp_path / "small.npy", np.zeros((2, 8, 8)))
    np.save(tmp_path / "nan.npy", np.full((2, 8, 8), np.nan))
    (tmp_path / "text.npy").write_text("a brain")
    for name, message in (("flat", "holds no array"), ("nan", "not finite"), ("text", "not a readable .npy file")):
        with pytest.raises(InputError, match=message):
            method(weights, mask=tmp_path / f"{name}.npy")
    with pytest.raises(InputError, match="no text branch"):
        method(weights, text=tmp_path / "flat.npy")
    small = method(weights, mask=tmp_path / "small.npy")
    with pytest.raises(InputError, match="is 8x8, the images are 24x20"):
        small.fuse(*random_pairs(1, 20, 24), torch.Generator())


def test_missing_damaged_and_foreign_weights_are_told(weights, tmp_path):
    with pytest.raises(InputError, match="no such weights file"):
        method(tmp_path / "nowhere.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        method(damaged)
    for size in ({}, {"preset": {"width": 15}}, {"preset": {"width": 16, "head": 8, "depth": 3}}):
        save_weights(damaged, {"x": torch.zeros(1)}, {"kind": "rwkvfusion", **size})
        with pytest.raises(InputError, match=r"does not describe this network|not weights of this network"):
            method(damaged)
    with pytest.raises(InputError, match="no published files of RWKVFusion"):
        SPEC.convert_published([tmp_path / "theirs.pth"], tmp_path / "out.safetensors")


def some_pairs(count=4, size=32):
    images = np.random.default_rng(0).integers(0, 256, (2 * count, size, size)).astype(np.uint8)
    pairs = [TrainingPair("ct-mri", f"{i}", f"{i}", images[2 * i], images[2 * i + 1]) for i in range(count)]
    return Split(pairs[:-1], pairs[-1:])


def test_training_lowers_the_loss_and_a_stopped_one_repeats_the_unbroken(tmp_path):
    settings = Settings(steps=12, batch=2, crop=24, lr=3e-3, validate_every=6)

    def recipe():
        torch.manual_seed(0)  # drops blocks and features
        return PairRecipe("rwkvfusion", Network(Preset(width=8, head=4)), Objective(SPEC.losses["compact"]))

    whole = train(recipe(), some_pairs(), settings, tmp_path / "whole", channels_last=False)
    losses = np.loadtxt(tmp_path / "whole" / "log.csv", delimiter=",", skiprows=1)[:, 3]
    assert losses[-3:].mean() < losses[:3].mean()
    train(recipe(), some_pairs(), settings, tmp_path / "broken", channels_last=False, stop_after=5)
    again = train(recipe(), some_pairs(), settings, tmp_path / "broken", channels_last=False, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_shipped_weights_are_small_and_say_what_they_saw():
    factory: Any = METHODS["rwkvfusion"].factory
    file = Path(factory()._file)
    assert file.stat().st_size < 1_000_000
    _, card = SPEC.load(file, PRESETS["compact"])
    assert card["trained_on"] == []
    assert set(card["train_pairs"]) == {"phantom/ct-mri", "phantom/pet-mri", "phantom/spect-mri"}
    assert not {case for cases in card["train_cases"].values() for case in cases} & {
        f"train-000{n}" for n in range(56, 60)
    }
    assert card["train"]["lr"] == default_settings("compact").lr
