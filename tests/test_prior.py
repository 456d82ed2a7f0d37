"""The prior: which fused image of each training pair is kept as a target, and what refuses to be one."""

import json

import pytest

from fusionbench.bench.prior import build_prior, read_targets, target_path
from fusionbench.bench.training import with_targets
from fusionbench.datasets import create_task
from fusionbench.errors import InputError
from fusionbench.metrics import evaluate
from fusionbench.pairs import read_picture, write_png
from fusionbench.training import TrainingPair

TASK = "phantom/pet-mri"
METHODS = ("laplacian", "pca", "guided-filter")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior")
    return folder, build_prior(METHODS, [TASK], folder, limit=2)


@pytest.fixture(scope="module")
def pairs():
    task = create_task(TASK, split="train")
    return {name: task.load(name) for name in task.ids()[:2]}


def score(fused, pair):
    values = evaluate(fused, pair.a, pair.b, ["ssim", "vif", "qabf"])
    return 2 * values["ssim"][0] + values["vif"][0] + 3 * values["qabf"][0]


def test_the_target_is_the_candidate_of_the_highest_score(built, pairs):
    folder, counts = built
    targets = read_targets(folder, TASK, {name: (pair.a, pair.b) for name, pair in pairs.items()})
    records = json.loads((folder / "targets" / f"{TASK}.json").read_text())["pairs"]
    assert sum(counts[TASK].values()) == len(pairs)
    for name, pair in pairs.items():
        fused = {
            method: read_picture(folder / "runs/fused/phantom@train/pet-mri" / method / f"{name}.png").grey
            for method in METHODS
        }
        best = max(METHODS, key=lambda method: score(fused[method], pair))
        assert (targets[name] == fused[best]).all()
        assert records[name]["chosen"] == best
        assert records[name]["score"][best] == pytest.approx(score(fused[best], pair), abs=1e-9)


def test_what_is_there_is_not_done_again(built):
    folder, counts = built
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert build_prior(METHODS, [TASK], folder, limit=2) == counts
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")} == files


def test_training_pairs_get_their_targets(built, pairs):
    folder, _ = built
    plain = [TrainingPair(TASK, name, pair.case, pair.a, pair.b) for name, pair in pairs.items()]
    for pair in with_targets(plain, folder):
        assert pair.target is not None
        assert (pair.target == read_picture(target_path(folder, TASK, pair.id)).grey).all()


def test_targets_of_other_sources_or_changed_ones_are_refused(built, pairs, tmp_path):
    folder, _ = built
    name, pair = next(iter(pairs.items()))
    with pytest.raises(InputError, match="no target made from the pair"):
        read_targets(folder, TASK, {name: (pair.b, pair.a)})
    with pytest.raises(InputError, match="no readable prior"):
        read_targets(tmp_path, TASK, {name: (pair.a, pair.b)})
    file = target_path(folder, TASK, name)
    before = file.read_bytes()
    write_png(file, 255 - read_picture(file).grey)
    with pytest.raises(InputError, match="not the image that was chosen"):
        read_targets(folder, TASK, {name: (pair.a, pair.b)})
    file.write_bytes(before)


def test_controls_and_test_pairs_are_refused(tmp_path):
    with pytest.raises(InputError, match="maximum is a control"):
        build_prior(["maximum"], [TASK], tmp_path)
    with pytest.raises(InputError, match="for training"):
        build_prior(METHODS, [TASK], tmp_path, split="test")
    assert not list(tmp_path.iterdir())
