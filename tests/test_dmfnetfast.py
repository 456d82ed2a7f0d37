"""DM-FNet's one-pass student: its network, its loss, and its training from the teacher's images to a weights file."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.errors import InputError
from fusionbench.methods._learned import shipped
from fusionbench.methods.dmfnet.model import DMFNet, Preset
from fusionbench.methods.dmfnet.spec import SPEC as TEACHER
from fusionbench.methods.dmfnetfast.network import Network
from fusionbench.methods.dmfnetfast.spec import SPEC, StudentRecipe, loss
from fusionbench.training import Split, TrainingPair, load_weights
from tests.networks import count, prepared, random_pairs, seeded

TOOLS = Path(__file__).parents[1] / "tools"
SMALL = {"steps": 3, "batch": 1, "crop": 24, "validate_every": 3}


def split(size: int = 24) -> Split:
    rng = np.random.default_rng(0)

    def pair(task: str, case: str) -> TrainingPair:
        a, b = rng.integers(0, 256, (2, size, size), dtype=np.uint8)
        return TrainingPair(task, f"{task}-{case}", case, a, b, target=np.minimum(a, b))

    tasks = ("ct-mri", "pet-mri", "spect-mri")
    return Split([pair(task, "1") for task in tasks], [pair(task, "28") for task in tasks])


def test_it_starts_as_the_maximum_and_is_small():
    a, b = random_pairs(2, 20, 27)
    network = Network().eval()
    torch.testing.assert_close(network(a, b), torch.maximum(a, b), rtol=0, atol=0)
    assert 2 * count(network) < 400_000  # bytes of a float16 file


@torch.no_grad()
def test_its_quick_forms_give_the_same_and_any_size_is_fused():
    torch.manual_seed(0)
    network = Network().eval()
    torch.nn.init.normal_(network.last.weight, std=0.05)
    for size in ((1, 1), (20, 27)):
        a, b = random_pairs(2, *size)
        with torch.enable_grad():
            plain = network(a, b)
        torch.testing.assert_close(network(a, b), plain, rtol=0, atol=1e-6)
        assert plain.shape == a.shape


def test_the_loss_is_least_at_the_mean_of_what_was_shown():
    shown = torch.rand(5, 1, 6, 7, generator=torch.Generator().manual_seed(0)).double()
    image = shown.mean(0, keepdim=True).requires_grad_()
    loss(image.expand_as(shown), shown)[0].backward()
    assert image.grad is not None
    assert float(image.grad.abs().max()) < 1e-12


def test_it_learns_its_targets_and_a_pair_without_one_is_refused(tmp_path):
    file = SPEC.train(split(), tmp_path, overrides={**SMALL, "steps": 30, "validate_every": 10, "lr": 5e-3})
    rows = (tmp_path / "validation.csv").read_text().splitlines()
    assert float(rows[-1].split(",")[1]) < float(rows[1].split(",")[1])
    fused = prepared("dmfnet-fast", file).fuse(*random_pairs(2, 20, 24), seeded(1, 2))
    assert fused.shape == (2, 1, 20, 24)
    assert 0 <= float(fused.min()) <= float(fused.max()) <= 1
    bare = dataclasses.replace(split().train[0], target=None)
    with pytest.raises(InputError, match="--prior"):
        SPEC.train(Split([bare], []), tmp_path / "none", overrides=SMALL)
    with pytest.raises(InputError, match="--prior"):
        StudentRecipe(Network()).loss(Network(), *random_pairs(1, 8, 8), seeds=[0])


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(TOOLS))
    try:
        yield importlib.import_module("train_student")
    finally:
        sys.path.remove(str(TOOLS))


def run(tool: Any, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["train_student.py", *map(str, arguments)])
    code: int = tool.main()
    return code


def test_the_protocol_s_command_goes_on_where_it_was_and_says_who_taught(tool, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    teacher = Preset(8, 4, 0.0)
    TEACHER.save(tmp_path / "t.safetensors", DMFNet(teacher), teacher, {"protocol": {"configuration": "dmfnet-a"}})
    pairs, images, out = tmp_path / "pairs.npz", tmp_path / "teacher", tmp_path / "out"
    importlib.import_module("protocol_jobs").write_pairs(pairs, split(64))
    train = ("train", pairs, images, "--out", out, "--steps", 1)
    assert run(tool, monkeypatch, *train) == 2
    assert "no account of images" in capsys.readouterr().err
    teach = ("teach", pairs, images, "--weights", tmp_path / "t.safetensors")
    assert run(tool, monkeypatch, *teach) == 0
    assert "6 of 6" in capsys.readouterr().out
    (images / "ct-mri/ct-mri-1.png").unlink()
    assert run(tool, monkeypatch, *train) == 2
    assert "has not fused this pair yet" in capsys.readouterr().err
    assert run(tool, monkeypatch, *teach) == 0
    assert "1 of 1: ct-mri/ct-mri-1" in capsys.readouterr().out
    monkeypatch.setattr(tool, "SPEC", dataclasses.replace(SPEC, stages=[dataclasses.replace(
        SPEC.stages[0], settings=lambda preset: dataclasses.replace(SPEC.stages[0].settings(preset), batch=1, crop=64)
    )]))  # fmt: skip
    assert run(tool, monkeypatch, *train) == 0
    card = load_weights(out / "dmfnetfast.safetensors", "dmfnetfast")[1]
    assert card["protocol"]["teacher"] == "dmfnet-a"
    assert card["protocol"]["draws"] == {"train": 1, "validation": 8}
    assert card["validation_cases"] == {"ct-mri": ["28"], "pet-mri": ["28"], "spect-mri": ["28"]}
    TEACHER.save(tmp_path / "t.safetensors", DMFNet(teacher), teacher, {})
    assert run(tool, monkeypatch, *teach) == 2
    assert "another teacher" in capsys.readouterr().err


@pytest.mark.skipif(not shipped("dmfnetfast").is_file(), reason="no weights of it are shipped yet")
def test_shipped_weights_are_small_and_say_who_taught():
    file = shipped("dmfnetfast")
    assert file.stat().st_size < 400_000
    card = load_weights(file, "dmfnetfast")[1]
    assert card["protocol"]["configuration"] == "dmfnet-fast"
    assert json.dumps(card["validation_cases"])
