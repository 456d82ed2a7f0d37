"""Weights that authors published: fetched from a local server of the same layout, since not every machine reaches theirs."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.errors import InputError
from fusionbench.methods import create_method
from fusionbench.methods._authors import Published, fetch_authors, lookup, published
from fusionbench.methods._sr3 import SCHEDULE_BUFFERS
from fusionbench.methods.baselines.ifcnn import SHAPES
from fusionbench.methods.dmfnet.spec import SPEC as DMFNET
from fusionbench.methods.lkcfunet.spec import SPEC as LKCFUNET
from tests.conftest import doc_commands

REAL = "FUSIONBENCH_TEST_REAL_DOWNLOADS"


class Server:
    """Serves ``files`` by path, with entity tags and Range; ``cut``: hangs up after so many bytes, once."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = 0
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                outer.asked.append((self.path, wanted))
                if self.path not in outer.files:
                    self.send_error(404)
                    return
                body = outer.files[self.path]
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body) - start))
                self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
                self.end_headers()
                rest = body[start:]
                if outer.cut:
                    rest, outer.cut = rest[: outer.cut], 0
                    self.close_connection = True
                self.wfile.write(rest)

            def log_message(self, *args: object) -> None:
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.httpd.server_port}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True).start()

    def publish(self, entry: Published, *contents: bytes) -> Published:
        """Serve these files under the addresses of an entry; returns the entry with their digests in place of the real."""
        pinned = []
        for file, body in zip(entry.files, contents, strict=True):
            self.files[entry.url(file, "")] = body
            blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest() if file.blob else ""
            sha256 = hashlib.sha256(body).hexdigest() if file.sha256 else ""
            size = len(body) if file.size else None
            pinned.append(dataclasses.replace(file, blob=blob, sha256=sha256, size=size))
        return dataclasses.replace(entry, files=tuple(pinned))


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.httpd.shutdown()
    running.httpd.server_close()


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONBENCH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def pth(tensors: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def ifcnn_file(seed: int = 0) -> bytes:
    torch.manual_seed(seed)
    counted = {f"{layer}.bn.num_batches_tracked": torch.tensor(1) for layer in ("conv2", "conv3")}
    return pth({name: torch.rand(shape) / 50 for name, shape in SHAPES.items()} | counted)


def fused_by(spec: str) -> torch.Tensor:
    method = create_method(spec).method
    method.prepare(torch.device("cpu"))
    a, b = torch.from_numpy(np.random.default_rng(0).random((2, 1, 1, 64, 64), np.float32))
    return method.fuse(a, b, torch.Generator().manual_seed(0))


def test_the_commands_of_the_docs(server, cli, monkeypatch, tmp_path):
    entry = server.publish(lookup("ifcnn"), ifcnn_file())
    monkeypatch.setattr("fusionbench.cli.train.lookup", lambda name: entry)
    monkeypatch.chdir(tmp_path)
    shown = doc_commands("weights.md")
    assert len(shown) == 3
    for arguments in shown:
        fetching = arguments[:2] == ["weights", "fetch"]
        refused = fetching and "--accept-terms" not in arguments
        cli(*arguments, *(["--mirror", server.base] if fetching else []), code=2 if refused else 0)
    assert "ifcnn-max@weights=authors" in {path.stem for path in tmp_path.rglob("*.csv")}


def test_ifcnn_is_fetched_checked_and_run(server, weights, cli, monkeypatch):
    entry = server.publish(lookup("ifcnn"), ifcnn_file())
    assert lookup("IFCNN-max") == lookup("ifcnn")
    with pytest.raises(InputError, match="weights fetch ifcnn"):
        fused_by("ifcnn-max:weights=authors")
    monkeypatch.setattr("fusionbench.cli.train.lookup", lambda name: entry)
    refused = cli("weights", "fetch", "ifcnn", "--mirror", server.base, code=2)
    assert "uzeful/IFCNN" in refused.stderr
    assert "no licence file" in refused.stderr
    assert "--accept-terms" in refused.stderr
    assert not weights.exists()
    assert not server.asked
    done = cli("weights", "fetch", "ifcnn", "--mirror", server.base, "--accept-terms")
    assert "-m ifcnn-max:weights=authors" in done.stdout
    assert [path.name for path in weights.iterdir()] == ["ifcnn-max-authors.pth"]
    assert fused_by("ifcnn-max:weights=authors").std() > 0
    created = create_method("ifcnn-max:weights=authors")
    assert created.label == "ifcnn-max@weights=authors"
    assert created.weights == entry.files[0].sha256
    cli("weights", "fetch", "ifcnn", "--mirror", server.base, "--accept-terms")
    assert len(server.asked) == 1  # it was here already


def test_a_cut_download_is_continued(server, weights):
    body = ifcnn_file()
    entry = server.publish(lookup("ifcnn"), body)
    server.cut = 200_000
    with pytest.raises(InputError, match="run the same command again"):
        fetch_authors(entry, base=server.base)
    seen: list[tuple[str, int, int]] = []
    fetch_authors(entry, base=server.base, notify=lambda *step: seen.append(step))
    assert server.asked[1][1] == "bytes=196608-"  # three whole blocks of 64 kB were kept
    assert seen[-1] == ("Code/snapshots/IFCNN-MAX.pth: downloading (kB)", len(body) // 1024, len(body) // 1024)
    assert (weights / "ifcnn-max-authors.pth").read_bytes() == body


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (ifcnn_file(1), "SHA-256 .* expected"),
        (b"short", "size 5, expected"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a Git LFS pointer came"),
    ],
)
def test_another_file_than_the_published_one_is_refused(server, weights, served, told):
    entry = server.publish(lookup("ifcnn"), ifcnn_file())
    server.files[entry.url(entry.files[0], "")] = served
    with pytest.raises(InputError, match=told):
        fetch_authors(entry, base=server.base)
    assert not list(weights.iterdir())  # the wrong bytes do not stand in the way of the right ones


def test_the_git_blob_id_alone_tells_a_changed_file(server, weights):
    entry = server.publish(lookup("dmfnet"), b"one", b"two")
    server.files[entry.url(entry.files[1], "")] = b"owt"
    with pytest.raises(InputError, match=r"pth/MIF\.pth: is not the published file \(git blob id"):
        fetch_authors(entry, base=server.base)


def test_foreign_tensors_and_code_are_refused(server, weights):
    for body in (pth({"conv1.weight": torch.zeros(3)}), pth({"x": fetch_authors})):  # type: ignore[dict-item]
        entry = server.publish(lookup("ifcnn"), body)
        with pytest.raises(InputError, match=r"is not in it|not a file of PyTorch weights"):
            fetch_authors(entry, base=server.base, force=True)
    assert not (weights / "ifcnn-max-authors.pth").exists()


def test_offline_gone_and_full_are_told(server, weights):
    entry = server.publish(lookup("ifcnn"), ifcnn_file())
    with pytest.raises(InputError, match=r"download failed.*run the same command again"):
        fetch_authors(entry, base="http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"404.*check the address"):
        fetch_authors(entry, base=server.base + "/nowhere")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as a disk that is full
    try:
        with pytest.raises(InputError, match="make room there, or name another folder"):
            fetch_authors(entry, base=server.base)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fetch_authors(entry, base=server.base).is_file()  # and with room again it goes on


def test_every_entry_pins_its_files():
    assert list(published()) == ["dmfnet", "lkcfunet", "frufn", "efrufn", "ifcnn"]
    for entry in published().values():
        assert len(entry.commit) == 40
        assert entry.terms
        for file in entry.files:
            assert len(file.blob) == 40 or len(file.sha256) == 64
    with pytest.raises(InputError, match="no published weights of 'laplacian' are known; there are those of: dmfnet"):
        lookup("laplacian")
    unread = dataclasses.replace(lookup("frufn"), method="a-method-of-tomorrow")
    with pytest.raises(InputError, match="FRUFN: this version has no network that reads"):
        fetch_authors(unread)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dmfnet", "lkcfunet"])
def test_networks_of_the_published_width(server, name):
    """Files of the published keys and shapes, filled at random: 95 and 165 MB."""
    if name == "dmfnet":
        model = DMFNET.build(DMFNET.preset("paper"))
        unet = {f"denoise_fn.{key}": value for key, value in model.unet.state_dict().items()}
        contents = [pth(unet | {key: torch.zeros(2001) for key in SCHEDULE_BUFFERS}), pth(model.head.state_dict())]
    else:
        network = LKCFUNET.build(LKCFUNET.preset("paper"))
        contents = [pth({f"model.{key}": value for key, value in network.state_dict().items()})]
    entry = server.publish(lookup(name), *contents)
    file = fetch_authors(entry, base=server.base)
    created = create_method(f"{name}:weights=authors")
    assert created.label == f"{name}@weights=authors"
    assert created.facts.origin == "authors' weights"
    assert created.facts.trained_on == ("harvard",)
    assert "compact" not in created.facts.title
    assert create_method(name).facts.origin == "trained here"
    fused = fused_by(f"{name}:weights=authors")
    assert fused.shape == (1, 1, 64, 64)
    assert torch.isfinite(fused).all()
    card = created.method.spec().load(file)[1]  # type: ignore[attr-defined]
    assert list(card["files"]) == [pinned.path for pinned in entry.files]
    assert card["files"][entry.files[-1].path] == hashlib.sha256(contents[-1]).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(published()))
def test_the_real_files(name):
    """Set FUSIONBENCH_TEST_REAL_DOWNLOADS=1 on a machine that reaches github.com."""
    if not os.environ.get(REAL):
        pytest.skip(f"downloads from github.com; set {REAL}=1 to try")
    entry = lookup(name)
    try:
        fetch_authors(entry)
    except InputError as error:
        if "this version has no network" in str(error):
            pytest.skip(str(error))
        raise
    assert torch.isfinite(fused_by(f"{entry.method}:weights=authors")).all()
