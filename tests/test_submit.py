"""Submissions to the public board: what a bundle holds and why one is rejected, acceptance, corrections; docs/submit.md."""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
import re
import shlex
import shutil
import threading
import zipfile
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import click.testing
import pytest

from fusionbench.audit.corrections import correct
from fusionbench.audit.submission import (
    SAID,
    TERMS,
    Bundle,
    RejectedError,
    image_problems,
    open_bundle,
    problems,
    write_bundle,
)
from fusionbench.bench import run
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.pairs import list_pictures, pixel_digest, read_picture
from fusionbench.report.choice import make_boards
from fusionbench.scores import Key, read_metric_facts, read_table, write_table
from fusionbench.scores.public import PublicBoard, read_public
from tests.conftest import METHOD, Cli, doc_commands, refused_in_a_line, save, slices, tree, write_plugin

ROOT = Path(__file__).parents[1]
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
TASK = "phantom/pet-mri"


@pytest.fixture(scope="module")
def board() -> PublicBoard:
    return read_public()


@pytest.fixture
def said(board: PublicBoard) -> dict[str, Any]:
    """A sound submission, with scores of a method of the board and digests of no image."""
    (table,) = [t for t in board.at(Key("phantom", "pet-mri")) if t.key.method == "dwt"]
    pairs = {
        pair: {"source": record["pair"], "image": f"{n:064x}", "scores": dict(record["scores"])}
        for n, (pair, record) in enumerate(table.pairs.items())
    }
    return {
        "format": 1,
        "facts": {"name": "MyNet", "title": "MyNet", "year": 2026, "trained_on": ["harvard:16"]},
        "terms": {"version": 1, "accepted_by": "Jane Doe", "day": "2026-12-01"},
        "images_at": "https://example.org/mynet.zip",
        "tasks": {TASK: {"provenance": {}, "pairs": pairs}},
    }


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(module: ModuleType, *arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(module.main, [str(argument) for argument in arguments])


def changed(said: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    other = copy.deepcopy(said)
    change(other)
    return other


def pairs_of(said: dict[str, Any]) -> dict[str, Any]:
    pairs: dict[str, Any] = said["tasks"][TASK]["pairs"]
    return pairs


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "format": (lambda s: s.update(format=2), "is not a submission of format 1"),
    "facts": (lambda s: s.pop("facts"), "lacks facts, terms or tasks"),
    "terms": (lambda s: s["terms"].update(accepted_by=" "), "version 1 of the terms is not accepted by anybody"),
    "no name": (lambda s: s["facts"].pop("name"), "the method has no name"),
    "path": (lambda s: s["facts"].update(name="../x"), "cannot be a file name"),
    "taken": (lambda s: s["facts"].update(name="cddfuse"), "cddfuse is on the board already"),
    "suite": (lambda s: s["facts"].update(name="laplacian@levels=5"), "is on the board already"),
    "title": (lambda s: s["facts"].update(title=" "), "the method has no title"),
    "field": (lambda s: s["facts"].update(colour="red"), "unknown field 'colour'"),
    "trained": (lambda s: s["facts"].update(trained_on="harvard"), "give a list of texts"),
    "doi": (lambda s: s["facts"].update(doi="TMM"), "a DOI looks like"),
    "address": (lambda s: s.update(images_at="file:///etc"), "images_at is no address"),
    "no task": (lambda s: s.update(tasks={}), "it holds no task"),
    "other task": (lambda s: s["tasks"].update(mine=[]), "mine: has no public board; there are: harvard/ct-mri"),
    "no pairs": (lambda s: s["tasks"][TASK].pop("pairs"), f"{TASK}: holds no pairs"),
    "missing": (lambda s: pairs_of(s).popitem(), "1 of 8 pairs are missing (test-00007)"),
    "more": (lambda s: pairs_of(s).update(x=pairs_of(s)["test-00000"]), "1 of 9 pairs are not on the board (x)"),
    "source": (lambda s: pairs_of(s)["test-00000"].update(source="0"), "of other source images than the board's"),
    "digest": (lambda s: pairs_of(s)["test-00000"].update(image="0"), "have no digest of an image (test-00000)"),
    "score": (lambda s: pairs_of(s)["test-00000"]["scores"].pop("en"), "pairs lack a score of en, sd"),
    "infinite": (lambda s: pairs_of(s)["test-00000"]["scores"].update(en=1e999), "pairs lack a score of en, sd"),
    "word": (lambda s: pairs_of(s)["test-00000"]["scores"].update(en="4"), "pairs lack a score of en, sd"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_rejected_submission_says_why_in_a_line(said: dict[str, Any], board: PublicBoard, what: str) -> None:
    change, told = CHANGES[what]
    assert problems(said, board) == []
    (line,) = problems(changed(said, change), board)
    assert told in line
    assert "\n" not in line


def test_every_reason_is_told_and_nothing_else_breaks_it(cli: Cli, said: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(said))
    assert "sound; MyNet, 8 pairs, its images are elsewhere: not scored again" in cli("submit", "--check", path).stdout
    path.write_text(json.dumps(changed(said, lambda s: (s["facts"].pop("title"), pairs_of(s).popitem()))))
    told = cli("submit", "--check", path, code=2).stderr.splitlines()
    assert told == ["rejected: the method has no title", f"rejected: {TASK}: 1 of 8 pairs are missing (test-00007)"]
    for wrong in ("[1]", '{"format": 1, "facts": [], "terms": 1, "tasks": {}}', '{"format": 1}'):
        path.write_text(wrong)
        assert cli("submit", "--check", path, code=2).stderr.startswith("rejected: submission.json")
    path.write_text("{")
    assert "submission.json is no JSON" in cli("submit", "--check", path, code=2).stderr
    assert "no such bundle" in cli("submit", "--check", tmp_path / "nosuch", code=2).stderr
    assert "no submission.json in it" in cli("submit", "--check", tmp_path, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "dwt", "-t", "ct-mri"], "needs --by NAME and --accept-terms"),
        (["-m", "dwt", "-t", "ct-mri", "--accept-terms"], "needs --by NAME and --accept-terms"),
        (
            ["-m", "dwt", "-t", "ct-mri", "--accept-terms", "--by", "J", "--limit", "1"],
            "covers every pair of the board",
        ),
        (["-m", "dwt", "-t", "ct-mri", "--accept-terms", "--by", "J", "--out", "."], "exists already"),
        (["--accept-terms", "--by", "J"], "name what is to be placed"),
    ],
)
def test_what_cannot_be_submitted_writes_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in refused_in_a_line(cli, tmp_path, "submit", *arguments)


