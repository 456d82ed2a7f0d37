"""The training loop on real networks at tiny width: exact resume, several processes, weights that are refused."""

import csv
import dataclasses
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.bench.training import training_pairs, validation_cases
from fusionbench.errors import InputError
from fusionbench.methods._learned import shipped
from fusionbench.methods.cnnfuse import network as cnnfuse
from fusionbench.methods.cnnfuse.spec import loss as cnnfuse_loss
from fusionbench.methods.dmfnet.model import Preset, build_head, build_unet
from fusionbench.methods.dmfnet.recipes import DenoiseRecipe, FuseRecipe
from fusionbench.methods.dmfnet.spec import SPEC
from fusionbench.methods.lkcfunet import network as lkcfunet
from fusionbench.methods.lkcfunet.losses import loss_preset
from fusionbench.methods.lkcfunet.spec import Objective
from fusionbench.training import (
    PairRecipe,
    Settings,
    TrainingPair,
    draw_crops,
    learning_rate,
    load_pickle,
    load_strict,
    load_weights,
    sample_seeds,
    save_weights,
    split_by_case,
    train,
    without_copies,
)
from tests.conftest import Cli, make_folders, process, save, slices

TINY = Preset(inner=16, groups=8, dropout=0.1)


def some_pairs(count=6, size=96):
    rng = np.random.default_rng(0)
    pairs = []
    for i in range(count):
        a, b = (rng.integers(0, 256, (size, size)).astype(np.uint8) for _ in range(2))
        pairs.append(TrainingPair(task="ct-mri" if i % 2 else "pet-mri", id=f"{i}", case=f"{i // 2}", a=a, b=b))
    return pairs


def settings(**changes):
    return Settings(**{"steps": 6, "batch": 2, "crop": 64, "lr": 1e-3, "validate_every": 3, **changes})


