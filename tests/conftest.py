"""Fixtures that several test modules share: small folders of images, plugins written on the spot, and the command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fusionbench.cli import main
from fusionbench.datasets import TASKS
from fusionbench.methods import METHODS
from fusionbench.metrics import METRICS

SHARED = Path(__file__).resolve().parents[2] / "shared"

METHOD = """
import torch
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="{name}", title="{name}", family="test", identity=False, version={version}))
def fuse(a, b):
    {body}
"""


@pytest.fixture(autouse=True)
def _no_data_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests see no Harvard pairs but those that they are given."""
    monkeypatch.delenv("FUSIONBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no-user-data"))


@pytest.fixture(autouse=True)
def _no_plugins_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it, as it is when a process ends."""
    for registry in (METHODS, METRICS, TASKS):
        registry.names()  # the package's own are found first, and stay
        monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))


@pytest.fixture
def shared() -> Path:
    """The folder of real pairs, published images and golden values beside the repository."""
    if not (SHARED / "harvard").is_dir():
        pytest.skip("needs ../shared/harvard, which is not there")
    return SHARED


def doc_commands(page: str) -> list[list[str]]:
    """The arguments of every ``fusionbench ...`` line in the shell blocks of a page of docs/, in order."""
    text = (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fusionbench ")]


def slices(n: int, side: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """(n, side, side) uint8: textured discs on black."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    waves = [np.sin(rng.uniform(2, 9) * rows + rng.uniform(2, 9) * columns + rng.uniform(0, 6)) for _ in range(n)]
    noisy = 110 + 60 * np.stack(waves) + 20 * rng.standard_normal((n, side, side))
    return np.where(rows**2 + columns**2 < 0.8, np.clip(noisy, 0, 255), 0).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def make_folders(root: Path, n: int = 3, side: int = 64, color: bool = True) -> tuple[Path, Path]:
    """Folders ``mri`` and ``pet`` with pairs p0, p1, ...; the second in colour."""
    a, b = slices(n, side, 1), slices(n, side, 2)
    for i in range(n):
        save(root / "mri" / f"p{i}.png", a[i])
        rgb = np.stack([b[i], b[i] // 2, 255 - b[i]], axis=-1)
        save(root / "pet" / f"p{i}.png", rgb if color else b[i])
    return root / "mri", root / "pet"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three colour pairs of 64 x 64: (mri folder, pet folder)."""
    return make_folders(tmp_path / "data")


def folder_options(folders: Sequence[Path]) -> list[str]:
    return ["-t", "pet-mri", "--dataset", "folders:data", "--data", str(folders[0]), "--data", str(folders[1])]


Write = Callable[..., Path]


@pytest.fixture
def method_file(tmp_path: Path) -> Write:
    """``method_file(name, body, version=1)`` writes a plugin file of one method; writing it again replaces the plugin."""

    def write(name: str, body: str = "return a.maximum(b)", version: int = 1) -> Path:
        return write_plugin(tmp_path / f"{name}.py", METHOD.format(name=name, body=body, version=version))

    return write


def write_plugin(path: Path, text: str) -> Path:
    """Write a plugin file; one of that path that was loaded before is forgotten, as in a new process."""
    path.write_text(text, encoding="utf-8")
    for name in [name for name in sys.modules if name.startswith(f"fusionbench_plugin_{path.stem}_")]:
        del sys.modules[name]
    return path


@pytest.fixture(params=[True, False], ids=["plain", "quick"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With PyTorch's own layers, then with the quick forms that networks take where no gradient is asked for."""
    import torch  # heavy; few tests need it

    with torch.set_grad_enabled(request.param):
        yield


Cli = Callable[..., click.testing.Result]


@pytest.fixture
def cli() -> Cli:
    """``cli("run", "-m", "average", ..., code=0)``: the result of a command in this process, its exit code checked."""

    def invoke(*arguments: object, code: int = 0) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return invoke


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    command = [sys.executable, "-c", "from fusionbench.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below a folder; {} where it does not exist."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused_in_a_line(cli: Cli, folder: Path, *arguments: object) -> str:
    """What a command says that ends with exit code 2: one line; of it nothing is written into ``folder``, where it runs."""
    done = cli(*arguments, code=2)
    assert len(done.stderr.strip().splitlines()) == 1
    assert not tree(folder)
    return done.stderr