def test_images_are_known_by_their_digests(said: dict[str, Any], tmp_path: Path) -> None:
    pairs = dict(list(pairs_of(said).items())[:3])
    for (pair, record), pixels in zip(pairs.items(), slices(3), strict=True):
        record["image"] = pixel_digest(read_picture(save(tmp_path / "x" / f"{pair}.png", pixels)).pixels)
    few = {"tasks": {TASK: {"pairs": pairs}}}
    assert image_problems(few, {TASK: list_pictures(tmp_path / "x")}) == []
    one, two, three = pairs
    (tmp_path / "x" / f"{one}.png").unlink()
    save(tmp_path / "x" / f"{two}.png", slices(1, seed=9)[0])
    (tmp_path / "x" / f"{three}.png").write_bytes(b"no picture")
    told = image_problems(few, {TASK: list_pictures(tmp_path / "x")})
    assert f"{TASK}: 1 of 3 images are missing ({one})" in told
    assert f"{TASK}: 1 of 3 images are not those of the submission, by their digests ({two})" in told
    assert [line for line in told if f"{three}.png" in line]
    assert len(told) == 3
    save(tmp_path / "x" / f"{one}.jpg", slices(3)[0])
    told = image_problems(few, {TASK: list_pictures(tmp_path / "x")})
    assert [line for line in told if "JPEG or WebP" in line]


def test_a_zip_writes_nowhere_but_into_its_folder(said: dict[str, Any], tmp_path: Path) -> None:
    files = {SAID: json.dumps(said).encode(), f"images/{TASK}/a.png": b"1", "images/../../b.png": b"2", "/c.png": b"3"}
    files |= {"images/x/y/z.exe": b"4"}
    write_bundle(tmp_path / "b.zip", files)
    bundle = open_bundle(tmp_path / "b.zip", tmp_path / "into")
    assert bundle.said == said
    assert tree(tmp_path / "into") == {f"{TASK}/a.png": b"1"}
    assert bundle.folders == {TASK: tmp_path / "into" / TASK}
    assert sorted(tree(tmp_path)) == ["b.zip", f"into/{TASK}/a.png"]
    first = (tmp_path / "b.zip").read_bytes()
    write_bundle(tmp_path / "b.zip", files)
    assert (tmp_path / "b.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as file:
        file.writestr("x", "y")
    for name, content in (("empty.zip", None), ("torn.zip", first[:-30] + b"PK\5\6" + 18 * b"\0")):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError):
            open_bundle(tmp_path / name, tmp_path / "more")


