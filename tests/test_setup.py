"""Where `make` takes torch from: the index for machines without a GPU, or the default one where that is not reached."""

import functools
import http.server
import os
import re
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.promise, pytest.mark.slow]


@pytest.fixture
def index(tmp_path):
    """The address of a local package index (PEP 503) whose torch and torchvision are empty wheels of the pinned versions,
    marked +cpu."""
    constraints = (ROOT / "constraints.txt").read_text()
    for name in ("torch", "torchvision"):
        (pinned,) = re.findall(rf"^{name}==(.+)$", constraints, re.MULTILINE)
        folder = tmp_path / "index" / name
        folder.mkdir(parents=True)
        wheel = folder / f"{name}-{pinned}+cpu-py3-none-any.whl"
        info = f"{name}-{pinned}+cpu.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {pinned}+cpu\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def make_torch(venv: Path, torch_index: str) -> tuple[str, list[str]]:
    """What make says when it sets up torch in a new environment, and what of torch is in there then."""
    alone = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}  # no other source of wheels
    done = subprocess.run(
        ["make", f"VENV={venv}", f"TORCH_INDEX={torch_index}", f"{venv}/.torch"],
        cwd=ROOT,
        env={**os.environ, **alone},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout, [path.name for path in sorted(venv.glob("lib/*/site-packages/torch*-*.dist-info"))]


def test_torch_comes_from_the_index_given(tmp_path, index):
    _, found = make_torch(tmp_path / "venv", index)
    assert [name.partition("-")[0] for name in found] == ["torch", "torchvision"]
    assert all("+cpu" in name for name in found)


def test_an_index_that_is_not_reached_leaves_torch_to_the_default_one(tmp_path):
    said, found = make_torch(tmp_path / "venv", "http://127.0.0.1:9")
    assert "torch not found at http://127.0.0.1:9: taking the default index's" in said
    assert found == []
