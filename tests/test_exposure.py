"""Who has seen the patients of a board, who was made for its metrics: facts, filters, verdicts, and corrections of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.audit.corrections import correct
from fusionbench.bench import run, score_folders
from fusionbench.bench.training import persons_seen, seen_lines
from fusionbench.datasets import TASKS
from fusionbench.datasets.harvard import manifest
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, create_method
from fusionbench.methods.baselines._dictionaries import SEEN
from fusionbench.report import verdicts
from fusionbench.report.choice import Only
from fusionbench.scores import Key, exposure, exposure_entry, person, read_table, training
from fusionbench.training import TrainingPair
from fusionbench.training.weights import save_weights
from tests.conftest import Cli, tree
from tests.test_report import METRICS, add, board, spread

CT, PET, SPECT = (TASKS[f"harvard/{task}"].facts for task in ("ct-mri", "pet-mri", "spect-mri"))


def test_a_person_has_one_name_in_all_tasks() -> None:
    """CT 28 and SPECT 28 are one person, PET 25 and SPECT 25 are two."""
    assert person({"people": CT.people}, "28") == person({"people": SPECT.people}, "28") == "28"
    assert person({"people": PET.people}, "25") == "PET 25" != person({"people": SPECT.people}, "25")
    assert person({}, "") == ""


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"trained": True, "trained_on": ["harvard"]}, "all"),
        ({"trained": True, "trained_on": ["harvard:a,c,x"]}, "2 of 3"),
        ({"trained": True, "trained_on": ["harvard:x", "other"]}, "none"),
        ({"trained": True, "trained_on": ["harvard:a", "harvard:b,c"]}, "all"),
        ({"trained": True, "trained_on": None}, "unknown"),
        ({"trained": True, "trained_on": []}, "unknown"),  # learnt, and does not say from what
        ({"trained": True}, "unknown"),  # as version 0.1.0 wrote it
        ({"foreign": True}, "unknown"),
        ({"foreign": True, "trained_on": []}, "none"),  # somebody says that it learnt nothing
        ({"trained": False}, "none"),
        ({}, "none"),
    ],
)
def test_how_many_patients_a_method_has_seen(facts: dict[str, object], told: str) -> None:
    found = exposure(facts, "harvard", ["a", "b", "c", "c"])
    assert str(found) == told
    assert found.known == (told != "unknown")
    assert found.seen == {"all": 3, "unknown": 3, "none": 0, "2 of 3": 2}[told]


def test_a_patient_without_a_name_may_be_one_of_those_seen() -> None:
    assert str(exposure({"trained": True, "trained_on": ["mine:a"]}, "mine", ["", "b"])) == "1 of 2"
    assert exposure_entry("mine", ["b", "a", "b"]) == "mine:a,b"
    assert exposure_entry("mine", ["b", ""]) == "mine"


def test_every_method_that_learnt_says_from_what_and_every_method_where_it_comes_from() -> None:
    for name in METHODS.names():
        facts = METHODS[name].facts
        if not METHODS[name].factory.__module__.startswith("fusionbench."):
            continue
        assert facts.origin, name
        assert training({"trained": facts.trained, "trained_on": facts.trained_on}) is not None, name
        assert not facts.trained or facts.trained_for is not None, name


def test_the_dictionaries_name_the_patients_that_they_were_learnt_from() -> None:
    """Twelve evenly spaced slices of each task's published training split, as tools/learn_dictionaries.py takes them."""
    import numpy as np

    seen = []
    for facts in (CT, PET, SPECT):
        ids = sorted(Path(p).stem for p in manifest() if p.startswith(f"{facts.task.upper()}/train/MRI/"))
        chosen = [ids[i] for i in np.linspace(0, len(ids) - 1, 12).round().astype(int)]
        seen += [person({"people": facts.people}, id[:-3]) for id in chosen]
    assert exposure_entry("harvard", seen) == SEEN
    assert METHODS["csr"].facts.trained_on == METHODS["latlrr"].facts.trained_on == (SEEN,)


