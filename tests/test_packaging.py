"""What other people's machines get: the wheel, the GitHub action, hooks, the conda recipe; docs/ci.md."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest

from fusionbench import __version__
from fusionbench.cli import COMMANDS, doctor
from tests.conftest import METHOD, Cli, doc_commands, write_plugin

ROOT = Path(__file__).parents[1]
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")


def read_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def test_the_name_of_the_distribution_is_one() -> None:
    assert project()["name"] == doctor.DISTRIBUTION == "fusionbench-mmif"
    assert project()["version"] == __version__
    extras = {name: {re.split(r"[>=\[]", item)[0] for item in items} for name, items in optional().items()}
    for extra, packages in doctor.EXTRAS.items():
        assert set(packages) == extras[extra] - {doctor.DISTRIBUTION}


def optional() -> dict[str, list[str]]:
    return dict(project()["optional-dependencies"])


def test_the_conda_recipe_needs_what_the_project_needs() -> None:
    text = (ROOT / "conda/meta.yaml").read_text(encoding="utf-8")
    assert f'version = "{__version__}"' in text
    names = {"matplotlib-base": "matplotlib", "pytorch": "torch"}
    run = re.search(r"  run:\n((?:    - .*\n)+)", text)
    assert run
    needed = dict(re.findall(r"- (\S+) >=(\S+)", run[1]))
    assert needed.pop("python") == project()["requires-python"].removeprefix(">=")
    wanted = dict(item.lower().split(">=") for item in project()["dependencies"])
    assert {names.get(name, name): least for name, least in needed.items()} == wanted


def test_hooks_and_devcontainer_name_what_exists() -> None:
    for hook in read_yaml(".pre-commit-hooks.yaml"):
        program, command = hook["entry"].split()[:2]
        assert program == "fusionbench"
        assert command in COMMANDS
        assert f"id: {hook['id']}" in (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert "make .venv/.installed" in container["postCreateCommand"]


def test_every_input_of_the_action_is_used_and_described() -> None:
    action = read_yaml("action.yml")
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    script = (ROOT / "tools/action.sh").read_text(encoding="utf-8")
    for name, about in action["inputs"].items():
        assert about["description"]
        assert f"inputs.{name}" in text, name
    step = next(step for step in action["runs"]["steps"] if step.get("id") == "run")
    for variable in step["env"]:
        assert f"${{{variable}:-" in script, variable
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    workflow = yaml.safe_load(blocks[0])
    used = next(step for step in workflow["jobs"]["fusion"]["steps"] if "fusionbench" in step["uses"])
    assert used["with"].keys() <= action["inputs"].keys()


def test_the_commands_of_the_docs(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_plugin(tmp_path / "mymethod.py", METHOD.format(name="mymethod-of-ci", body="return a.maximum(b)", version=1))
    commands = doc_commands("ci.md")
    assert len(commands) == 3
    for arguments in commands:
        cli(*arguments)


@pytest.mark.slow
def test_the_script_of_the_action(tmp_path: Path) -> None:
    write_plugin(tmp_path / "mine.py", METHOD.format(name="mine-of-ci", body="return a.maximum(b)", version=1))
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "METHODS": "mine.py average",
        "TASKS": "pet-mri",
        "LIMIT": "1",
        "LOCK": "lock.csv",
        "RESULTS": "out",
        "GITHUB_STEP_SUMMARY": "summary.md",
        "GITHUB_OUTPUT": "output",
    }
    (tmp_path / "fusionbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fusionbench "$@"\n')
    (tmp_path / "fusionbench").chmod(0o755)

    def done(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    lock = done(
        "fusionbench", "check", "--update", "--baseline", "lock.csv", "-m", "mine.py", "-t", "pet-mri", "--limit", "1"
    )
    assert lock.returncode == 0, lock.stderr
    first = done("bash", str(ROOT / "tools/action.sh"))
    assert first.returncode == 0, first.stdout + first.stderr
    summary = (tmp_path / "summary.md").read_text()
    assert "mine-of-ci" in summary
    assert "0 drifted" in summary
    assert (tmp_path / "output").read_text() == "table=out/table.md\n"
    mine = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(mine.replace("a.maximum(b)", "a.minimum(b)").replace("version=1", "version=2"))
    drifted = done("bash", str(ROOT / "tools/action.sh"))
    assert drifted.returncode == 1, drifted.stdout + drifted.stderr
    assert "Scores that drifted" in drifted.stdout
    environment["METHODS"] = "nosuch"
    assert done("bash", str(ROOT / "tools/action.sh")).returncode == 2


@pytest.mark.slow
def test_the_wheel_works_outside_the_repository(tmp_path: Path) -> None:
    """Built from tracked files, installed into an environment of its own that borrows what it depends on from this one."""
    source = tmp_path / "source"
    wanted = ["fusionbench", "pyproject.toml", "README.md", "LICENSE"]
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *wanted]
    tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(source)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"fusionbench_mmif-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 40e6
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/*/site-packages")
    subprocess.run(
        [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.rmtree(source)
    (tmp_path / "away").mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FUSIONBENCH_DATA")}

    def fusionbench(*arguments: str) -> str:
        done = subprocess.run(
            [str(home / "bin" / "fusionbench"), *arguments],
            cwd=tmp_path / "away", env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    assert fusionbench("--version").split()[-1] == __version__
    found = json.loads(fusionbench("doctor", "--json"))
    assert str(packages) in next(row["found"] for row in found if row["what"] == "fusionbench")
    assert not [row for row in found if row["state"] == "bad"]
    methods = {row["name"]: row for row in json.loads(fusionbench("list", "methods", "--json"))}
    for name in ("dmfnet", "lkcfunet", "diffif", "densefuse", "cnn-fuse", "coupled-csc"):
        assert methods[name]["unavailable"] is None  # its weights came along
    fusionbench("explain", "ssim")
    fusionbench("run", "-m", "laplacian", "-m", "dmfnet", "-t", "pet-mri", "--limit", "1", "--profile", "cddfuse")
    fusionbench("report")
    assert (tmp_path / "away/results/leaderboard/index.html").stat().st_size > 100_000
    versions = json.loads((tmp_path / "away/results/scores/phantom/pet-mri/dmfnet.json").read_text())["about"][
        "versions"
    ]
    assert versions["fusionbench"] == __version__
    fusionbench("reproduce", "results/scores/phantom/pet-mri/laplacian.json")
    (row,) = json.loads(fusionbench("compare", "-m", "laplacian:levels=5", "-t", "pet-mri", "--limit", "1", "--json"))
    assert row["ranked"] > 30  # the public board came along
