"""The small learned methods: their networks, their training, their weights files."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import pytest
import safetensors
import torch

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, create_method, unavailable
from fusionbench.methods._learned import shipped
from fusionbench.training import Split, TrainingPair

METHODS_BY_PACKAGE = {"densefuse": "densefuse", "cnnfuse": "cnn-fuse", "coupledcsc": "coupled-csc"}
PARAMETERS = {"densefuse": 74_193, "cnnfuse": 16_297, "coupledcsc": 17_393}


def pairs(count: int = 3) -> Split:
    rng = np.random.default_rng(0)
    images = (rng.random((2 * count, 24, 28)) * 255).astype(np.uint8)
    made = [TrainingPair("ct-mri", f"{i}", f"{i}", images[2 * i], images[2 * i + 1]) for i in range(count)]
    return Split(made[:-1], made[-1:])


def network(package: str) -> Any:
    torch.manual_seed(0)
    return importlib.import_module(f"fusionbench.methods.{package}.network").Network()


def spec_of(name: str) -> Any:
    factory: Any = METHODS[name].factory
    return factory.spec()


@pytest.mark.parametrize("package", METHODS_BY_PACKAGE)
def test_networks_keep_the_size_and_have_the_parameters_told(package):
    net = network(package).eval()
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[package]
    a, b = torch.rand(2, 1, 17, 23), torch.rand(2, 1, 17, 23)
    assert net(a, b).shape == a.shape


def test_plain_fuser_starts_as_the_maximum():
    a, b = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    offset = network("cnnfuse")(a, b) - torch.maximum(a, b)
    assert float(offset.detach().std()) < 1e-6


def test_densefuse_blends_features_by_activity():
    net = network("densefuse")
    a, b = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    assert torch.allclose(net(a, a), net.decode(net.encode(a)), atol=1e-6)
    assert torch.allclose(net(a, b), net(b, a), atol=1e-6)


def test_unfolded_codes_are_sparse_and_leave_the_rest_told():
    net = network("coupledcsc")
    with torch.no_grad():
        for soft in net.soft.values():
            soft.threshold.fill_(10.0)
    a, b = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    assert not any(code.any() for code in net.codes(a, b))
    _, rest_a, rest_b = net.explain(a, b)
    assert torch.equal(rest_a, a)
    assert torch.equal(rest_b, b)


@pytest.mark.parametrize("package", METHODS_BY_PACKAGE)
def test_training_writes_weights_that_the_method_loads(package, tmp_path):
    spec = spec_of(METHODS_BY_PACKAGE[package])
    split = pairs()
    overrides = {"steps": 12, "batch": 2, "crop": 24, "validate_every": 6, "lr": 5e-3}
    file = spec.train(split, tmp_path / "run", overrides=overrides, card={"commit": "x"})
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    losses = [float(line.split(",")[3]) for line in log[1:]]
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    method: Any = create_method(f"{METHODS_BY_PACKAGE[package]}:weights={file}").method
    method.prepare(torch.device("cpu"))
    fused = method.fuse(torch.rand(2, 1, 20, 24), torch.rand(2, 1, 20, 24), torch.Generator())
    assert fused.shape == (2, 1, 20, 24)
    assert 0 <= float(fused.min()) <= float(fused.max()) <= 1
    assert len(method.digest()) == 64


@pytest.mark.parametrize("package", METHODS_BY_PACKAGE)
def test_training_refuses_what_it_does_not_have(package, tmp_path):
    spec = spec_of(METHODS_BY_PACKAGE[package])
    for options in ({"preset": "paper"}, {"loss": {"gradient": 2.0}}):
        with pytest.raises(InputError, match="leave"):
            spec.train(pairs(), tmp_path, **options)


@pytest.mark.parametrize("package", METHODS_BY_PACKAGE)
def test_shipped_weights_are_small_and_carry_a_card(package):
    file = shipped(package)
    if not file.is_file():
        assert "train" in str(unavailable(METHODS[METHODS_BY_PACKAGE[package]]))
        return
    assert file.stat().st_size < 1_000_000
    with safetensors.safe_open(file, framework="pt") as content:
        card = json.loads(content.metadata()["card"])
    assert card["kind"] == package
    assert card["validation_cases"]
    assert "research" in card["licence"]


def test_weights_of_another_method_are_refused(tmp_path):
    file = spec_of("cnn-fuse").train(pairs(), tmp_path, overrides={"steps": 1, "batch": 1, "crop": 24})
    with pytest.raises(InputError, match="holds weights of 'cnnfuse'"):
        create_method(f"densefuse:weights={file}").method.prepare(torch.device("cpu"))