def test_images_are_fetched_from_where_the_submission_says(
    said: dict[str, Any], board: PublicBoard, tmp_path: Path
) -> None:
    files = {SAID: json.dumps(said).encode(), f"images/{TASK}/test-00000.png": b"1"}
    write_bundle(tmp_path / "www/mynet.zip", files)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        fetch = tool("accept")._with_images
        bundle = fetch(Bundle({**said, "images_at": f"{address}/mynet.zip"}, {}), None, tmp_path, board)
        assert {task: sorted(pairs) for task, pairs in bundle.images.items()} == {TASK: ["test-00000"]}
        with pytest.raises(InputError, match="download failed"):
            fetch(Bundle({**said, "images_at": f"{address}/nosuch.zip"}, {}), None, tmp_path / "2", board)
        with pytest.raises(RejectedError, match="is on the board already"):  # nothing is fetched for it
            fetch(Bundle({**said, "facts": {"name": "dwt", "title": "x"}}, {}), None, tmp_path / "3", board)
        server.shutdown()
    assert not (tmp_path / "3").exists()


def test_the_withdrawn_stay_on_record_and_are_ranked_no_more(cli: Cli, board: PublicBoard, tmp_path: Path) -> None:
    facts = read_metric_facts(ROOT / "results")
    for name in ("dwt", "pca"):
        (table,) = [t for t in board.at(Key("phantom", "ct-mri")) if t.key.method == name]
        write_table(tmp_path, table)
    reason = ["--author", "J. Doe", "--reason", "wrong checkpoint"]
    told = cli("correct", "--results", tmp_path, "-m", "dwt", "--set", "withdrawn=images of other weights", *reason)
    assert "phantom/ct-mri/dwt: withdrawn" in told.stdout
    tables = [read_table(tmp_path, Key("phantom", "ct-mri", name)) for name in ("dwt", "pca")]
    (entry,) = tables[0].about["corrections"]
    assert (entry["author"], entry["reason"]) == ("J. Doe", "wrong checkpoint")
    assert tables[0].pairs.keys() == tables[1].pairs.keys()
    found = make_boards(tables, facts, profiles=["dmfnet"])[0]
    assert (found.order, found.apart) == (["pca"], {"dwt": "withdrawn: images of other weights"})
    assert correct(tmp_path, "J", "a mistake", methods=["dwt"], facts={"withdrawn": None}) == [
        "phantom/ct-mri/dwt: withdrawn"
    ]


def test_workflow_and_template_name_what_exists() -> None:
    text = (ROOT / ".github/workflows/submission.yml").read_text(encoding="utf-8")
    flow = yaml.safe_load(text)
    assert flow["permissions"] == {"contents": "read"}  # it runs on strangers' files
    assert "pull_request_target" not in text
    for name in re.findall(r"python (\S+\.py)", text):
        assert (ROOT / name).exists(), name
    template = (ROOT / ".github/PULL_REQUEST_TEMPLATE/submission.md").read_text(encoding="utf-8")
    assert "results/submissions/NAME.json" in template
    for link in re.findall(r"\]\((\.\./[^)]+)\)", (ROOT / "docs/submit.md").read_text(encoding="utf-8")):
        assert (ROOT / "docs" / link).exists(), link


