"""The engine on small real folders: what is made, what is kept, what is redone, and what a stop in the middle costs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.bench import Notify, Outcome, resolve_device, run, score_folders
from fusionbench.bench.work import ContractError, check_fused
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts, label
from fusionbench.metrics import METRICS, evaluate
from fusionbench.pairs import grey, read_picture, recolour
from fusionbench.registry import Plugin
from fusionbench.scores import Key, read_table, write_table
from tests.conftest import Write, make_folders, save, slices, tree, write_plugin

TASK = "folders/pet-mri"
METRICS_USED = ("en", "mi", "sd")
PAIRS = ["p0", "p1", "p2"]

Go = Callable[..., Outcome]


@pytest.fixture
def go(tmp_path: Path, folders: tuple[Path, Path]) -> Go:
    """``go("average", ...)`` runs methods on the three pairs of ``folders`` into tmp_path/results."""

    def call(*methods: str, **options: object) -> Outcome:
        options = {"metrics": METRICS_USED, "data": folders, "device": "cpu", **options}
        return run(methods, [TASK], tmp_path / "results", **options)  # type: ignore[arg-type]

    return call


def counts(outcome: Outcome) -> tuple[int, int]:
    return outcome.fused, outcome.scored


def scores_of(results: Path, method: str = "maximum") -> bytes:
    return Key("folders", "pet-mri", method).csv(results).read_bytes()


def test_a_run_leaves_images_scores_and_their_story(go: Go, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    outcome = go("maximum")
    assert (outcome.exit_code, counts(outcome)) == (0, (3, 3))
    results = tmp_path / "results"
    table = read_table(results, Key("folders", "pet-mri", "maximum"))
    assert list(table.pairs) == PAIRS
    for pair in PAIRS:
        a, b = read_picture(folders[0] / f"{pair}.png"), read_picture(folders[1] / f"{pair}.png")
        fused = read_picture(results / "fused/folders/pet-mri/maximum" / f"{pair}.png").pixels
        np.testing.assert_array_equal(fused, np.maximum(a.grey, b.grey))
        rgb = read_picture(results / "fused/folders/pet-mri/maximum/rgb" / f"{pair}.png").color
        assert b.color is not None
        np.testing.assert_array_equal(rgb, recolour(fused, b.color))
        expected = {name: float(value[0]) for name, value in evaluate(fused, a.grey, b.grey, METRICS_USED).items()}
        assert table.pairs[pair]["scores"] == expected
        assert table.pairs[pair]["seconds"] >= 0
    about = table.about
    assert about["method"]["title"] == METHODS["maximum"].facts.title
    assert about["task"]["name"] == TASK
    assert about["seed"] == 0
    assert about["device"] == "cpu"
    assert about["device_name"]
    assert {"python", "torch", "numpy", "fusionbench"} <= about["versions"].keys()
    facts = json.loads((results / "scores/metrics.json").read_text("utf-8"))
    assert facts["metrics"]["mi"]["unit"] == METRICS["mi"].facts.unit
    assert facts["profiles"]["dmfnet"]["core"]
    assert not list(results.rglob("*.journal"))
    assert not list(results.rglob("*.tmp"))


def test_a_second_run_does_nothing_and_changes_no_byte(go: Go, tmp_path: Path) -> None:
    go("maximum", "average")
    before = tree(tmp_path / "results")
    assert counts(go("maximum", "average")) == (0, 0)
    assert tree(tmp_path / "results") == before


def test_only_what_is_missing_is_done(go: Go, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    assert counts(go("maximum", limit=1)) == (1, 1)
    assert counts(go("maximum", limit=2)) == (1, 1)
    assert counts(go("maximum", "average")) == (4, 4)
    assert counts(go("maximum", "average", metrics=("en", "cc"))) == (0, 6)
    assert list(read_table(tmp_path / "results", Key("folders", "pet-mri", "average")).frame()) == [
        "cc",
        "en",
        "mi",
        "sd",
    ]
    save(folders[0] / "p9.png", slices(1, seed=8)[0])
    save(folders[1] / "p9.png", slices(1, seed=9)[0])
    assert counts(go("maximum")) == (1, 1)


def test_the_order_of_asking_leaves_no_trace(go: Go, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    go("maximum", "average")
    other = tmp_path / "other"
    for methods, metrics in ((["average"], ["sd"]), (["average", "maximum"], ["mi", "en", "sd"])):
        run(methods, [TASK], other, metrics=metrics, data=folders, device="cpu")
    for method in ("maximum", "average"):
        assert scores_of(other, method) == scores_of(tmp_path / "results", method)


def test_a_changed_source_is_fused_again(go: Go, folders: tuple[Path, Path], tmp_path: Path) -> None:
    go("maximum")
    save(folders[0] / "p1.png", slices(1, seed=77)[0])
    assert counts(go("maximum")) == (1, 1)
    fresh = tmp_path / "fresh"
    run(["maximum"], [TASK], fresh, metrics=METRICS_USED, data=folders, device="cpu")
    assert scores_of(fresh) == scores_of(tmp_path / "results")


@pytest.mark.parametrize("damage", [b"", b"not an image", None, "another image"])
def test_a_damaged_or_missing_image_is_made_again(go: Go, tmp_path: Path, damage: bytes | str | None) -> None:
    go("maximum")
    results = tmp_path / "results"
    before = scores_of(results)
    path = results / "fused/folders/pet-mri/maximum/p1.png"
    if damage is None:
        path.unlink()
    elif isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        save(path, slices(1, seed=5)[0])
    assert counts(go("maximum")) == (1, 0)  # the same pixels come out, so that the scores stand
    assert scores_of(results) == before
    assert counts(go("maximum")) == (0, 0)


def test_a_new_version_is_fused_again(go: Go, method_file: Write) -> None:
    path = method_file("bench-versions", "return a")
    METHODS.load(str(path))
    assert counts(go("bench-versions")) == (3, 3)
    METHODS.load(str(method_file("bench-versions", "return b", version=2)))
    assert counts(go("bench-versions")) == (3, 3)
    assert counts(go("bench-versions")) == (0, 0)


def test_settings_have_a_table_of_their_own(go: Go, tmp_path: Path) -> None:
    outcome = go("weighted:weight=0.3", "weighted", "weighted:weight=0.6")
    assert [key.method for key in outcome.keys] == ["weighted@weight=0.3", "weighted"]  # 0.6 is the default
    assert counts(outcome) == (6, 6)
    assert scores_of(tmp_path / "results", "weighted") != scores_of(tmp_path / "results", "weighted@weight=0.3")


NOISE = """
import torch
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="bench-noise", title="N", family="test", stochastic=True, identity=False))
def noise(a, b, *, generator):
    return torch.rand(a.shape, generator=generator)
