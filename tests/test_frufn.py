"""FRUFN and EFRUFN against values computed with the authors' own class (tests/golden/frufn_tiny.npz, at a tiny width)."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fusionbench.audit.contracts import method_checks
from fusionbench.errors import InputError
from fusionbench.methods.efrufn import network as equilibrium
from fusionbench.methods.efrufn.spec import SPEC as EQUILIBRIUM
from fusionbench.methods.frufn.losses import LossWeights, fusion_loss
from fusionbench.methods.frufn.network import PRESETS, Network, Preset, not_weights
from fusionbench.methods.frufn.spec import SPEC
from fusionbench.training import Split, TrainingPair, load_strict, save_weights
from tests.conftest import SHARED
from tests.networks import count, prepared, random_pairs, read_golden, seeded

GOLDEN = Preset(width=16, heads=8)
TINY = Preset(width=4, heads=2)
SPECS: dict[str, Any] = {"frufn": SPEC, "efrufn": EQUILIBRIUM}
MAPS = {
    "enc1": "encoder1",
    "enc2": "encoder2",
    "c1_in_conv": "fuser.u1.in_conv",
    "c1_swin": "fuser.u1.glo.blocks",
    "c1_r": "fuser.u1.out_conv",
    "c1_mask_in": "fuser.u1.gs.proj_in",
    "c1_fe8": "fuser.u1.gs.fe8",
    "c1_mask_merge": "fuser.u1.gs.tran",
    "c1_mask_swin": "fuser.u1.gs.glo.blocks",
    "c1_mask_logits": "fuser.u1.gs.proj_out1",
}


@pytest.fixture(scope="module")
def golden():
    return read_golden("frufn_tiny")


@pytest.fixture(scope="module")
def published(golden):
    """What the authors' file of the unrolled network holds: weights, an unused layer and buffers."""
    weights = {key.removeprefix("net/"): value for key, value in golden.items() if key.startswith("net/")}
    skipped = not_weights([f"fuser.u{i}" for i in range(1, 6)])
    return weights | {key: torch.zeros(4) for key in skipped if not key.endswith("blocks.0.attn_mask")}


@pytest.fixture(scope="module")
def weights_of(published):
    """The tensors of either network: the equilibrium's cell is the first of the unrolled one's."""
    own = Network(GOLDEN).state_dict().keys()
    kept = {key: value for key, value in published.items() if key in own}
    one = {key.replace("fuser.u1", "update_block"): value for key, value in kept.items() if "fuser.u1" in key}
    return {"frufn": kept, "efrufn": {k: v for k, v in kept.items() if not k.startswith("fuser")} | one}


@pytest.fixture
def network(weights_of):
    made = Network(GOLDEN).eval()
    load_strict(made, weights_of["frufn"], "golden")
    return made


@pytest.fixture
def iterated(weights_of):
    made = equilibrium.Network(GOLDEN).eval().requires_grad_(False)
    load_strict(made, weights_of["efrufn"], "golden")
    return made


