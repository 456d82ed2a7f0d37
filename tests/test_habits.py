"""What one expects of a command line: completion, a dry run, silence when asked for, JSON, a doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fusionbench.cli import COMMANDS, common, main
from tests.conftest import Cli, Write, doc_commands, folder_options, make_folders


def completions(*words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    environment = {
        "_FUSIONBENCH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["fusionbench", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = CliRunner().invoke(main, [], env=environment, prog_name="fusionbench")
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["d"], {"data", "doctor"}),
        (["run", "-m", "dmf"], {"dmfnet", "dmfnet-fast"}),
        (["run", "-m", "laplacian", "--task", "pet"], {"pet-mri"}),
        (["run", "--metric", "mi@bi"], {"mi@bits"}),
        (["run", "--profile", "cdd"], {"cddfuse"}),
        (["run", "--dry"], {"--dry-run"}),
        (["explain", "dmf"], {"dmfnet", "dmfnet-fast"}),
        (["weights", "f"], {"fetch"}),
        (["weights", "fetch", "lk"], {"lkcfunet"}),
        (["nosuch", "lis"], {"list"}),
    ],
)
def test_tab_offers(words: list[str], offered: set[str]) -> None:
    assert set(completions(*words)) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_of_the_shells_are_there(shell: str) -> None:
    done = CliRunner().invoke(main, [], env={"_FUSIONBENCH_COMPLETE": f"{shell}_source"}, prog_name="fusionbench")
    assert "_FUSIONBENCH_COMPLETE" in done.stdout


def test_tab_loads_nothing_heavy() -> None:
    program = (
        "import os, sys\n"
        "os.environ |= {'_FUSIONBENCH_COMPLETE': 'bash_complete', 'COMP_CWORD': '3'}\n"
        "os.environ['COMP_WORDS'] = 'fusionbench run -m dm'\n"
        "from fusionbench.cli import main\n"
        "try:\n    main(prog_name='fusionbench')\nexcept SystemExit:\n    pass\n"
        "import types\n"
        "print(sorted(n for n in ('torch', 'pandas') if type(sys.modules.get(n)) is types.ModuleType))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert "plain,dmfnet\n" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_dry_run_tells_what_a_run_then_does(cli: Cli, tmp_path: Path) -> None:
    options = folder_options(make_folders(tmp_path / "data"))
    results = ["--results", str(tmp_path / "r")]
    command = ["run", "-m", "average", "-m", "maximum", *options, *results, "--metric", "en"]
    told = cli(*command, "--dry-run").stdout
    assert "folders-data/pet-mri average: fuse 3, score 3 (3 values) of 3 pairs" in told
    assert "would fuse 6 images and compute 6 values; nothing was done" in told
    assert not (tmp_path / "r").exists()
    assert "6 images fused, 6 scored" in cli(*command).stdout
    before = files_of(tmp_path / "r")
    further = [*command, "-m", "pca", "--metric", "sd"]
    rows = {row["method"]: row for row in json.loads(cli(*further, "--dry-run", "--json").stdout)}
    assert [rows["average"][name] for name in ("pairs", "fuse", "score", "values")] == [3, 0, 3, 3]
    assert [rows["pca"][name] for name in ("pairs", "fuse", "score", "values")] == [3, 3, 3, 6]
    assert files_of(tmp_path / "r") == before
    (tmp_path / "r/fused/folders-data/pet-mri/average/p0.png").write_bytes(b"damage")
    assert "average: fuse 1, score 3 (4 values) of 3 pairs" in cli(*further, "--dry-run").stdout
    assert "average: fuse 3, score 3 (6 values)" in cli(*further, "--dry-run", "--force").stdout
    assert "--json goes with --dry-run" in cli(*command, "--json", code=2).stderr
    cli("run", "-m", "nosuch", *options, *results, "--dry-run", code=2)


def test_quiet_leaves_failures_and_what_was_asked_for(cli: Cli, tmp_path: Path) -> None:
    options = [
        *folder_options(make_folders(tmp_path / "data", n=1)),
        "--results",
        str(tmp_path / "r"),
        "--metric",
        "en",
    ]
    assert "next: fusionbench report" in cli("run", "-m", "average", *options).stderr
    done = cli("run", "-m", "maximum", *options, "-q")
    assert done.stdout + done.stderr == ""
    done = cli("run", "-m", "all", *options, "--limit", "1", "--dry-run", "-q")
    assert (done.stderr, "would fuse" in done.stdout) == ("", True)
    assert "unknown method 'nosuch'" in cli("run", "-m", "nosuch", *options, "--quiet", code=2).stderr
    assert json.loads(cli("data", "list", "--json", "--quiet").stdout)


def test_every_command_takes_quiet() -> None:
    with click.Context(main) as context:
        for name in COMMANDS:
            command = main.get_command(context, name)
            for one in command.commands.values() if isinstance(command, click.Group) else [command]:
                assert one is not None
                assert "--quiet" in [text for parameter in one.params for text in parameter.opts], one.name


def test_log_lines_tell_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 0.0, 12.0, 80.0, 80.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    notify = common._log_lines()
    for done in (0, 10, 20):
        notify("scoring", done, 40, "pca")
    assert capsys.readouterr().err.splitlines() == [
        "[0:12] scoring 10 of 40, 0:36 left pca",
        "[1:20] scoring 20 of 40, 1:20 left pca",
    ]


def test_doctor(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = json.loads(cli("doctor", "--json").stdout)
    found = {(row["section"], row["what"]): row for row in rows}
    assert {row["section"] for row in rows} == {"versions", "devices", "data", "weights", "places", "extras"}
    assert found["versions", "torch"]["state"] == "ok"
    assert found["data", "harvard/pet-mri"]["state"] == "missing"
    assert "train" in found["data", "phantom/pet-mri"]["found"]
    assert "weights fetch dmfnet" in found["weights", "dmfnet:weights=authors"]["found"]
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FUSIONBENCH_WEIGHTS", str(tmp_path / "file" / "weights"))
    assert "! weights:" in cli("doctor", code=1).stdout


def test_the_other_listings_have_json(cli: Cli, method_file: Write) -> None:
    assert json.loads(cli("explain", "ssim", "--json").stdout)["metrics"][0]["name"] == "ssim"
    assert json.loads(cli("explain", "CDDFuse", "--json").stdout)["profiles"][0]["name"] == "cddfuse"
    rows = json.loads(cli("verify", str(method_file("mine-of-json")), "--json").stdout)
    assert {row["broken"] for row in rows} == {""}


def test_the_commands_of_the_docs(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = doc_commands("commands.md")
    assert len(commands) == 8
    for arguments in commands:
        done = cli(*arguments)
        if "--json" in arguments:
            json.loads(done.stdout)
