"""Methods that are commands: real programs, exact results, every way to fail, and no shell."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from fusionbench.bench import run
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.methods.external import load_method, read_method
from fusionbench.pairs import read_picture, write_png
from fusionbench.scores import Key, Table, read_table
from tests.conftest import Cli

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image

a, b, out = map(Path, sys.argv[1:4])
jobs = [(a / p.name, b / p.name, out / p.name) for p in sorted(a.iterdir())] if a.is_dir() else [(a, b, out)]
print("babble", len(jobs))
Path("calls.txt").open("a").write(f"{len(jobs)}\\n")
for x, y, z in jobs:
    u, v = np.asarray(Image.open(x)), np.asarray(Image.open(y))
    if u[0, 0] == 13:
        sys.exit("cannot do thirteen")
    Image.fromarray(np.maximum(u, v)).save(z)
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    for n in range(5):
        for name in ("a", "b"):
            image = rng.integers(0, 256, (20, 24 + (n == 4)), dtype=np.uint8)
            image[0, 0] = n
            write_png(tmp_path / name / f"p{n} $(touch hit); x.png", image)
    (tmp_path / "their code").mkdir()
    (tmp_path / "their code" / "fuse it.py").write_text(SCRIPT)
    return tmp_path / "a", tmp_path / "b"


def method(tmp_path: Path, name: str, command: str, more: str = "") -> str:
    path = tmp_path / f"{name}.toml"
    path.write_text(f"name = '{name}'\ncommand = '''{command}'''\nfolder = 'their code'\n{more}")
    return load_method(path)


def go(tmp_path: Path, folders: tuple[Path, Path], name: str) -> Table:
    run([name], ["folders/pet-mri"], tmp_path / "results", data=folders, metrics=["en"], device="cpu")
    return read_table(tmp_path / "results", Key("folders", "pet-mri", name))


def test_a_script_pair_by_pair(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    name = method(tmp_path, "ext-single", f'{sys.executable} "fuse it.py" {{a}} {{b}} {{out}}')
    table = go(tmp_path, folders, name)
    assert not table.errors()
    for pair in table.pairs:
        a, b = (read_picture(folder / f"{pair}.png").pixels for folder in folders)
        fused = read_picture(table.key.fused(tmp_path / "results") / f"{pair}.png").pixels
        np.testing.assert_array_equal(fused, np.maximum(a, b))
    assert (tmp_path / "their code" / "calls.txt").read_text().split() == ["1"] * 5
    assert not list(tmp_path.rglob("hit"))


def test_a_batch_and_the_one_pair_that_fails_in_it(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    bad = np.full((20, 24), 13, np.uint8)
    for folder in folders:
        write_png(folder / "p2 $(touch hit); x.png", bad)
    name = method(
        tmp_path, "ext-batch", f'{sys.executable} "fuse it.py" {{a}} {{b}} {{out}}', "mode = 'batch'\nbatch = 3"
    )
    table = go(tmp_path, folders, name)
    ((pair, reason),) = table.errors().items()
    assert pair.startswith("p2")
    assert "cannot do thirteen" in reason
    assert (tmp_path / "their code" / "calls.txt").read_text().split() == ["3", "1", "1", "1", "1", "1"]


@pytest.mark.skipif(shutil.which("cp") is None or shutil.which("sleep") is None, reason="needs cp and sleep")
def test_real_programs(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    assert not go(tmp_path, folders, method(tmp_path, "ext-cp", "cp {b} {out}")).errors()
    image = read_picture(tmp_path / "results/fused/folders/pet-mri/ext-cp/p1 $(touch hit); x.png").pixels
    np.testing.assert_array_equal(image, read_picture(folders[1] / "p1 $(touch hit); x.png").pixels)
    for name, command, reason in (
        ("ext-sleep", "sh -c 'sleep 100' {out}", "ran longer than 0.5 s"),
        ("ext-kill", "sh -c 'kill -11 $$' {out}", "SIGSEGV"),
        ("ext-none", "true {out}", "left no image"),
        ("ext-text", "cp calls.txt {out}", "not an image"),
    ):
        (tmp_path / "their code" / "calls.txt").write_text("no image")
        errors = go(
            tmp_path, folders, method(tmp_path, name, command, "timeout = 0.5" if name == "ext-sleep" else "")
        ).errors()
        assert len(errors) == 5
        assert all(reason in text for text in errors.values()), errors


def test_no_shell(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """Words reach the program as they are: pipes, dollars and backticks mean nothing."""
    name = method(tmp_path, "ext-shell", "cp {b} {out} `touch hit` ; touch hit | $HOME > hit")
    assert len(go(tmp_path, folders, name).errors()) == 5
    assert not list(tmp_path.rglob("hit"))


def test_a_changed_file_makes_results_stale(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    (tmp_path / "their code" / "weights").write_text("one")
    name = method(tmp_path, "ext-stale", "cp {b} {out}", "files = ['weights']")
    options = {"data": folders, "metrics": ["en"], "device": "cpu"}
    assert run([name], ["folders/pet-mri"], tmp_path / "r", **options).fused == 5  # type: ignore[arg-type]
    assert run([name], ["folders/pet-mri"], tmp_path / "r", **options).fused == 0  # type: ignore[arg-type]
    (tmp_path / "their code" / "weights").write_text("two")
    assert run([name], ["folders/pet-mri"], tmp_path / "r", **options).fused == 5  # type: ignore[arg-type]


@pytest.mark.slow
def test_workers_and_isolation_know_it_too(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    name = method(tmp_path, "ext-far", "cp {b} {out}")
    for folder, options in (("here", {}), ("there", {"engine": "local:2"})):
        run([name], ["folders/pet-mri"], tmp_path / folder, data=folders, metrics=["en"], device="cpu", **options)  # type: ignore[arg-type]
    key = Key("folders", "pet-mri", name)
    assert key.csv(tmp_path / "here").read_bytes() == key.csv(tmp_path / "there").read_bytes()


def test_tasks_and_missing_programs(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    name = method(tmp_path, "ext-ct", "cp {b} {out}", "tasks = ['ct-mri']")
    outcome = run([name], ["folders/pet-mri"], tmp_path / "r", data=folders, metrics=["en"], device="cpu")
    assert "lists ct-mri only" in outcome.skipped[0][1]
    name = method(tmp_path, "ext-absent", "no-such-program-here {out}")
    with pytest.raises(InputError, match="no-such-program-here"):
        go(tmp_path, folders, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = 'x'",
        "name = 'x'\ncommand = 'cp {a} {b}'",
        "name = 'x'\ncommand = 'cp {out.__class__}'",
        "name = 'x'\ncommand = 'cp {out!r}'",
        "name = 'x'\ncommand = 'cp {out:>20}'",
        "name = 'x'\ncommand = 'cp {out} {c}'",
        "name = 'x'\ncommand = 'cp {out} {'",
        "name = 'x'\ncommand = 'cp {out} \"'",
        "name = '../x'\ncommand = 'cp {out}'",
        "name = 'x'\ncommand = ['cp', '{out}']",
        "name = 'x'\ncommand = 'cp {out}'\nmode = 'many'",
        "name = 'x'\ncommand = 'cp {out}'\ntimeout = -1",
        "name = 'x'\ncommand = 'cp {out}'\ntimeout = inf",
        "name = 'x'\ncommand = 'cp {out}'\nbatch = true",
        "name = 'x'\ncommand = 'cp {out}'\nshell = true",
        "name = 'x'\ncommand = 'cp {out}'\n[environment]\nA = 1",
        "name = 'x'\ncommand = 'cp {out}'\n[environment]\n'A=B' = '1'",
        "name = 'x'\ncommand = 'cp {out}'\n[settings]\nlevels = 4",
        "name = 'x'\ncommand = 'cp {out} {levels}'\n[settings]\nlevels = true",
        "name = 'x'\ncommand = 'cp {out} {a-b}'\n[settings]\na-b = 4",
        "name = 'x'\ncommand = 'cp {out}'\n[settings]\nout = 4",
    ],
)
def test_bad_files_are_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_method(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


SHIFTED = """
import sys
import numpy as np
from PIL import Image
levels, add, out = np.asarray(Image.open(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
Image.fromarray(np.minimum(levels.astype(int) + add + int(open(sys.argv[4]).read()), 255).astype(np.uint8)).save(out)
"""


def test_settings_are_put_into_the_command(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    (tmp_path / "their code" / "fuse it.py").write_text(SHIFTED)
    for name in ("model", "other"):
        (tmp_path / "their code" / f"{name}.txt").write_text("3")
    command = f'{sys.executable} "fuse it.py" {{a}} {{add}} {{out}} {{model}}'
    method(tmp_path, "ext-set", command, "[settings]\nadd = 1\nmodel = 'model.txt'")
    spec = f"{tmp_path / 'ext-set.toml'}:add=5,model=other.txt"
    wanted = ["-t", "pet-mri", "--dataset", "folders:x", "--data", folders[0], "--data", folders[1], "--metric", "en"]
    run_it = ["run", *wanted, "--limit", 1, "--results", tmp_path / "r", "-m"]
    assert "1 images fused" in cli(*run_it, spec).stdout
    key = Key("folders-x", "pet-mri", "ext-set@add=5,model=other.txt")
    table = read_table(tmp_path / "r", key)
    (pair,) = table.pairs
    expected = np.minimum(read_picture(folders[0] / f"{pair}.png").grey.astype(int) + 5 + 3, 255)
    np.testing.assert_array_equal(read_picture(key.image(tmp_path / "r", pair)).grey, expected)
    (tmp_path / "their code" / "model.txt").write_text("4")  # not that of this setting
    assert "0 images fused" in cli(*run_it, spec).stdout
    (tmp_path / "their code" / "other.txt").write_text("4")
    assert "other.txt changed since" in cli(*run_it, spec).stderr
    assert "its settings are: add, model" in cli(*run_it, f"{tmp_path / 'ext-set.toml'}:levels=3", code=2).stderr
    assert "add='x'" in cli(*run_it, f"{tmp_path / 'ext-set.toml'}:add=x", code=2).stderr


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="already registered"):
        method(tmp_path, "laplacian", "cp {b} {out}")
    assert METHODS["laplacian"].facts.family != "external"
