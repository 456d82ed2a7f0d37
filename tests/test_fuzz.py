"""Hostile input: every reader gives a result or one line that says what is wrong. No other exception, hang, or stray file.

Run as a whole (``-m slow``) it tries 20,000 inputs; FUSIONBENCH_FUZZ scales the number.
"""

from __future__ import annotations

import io
import json
import os
import random
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fusionbench.errors import InputError
from fusionbench.methods.external import read_method
from fusionbench.pairs import read_picture
from fusionbench.scores import Key, find_tables, read_metric_facts, read_table, write_table
from fusionbench.scores import Table as ScoreTable

SCALE = float(os.environ.get("FUSIONBENCH_FUZZ", "1"))
PLENTY = settings(
    max_examples=int(500 * SCALE) or 1, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def pictures() -> dict[str, bytes]:
    """Sound files of every format and mode that the reader knows, and some that it refuses."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (9, 13), dtype=np.uint8)
    colour = rng.integers(0, 256, (9, 13, 3), dtype=np.uint8)
    made: dict[str, bytes] = {}
    for suffix, image in (
        ("png", Image.fromarray(grey)),
        ("rgb.png", Image.fromarray(colour)),
        ("palette.png", Image.fromarray(colour).quantize(16)),
        ("rgba.png", Image.fromarray(colour).convert("RGBA")),
        ("one.png", Image.fromarray(grey).convert("1")),
        ("deep.png", Image.fromarray(grey.astype(np.uint16) * 257)),
        ("tif", Image.fromarray(grey)),
        ("rgb.tiff", Image.fromarray(colour)),
        ("bmp", Image.fromarray(colour)),
        ("jpg", Image.fromarray(colour)),
        ("cmyk.jpg", Image.fromarray(colour).convert("CMYK")),
        ("gif", Image.fromarray(grey)),
        ("webp", Image.fromarray(colour)),
    ):
        buffer = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix.rpartition(".")[2], suffix.rpartition(".")[2].upper())
        image.save(buffer, format=kind)
        made[suffix] = buffer.getvalue()
    return made


def mutations(sound: bytes, count: int, seed: int) -> list[bytes]:
    """Damaged copies: flipped, cut, doubled, overwritten, with large numbers put where sizes may stand."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            at = rng.randrange(len(data)) if data else 0
            how = rng.randrange(6)
            if how == 0 and data:
                data[at] ^= 1 << rng.randrange(8)
            elif how == 1 and data:
                data[at] = rng.randrange(256)
            elif how == 2:
                del data[at:]
            elif how == 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            elif how == 4:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\1\0\0"))
            else:
                data[at:at] = data[at : at + rng.randrange(1, 40)]
        made.append(bytes(data))
    return made


def survives(read: Callable[[], object]) -> None:
    """A result, or InputError of one line."""
    told = ""
    try:
        read()
    except InputError as error:
        told = str(error)
    assert "\n" not in told


def fuzz_files(folder: Path, name: str, contents: list[bytes], read: Callable[[Path], object]) -> None:
    """Read each content under one name; nothing else may appear in the folder."""
    path = folder / name
    before = sorted(folder.iterdir())
    for data in contents:
        path.write_bytes(data)
        try:
            survives(lambda: read(path))
        except BaseException:
            keep = Path("fuzz-failures")
            keep.mkdir(exist_ok=True)
            (keep / f"{hash(data) & 0xFFFFFFFF:08x}-{name}").write_bytes(data)
            raise
    path.unlink()
    assert sorted(folder.iterdir()) == before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [20, pytest.param(int(800 * SCALE), marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", pictures())
def test_pictures(tmp_path: Path, name: str, count: int) -> None:
    fuzz_files(tmp_path, f"x.{name}", mutations(pictures()[name], count, len(name)), read_picture)


def results_folder(root: Path) -> Key:
    table = ScoreTable(Key("d", "t", "m"))
    table.about = {"method": {"title": "M"}, "metric_versions": {"en": "1"}}
    table.pairs = {p: {"case": "1", "image": "0", "fused": "f", "scores": {"en": 1.5, "mi": 2.25}} for p in "abc"}
    write_table(root, table)
    return table.key


@pytest.mark.parametrize("count", [30, pytest.param(int(1500 * SCALE), marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", ["csv", "json", "journal"])
def test_results(tmp_path: Path, suffix: str, count: int) -> None:
    key = results_folder(tmp_path)
    path = key.csv(tmp_path).with_suffix(f".{suffix}")
    lines = [
        {"about": {"x": 1}, "forget": {"pairs": ["a"], "metrics": ["en"]}},
        {"pair": "b", "record": {"scores": {}}},
    ]
    sound = path.read_bytes() if path.exists() else "\n".join(map(json.dumps, lines)).encode()
    for data in mutations(sound, count, 3):
        path.write_bytes(data)
        survives(lambda: read_table(tmp_path, key))
        survives(lambda: find_tables(tmp_path))


@pytest.mark.slow
def test_metric_facts(tmp_path: Path) -> None:
    path = tmp_path / "scores" / "metrics.json"
    path.parent.mkdir()
    sound = json.dumps({"metrics": {"en": {"name": "en"}}, "profiles": {"p": {"metrics": ["en"]}}}).encode()
    for data in mutations(sound, int(1000 * SCALE), 4):
        path.write_bytes(data)
        survives(lambda: read_metric_facts(tmp_path))


TOML = b"""name = "x"
command = "cp {b} {out}"
folder = "."
mode = "batch"
batch = 3
timeout = 2.5
tasks = ["pet-mri"]
files = ["w"]
year = 2024

[environment]
A = "1"
"""


@pytest.mark.parametrize("count", [50, pytest.param(int(1500 * SCALE), marks=pytest.mark.slow)])
def test_method_files(tmp_path: Path, count: int) -> None:
    fuzz_files(tmp_path, "m.toml", mutations(TOML, count, 5), read_method)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
@PLENTY
def test_any_json_as_a_table(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    root = tmp_path_factory.mktemp("r")
    key = results_folder(root)
    for damaged in (
        content,
        {"about": content, "pairs": {}},
        {"about": {}, "pairs": content},
        {"about": {}, "pairs": {"a": content}},
    ):
        key.json(root).write_text(json.dumps(damaged))
        survives(lambda: read_table(root, key))
        key.journal(root).write_text("\n".join(json.dumps(x) for x in (damaged, {"pair": "a", "record": content})))
        survives(lambda: read_table(root, key))
        key.journal(root).unlink()


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(sorted(tomllib.loads(TOML.decode()))),
        st.text() | st.integers() | st.floats() | st.lists(st.text()),
    )
)
@PLENTY
def test_any_values_in_a_method_file(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]) -> None:
    tomli_w = pytest.importorskip("tomli_w")
    path = tmp_path_factory.mktemp("t") / "m.toml"
    path.write_text(tomli_w.dumps(values), encoding="utf-8", errors="surrogatepass")
    survives(lambda: read_method(path))


def volume_bytes() -> bytes:
    nibabel = pytest.importorskip("nibabel", reason="the extra fusionbench[volumes] is not installed")
    content: bytes = nibabel.Nifti1Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.eye(4)).to_bytes()
    return content


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [30, pytest.param(int(1500 * SCALE), marks=pytest.mark.slow)])
def test_volumes(tmp_path: Path, count: int) -> None:
    from fusionbench.volumes import read_volume

    sound = volume_bytes()
    fuzz_files(tmp_path, "v.nii", mutations(sound[:360], count, 6) + mutations(sound, count, 7), read_volume)


class Bomb:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pickle-was-run",)


def test_pickles_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loader of weights in the package, with a checkpoint that would leave a file if it were unpickled."""
    monkeypatch.chdir(tmp_path)
    torch.save({"state": Bomb()}, tmp_path / "evil.pt")
    from fusionbench.methods import METHODS, create_method

    tried = 0
    for name in METHODS.names():
        if "weights" in METHODS[name].settings:
            tried += 1
            with pytest.raises(InputError):
                create_method(f"{name}:weights={tmp_path / 'evil.pt'}")[2].prepare(torch.device("cpu"))
    assert tried
    assert not (tmp_path / "pickle-was-run").exists()


def test_no_loader_unpickles() -> None:
    """torch.load only with weights_only=True; no pickle, marshal, shelve, numpy pickles, eval or shell in the package.

    ``isolate`` unpickles, in the child, what its own parent has just written.
    """
    import ast

    import fusionbench

    root = Path(fusionbench.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            words = {k.arg: ast.unparse(k.value) for k in node.keywords}
            where = f"{path.relative_to(root)}:{node.lineno}"
            if called == "torch.load":
                assert words.get("weights_only") == "True", where
            assert words.get("allow_pickle") != "True", where
            assert words.get("shell") != "True", where
            assert called not in ("eval", "exec", "os.system", "marshal.loads", "shelve.open"), where
            if called in ("pickle.load", "pickle.loads"):
                assert path.name == "isolate.py", where