@pytest.mark.promise
@pytest.mark.slow
def test_the_commands_of_the_docs(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board: PublicBoard
) -> None:
    """From where do I stand to an accepted row, which the leaderboard's tool would compute to the same bytes."""
    monkeypatch.chdir(tmp_path)
    write_plugin(tmp_path / "mynet.py", METHOD.format(name="mynet", body="return 0.7 * a + 0.3 * b", version=1))
    run(["average"], [TASK], tmp_path / "other", limit=8, metrics=["en"])
    shutil.copytree(tmp_path / "other/fused/phantom/pet-mri/average", tmp_path / "theirs")
    commands = doc_commands("submit.md")
    assert [arguments[0] for arguments in commands] == ["compare"] * 2 + ["submit"] * 3 + ["correct"] * 2
    told = [cli(*arguments).stdout for arguments in commands[:4]]
    monkeypatch.delitem(METHODS._plugins, "mynet")  # whoever checks the bundle has no such method
    told.append(cli(*commands[4]).stdout)
    assert "mynet is " in told[0]
    assert "TheirNet has seen none of these patients" in told[1]
    assert all(line in told[2] for line in TERMS)
    assert "8 images, submission.json" in told[3]
    assert "sound; mynet, 8 pairs, scored again, alike" in told[4]
    before = tree(tmp_path / "results")
    text = (ROOT / "docs/submit.md").read_text(encoding="utf-8")
    accept, pack = (shlex.split(line)[2:] for line in re.findall(r"^python tools/.*$", text, flags=re.MULTILINE))
    _tampered_bundles_are_rejected(tmp_path, accept)
    assert tree(tmp_path / "results") == before
    assert "has a row mynet already" in call(tool("accept"), *accept).output  # its own run is there
    board_folder = tmp_path / "board"
    accept[accept.index("results")] = str(board_folder)
    done = call(tool("accept"), *accept)
    assert done.exit_code == 0, done.output
    assert f"accepted; mynet on {TASK}" in done.output
    key = Key("phantom", "pet-mri", "mynet")
    table = read_table(board_folder, key)
    assert table.about["method"]["trained_on"] == []
    assert not {"versions", "device", "makings"} & table.about.keys()
    assert json.loads((board_folder / "submissions/mynet.json").read_text())["terms"]["accepted_by"] == "Jane Doe"
    _computed_anew(tmp_path, board_folder, key, board)
    for arguments in commands[5:]:
        assert f"{TASK}/mynet: " in cli(*arguments, "--results", board_folder).stdout
    assert len(read_table(board_folder, key).about["corrections"]) == 2
    assert tool("leaderboard")._foreign_facts(key, board_folder)["trained_on"] == ["harvard:16,20"]
    assert pack[0] == "--results"


def _tampered_bundles_are_rejected(folder: Path, accept: list[str]) -> None:
    bundle = open_bundle(folder / "mynet.zip", folder / "unzipped/images")
    said = copy.deepcopy(bundle.said)
    pairs_of(said)["test-00003"]["scores"]["ssim"] += 0.01
    (folder / "unzipped" / SAID).write_text(json.dumps(said))
    done = call(tool("accept"), folder / "unzipped", *accept[1:-1], folder / "new")
    assert done.exit_code == 2
    assert f"rejected: {TASK}: 1 of 64 scores come out otherwise; ssim of test-00003" in done.output
    (folder / "alone.json").write_text(json.dumps(bundle.said))
    assert "rejected: no images" in call(tool("accept"), folder / "alone.json").output
    (folder / "unzipped/images" / TASK / "test-00001.png").unlink()
    done = call(tool("accept"), folder / "alone.json", "--images", folder / "unzipped", *accept[1:-1], folder / "new")
    assert done.exit_code == 2
    assert f"rejected: {TASK}: 1 of 8 images are missing (test-00001)" in done.output
    assert not (folder / "new").exists()


def _computed_anew(folder: Path, results: Path, key: Key, board: PublicBoard) -> None:
    """The same bytes from images in the layout of tools/leaderboard.py."""
    leaderboard = tool("leaderboard")
    images = folder / "published/mynet/phantom/PET-MRI"
    with zipfile.ZipFile(folder / "mynet.zip") as file:
        for name in file.namelist():
            if name.endswith(".png"):
                images.mkdir(parents=True, exist_ok=True)
                (images / Path(name).name).write_bytes(file.read(name))
    options = {"metrics": board.columns, "limit": 8}
    assert leaderboard._published(folder / "published", [TASK], folder / "anew", results, options) == 8
    leaderboard.settle(folder / "anew", board.columns)
    assert key.csv(folder / "anew").read_bytes() == key.csv(results).read_bytes()
    assert key.json(folder / "anew").read_bytes() == key.json(results).read_bytes()