def losses(folder: Path) -> list[float]:
    with (folder / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


HELD_OUT = ["ct-mri/2", "pet-mri/2"]


@pytest.fixture
def split():
    return split_by_case(some_pairs(), HELD_OUT)


@pytest.mark.parametrize("stage", ["denoise", "fuse", "lkcfunet"])
def test_stopped_and_resumed_run_repeats_the_unbroken_one(tmp_path, split, stage):
    def recipe():
        torch.manual_seed(0)
        if stage == "lkcfunet":  # has dropout, dropped branches and running statistics
            return PairRecipe("lkcfunet", lkcfunet.Network(lkcfunet.Preset(inner=2)), Objective(loss_preset("compact")))
        unet = build_unet(TINY)
        return DenoiseRecipe(unet) if stage == "denoise" else FuseRecipe(unet, build_head(TINY))

    whole = train(recipe(), split, settings(), tmp_path / "whole")
    train(recipe(), split, settings(), tmp_path / "broken", stop_after=3)
    assert len(losses(tmp_path / "broken")) == 3
    resumed = train(recipe(), split, settings(), tmp_path / "broken", resume=True)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert (tmp_path / "whole" / "validation.csv").read_bytes() == (tmp_path / "broken" / "validation.csv").read_bytes()


def test_resume_refuses_other_settings_foreign_files_and_a_taken_folder(tmp_path, split):
    def recipe():
        return DenoiseRecipe(build_unet(TINY))

    train(recipe(), split, settings(), tmp_path, stop_after=1)
    with pytest.raises(InputError, match="--resume"):
        train(recipe(), split, settings(), tmp_path)
    with pytest.raises(InputError, match=r"lr was 0\.001, is 0\.002"):
        train(recipe(), split, settings(lr=2e-3), tmp_path, resume=True)
    with pytest.raises(InputError, match="not a checkpoint of dmfnet-fuse"):
        train(FuseRecipe(build_unet(TINY), build_head(TINY)), split, settings(), tmp_path, resume=True)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(InputError, match="not a checkpoint of plain tensors"):
        train(recipe(), split, settings(), tmp_path, resume=True)
    with pytest.raises(InputError, match="nothing to resume"):
        train(recipe(), split, settings(), tmp_path / "nowhere", resume=True)


class Interrupted(PairRecipe):
    """Sends this process a signal in the middle of a step's loss (from 0), or of the validation after a step (from 1)."""

    def __init__(self, number=None, step=-1, validation=-1):
        torch.manual_seed(0)
        super().__init__("cnn-fuse", cnnfuse.Network(), cnnfuse_loss)
        self.number, self.step, self.validation, self.steps = number, step, validation, 0

    def loss(self, network, a, b, seeds):
        if self.steps == self.step:
            signal.raise_signal(self.number)
        self.steps += 1
        return super().loss(network, a, b, seeds=seeds)

    def validate(self, network, pairs):
        if self.steps == self.validation:
            signal.raise_signal(self.number)
            raise AssertionError("the validation went on after a stop")
        return super().validate(network, pairs)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A run that nothing stops: its folder, and the state of its network."""
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, train(Interrupted(), split_by_case(some_pairs(), HELD_OUT), settings(), folder).state_dict()


@pytest.mark.parametrize("where", [{"step": 4}, {"step": 2}, {"validation": 3}, {"validation": 6}])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_the_resumed_run_repeats_the_unbroken_one(
    tmp_path, split, unbroken, number, where
):
    whole, state = unbroken
    before = signal.signal(number, signal.default_int_handler)  # a job in the background is born deaf to SIGINT
    try:
        with pytest.raises(KeyboardInterrupt):
            train(Interrupted(number, **where), split, settings(), tmp_path / "broken")
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert len(losses(tmp_path / "broken")) == where.get("step", where.get("validation", 0) - 1) + 1
    resumed = train(Interrupted(), split, settings(), tmp_path / "broken", resume=True)
    assert losses(tmp_path / "broken") == losses(whole)
    assert (whole / "validation.csv").read_bytes() == (tmp_path / "broken" / "validation.csv").read_bytes()
    for name, value in state.items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_signal_while_a_validation_is_recorded_loses_nothing_of_it(tmp_path, split, unbroken):
    """Nothing of it is done twice after a resume: the figures are there once, and one file of events a session."""
    whole, _ = unbroken
    told = []

    def keep(state, step):
        told.append(step)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(Interrupted(), split, settings(), tmp_path / "broken", keep=keep)
    finally:
        signal.signal(signal.SIGINT, before)
    state = load_pickle(tmp_path / "broken" / "state.pt")
    assert [check["step"] for check in state["checks"]] == told == [state["step"]]
    assert len(list((tmp_path / "broken" / "tensorboard").iterdir())) == 1
    train(Interrupted(), split, settings(), tmp_path / "broken", resume=True)
    assert (whole / "validation.csv").read_bytes() == (tmp_path / "broken" / "validation.csv").read_bytes()


def test_any_task_can_be_trained_on(cli: Cli, tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "mine")
    out = tmp_path / "out"
    said = cli(
        "train", "cnn-fuse", "--dataset", "folders:mine", "-t", "pet-mri", "--data", folders[0], "--data", folders[1],
        "--steps", 2, "--batch", 1, "--crop", 16, "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert "3 training pairs; 0 left out as copies of test images; held out for validation: none" in said.stdout
    card = load_weights(out / "cnnfuse.safetensors", "cnnfuse")[1]
    assert card["train_pairs"] == {"folders:mine/pet-mri": 3}


def test_a_training_is_cut_off_and_its_best_weights_so_far_are_written(cli: Cli, tmp_path: Path) -> None:
    folders, out = make_folders(tmp_path / "mine"), tmp_path / "out"
    command = [
        "train",
        "cnn-fuse",
        "--dataset",
        "folders:mine",
        "-t",
        "pet-mri",
        "--data",
        folders[0],
        "--data",
        folders[1],
    ]
    command += ["--batch", 1, "--crop", 16, "--device", "cpu", "--out", out, "--steps", 1_000_000]
    said = cli(*command, "--minutes", 0.01)
    assert f"wrote {out / 'cnnfuse.safetensors'}" in said.stdout
    done = len(losses(out))
    assert 0 < done < 1_000_000
    cli(*command, "--resume", "--minutes", 0.01)
    assert len(losses(out)) > done


def test_pairs_to_train_on_and_cases_to_hold_out() -> None:
    pairs, copies = training_pairs(["phantom/ct-mri", "phantom/pet-mri"], count=2)
    assert [(p.task, p.id) for p in pairs[1:3]] == [
        ("phantom/ct-mri", "train-00001"),
        ("phantom/pet-mri", "train-00000"),
    ]
    assert copies == 0
    with pytest.raises(InputError, match="train on train or by-case-train"):
        training_pairs(["phantom/ct-mri"], split="test")
    cases = (("x", "3"), ("x", "4"), ("y", "1"), ("z", ""))
    named = [TrainingPair(task, "1", case, pairs[0].a, pairs[0].b) for task, case in cases]
    assert validation_cases(named) == ["x/4"]  # y has one case, and those of z are unknown
    assert validation_cases([*named, TrainingPair("ct-mri", "1", "28", pairs[0].a, pairs[0].b)]) == ["ct-mri/28"]


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_has_saved_and_says_the_command_that_goes_on(tmp_path, number, code):
    for task in ("CT", "PET", "SPECT"):
        for case in (2, 16):
            for i, folder in enumerate((f"{task}-MRI/train/MRI", f"{task}-MRI/train/{task}", f"{task}-MRI/test/MRI",
                                        f"{task}-MRI/test/{task}")):  # fmt: skip
                save(tmp_path / "harvard" / folder / f"{case}01{i // 2}.png", slices(1, 64, seed=10 * case + i)[0])
    out = tmp_path / "my run"
    command = ["train", "cnn-fuse", "--data", tmp_path / "harvard", "--validation-case", "pet-mri/2", "--out", out]
    command += ["--steps", 1_000_000, "--batch", 1, "--crop", 32, "--device", "cpu", "--validate-every", 2]
    steps = [0]
    for events in (1, 2):  # the first run, then what it said
        running = process(*command)
        wait_until(lambda: running.poll() is not None or len(list(out.glob("tensorboard/*"))) == events)  # noqa: B023
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
        assert running.returncode == code, said
        assert "Traceback" not in said
        steps.append(len(losses(out)))
        assert load_pickle(out / "state.pt")["step"] == steps[-1] > steps[-2]
        *_, first, line = said.strip().splitlines()
        assert "go on with" in first
        command = shlex.split(line)[shlex.split(line).index("train") :]
        assert command[-1] == "--resume"
    nowhere = process(*command[:-1], "--out", tmp_path / "nowhere", "--resume")
    _, said = nowhere.communicate(timeout=60)
    assert nowhere.returncode == 2
    assert f"{tmp_path / 'nowhere' / 'state.pt'}: nothing to resume" in said


def wait_until(done, seconds=60):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("package", ["accelerate", "tensorboard"])
def test_a_missing_package_is_asked_for_before_anything_is_trained(tmp_path, split, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(InputError, match=f"training needs {package}: pip install accelerate tensorboard"):
        train(DenoiseRecipe(build_unet(TINY)), split, settings(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fine_tuning_goes_on_from_given_weights(tmp_path, split):
    options: dict[str, Any] = {
        "overrides": {"steps": 1, "batch": 1, "crop": 64, "lr": 1e-12, "precision": "no"},
        "start": shipped("dmfnet"),
    }
    file = SPEC.train(split, tmp_path, stage="fuse", **options)
    before, after = (load_weights(path, "dmfnet")[0] for path in (shipped("dmfnet"), file))
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=1e-6)
    with pytest.raises(InputError, match=r"holds a network of Preset\(inner=32.*--preset"):
        SPEC.train(split, tmp_path / "paper", stage="fuse", preset="paper", **options)


@pytest.mark.slow
def test_cached_maps_train_as_fresh_ones(tmp_path, split):
    def run(cache):
        torch.manual_seed(0)
        recipe = FuseRecipe(build_unet(TINY), build_head(TINY), cache=cache)
        folder = tmp_path / str(cache)
        train(recipe, split, settings(pool=4), folder)
        return losses(folder)

    np.testing.assert_allclose(run(True), run(False), rtol=1e-4)


TWO_PROCESSES = """
import sys
sys.path.insert(0, {tests!r})
from test_training import *
one_step(1, Path({out!r}))
"""


def one_step(batch, out):
    """One step of plain Adam without clipping; its first moment is a tenth of the gradient."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = FuseRecipe(build_unet(TINY), build_head(TINY))
    train(recipe, split_by_case(some_pairs(), []), settings(steps=1, batch=batch, clip=0.0, ema=0.0), out)


def gradient_of_first_step(out):
    moments = load_pickle(out / "state.pt")["optimizer"]["state"]
    return torch.cat([moments[i]["exp_avg"].flatten() for i in sorted(moments)]) * 10


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one_with_twice_the_batch(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = TWO_PROCESSES.format(tests=str(Path(__file__).parent), out=str(tmp_path / "two"))
    workers = []
    for rank in range(2):
        where = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        where |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
        workers.append(subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **where}))
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    one_step(2, tmp_path / "one")
    expected = gradient_of_first_step(tmp_path / "one")
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(gradient_of_first_step(tmp_path / "two"), expected, rtol=1e-4, atol=1e-6)
    assert losses(tmp_path / "two") != losses(tmp_path / "one")  # the log is the main process's half


