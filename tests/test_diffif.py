"""Diff-IF against values computed with the authors' own classes (tests/golden/diffif_tiny.npz, at a tiny width)."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fusionbench.audit.contracts import method_checks
from fusionbench.errors import InputError
from fusionbench.methods._losses import directional_gradient
from fusionbench.methods._sr3 import ConditionalUNet, add_noise, sqrt_alpha_bar
from fusionbench.methods.diffif.losses import (
    LossWeights,
    loss_terms,
    refining_terms,
    structure,
)
from fusionbench.methods.diffif.method import DiffIFMethod
from fusionbench.methods.diffif.model import (
    PRESETS,
    DiffIF,
    Preset,
    draw_noise,
    sample,
    sample_steps,
    sampling_times,
)
from fusionbench.methods.diffif.recipe import DiffIFRecipe, loss_preset
from fusionbench.methods.diffif.spec import SPEC
from fusionbench.training import Settings, TrainingPair, save_weights, split_by_case, train
from tests.networks import count, prepared, random_pairs, read_golden, seeded

TINY = Preset(inner=8, groups=4, dropout=0.1, width=8, expansion=2.66)
TAUS = (999, 749, 499, 249)


@pytest.fixture(scope="module")
def golden():
    return read_golden("diffif_tiny")


@pytest.fixture(scope="module")
def published(golden):
    return {key.removeprefix("net/"): value for key, value in golden.items() if key.startswith("net/")}


@pytest.fixture
def tiny(published):
    model = DiffIF(TINY).eval()
    model.load_state_dict(published)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def sources(golden):
    return torch.cat([golden["other"], golden["mri"]], dim=1)


def largest_difference(got, expected):
    return (got - expected).abs().max().item()


def outputs(network, names, *inputs):
    """What the named modules return during one call."""
    kept = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda m, i, out, name=name: kept.update({name: out}))
        for name in names
    ]
    result = network(*inputs)
    for hook in hooks:
        hook.remove()
    return result, kept


def test_unet_predicts_the_golden_noise_through_the_golden_maps(golden, tiny, sources):
    maps = {"noise_level_mlp": "embedding", "downs.0": "first", "downs.2": "down2", "downs.9": "down9",
            "downs.11": "down11", "mid.0": "mid0", "mid.1": "mid1", "ups.2": "up2", "ups.6": "up6",
            "ups.14": "up14"}  # fmt: skip
    noisy, level = torch.cat([sources, golden["unet_noisy"]], dim=1), golden["unet_level"][:, 0]
    noise, kept = outputs(tiny.denoise_fn, maps, noisy, level)
    assert largest_difference(noise, golden["unet_eps"]) < 1e-5
    for module, name in maps.items():
        expected = golden[f"unet_map_{name}"].reshape(kept[module].shape)
        assert largest_difference(kept[module], expected) < 1e-5 * expected.abs().max(), name
    exact = tiny.double().denoise_fn(noisy.double(), level.double())
    assert largest_difference(exact, golden["unet_eps_double"]) < 1e-10


def test_refiner_gives_the_golden_image_through_the_golden_maps(golden, tiny, sources):
    maps = {"noise_level_mlp": "embedding", "encoder_level1.0": "x0_block0", "encoder_level1": "x0_level1",
            "encoder_level1_refine": "src_level1", "reduce_chan_level1_refine": "merge1",
            "encoder_level2.0": "level2_block0", "reduce_chan_level2_refine": "merge2", "decoder_level2": "dec2",
            "decoder_level1": "dec1", "refinement": "refinement"}  # fmt: skip
    inputs = sources, golden["ref_x0"], golden["ref_level"][:, 0]
    refined, kept = outputs(tiny.refinement_fn, maps, *inputs)
    assert largest_difference(refined, golden["ref_out"]) < 1e-5
    for module, name in maps.items():
        expected = golden[f"ref_map_{name}"].reshape(kept[module].shape)
        assert largest_difference(kept[module], expected) < 1e-5 * expected.abs().max(), name
    exact = tiny.double().refinement_fn(*(x.double() for x in inputs))
    assert largest_difference(exact, golden["ref_out_double"]) < 1e-10


@pytest.mark.usefixtures("either_way")
def test_four_sampling_steps_are_golden(golden, tiny):
    steps = list(sample_steps(tiny, golden["other"], golden["mri"], golden["ddim_noise"][:, None]))
    for (prediction, x), tau in zip(steps, TAUS, strict=True):
        assert largest_difference(prediction.noise, golden[f"ddim_eps_{tau}"]) < 1e-5
        assert largest_difference(prediction.clean, golden[f"ddim_x0_{tau}"]) < (5e-5 if tau == 999 else 1e-5)
        assert largest_difference(prediction.fused, golden[f"ddim_refined_raw_{tau}"]) < 1e-5
        assert largest_difference(x, golden[f"ddim_x_{tau}"]) < 1e-5
    assert largest_difference(steps[-1][1], golden["ddim_fused"]) < 1e-5
    noise = golden["ddim_noise"][:, None].double()
    exact = sample(tiny.double(), golden["other"].double(), golden["mri"].double(), noise)
    assert largest_difference(exact, golden["ddim_fused_double"]) < 1e-10


def test_schedule_and_visited_steps_are_golden(golden):
    levels = sqrt_alpha_bar("linear", 1000)
    assert largest_difference(levels, golden["sqrt_alpha_bar"]) < 1e-12
    assert [t - 1 for t in sampling_times(4)] == golden["ddim_timesteps"].tolist()
    for t in sampling_times(4):
        assert levels[t].item() == pytest.approx(golden[f"ddim_level_{t - 1}"].item(), abs=1e-7)
    assert sampling_times(1) == [1000]


def test_training_step_and_its_gradients_are_golden(golden, tiny):
    tiny.requires_grad_(True)
    o, m, prior, noise = (golden[f"loss_{name}"] for name in ("other", "mri", "prior", "noise"))
    noisy = add_noise(prior, golden["loss_level"], noise)
    assert largest_difference(noisy, golden["loss_noisy"]) < 1e-6
    exact = sqrt_alpha_bar("linear", 1000)[golden["loss_t"]].float().expand(2)
    prediction = tiny(torch.cat([o, m], dim=1), noisy, golden["loss_level"], exact)
    assert largest_difference(prediction.noise, golden["loss_pred_eps"]) < 1e-5
    assert largest_difference(prediction.clean, golden["loss_x0"]) < 1e-5
    assert largest_difference(prediction.fused.clamp(-1, 1), golden["loss_refined"]) < 1e-5
    weights = LossWeights()
    total, terms = loss_terms(prediction.noise, noise, refining_terms(prediction.fused, o, m, prior, weights), weights)
    names = {"noise": "eps", "prior": "prior", "maximum": "max", "gradient": "gradient", "structure": "ssim"}
    assert terms.keys() == names.keys()
    for ours, theirs in names.items():
        assert terms[ours].item() == pytest.approx(golden[f"loss_term_{theirs}"].item(), abs=1e-5)
    assert total.item() == pytest.approx(golden["loss_total"].item(), abs=2e-5)
    total.backward()
    for parameter, name in ((tiny.denoise_fn.downs[0].weight, "unet_first"),
                            (tiny.refinement_fn.output.weight, "refiner_output")):  # fmt: skip
        expected = golden[f"loss_grad_{name}"]
        assert largest_difference(parameter.grad, expected) < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_gradient_and_structure_terms_are_golden(golden, kind):
    fused, o, m = golden[f"term_{kind}_F"], golden["loss_other"], golden["loss_mri"]
    expected = golden[f"term_{kind}_ssim_other"] + golden[f"term_{kind}_ssim_mri"]
    assert structure(fused, o, m).item() == pytest.approx(expected.item(), abs=1e-5)
    strongest = torch.maximum(directional_gradient(o, "valid"), directional_gradient(m, "valid")).sum(1)
    gradient = F.l1_loss(directional_gradient(fused, "valid").sum(1), strongest)
    assert gradient.item() == pytest.approx(golden[f"term_{kind}_gradient"].item(), abs=1e-5)


def test_parameter_counts_of_the_published_size():
    p = PRESETS["paper"]
    with torch.device("meta"):
        model = DiffIF(p)
        assert count(model.denoise_fn) == 22_377_073
        assert count(model.refinement_fn) == 1_359_326
        # What the constructor gives when it is told the size of the images: no attention in the coarsest level.
        assert count(ConditionalUNet(3, p.inner, (1, 2, 4, 6), p.groups, p.dropout, 160)) == 20_713_873


@pytest.fixture(scope="module")
def weights(tmp_path_factory, published):
    model = DiffIF(TINY)
    model.load_state_dict(published)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    SPEC.save(path, model, TINY, {"trained_by": "chance"})
    return path


def method(weights, **settings):
    return prepared("diffif", weights, **settings)


def test_method_gives_the_sampler_s_output_in_the_unit_range(tiny, weights):
    a, b = random_pairs(1, 32, 40)
    expected = sample(tiny, 2 * b - 1, 2 * a - 1, draw_noise(seeded(5), 4, 32, 40)) / 2 + 0.5
    torch.testing.assert_close(method(weights).fuse(a, b, seeded(5)), expected, rtol=0, atol=1e-5)


def test_the_sampler_takes_batches_with_one_generator_a_pair(tiny):
    m, o = random_pairs(2, 32, 32) * 2 - 1
    together = sample(tiny, o, m, draw_noise(seeded(1, 2), 4, 32, 32))
    alone = sample(tiny, o[1:], m[1:], draw_noise(seeded(2), 4, 32, 32))
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-5)


def test_noise_is_seeded_by_pair_and_a_batch_changes_nothing(weights):
    a, b = random_pairs(2, 32, 32)
    fuse = method(weights).fuse
    together = fuse(a, b, seeded(1, 2))
    assert torch.equal(together[1:], fuse(a[1:], b[1:], seeded(2)))
    assert not torch.equal(together[1:], fuse(a[1:], b[1:], seeded(3)))


def test_draws_are_averaged_and_steps_count(weights):
    a, b = random_pairs(1, 32, 32)
    fuse = method(weights).fuse
    generator = torch.Generator().manual_seed(1)
    expected = (fuse(a, b, generator) + fuse(a, b, generator)) / 2
    torch.testing.assert_close(method(weights, draws=2).fuse(a, b, seeded(1)), expected, rtol=0, atol=1e-6)
    assert not torch.equal(method(weights, steps=2).fuse(a, b, seeded(1)), fuse(a, b, seeded(1)))


def test_method_keeps_its_contract_with_any_weights(weights):
    for _, check in method_checks(f"diffif:weights={weights}"):
        check()  # raises Broken


@pytest.mark.parametrize("size", [(1, 1), (17, 17), (35, 50)])
def test_any_size_is_padded_and_cropped_back(weights, size):
    a, b = random_pairs(1, *size)
    fused = method(weights).fuse(a, b, seeded(1))
    assert fused.shape == a.shape
    assert 0 <= fused.min() <= fused.max() <= 1


def test_bf16_is_close_to_float32(weights):
    a, b = random_pairs(1, 32, 32)
    exact, fast = (method(weights, precision=p).fuse(a, b, seeded(1)) for p in ("float32", "bf16"))
    assert (exact - fast).abs().mean() < 2e-2


def test_published_file_is_converted_by_key(published, tiny, tmp_path):
    file, out = tmp_path / "MIF_weights_gen.pth", tmp_path / "out.safetensors"
    torch.save({**published, "betas": torch.zeros(1000)}, file)
    SPEC.convert_published([file], out, TINY)
    model, card = SPEC.load(out)
    for name, value in tiny.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert card["files"] == ["MIF_weights_gen.pth"]

    foreign = {**published, "denoise_fn.downs.0.bias": torch.zeros(3), "optimizer": torch.zeros(1)}
    del foreign["refinement_fn.output.weight"]
    torch.save(foreign, file)
    with pytest.raises(InputError) as error:
        SPEC.convert_published([file], tmp_path / "out2.safetensors", TINY)
    for part in ("missing refinement_fn.output", "extra optimizer", "denoise_fn.downs.0.bias is (3,), must be (8,)"):
        assert part in str(error.value)
    assert not (tmp_path / "out2.safetensors").exists()
    with pytest.raises(InputError, match="2 files for diffif"):
        SPEC.convert_published([file, file], out, TINY)


def test_missing_and_foreign_weights_are_told(weights, tmp_path):
    with pytest.raises(InputError, match="no such weights file"):
        method(tmp_path / "nowhere.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_weights(foreign, {"x": torch.zeros(1)}, {"kind": "diffif"})
    with pytest.raises(InputError, match="does not describe this network"):
        method(foreign)
    with pytest.raises(InputError, match="give its own --preset"):
        SPEC.load(weights, PRESETS["paper"])


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="steps=0"):
        DiffIFMethod(steps=0)
    with pytest.raises(InputError, match="draws=0"):
        DiffIFMethod(draws=0)


def some_pairs(count=4, size=72):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 3, size, size)).astype(np.uint8)
    return [TrainingPair("pet-mri", f"{i}", f"{i}", *images[i]) for i in range(count)]


def test_steps_are_one_a_batch_as_published_or_mostly_those_that_the_sampler_visits(tiny):
    assert len(set(DiffIFRecipe(tiny, LossWeights())._draw_steps([1, 2, 3, 4]))) == 1
    drawn = DiffIFRecipe(tiny, LossWeights(), sampled=0.6)._draw_steps(list(range(200)))
    visited = sum(t in sampling_times(4) for t in drawn)
    assert 90 < visited < 150
    assert set(drawn) > set(sampling_times(4))


def test_training_goes_on_exactly_where_it_stopped(tmp_path):
    split = split_by_case(some_pairs(), ["pet-mri/3"])
    settings = Settings(steps=2, batch=2, crop=64, validate_every=2)

    def trained(folder, **how):
        torch.manual_seed(0)
        recipe = DiffIFRecipe(DiffIF(TINY), loss_preset("compact"), sampled=0.6)
        return train(recipe, split, settings, tmp_path / folder, **how).state_dict()

    unbroken = trained("whole")
    trained("broken", stop_after=1)
    resumed = trained("broken", resume=True)
    assert all(torch.equal(unbroken[key], value) for key, value in resumed.items())


def test_training_writes_weights_that_training_can_start_from(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "compact", TINY)
    split = split_by_case(some_pairs(), ["pet-mri/3"])
    few = {"precision": "no", "steps": 1, "batch": 2, "crop": 64}
    file = SPEC.train(split, tmp_path / "first", overrides=few)
    model, card = SPEC.load(file, TINY)
    assert card["train"]["steps"] == 1
    assert card["train_pairs"] == {"pet-mri": 3}
    further, card = SPEC.load(SPEC.train(split, tmp_path / "second", overrides=few, start=file))
    assert card["started_from"]["train_pairs"] == {"pet-mri": 3}
    assert not torch.equal(model.refinement_fn.output.weight, further.refinement_fn.output.weight)
    wider = {"width": 12}
    assert SPEC.load(SPEC.train(split, tmp_path / "wide", overrides=few, network=wider))[1]["preset"] == {
        **dataclasses.asdict(TINY),
        **wider,
    }


def test_training_refuses_what_it_cannot_use(tmp_path):
    split = split_by_case([dataclasses.replace(pair, target=None) for pair in some_pairs()], [])
    with pytest.raises(InputError, match="prior fused images"):
        SPEC.train(split, tmp_path)
    with pytest.raises(InputError, match="one stage"):
        SPEC.train(split, tmp_path, stage="fuse")
    with pytest.raises(InputError, match="no loss term 'sharpness'"):
        SPEC.train(split_by_case(some_pairs(), []), tmp_path, loss={"sharpness": 1.0})
