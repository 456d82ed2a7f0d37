"""The README's own method, taken from its text, checked and run: what it promises must work as written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Cli

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_ten_lines_make_a_method_that_stands_in_the_leaderboard(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = [block for block in blocks("python") if "METHODS.register" in block]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (commands,) = [block for block in blocks("sh") if "fusionbench verify" in block]
    lines = [line.partition("#")[0].split() for line in commands.strip().splitlines()]
    (file,) = {word for line in lines for word in line if word.endswith(".py")}
    monkeypatch.chdir(tmp_path)
    Path(file).write_text(code, encoding="utf-8")
    (verify, run) = lines
    assert verify[:2] == ["fusionbench", "verify"]
    assert "8 of 8 checks hold" in cli(*verify[1:]).stdout
    assert run[:2] == ["fusionbench", "run"]
    result = cli(*run[1:], "--dataset", "phantom", "--limit", 2)
    title = re.search(r'title="([^"]+)"', code)
    assert title is not None
    assert title[1] in result.stdout


def test_the_names_in_the_readme_exist(cli: Cli) -> None:
    from fusionbench.cli import COMMANDS
    from fusionbench.metrics import PROFILES

    text = README.read_text(encoding="utf-8")
    used = set(re.findall(r"fusionbench ([a-z]+)", "\n".join(blocks("sh"))))
    assert used <= COMMANDS.keys()
    (listed,) = re.findall(r"`--profile (\w+)`((?:, `\w+`)*(?: or `\w+`)?)", text)
    assert {listed[0], *re.findall(r"\w+", listed[1].replace(" or ", " "))} <= PROFILES.keys()


def test_evaluate_as_the_readme_calls_it() -> None:
    import numpy as np

    (code,) = [block for block in blocks("python") if "import evaluate" in block]
    rng = np.random.default_rng(0)
    names: dict[str, Any] = {
        name: rng.integers(0, 256, (2, 64, 64), dtype=np.uint8) for name in ("fused", "mri", "pet")
    }
    names |= {name: rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8) for name in ("pet_rgb", "fused_rgb")}
    exec(code, names)
    assert names["scores"]["en"].shape == (2,)
    assert names["grey_and_colour"].keys() - names["scores"].keys() == {"ciede2000", "qabf@rgb"}


def test_every_page_of_the_docs_is_linked() -> None:
    text = README.read_text(encoding="utf-8")
    assert not [page.name for page in (README.parent / "docs").glob("*.md") if f"](docs/{page.name})" not in text]
    assert "--dataset folders" in text


@pytest.mark.parametrize(("file", "holds"), [("mynet.py", "class MyNet"), ("stripes.py", "class Stripes")])
def test_the_plugins_of_the_docs_keep_their_contracts(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, holds: str
) -> None:
    text = (README.parent / "docs/plugins.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if holds in block]
    monkeypatch.chdir(tmp_path)
    # The name of mynet is that of another test's plugin, and a registry knows one of each.
    Path(file).write_text(code.replace('name="mynet"', 'name="mynet-of-the-docs"'), encoding="utf-8")
    torch.save(torch.nn.Conv2d(2, 1, 3, padding=1).state_dict(), "mynet.pt")
    assert "BROKEN" not in cli("verify", file).stdout  # and no warning, which would be an error here


def test_every_file_that_the_readme_points_to_exists() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (README.parent / target).exists()]
    assert not missing