def test_crops_are_a_function_of_the_seed_and_a_pool_repeats_them():
    pairs = some_pairs()
    seeds = sample_seeds(1, 5, range(3))
    a, b = draw_crops(pairs, seeds, 64)
    again_a, again_b = draw_crops(pairs, seeds[1:], 64)
    assert torch.equal(a[1:], again_a)
    assert torch.equal(b[1:], again_b)
    assert a.shape == (3, 1, 64, 64)
    assert -1 <= a.min() < a.max() <= 1
    drawn = {seed for step in range(50) for seed in sample_seeds(1, step, range(2), pool=4)}
    assert len(drawn) == 8


def test_crop_larger_than_an_image_is_refused():
    with pytest.raises(InputError, match="--crop 96"):
        draw_crops(some_pairs(), [1], 128)


def test_a_target_is_cropped_and_flipped_with_its_pair():
    pairs = [dataclasses.replace(pair, target=255 - pair.a) for pair in some_pairs()]
    a, b, target = draw_crops(pairs, [1, 2, 3, 4, 5], 64)
    torch.testing.assert_close(target, -a, rtol=0, atol=1e-6)
    plain_a, plain_b = draw_crops(some_pairs(), [1, 2, 3, 4, 5], 64)
    assert torch.equal(plain_a, a)
    assert torch.equal(plain_b, b)