def test_maps_are_golden(golden, network):
    seen: dict[str, torch.Tensor] = {}
    for name, path in MAPS.items():
        network.get_submodule(path).register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, out))
    masks = []
    for cell in network.fuser.values():
        cell.register_forward_hook(lambda _, __, out: masks.append(out[1]))
    with torch.no_grad():
        fused = network(golden["i1"], golden["i2"])
    torch.testing.assert_close(fused, golden["fused"], rtol=0, atol=1e-5)
    for index, mask in enumerate(masks):
        torch.testing.assert_close(mask, golden[f"mask{index + 1}"], rtol=0, atol=1e-5)
    for name in MAPS:
        expected = golden[f"map_{name}"]
        got = seen[name][:1].reshape(expected.shape)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_state_after_each_cell_and_both_reconstructions_are_golden(golden, network):
    with torch.no_grad():
        x, z, mask = network.encode(golden["i1"], golden["i2"])
        for name, maps in (("rec1", x), ("rec2", z)):
            torch.testing.assert_close(network.decode(maps), golden[name], rtol=0, atol=1e-5)
        for index, cell in enumerate(network.fuser.values()):
            added, mask = cell(x, z, mask)
            x = x + added
            if index % 2 == 0:
                expected = golden[f"map_x{index + 1}"]
                torch.testing.assert_close(x[:1], expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_both_are_golden_in_double_precision(golden, network, iterated):
    first, second = golden["i1"].double(), golden["i2"].double()
    with torch.no_grad():
        for made, name in ((network, "fused_double"), (iterated, "eq_anderson5_double")):
            torch.testing.assert_close(made.double()(first, second), golden[name], rtol=0, atol=1e-7)


def test_plain_steps_and_anderson_are_golden(golden, iterated):
    start, z, mask = iterated.encode(golden["i1"], golden["i2"])
    step, state = functools.partial(iterated.step, start, z), torch.cat([start, mask], dim=1)
    for steps in (1, 2, 5):
        found, _ = equilibrium.plain(step, state, steps)
        torch.testing.assert_close(iterated.decode(found[:, :-1]), golden[f"eq_plain{steps}"], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[:, -1:], golden["eq_plain5_mask"], rtol=0, atol=1e-5)
    found, least = equilibrium.anderson(step, state)
    torch.testing.assert_close(found[:, -1:], golden["eq_anderson5_mask"], rtol=0, atol=1e-5)
    torch.testing.assert_close(least, golden["eq_anderson5_residual"].min(0).values, rtol=1e-4, atol=0)
    torch.testing.assert_close(iterated(golden["i1"], golden["i2"]), golden["eq_anderson5"], rtol=0, atol=1e-5)
    torch.testing.assert_close(iterated.residuals, least / torch.linalg.vector_norm(found, dim=(1, 2, 3)))


def test_anderson_solves_a_linear_system_where_plain_steps_fall_behind():
    g = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=torch.float64))[0]
    matrix = basis @ torch.diag(torch.tensor([0.95, 0.9, 0.5, 0.1, 0.0, 0.0]).double()) @ basis.T
    shift = torch.randn(6, generator=g, dtype=torch.float64)
    exact = torch.linalg.solve(torch.eye(6).double() - matrix, shift)

    def step(x: torch.Tensor) -> torch.Tensor:
        moved: torch.Tensor = x.flatten(1) @ matrix.T + shift
        return moved.reshape(x.shape)

    start = torch.zeros(1, 1, 2, 3).double()
    accelerated, residual = equilibrium.anderson(step, start, steps=8, ridge=1e-12)
    iterated, far = equilibrium.plain(step, start, steps=8)
    assert float((accelerated.flatten() - exact).abs().max()) < 1e-3 < float((iterated.flatten() - exact).abs().max())
    assert float(residual) < float(far)


def test_loss_and_its_gradient_are_golden(golden):
    fused = golden["loss_F"].clone().requires_grad_()
    total, terms = fusion_loss(fused, golden["loss_a"], golden["loss_b"], teacher=golden["loss_teacher"])
    w, g = LossWeights(), {k.removeprefix("loss_"): float(v) for k, v in golden.items() if v.ndim == 0}
    share = g["weight_a"]
    expected = {
        "intensity": w.intensity * g["intensity"],
        "gradient": w.gradient * g["gradient"],
        "structure": w.structure * (1 - share * g["ssim_a"] - (1 - share) * g["ssim_b"]),
        "contrast": -w.contrast * g["std"],
        "transfer": w.transfer * g["G"],
    }
    assert {name: float(value.detach()) for name, value in terms.items()} == pytest.approx(expected, rel=1e-5)
    assert total.item() == pytest.approx(g["total"], rel=1e-6)
    assert total.item() - terms["transfer"].item() == pytest.approx(g["U"], rel=1e-6)
    total.backward()
    assert fused.grad is not None
    scale = float(golden["loss_dF"].abs().max())
    torch.testing.assert_close(fused.grad, golden["loss_dF"], rtol=0, atol=1e-4 * scale)


def test_gradients_of_the_network_are_golden(golden, network):
    total, _ = fusion_loss(network(golden["i1"], golden["i2"]), golden["i1"], golden["i2"])
    assert total.item() == pytest.approx(golden["grad_U"].item(), rel=1e-6)
    total.backward()
    for name, key in {
        "encoder1": "encoder1.0.weight",
        "c1_in_conv": "fuser.u1.in_conv.weight",
        "c5_logit_scale": "fuser.u5.gs.glo.blocks.1.attn.logit_scale",
        "c3_grn_gamma": "fuser.u3.gs.fe4.grn.gamma",
    }.items():
        got, expected = network.get_parameter(key).grad, golden[f"grad_{name}"]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_published_sizes():
    with torch.device("meta"):
        network, iterated = Network(PRESETS["paper"]), equilibrium.Network(PRESETS["paper"])
    assert (count(network), len(network.state_dict())) == (863_562, 585)
    assert (count(network.encoder1), count(network.decoder), count(network.fuser["u3"])) == (18_784, 18_784, 161_442)
    assert count(iterated) == 217_794