"""


def test_the_seed_counts_for_methods_that_draw_noise_alone(go: Go, tmp_path: Path) -> None:
    METHODS.load(str(write_plugin(tmp_path / "noise.py", NOISE)))
    results = tmp_path / "results"
    assert counts(go("bench-noise", "maximum")) == (6, 6)
    first = scores_of(results, "bench-noise")
    assert len(set(first.splitlines()[1:])) == 3
    assert counts(go("bench-noise", "maximum", seed=1)) == (3, 3)
    assert scores_of(results, "bench-noise") != first
    go("bench-noise", "maximum", seed=0)
    assert scores_of(results, "bench-noise") == first
    alone = tmp_path / "alone"  # noise depends on the pair, not on what was fused before it
    assert go("bench-noise", limit=1).fused == 0
    data = make_folders(tmp_path / "fewer", 3)
    for folder in data:
        (folder / "p0.png").unlink()
    run(["bench-noise"], [TASK], alone, metrics=METRICS_USED, data=data, device="cpu")
    assert scores_of(alone, "bench-noise").splitlines()[1:] == first.splitlines()[2:]


WEIGHTS = """
from pathlib import Path
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="bench-weights", title="W", family="test", trained=True))
class Weighted:
    def __init__(self, *, file: Path = Path({path!r})):
        self.file = file
    def prepare(self, device):
        self.weight = float(self.file.read_text())
    def supports(self, task):
        return None if task == "pet-mri" else "made for PET only"
    def digest(self):
        return self.file.read_text()
    def fuse(self, a, b, generator):
        return self.weight * a + (1 - self.weight) * b