def test_split_holds_out_whole_cases_and_leaves_copies_out():
    pairs = some_pairs()
    split = split_by_case(pairs, ["ct-mri/1"])
    assert [p.id for p in split.validation] == ["3"]
    assert {p.id for p in split.train} == {"0", "1", "2", "4", "5"}
    copy = TrainingPair("pet-mri", "new", "9", pairs[0].b.copy(), pairs[1].b)
    assert [p.id for p in without_copies(pairs, [copy])] == ["2", "3", "4", "5"]
    with pytest.raises(InputError, match="ct-mri/9"):
        split_by_case(pairs, ["ct-mri/9"])


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(settings(steps=100), step) for step in range(100)]
    assert max(rates) == rates[9] == 1e-3
    assert rates[0] < 3e-4
    assert rates[-1] < 2e-5


def test_weights_keep_their_card_and_refuse_what_is_foreign(tmp_path):
    head = build_head(TINY)
    path = tmp_path / "head.safetensors"
    save_weights(path, head.state_dict(), {"kind": "head", "steps": 3})
    tensors, card = load_weights(path, "head")
    assert card == {"kind": "head", "steps": 3}
    load_strict(head, tensors, "file")
    with pytest.raises(InputError, match="weights of 'head', not of 'dmfnet'"):
        load_weights(path, "dmfnet")
    tensors["extra"] = tensors.pop("rgb_decode1.conv.bias")
    with pytest.raises(InputError, match=r"2 keys differ.*extra extra; missing rgb_decode1"):
        load_strict(head, tensors, "file")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_weights(path, "head")


class Malice:
    def __reduce__(self):
        return json.loads, ("1",)


def test_pickles_that_hold_code_are_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"weights": Malice()}, path)
    with pytest.raises(InputError, match="not a checkpoint of plain tensors"):
        load_pickle(path)