@pytest.mark.parametrize(
    ("name", "cells"), [("frufn", [f"fuser.u{i}" for i in range(1, 6)]), ("efrufn", ["update_block"])]
)
def test_published_file_is_converted_by_key(weights_of, tmp_path, name, cells):
    spec, file, out = SPECS[name], tmp_path / "authors.pth", tmp_path / "out.safetensors"
    skipped = {key: torch.zeros(4) for key in not_weights(cells) if not key.endswith("blocks.0.attn_mask")}
    unused = "out_conv.weight" if name == "frufn" else "update_block.trans.0.weight"
    content = weights_of[name] | skipped | {unused: torch.zeros(1)}
    assert len(content) == {"frufn": 636, "efrufn": 140}[name]  # as the authors' files
    torch.save(content, file)
    spec.convert_published([file], out, GOLDEN)
    network, card = spec.load(out, GOLDEN)
    for key, value in weights_of[name].items():
        assert torch.equal(network.state_dict()[key], value), key
    assert card["files"] == ["authors.pth"]

    broken = {**content, "encoder1.0.weight": torch.zeros(3)}
    broken["optimizer"] = broken.pop("decoder.1.weight")
    torch.save(broken, file)
    with pytest.raises(InputError) as error:
        spec.convert_published([file], tmp_path / "bad.safetensors", GOLDEN)
    for part in ("missing decoder.1.weight", "extra optimizer", "encoder1.0.weight is (3,), must be (16, 1, 3, 3)"):
        assert part in str(error.value)
    assert not (tmp_path / "bad.safetensors").exists()
    with pytest.raises(InputError, match=f"2 files for {name}; give 1"):
        spec.convert_published([file, file], out)


def authors_file() -> Path | None:
    """The authors' file of the equilibrium form, where somebody has put it beside the checkout."""
    return next(SHARED.glob("**/ufnet_deq_deeper_ivf.pth"), None) if SHARED.is_dir() else None