"""


def test_new_weights_are_fused_again_and_an_unfit_task_is_skipped(
    go: Go, tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    weights = tmp_path / "weights.txt"
    weights.write_text("0.25", encoding="utf-8")
    plugin = tmp_path / "weights.py"
    METHODS.load(str(write_plugin(plugin, WEIGHTS.format(path=str(weights)))))
    assert counts(go("bench-weights")) == (3, 3)
    assert counts(go("bench-weights")) == (0, 0)
    first = scores_of(tmp_path / "results", "bench-weights")
    weights.write_text("0.75", encoding="utf-8")
    METHODS.load(str(write_plugin(plugin, WEIGHTS.format(path=str(weights)))))
    assert counts(go("bench-weights")) == (3, 3)
    assert scores_of(tmp_path / "results", "bench-weights") != first
    outcome = run(["bench-weights"], ["folders/ct-mri"], tmp_path / "results", metrics=["en"], data=folders)
    assert [(key.task, reason) for key, reason in outcome.skipped] == [("ct-mri", "made for PET only")]
    assert outcome.exit_code == 0
    assert not (tmp_path / "results/scores/folders/ct-mri").exists()


def test_force_redoes_the_pairs_of_the_run_and_keeps_the_others(go: Go, tmp_path: Path) -> None:
    go("maximum")
    before = scores_of(tmp_path / "results")
    assert counts(go("maximum", force=True)) == (3, 3)
    assert counts(go("maximum", force=True, limit=1)) == (1, 1)
    assert scores_of(tmp_path / "results") == before


RAISING = """
    if abs(float(a.mean()) - {mean!r}) < 1e-9:
        raise RuntimeError("no\\nsuch luck")
    return a.maximum(b)
"""


def test_a_method_that_raises_on_one_pair_costs_that_pair_and_is_tried_again(
    go: Go, tmp_path: Path, folders: tuple[Path, Path], method_file: Write
) -> None:
    picked = read_picture(folders[0] / "p1.png").grey.astype(np.float32) / np.float32(255)
    mean = float((torch.from_numpy(picked)[None, None]).mean())
    METHODS.load(str(method_file("bench-raising", RAISING.format(mean=mean).strip())))
    outcome = go("bench-raising", "maximum")
    key = Key("folders", "pet-mri", "bench-raising")
    assert outcome.failed == [(key, "p1", "RuntimeError: no such luck")]
    assert outcome.exit_code == 1
    assert counts(outcome) == (5, 5)
    results = tmp_path / "results"
    lines = scores_of(results, "bench-raising").decode().splitlines()
    assert lines[0] == "pair,en,mi,sd,error"
    assert lines[2] == "p1,,,,RuntimeError: no such luck"
    again = go("bench-raising")
    assert again.exit_code == 1
    assert counts(again) == (0, 0)
    log = outcome.log
    assert log is not None
    assert "RuntimeError: no such luck" in log.read_text()
    METHODS.load(str(method_file("bench-raising", "return a.maximum(b)")))  # mended, version not even raised
    healed = go("bench-raising")
    assert (healed.exit_code, counts(healed)) == (0, (3, 3))
    assert healed.notes == ["bench-raising.py changed since these images were fused: fusing 2 again"]
    assert scores_of(results, "bench-raising") == scores_of(results, "maximum")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return a * float('nan')", "NaN or infinite"),
        ("return a[..., :-1]", r"\(1, 1, 64, 63\).*return torch.float32 \(1, 1, 64, 64\)"),
        ("return (a + b).double() / 2", "torch.float64"),
        ("return a + b + 1", "clamp them to"),
        ("return a[0, 0].numpy()", "returned ndarray; return a torch tensor"),
        ("return None", "returned NoneType"),
    ],
)
def test_a_broken_contract_is_told_and_nothing_is_kept_of_it(
    go: Go, tmp_path: Path, method_file: Write, body: str, words: str, request: pytest.FixtureRequest
) -> None:
    name = f"bench-broken-{abs(hash(body)) % 10_000}"
    METHODS.load(str(method_file(name, body)))
    outcome = go(name)
    assert outcome.exit_code == 2
    assert counts(outcome) == (0, 0)
    ((key, reason),) = outcome.broken
    assert key.method == name
    assert reason.startswith("pair p0: fuse returned")
    assert re.search(words, reason)
    assert not (tmp_path / "results").exists()
    assert go(name, "maximum").fused == 3
    assert not [path for path in tree(tmp_path / "results") if name in path]


@pytest.mark.parametrize(("value", "fits"), [(-9e-5, True), (-2e-4, False), (1 + 9e-5, True), (1 + 2e-4, False)])
def test_round_off_beyond_black_and_white_is_no_broken_contract(value: float, fits: bool) -> None:
    a, fused = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.5)
    fused[0, 0, 2, 1] = value
    with nullcontext() if fits else pytest.raises(ContractError, match="clamp them to"):
        check_fused(fused, a, "p0")


class Stop(Exception):
    """Raised from the progress callback: the run ends there, as by an interrupt."""


def stop_at(count: int) -> Notify:
    calls = 0

    def notify(stage: str, done: int, total: int, item: str = "") -> None:
        nonlocal calls
        calls += "checking" not in stage
        if calls >= count:
            raise Stop

    return notify


def test_a_run_stopped_anywhere_goes_on_and_ends_the_same(go: Go, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    go("maximum", "average")
    expected = {path: content for path, content in tree(tmp_path / "results").items() if not path.endswith(".json")}
    for count in range(1, 15):
        results = tmp_path / f"stopped-{count}"
        options = {"metrics": METRICS_USED, "data": folders, "device": "cpu"}
        done = 0
        try:
            outcome = run(["maximum", "average"], [TASK], results, notify=stop_at(count), **options)  # type: ignore[arg-type]
            done = outcome.fused + outcome.scored
        except Stop:
            lines = [
                line
                for path in results.rglob("*.journal")
                for line in path.read_text().splitlines()
                if '"pair"' in line
            ]
            done = len(lines)
        outcome = run(["maximum", "average"], [TASK], results, **options)  # type: ignore[arg-type]
        assert outcome.fused + outcome.scored == 12 - done
        got = {path: content for path, content in tree(results).items() if not path.endswith(".json")}
        assert got == expected
        assert counts(run(["maximum", "average"], [TASK], results, **options)) == (0, 0)  # type: ignore[arg-type]


def bump(monkeypatch: pytest.MonkeyPatch, metric: str, value: float) -> None:
    """A metric's next version, with other values."""
    plugin = METRICS[metric]
    facts = dataclasses.replace(plugin.facts, version=plugin.facts.version + 1)

    def constant(triple: object) -> object:
        return torch.tensor([value], dtype=torch.float64)

    monkeypatch.setitem(METRICS._plugins, metric, Plugin(facts, constant))


