"""Hostile input: every reader gives a result or one line that says what is wrong. No other exception, hang, or stray file.

Run as a whole (``-m slow``) it tries more than 20,000 inputs; FUSIONBENCH_FUZZ scales the number. An input that fails is
kept in ``fuzz-failures``; move it to ``tests/fuzz``, where it is tried ever after. The readers are in ``tests/readers.py``.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.datasets import create_task
from fusionbench.errors import InputError
from fusionbench.methods.external import read_method
from fusionbench.scores import Key, Table, read_table, write_table
from tests.conftest import tree
from tests.readers import TOML, Reader, pictures, readers, survives

pytest.importorskip("nibabel", reason="the extra fusionbench-mmif[volumes] is not installed")
pytest.importorskip("pydicom", reason="the extra fusionbench-mmif[volumes] is not installed")

READERS = readers()
SEEDS = sorted((Path(__file__).parent / "fuzz").glob("*--*"))
SCALE = float(os.environ.get("FUSIONBENCH_FUZZ", "1"))
PLENTY = settings(
    max_examples=int(500 * SCALE) or 1, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
SECONDS, MEMORY = 20.0, 1 << 30  # one input may take that much, far above what any of them takes


def mutations(sound: list[bytes], count: int, seed: int) -> list[bytes]:
    """Damaged copies: flipped, cut, doubled, overwritten, with large numbers put where sizes may stand."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        data = bytearray(rng.choice(sound))
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


def attempt(name: str, data: bytes, folder: Path) -> None:
    """Read once, in a folder that is fresh, within SECONDS and MEMORY, and with nothing written beside it."""
    place = folder / "fresh"
    place.mkdir()
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        survives(READERS[name], data, place)
        assert time.monotonic() - start < SECONDS
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
        assert [p.name for p in folder.iterdir()] == ["fresh"]
    except BaseException:
        keep = Path("fuzz-failures")
        keep.mkdir(exist_ok=True)
        (keep / f"{name}--{hash(data) & 0xFFFFFFFF:08x}").write_bytes(data)
        raise
    finally:
        shutil.rmtree(place)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_sound_files_are_read(tmp_path: Path, name: str) -> None:
    """What the damage starts from is no damage: a reader reads its first file, unless it is there to be refused."""
    first = READERS[name].sound()[0]
    if name in ("picture.deep.png", "picture.cmyk.jpg", "weights.safetensors"):
        with pytest.raises(InputError):
            READERS[name].read(first, tmp_path)
    else:
        READERS[name].read(first, tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [8, pytest.param(int(800 * SCALE) or 1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_damaged_files(tmp_path: Path, name: str, count: int) -> None:
    for data in mutations(READERS[name].sound(), count, len(name)):
        attempt(name, data, tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_inputs_that_failed_once(tmp_path: Path, path: Path) -> None:
    attempt(path.name.partition("--")[0], path.read_bytes(), tmp_path)


def results_folder(root: Path) -> Key:
    table = Table(Key("d", "t", "m"))
    table.pairs = {p: {"case": "1", "image": "0", "fused": "f", "scores": {"en": 1.5}} for p in "abc"}
    write_table(root, table)
    return table.key


def one_line(read: Callable[[], object]) -> None:
    survives(Reader(list, lambda data, folder: read()), b"", Path())


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
        one_line(lambda: read_table(root, key))
        key.journal(root).write_text("\n".join(json.dumps(x) for x in (damaged, {"pair": "a", "record": content})))
        one_line(lambda: read_table(root, key))
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
    path = tmp_path_factory.mktemp("t") / "m.toml"
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    one_line(lambda: read_method(path))


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str) else str(value)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
TREES = st.dictionaries(NAMES, st.sampled_from(["folder", "png", "text", "empty", "link", "loop"]), max_size=6)


@pytest.mark.slow
@given(TREES, TREES, st.sampled_from(["", ".png", ".PNG", ".jpg"]))
@PLENTY
def test_any_names_in_the_folders_of_a_data_set(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, str], second: dict[str, str], suffix: str
) -> None:
    root = tmp_path_factory.mktemp("d")
    for place, names in ((root / "MRI", first), (root / "PET", second | first)):
        place.mkdir()
        for name, what in names.items():
            _make(place / (name + suffix), what)
    (root / "PET-MRI").symlink_to(root)
    before = tree(root)
    for dataset, data in (("folders", (root / "MRI", root / "PET")), ("harvard", (root,))):

        def read(dataset: str = dataset, data: tuple[Path, ...] = data) -> None:
            task = create_task(f"{dataset}/pet-mri", data=data)
            for pair in task.ids():
                task.load(pair)
                task.digest(pair)

        one_line(read)
    assert tree(root) == before


def _make(path: Path, what: str) -> None:
    if path.exists() or path.is_symlink() or len(os.fsencode(path.name)) > 200:
        return
    if what == "folder":
        path.mkdir()
    elif what in ("link", "loop"):
        path.symlink_to(path if what == "loop" else path.parent / "nowhere")
    else:
        path.write_bytes({"png": pictures()["png"], "text": b"no image", "empty": b""}[what])


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
        plugin = METHODS[name]
        if "weights" in plugin.settings and plugin.factory.__module__.startswith("fusionbench."):
            tried += 1
            with pytest.raises(InputError):
                create_method(f"{name}:weights={tmp_path / 'evil.pt'}").method.prepare(torch.device("cpu"))
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