@pytest.mark.slow
@pytest.mark.skipif(authors_file() is None, reason="needs the authors' ufnet_deq_deeper_ivf.pth in ../shared")
@pytest.mark.parametrize(("name", "first"), [("brain", 64), ("texture", 40)])
def test_published_weights_give_the_published_images(golden, tmp_path, name, first):
    file, out = authors_file(), tmp_path / "authors.safetensors"
    assert file is not None
    EQUILIBRIUM.convert_published([file], out)
    network = EQUILIBRIUM.load(out, PRESETS["paper"])[0].eval()
    folder, place = Path(__file__).parent / "golden" / "triples", slice(first, first + 64)
    images = [
        torch.from_numpy(np.asarray(Image.open(folder / f"{name}_{i}.png"), np.float32)[place, place])[None, None] / 255
        for i in "ab"
    ]
    with torch.no_grad():
        for network.solver in ("plain", "anderson"):
            expected = golden[f"published_eq_{name}_{network.solver}5"]
            torch.testing.assert_close(network(*images), expected, rtol=0, atol=2e-5)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights files of both networks at a tiny size, from random weights."""
    folder, made = tmp_path_factory.mktemp("weights"), {}
    for name, spec in SPECS.items():
        torch.manual_seed(1)
        made[name] = folder / f"{name}.safetensors"
        spec.save(made[name], spec.build(TINY), TINY, {"trained_by": "chance"})
    return made


@pytest.mark.parametrize("name", SPECS)
def test_method_takes_the_other_image_first_unless_told_and_repeats_itself(files, name):
    a, b = random_pairs(2, 24, 32)
    network = SPECS[name].load(files[name])[0].eval()
    expected = {}
    with torch.no_grad():  # one pair at a time, as the method does: the norms of so narrow a network amplify rounding
        for order, first, second in (("other", b, a), ("mri", a, b)):
            images = [network(x[None], y[None]) for x, y in zip(first, second, strict=True)]
            expected[order] = torch.cat(images).clamp(0, 1)
    assert not torch.equal(expected["other"], expected["mri"])
    for first, image in expected.items():
        method = prepared(name, files[name], first=first)
        fused = method.fuse(a, b, torch.Generator())
        torch.testing.assert_close(fused, image, rtol=0, atol=1e-5)
        assert torch.equal(fused, method.fuse(a, b, seeded(1, 2)))


@pytest.mark.parametrize("name", SPECS)
def test_method_keeps_its_contract_with_any_weights(files, name):
    for _, check in method_checks(f"{name}:weights={files[name]}"):
        check()  # raises Broken


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("size", [(1, 1), (3, 70), (17, 17), (41, 50)])
def test_any_size_is_padded_and_cropped_back(files, name, size):
    a, b = random_pairs(1, *size)
    fused = prepared(name, files[name]).fuse(a, b, torch.Generator())
    assert fused.shape == a.shape
    assert 0 <= fused.min() <= fused.max() <= 1


def test_the_solver_is_a_setting_and_its_residual_is_reported(files):
    a, b = random_pairs(1, 32, 32)
    methods: list[Any] = [prepared("efrufn", files["efrufn"], solver=solver) for solver in ("anderson", "plain")]
    assert methods[0].residuals == []
    images = [method.fuse(a, b, torch.Generator()) for method in methods]
    assert not torch.equal(images[0], images[1])
    for method in methods:
        assert len(method.residuals) == 1
        assert 0 < method.residuals[0] < 1


@pytest.mark.parametrize("name", SPECS)
def test_missing_damaged_and_foreign_weights_are_told(files, tmp_path, name):
    with pytest.raises(InputError, match="no such weights file"):
        prepared(name, tmp_path / "nowhere.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(files[name].read_bytes()[:5000])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        prepared(name, damaged)
    with pytest.raises(InputError, match="holds weights of"):
        prepared(name, files["efrufn" if name == "frufn" else "frufn"])
    for size in ({}, {"preset": {"width": 5, "heads": 2}}, {"preset": {"width": 4, "heads": 0}}):
        save_weights(damaged, {"x": torch.zeros(1)}, {"kind": name, **size})
        with pytest.raises(InputError, match="does not describe this network"):
            prepared(name, damaged)
    with pytest.raises(InputError, match="not of"):
        SPECS[name].load(files[name], PRESETS["paper"])


def some_pairs(count=4, size=32):
    images = np.random.default_rng(0).integers(0, 256, (2 * count, size, size)).astype(np.uint8)
    pairs = [TrainingPair("ct-mri", f"{i}", f"{i}", images[2 * i], images[2 * i + 1]) for i in range(count)]
    return Split(pairs[:-1], pairs[-1:])


def trained(name, out, start=None, resume=False, **changes):
    overrides = {"steps": 6, "batch": 2, "crop": 16, "validate_every": 3, **changes}
    size = {"width": "4", "heads": "1"}
    return SPECS[name].train(some_pairs(), out, network=size, overrides=overrides, start=start, resume=resume)


@pytest.mark.parametrize("name", SPECS)
def test_training_lowers_the_loss_and_its_file_is_loaded(tmp_path, name):
    file = trained(name, tmp_path / "run", steps=30, lr=5e-3)
    losses = np.loadtxt(tmp_path / "run" / "log.csv", delimiter=",", skiprows=1)[:, 3]
    assert losses[-5:].mean() < losses[:5].mean()
    _, card = SPECS[name].load(file, Preset(width=4, heads=1))
    assert card["loss"]["contrast"] == 50
    assert card["train"]["steps"] == 30
    assert prepared(name, file).fuse(*random_pairs(1, 20, 24), torch.Generator()).shape == (1, 1, 20, 24)
    header = (tmp_path / "run" / "validation.csv").read_text().splitlines()[0].split(",")
    assert ("residual" in header) is (name == "efrufn")
    again = trained(name, tmp_path / "again", start=file, steps=1)
    assert SPECS[name].load(again)[1]["started_from"]["train"]["steps"] == 30
    with pytest.raises(InputError, match="no loss term 'sharpness'"):
        SPECS[name].train(some_pairs(), tmp_path / "third", loss={"sharpness": 1})
    with pytest.raises(InputError, match="give a width that the heads divide"):
        SPECS[name].train(some_pairs(), tmp_path / "third", network={"heads": 3})
    assert not (tmp_path / "third").exists()


def test_training_of_the_equilibrium_has_a_gradient_of_one_step(iterated, golden):
    """Both images are those of plain steps; what went before the last step of each is a constant."""
    iterated.requires_grad_(True)
    first, second = golden["i1"][:1], golden["i2"][:1]
    images = iterated.train()(first, second)
    iterated.eval()
    start, z, mask = iterated.encode(first, second)
    step, state = functools.partial(iterated.step, start, z), torch.cat([start, mask], dim=1)
    for index, steps in enumerate((3, 6)):
        expected, _ = equilibrium.plain(step, state, steps)
        torch.testing.assert_close(images[index : index + 1], iterated.decode(expected[:, :-1]), rtol=0, atol=1e-5)
    weight = iterated.get_parameter("update_block.in_conv.weight")
    got = torch.autograd.grad(images[:1].sum(), weight, retain_graph=True)[0]
    before = equilibrium.plain(step, state, 2)[0].detach()
    wanted = torch.autograd.grad(iterated.decode(step(before)[:, :-1]).sum(), weight)[0]
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


def test_sizes_that_there_are_not_are_refused():
    for fields in ({"width": 1}, {"heads": 3}, {"heads": 0}):
        with pytest.raises(InputError, match="give a width that the heads divide"):
            dataclasses.replace(PRESETS["paper"], **fields)