def test_training_writes_who_was_seen_into_the_card(tmp_path: Path) -> None:
    image = torch.zeros(8, 8, dtype=torch.uint8).numpy()
    pairs = [
        TrainingPair(task, id, case, image, image)
        for task, id, case in (
            ("ct-mri", "28001", "28"),
            ("spect-mri", "28001", "28"),
            ("pet-mri", "25001", "25"),
            ("folders:mine/pet-mri", "a", ""),
            ("phantom/pet-mri", "train-00001", "train-00001"),
        )
    ]
    assert persons_seen(pairs) == ["folders-mine", "harvard:28,PET 25"]
    assert seen_lines(pairs) == {"trained_on": persons_seen(pairs)}
    assert seen_lines(pairs[-1:]) == {  # nobody, but it is known what
        "trained_on": ["phantom@train"],
        "licence": "Apache-2.0; trained on generated images alone",
    }
    path = tmp_path / "mine.safetensors"
    save_weights(path, {"x": torch.zeros(1)}, {"kind": "dmfnet", "trained_on": persons_seen(pairs)})
    facts = create_method(f"dmfnet:weights={path}").facts
    assert (facts.trained_on, facts.trained_for, facts.origin) == (("folders-mine", "harvard:28,PET 25"), None, "")
    save_weights(path, {"x": torch.zeros(1)}, {"kind": "dmfnet"})
    assert create_method(f"dmfnet:weights={path}").facts.trained_on is None
    assert create_method("dmfnet").facts.trained_on == ("harvard",)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Four methods on 8 patients c0 to c7, best first: seen some, not known, trained here on others, never trained."""
    sheets: dict[str, dict[str, Any]] = {
        "seen": {"trained": True, "trained_on": ["made:c0,c1"], "trained_for": ["gain"], "origin": "trained here"},
        "foreign": {"foreign": True, "origin": "third-party run"},
        "clean": {"trained": True, "trained_on": ["made:z"], "trained_for": [], "origin": "trained here"},
        "classic": {"origin": "reimplemented"},
    }
    for n, (name, facts) in enumerate(sheets.items()):
        add(tmp_path, name, {"gain": spread(4 - n), "loss": spread(n), "look": spread(n)}, **facts)
    add(tmp_path, "top", {m: spread(9) for m in METRICS}, control=True)
    return tmp_path


def test_boards_filter_by_exposure_and_origin(mixed: Path) -> None:
    assert board(mixed).order == ["seen", "foreign", "clean", "classic"]
    assert board(mixed, only=Only(unexposed=True)).order == ["clean", "classic"]
    assert board(mixed, only=Only(without_own=True)).order == ["foreign", "classic"]
    assert board(mixed, only=Only(origins=("Reimplemented", "third-party run"))).order == ["foreign", "classic"]
    assert board(mixed, only=Only(unexposed=True)).controls == ["top"]
    with pytest.raises(
        InputError, match="no method comes from nowhere; there are: reimplemented, third-party run, trained"
    ):
        board(mixed, only=Only(origins=("nowhere",)))


def test_the_verdict_names_exposure_and_conflict(mixed: Path) -> None:
    said = verdicts.verdict(board(mixed))
    assert "SEEN has seen in training 2 of 8 patients." in said
    assert "SEEN was made for G, by which this board ranks." in said
    assert any(text.startswith("Exposure: 2 of 4 ranked methods have seen") for text in verdicts.summary(board(mixed)))
    few = board(mixed, methods=["foreign", "classic"])
    assert "Whether FOREIGN has seen these patients in training is not known." in verdicts.verdict(few)
    text = " ".join(verdicts.verdict(board(mixed, only=Only(unexposed=True))))
    assert "in training" not in text
    assert "made for" not in text


def test_the_command_line_filters(mixed: Path, cli: Cli) -> None:
    columns = ("--columns", "exposed,conflict,origin,rank")
    cli("report", "--results", mixed, "--unexposed", "--out", mixed / "few", *columns)
    text = (mixed / "few" / "README.md").read_text()
    assert "CLEAN | none | – | trained here |" in text
    assert "SEEN" not in text
    cli("report", "--results", mixed, "--out", mixed / "all", *columns)
    text = (mixed / "all" / "README.md").read_text()
    assert "SEEN | 2 of 8 | G |" in text
    assert "FOREIGN | unknown | unknown |" in text


def test_scored_images_carry_what_their_author_says(tmp_path: Path, folders: tuple[Path, Path], cli: Cli) -> None:
    data = ("--data", folders[0], "--data", folders[1], "--results", tmp_path, "--metric", "en")
    said = ("--trained-on", "harvard:16", "--trained-for", "ssim")
    cli("score", folders[0], "--name", "Theirs", "-t", "pet-mri", "--dataset", "folders:mine", *data, *said)
    facts = read_table(tmp_path, Key("folders-mine", "pet-mri", "Theirs")).about["method"]
    assert (facts["trained_on"], facts["trained_for"]) == (["harvard:16"], ["ssim"])


def test_a_correction_changes_words_alone_and_stays(tmp_path: Path, folders: tuple[Path, Path], cli: Cli) -> None:
    options: dict[str, Any] = {"metrics": ["en"], "data": folders, "device": "cpu"}
    score_folders([(folders[0], {"name": "Theirs"})], "folders/pet-mri", tmp_path, **options)
    key = Key("folders", "pet-mri", "Theirs")
    before, csv = read_table(tmp_path, key), key.csv(tmp_path).read_bytes()
    said = ("--set", "trained_on=harvard:16;NYU-D2", "--set", "trained_for=unknown", "--set", "year=2024")
    who = ("--author", "A. Author", "--reason", "our paper says so")
    done = cli("correct", "--results", tmp_path, "-m", "Theirs", *said, *who)
    assert "folders/pet-mri/Theirs: trained_on, year" in done.stdout
    after = read_table(tmp_path, key)
    assert after.pairs == before.pairs
    assert key.csv(tmp_path).read_bytes() == csv
    assert after.about["method"]["trained_on"] == ["harvard:16", "NYU-D2"]
    (entry,) = after.about["corrections"]
    assert (entry["author"], entry["reason"]) == ("A. Author", "our paper says so")
    assert entry["changed"] == {"trained_on": [None, ["harvard:16", "NYU-D2"]], "year": [None, 2024]}
    stored = tree(tmp_path)
    again = score_folders([(folders[0], {"name": "Theirs"})], "folders/pet-mri", tmp_path, **options)
    assert again.scored == 0
    assert tree(tmp_path) == stored
    better = {"name": "Theirs", "trained_on": ["harvard"]}
    score_folders([(folders[0], better)], "folders/pet-mri", tmp_path, **options)
    assert read_table(tmp_path, key).about["method"]["trained_on"] == ["harvard"]  # said later, and better


def test_tables_of_a_version_without_these_facts_get_them(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    run(["laplacian", "csr"], ["folders/pet-mri"], tmp_path, metrics=["en"], data=folders, limit=1, device="cpu")
    key = Key("folders", "pet-mri", "csr")
    path = key.json(tmp_path)
    content = json.loads(path.read_text())
    for field in ("origin", "trained_on", "trained_for"):
        del content["about"]["method"][field]
    del content["sha256"]
    path.write_text(json.dumps(content))
    told = correct(tmp_path, "the maintainers", "recorded since version 0.2.0")
    assert told == ["folders/pet-mri/csr: origin, trained_on"]
    assert read_table(tmp_path, key).about["method"]["trained_on"] == [SEEN]
    assert correct(tmp_path, "the maintainers", "again") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "version=3"], "'version' cannot be corrected"),
        (["--set", "year"], "give FIELD=VALUE"),
        (["-m", "nobody"], "no scores of nobody"),
        (["--reason", " "], "a correction needs --author and --reason"),
    ],
)
def test_corrections_that_are_refused(mixed: Path, cli: Cli, arguments: list[str], words: str) -> None:
    before = tree(mixed)
    done = cli("correct", "--results", mixed, "--author", "me", "--reason", "r", *arguments, code=2)
    assert words in " ".join(done.stderr.split())
    assert tree(mixed) == before


def test_data_verify_and_the_board_agree_on_who_is_exposed(shared: Path, tmp_path: Path, cli: Cli) -> None:
    data = shared / "harvard"
    told = cli("data", "verify", "-t", "ct-mri", "--dataset", "harvard", "--data", data).stdout
    run(["csr", "laplacian"], ["harvard/ct-mri"], tmp_path, metrics=["en"], data=[data], limit=1, device="cpu")
    for method in ("csr", "laplacian"):
        seen = read_table(tmp_path, Key("harvard", "ct-mri", method)).exposure
        lines = [
            text for text in told.splitlines() if "patients seen in training" in text
        ]  # one for each set of patients
        assert any(method in line for line in lines) == bool(seen.seen)