def test_a_metrics_new_version_is_scored_again_even_when_stopped_halfway(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("maximum")
    bump(monkeypatch, "mi", 7.5)
    with pytest.raises(Stop):
        go("maximum", notify=stop_at(2))
    outcome = go("maximum")
    assert outcome.fused == 0
    frame = read_table(tmp_path / "results", Key("folders", "pet-mri", "maximum")).frame()
    assert list(frame["mi"]) == [7.5, 7.5, 7.5]
    assert frame["en"].nunique() == 3
    assert counts(go("maximum")) == (0, 0)


def test_a_metrics_new_version_leaves_no_old_number_behind_a_limit(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("maximum")
    bump(monkeypatch, "mi", 7.5)
    assert counts(go("maximum", limit=1)) == (0, 1)
    frame = read_table(tmp_path / "results", Key("folders", "pet-mri", "maximum")).frame()
    assert frame["mi"].tolist()[0] == 7.5
    assert frame["mi"].isna().tolist() == [False, True, True]


def test_masks_have_columns_of_their_own(go: Go, tmp_path: Path) -> None:
    go("maximum")
    assert counts(go("maximum", mask="foreground")) == (0, 3)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    path = save(tmp_path / "mask.png", mask)
    assert counts(go("maximum", mask=str(path))) == (0, 3)
    assert counts(go("maximum", mask=str(path))) == (0, 0)
    mask[20:40, 20:50] = 255
    save(path, mask)
    assert counts(go("maximum", mask=str(path))) == (0, 3)
    frame = read_table(tmp_path / "results", Key("folders", "pet-mri", "maximum")).frame()
    assert list(frame) == sorted(
        [*METRICS_USED, "en+foreground", "mi+foreground", "sd+foreground", "en+mask", "mi+mask", "sd+mask"]
    )
    assert frame["en"].ne(frame["en+mask"]).all()


def test_splits_never_mix(tmp_path: Path) -> None:
    for split in ("test", "train"):
        run(["average"], ["phantom/pet-mri"], tmp_path, metrics=["en"], split=split, limit=1, device="cpu")
    assert sorted(p.parent.parent.name for p in (tmp_path / "scores").rglob("average.csv")) == [
        "phantom",
        "phantom@train",
    ]


def test_foreign_images(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    results, theirs = tmp_path / "results", tmp_path / "theirs"
    for i, pair in enumerate(PAIRS):
        image = slices(1, seed=20 + i)[0]
        color = np.stack([image, image // 2, image // 3], axis=-1)
        save(theirs / f"{pair}.{('png', 'jpg', 'bmp')[i]}", color if i != 1 else image)
    save(theirs / "extra.png", slices(1)[0])
    facts = {"name": "TheirNet", "title": "Their net", "year": 2024}
    options = {"metrics": METRICS_USED, "data": folders, "device": "cpu"}
    outcome = score_folders([(theirs, facts)], TASK, results, **options)  # type: ignore[arg-type]
    assert counts(outcome) == (0, 3)
    table = read_table(results, Key("folders", "pet-mri", "TheirNet"))
    assert [table.pairs[pair]["color"] for pair in PAIRS] == [True, False, True]
    assert [table.pairs[pair]["lossy"] for pair in PAIRS] == [False, True, False]
    assert table.about["method"]["foreign"] is True
    assert table.about["method"]["year"] == 2024
    a, b = (read_picture(folder / "p0.png").grey for folder in folders)
    fused = grey(read_picture(theirs / "p0.png").pixels)
    assert table.pairs["p0"]["scores"]["mi"] == evaluate(fused, a, b, "mi")["mi"][0]
    assert counts(score_folders([(theirs, facts)], TASK, results, **options)) == (0, 0)  # type: ignore[arg-type]
    save(theirs / "p2.bmp", slices(1, seed=40)[0])
    assert counts(score_folders([(theirs, facts)], TASK, results, **options)) == (0, 1)  # type: ignore[arg-type]


def test_metrics_that_need_what_is_not_there_are_left_out(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """Ground truth that no pair has, colour that one fused image lacks; that image is not tried again either."""
    results, theirs = tmp_path / "results", tmp_path / "theirs"
    for i, pair in enumerate(PAIRS):
        image = slices(1, seed=20 + i)[0]
        save(theirs / f"{pair}.png", image if i == 1 else np.stack([image, image // 2, image // 3], axis=-1))
    options: dict[str, Any] = {"metrics": ["en", "ciede2000", "lesion-recovery"], "data": folders, "device": "cpu"}

    def scored() -> Outcome:
        return score_folders([(theirs, {"name": "TheirNet"})], TASK, results, **options)

    assert (scored().exit_code, counts(scored())) == (0, (0, 0))
    table = read_table(results, Key("folders", "pet-mri", "TheirNet"))
    assert [sorted(table.pairs[pair]["scores"]) for pair in PAIRS] == [["ciede2000", "en"], ["en"], ["ciede2000", "en"]]


def test_scored_images_are_referred_to(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    results, theirs = tmp_path / "results", folders[1]
    key = Key("folders", "pet-mri", "TheirNet")
    options: dict[str, Any] = {"metrics": ["en"], "data": folders, "device": "cpu"}

    def scored(**more: Any) -> Outcome:
        return score_folders([(theirs, {"name": "TheirNet"})], TASK, results, **options, **more)

    scored()
    assert {p: Path(r["path"]) for p, r in read_table(results, key).pairs.items()} == {
        pair: theirs / f"{pair}.png" for pair in PAIRS
    }
    before = read_table(results, key).pairs
    assert counts(scored(copy=True)) == (0, 0)  # no score changes
    table = read_table(results, key)
    for pair in PAIRS:
        path = f"fused/folders/pet-mri/TheirNet/{pair}.png"
        assert table.pairs[pair] == before[pair] | {"path": path}
        assert (results / path).read_bytes() == (theirs / f"{pair}.png").read_bytes()
    stored = tree(results)
    assert counts(scored(copy=True)) == (0, 0)
    assert tree(results) == stored
    del table.pairs["p0"]["path"]  # as 0.1.0 wrote it
    write_table(results, table)
    assert counts(scored()) == (0, 0)
    assert read_table(results, key).pairs == before


@pytest.mark.parametrize(
    "name", ["../x", "..", ".x", "a/b", "a\\b", "", "x ", "a\nb", "x" * 81, "average", "laplacian@levels=5"]
)
def test_names_of_foreign_methods_that_are_refused(tmp_path: Path, folders: tuple[Path, Path], name: str) -> None:
    with pytest.raises(InputError):
        score_folders([(folders[0], {"name": name})], TASK, tmp_path / "results", metrics=["en"], data=folders)
    assert not (tmp_path / "results").exists()


PICKY = """
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="bench-picky", title="Picky", family="test", reference=""))
def picky(a, b, *, k: int = 1):
    if k != 1:
        raise InputError("k must be 1")
    return a.maximum(b)
"""


def test_what_is_refused_is_refused_before_anything_is_written(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """Also where a later method or task is at fault, and where a run would put a damaged table aside first."""
    results = tmp_path / "results"
    key = Key("folders", "pet-mri", "maximum")
    run(["maximum"], [TASK], results, data=folders, metrics=METRICS_USED, device="cpu")
    key.json(results).write_text("damaged")
    (key.csv(results).parent / ".left.tmp").write_text("of a killed run")
    before = tree(results)
    METHODS.load(str(write_plugin(tmp_path / "picky.py", PICKY)))
    for methods, tasks in ((["maximum", "bench-picky:k=2"], [TASK]), (["maximum"], [TASK, "phantom/no-such"])):
        with pytest.raises(InputError):
            run(methods, tasks, results, data=folders, metrics=METRICS_USED, device="cpu")
        assert tree(results) == before


@pytest.mark.parametrize("split", ["../x", "..", "a/b", "", ".x"])
def test_a_split_cannot_climb(tmp_path: Path, folders: tuple[Path, Path], split: str) -> None:
    with pytest.raises(InputError, match="split"):
        run(["average"], [TASK], tmp_path / "results", metrics=["en"], data=folders, split=split)
    assert not (tmp_path / "results").exists()


CLIMBING = """
import numpy as np
from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.pairs import Pair

@TASKS.register(TaskFacts(name="bench-climbing{n}/pet-mri", title="C", modalities=("MRI", "PET"), reference=""))
class Climbing:
    def __init__(self, *, data=(), split="test"):
        pass
    def ids(self):
        return [{id!r}]
    def load(self, id):
        return Pair(id=id, a=np.zeros((32, 32), np.uint8), b=np.zeros((32, 32), np.uint8))
    def case(self, id):
        return ""
    def digest(self, id):
        return id
"""


@pytest.mark.parametrize(("n", "id"), list(enumerate(["../x", "a/b", "..", "a\\b"])))
def test_an_id_cannot_climb(tmp_path: Path, n: int, id: str) -> None:
    METHODS.load(str(write_plugin(tmp_path / "climbing.py", CLIMBING.format(id=id, n=n))))
    with pytest.raises(InputError, match="cannot be a file name; rename the pair"):
        run(["average"], [f"bench-climbing{n}/pet-mri"], tmp_path / "results", metrics=["en"])
    assert not (tmp_path / "results").exists()


def test_labels_are_file_names_and_tell_settings_apart() -> None:
    def fuse(a: object, b: object, *, weight: float = 0.6, file: Path | str = "") -> None: ...

    plugin = Plugin(MethodFacts(name="labelled", title="", family=""), fuse)
    found = [
        label(plugin, item)
        for item in (
            {"weight": 0.6},
            {"weight": 0.5},
            {"file": Path("a/x.pt")},
            {"file": Path("b/x.pt")},
            {"file": "a/x"},
        )
    ]
    assert found[:2] == ["labelled", "labelled@weight=0.5"]
    assert len(set(found)) == 5
    assert not any("/" in name for name in found)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1", ""])
def test_unknown_devices(device: str) -> None:
    with pytest.raises(InputError, match="use auto, cpu or cuda"):
        resolve_device(device)
