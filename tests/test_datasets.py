"""Pairs on disk: layouts, splits, bad input, verification, and the download against a local server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import stat
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fusionbench.cli.data import data_command
from fusionbench.datasets import TASKS, _places, checks, create_task, harvard, resolve_tasks
from fusionbench.datasets.download import download_harvard
from fusionbench.errors import InputError
from fusionbench.pairs import grey

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "harvard"
needs_harvard = pytest.mark.skipif(not SHARED.is_dir(), reason="the real Harvard pairs are not in ../shared/harvard")


def picture(seed: int, channels: int = 1, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """A small smooth image, different for every seed."""
    values = np.random.default_rng(seed).random((6, 6, 3))
    image = Image.fromarray((values * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return image if channels == 3 else image.convert("L")


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def make_harvard(root: Path, flat: bool = False) -> Path:
    """Three tasks in the published layout: two cases in both splits, a third in train only."""
    seed = 0
    for task, modality in (("CT-MRI", "CT"), ("PET-MRI", "PET"), ("SPECT-MRI", "SPECT")):
        for part, ids in (("train", ("2010", "16011", "7001")), ("test", ("2011", "16012"))):
            folder = root / task if flat else root / task / part
            for id in ids:
                seed += 2
                save(picture(seed), folder / "MRI" / f"{id}.png")
                save(picture(seed + 1, 1 if modality == "CT" else 3), folder / modality / f"{id}.png")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_harvard(tmp_path / "data")


@pytest.fixture(autouse=True)
def _nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSIONBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(_places, "user_folder", lambda: tmp_path / "user" / "harvard")


# ---------------------------------------------------------------- harvard


@pytest.mark.parametrize("flat", [False, True])
def test_harvard_reads_both_layouts(tmp_path, flat):
    root = make_harvard(tmp_path / "data", flat)
    task = create_task("harvard/pet-mri", data=[root])
    expected = ["16011", "16012", "2010", "2011", "7001"] if flat else ["16012", "2011"]
    assert task.ids() == expected
    pair = task.load("2011")
    folder = root / "PET-MRI" / ("" if flat else "test")
    np.testing.assert_array_equal(pair.a, np.asarray(Image.open(folder / "MRI" / "2011.png")))
    np.testing.assert_array_equal(pair.color, np.asarray(Image.open(folder / "PET" / "2011.png")))
    assert pair.color is not None
    np.testing.assert_array_equal(pair.b, grey(pair.color))
    assert pair.case == task.case("2011") == "2"
    ct = create_task("harvard/ct-mri", data=[root])
    assert ct.load(ct.ids()[0]).color is None


def test_flat_folder_gets_its_published_split_from_the_manifest(tmp_path):
    for id in ("16009", "16005", "99001"):  # published for test, published for train, unknown
        save(picture(1), tmp_path / "CT-MRI" / "MRI" / f"{id}.png")
        save(picture(2), tmp_path / "CT-MRI" / "CT" / f"{id}.png")
    names = {Path(name).stem: name.split("/")[1] for name in harvard.manifest() if name.startswith("CT-MRI/")}
    assert (names["16009"], names["16005"]) == ("test", "train")
    assert create_task("harvard/ct-mri", data=[tmp_path]).ids() == ["16009", "99001"]
    assert create_task("harvard/ct-mri", data=[tmp_path], split="train").ids() == ["16005"]


def test_by_case_splits_share_no_case_and_lose_no_pair(tree):
    parts = {split: create_task("harvard/ct-mri", data=[tree], split=split) for split in harvard.SPLITS}
    cases = {split: {task.case(id) for id in task.ids()} for split, task in parts.items()}
    assert cases["test"] & cases["train"] == {"2", "16"}
    assert cases["by-case-test"] == {"2"}
    assert cases["by-case-train"] == {"16", "7"}
    both = parts["by-case-test"].ids() + parts["by-case-train"].ids()
    assert sorted(both) == sorted(parts["test"].ids() + parts["train"].ids())


def test_harvard_is_found_by_argument_variable_and_user_folder(tree, tmp_path, monkeypatch):
    assert _places.find_root(()) is None
    assert resolve_tasks(["pet-mri"], "auto") == ["phantom/pet-mri"]
    with pytest.raises(InputError, match=r"data download harvard"):
        create_task("harvard/pet-mri")
    make_harvard(_places.user_folder())
    assert _places.find_root(()) == _places.user_folder()
    monkeypatch.setenv("FUSIONBENCH_DATA", str(tree))
    assert _places.find_root(()) == tree
    assert resolve_tasks(["pet-mri"], "auto") == ["harvard/pet-mri"]
    # What the user names counts alone: nothing else is looked at when it holds nothing.
    empty = tmp_path / "empty"
    empty.mkdir()
    assert _places.find_root([empty]) is None
    with pytest.raises(InputError, match=str(empty)):
        create_task("harvard/pet-mri", data=[empty])


def test_the_folder_of_an_unpacked_archive_is_found(tmp_path):
    make_harvard(tmp_path / "archive" / "MyDatasets")
    assert _places.find_root([tmp_path / "archive"]) == tmp_path / "archive" / "MyDatasets"


def test_digest_follows_the_bytes(tree):
    task = create_task("harvard/ct-mri", data=[tree])
    before = {id: task.digest(id) for id in task.ids()}
    assert len(set(before.values())) == 2
    save(picture(99), tree / "CT-MRI" / "test" / "CT" / "2011.png")
    assert task.digest("2011") != before["2011"]
    assert task.digest("16012") == before["16012"]


@pytest.mark.parametrize("id", ["../train/2010", "/etc/passwd", "2010", "", "2011.png"])
def test_names_outside_the_split_are_refused(tree, id):
    task = create_task("harvard/ct-mri", data=[tree])
    for call in (task.load, task.case, task.digest):
        with pytest.raises(InputError, match="holds no pair"):
            call(id)


def test_a_case_must_be_readable_for_by_case(tree):
    for folder in ("MRI", "CT"):
        save(picture(5), tree / "CT-MRI" / "test" / folder / "scan.png")
    assert "scan" in create_task("harvard/ct-mri", data=[tree]).ids()
    with pytest.raises(InputError, match=r"scan\.png: the name tells no case"):
        create_task("harvard/ct-mri", data=[tree], split="by-case-test").ids()


def test_a_pair_in_both_splits_is_refused_by_case(tree):
    for folder in ("MRI", "CT"):
        save(picture(5), tree / "CT-MRI" / "train" / folder / "2011.png")
    with pytest.raises(InputError, match="2011 is in both train and test"):
        create_task("harvard/ct-mri", data=[tree], split="by-case-train").ids()


def test_missing_task_split_and_wrong_split_are_told(tree):
    with pytest.raises(InputError, match="no split 'valid'"):
        create_task("harvard/ct-mri", data=[tree], split="valid")
    for path in sorted((tree / "PET-MRI").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(InputError, match=r"PET-MRI/MRI: no such folder"):
        create_task("harvard/pet-mri", data=[tree]).ids()


# ---------------------------------------------------------------- folders and bad input


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    a, b = tmp_path / "a", tmp_path / "b"
    for k in range(3):
        save(picture(k), a / f"p{k}.png")
        save(picture(10 + k, 3), b / f"p{k}.tif")
    return a, b


def test_folders_match_by_stem(two):
    task = create_task("folders/pet-mri", data=two)
    assert task.ids() == ["p0", "p1", "p2"]
    pair = task.load("p1")
    assert pair.color is not None
    assert pair.case == task.case("p1") == ""
    assert not pair.lossy
    save(picture(11, 3), two[1] / "p1.tif").rename(two[1] / "p1.bak")
    save(picture(11, 3), two[1] / "p1.jpg")
    assert create_task("folders/pet-mri", data=two).load("p1").lossy


def test_missing_and_extra_files_are_named(two):
    (two[1] / "p0.tif").unlink()
    save(picture(3), two[1] / "extra.png")
    with pytest.raises(InputError) as caught:
        create_task("folders/other", data=two).ids()
    message = str(caught.value)
    assert f"{two[1]}: no partner for p0 of {two[0]}" in message
    assert f"{two[0]}: no partner for extra of {two[1]}" in message
    assert "\n" not in message


def test_many_missing_files_are_counted(two):
    for k in range(10, 20):
        save(picture(k), two[0] / f"q{k}.png")
    with pytest.raises(InputError, match=r"q10, q11, q12, q13, q14 and 5 more"):
        create_task("folders/other", data=two).ids()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_folders_wants_two(two, count):
    with pytest.raises(InputError, match="give --data twice"):
        create_task("folders/other", data=[two[0]] * count)


def _bomb(path: Path) -> None:
    """A PNG of a few bytes that claims 30000 x 30000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def _truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


BAD = {
    "two sizes": (lambda p: picture(1, size=(20, 20)).save(p), "differ in size"),
    "not an image": (lambda p: p.write_bytes(b"plain text"), "not an image"),
    "truncated": (_truncate, "damaged or truncated"),
    "16 bits": (lambda p: Image.fromarray(np.arange(480, dtype=np.uint16).reshape(20, 24)).save(p), "16"),
    "transparent": (lambda p: Image.fromarray(np.zeros((20, 24, 4), np.uint8)).save(p), "transparent"),
    "bomb": (_bomb, "pixels"),
    "cmyk": (lambda p: Image.new("CMYK", (24, 20)).save(p, format="JPEG"), "CMYK"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named_with_a_remedy_and_reported_by_verify(two, kind):
    spoil, words = BAD[kind]
    spoil(two[0] / "p1.png")
    task = create_task("folders/other", data=two)
    with pytest.raises(InputError) as caught:
        task.load("p1")
    message = str(caught.value)
    assert "p1.png" in message
    assert words in message
    assert "; " in message  # what to do comes after the semicolon
    assert "\n" not in message
    assert task.load("p0").id == "p0"  # the others still work
    report = checks.verify("folders/other", two, splits=("test",))
    assert report.problems == [message]
    assert report.pairs == {"test": 2}
    assert not report.sound


def test_palette_and_opaque_alpha_are_read(two):
    image = picture(1, 3)
    save(image.convert("P", palette=Image.Palette.ADAPTIVE), two[1] / "p0.png")
    (two[1] / "p0.tif").unlink()
    opaque = image.copy()
    opaque.putalpha(255)
    save(opaque, two[1] / "p1.png")
    (two[1] / "p1.tif").unlink()
    task = create_task("folders/other", data=two)
    first = task.load("p0").color
    assert first is not None
    assert first.shape == (20, 24, 3)
    np.testing.assert_array_equal(task.load("p1").color, np.asarray(image))


def test_empty_and_missing_folders_are_named(two, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / ".hidden.png").write_bytes(b"")
    with pytest.raises(InputError, match=rf"{empty}: holds no image"):
        create_task("folders/other", data=[two[0], empty]).ids()
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        create_task("folders/other", data=[two[0], tmp_path / "nowhere"]).ids()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every folder, whatever its mode")
def test_unreadable_folder_is_named(two):
    two[1].chmod(0)
    try:
        with pytest.raises(InputError, match="no permission"):
            create_task("folders/other", data=two).ids()
    finally:
        two[1].chmod(0o755)


# ---------------------------------------------------------------- verification and listing


def test_own_folders_are_one_split_and_do_not_leak_into_themselves(two):
    report = checks.verify("folders/pet-mri", two)
    assert report.pairs == {"test": 3}
    assert report.sound
    assert not report.leaks


def test_list_data_counts_pairs_and_tells_what_is_missing(tree):
    rows = {row.task: row for row in checks.list_data([tree])}
    assert set(rows) == {name for name in TASKS.names() if not name.startswith("folders/")}
    assert rows["harvard/ct-mri"].pairs == {"train": 3, "test": 2}
    assert rows["harvard/ct-mri"].where == str(tree)
    assert rows["phantom/pet-mri"].pairs == {"train": 60, "test": 24}
    rows = {row.task: row for row in checks.list_data()}
    assert "data download harvard" in rows["harvard/ct-mri"].missing
    assert not rows["phantom/ct-mri"].missing
    json.dumps([row.as_dict() for row in rows.values()])


def test_verify_finds_shared_cases_and_foreign_files(tree):
    steps = []
    report = checks.verify("harvard/ct-mri", [tree], progress=lambda *step: steps.append(step))
    assert report.pairs == {"train": 3, "test": 2}
    assert report.sizes == {"24 x 20": 5}
    assert report.shared_cases == {"16": {"train": 1, "test": 1}, "2": {"train": 1, "test": 1}}
    assert report.leaks
    # Ids as in the published set, but other bytes; and most of the published files are not there.
    assert report.altered
    assert not report.sound
    assert len(report.altered) + len(report.absent) == 2 * 184
    assert steps[-1] == ("harvard/ct-mri test", 2, 2)
    clean = checks.verify("harvard/ct-mri", [tree], splits=("by-case-train", "by-case-test"))
    assert not clean.leaks
    assert not clean.shared_cases
    json.dumps(report.as_dict())


def test_verify_finds_duplicates_and_near_duplicates(tmp_path):
    """One test slice is a copy of a train slice, another a slightly noisy one, a third is its own."""
    rng = np.random.default_rng(0)
    for number, part in ((1001, "train"), (2001, "train"), (3001, "test"), (4001, "test"), (5001, "test")):
        for modality in ("MRI", "CT"):
            source = {3001: 1001, 4001: 2001}.get(number, number) + (modality == "CT")
            pixels = np.random.default_rng(source).integers(60, 190, (64, 64)).repeat(2, 0).repeat(2, 1)
            noise = rng.normal(0, 8, pixels.shape) if number == 4001 else 0
            image = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
            save(image, tmp_path / "CT-MRI" / part / modality / f"{number}.png")
    report = checks.verify("harvard/ct-mri", [tmp_path])
    assert sorted(map(sorted, report.duplicates)) == [
        ["test/3001 CT", "train/1001 CT"],
        ["test/3001 MRI", "train/1001 MRI"],
    ]
    assert {(near.test, near.train) for near in report.near} == {("3001", "1001"), ("4001", "2001")}
    assert report.leaked_pairs == 2
    assert not report.shared_cases
    assert report.leaks


def test_verify_reports_a_missing_partner_instead_of_raising(tree):
    (tree / "CT-MRI" / "train" / "CT" / "7001.png").unlink()
    report = checks.verify("harvard/ct-mri", [tree])
    assert any("no partner for 7001" in problem for problem in report.problems)
    assert report.pairs == {"train": 0, "test": 2}
    assert not report.sound


def test_constant_images_are_never_alike(tmp_path):
    for number, part in ((1001, "train"), (2001, "test")):
        for modality in ("MRI", "CT"):
            save(Image.new("L", (64, 64), number % 7), tmp_path / "CT-MRI" / part / modality / f"{number}.png")
    assert checks.verify("harvard/ct-mri", [tmp_path]).near == []


@needs_harvard
@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "pairs", "cases", "leaked"),
    [
        ("ct-mri", {"train": 160, "test": 24}, 10, 12),
        ("pet-mri", {"train": 245, "test": 24}, 3, 24),
        ("spect-mri", {"train": 333, "test": 24}, 15, 23),
    ],
)
def test_the_published_split_leaks_and_the_case_split_does_not(task, pairs, cases, leaked):
    published = checks.verify(f"harvard/{task}", [SHARED])
    assert published.sound
    assert published.absent == []
    assert published.pairs == pairs
    assert published.sizes == {"256 x 256": sum(pairs.values())}
    assert len(published.shared_cases) == cases  # every case is in both
    assert published.leaked_pairs == leaked
    assert published.duplicates == []
    divided = checks.verify(f"harvard/{task}", [SHARED], splits=("by-case-train", "by-case-test"))
    assert sum(divided.pairs.values()) == sum(pairs.values())
    assert 0.2 < divided.pairs["by-case-test"] / sum(pairs.values()) < 0.31
    assert not divided.leaks


def test_manifest_lists_every_published_pair():
    names = harvard.manifest()
    counts = {
        task: sum(name.startswith(task + "/") for name in names) // 2 for task in ("CT-MRI", "PET-MRI", "SPECT-MRI")
    }
    assert counts == {"CT-MRI": 184, "PET-MRI": 269, "SPECT-MRI": 357}
    assert all(len(digest) == 64 for digest in names.values())


# ---------------------------------------------------------------- download

TOP = "Havard-Medical-Image-Fusion-Datasets-984d169"


def make_archive(tree: Path, *extra: tuple[str | zipfile.ZipInfo, bytes]) -> tuple[bytes, dict[str, str]]:
    """A zip of the published layout (stored, so that its size is stable), and the manifest of its images."""
    buffer, sums = io.BytesIO(), {}
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{TOP}/README.md", b"hello")
        for path in sorted(tree.rglob("*.png")):
            name = path.relative_to(tree).as_posix()
            sums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            archive.writestr(f"{TOP}/MyDatasets/{name}", path.read_bytes())
        for entry, data in extra:
            archive.writestr(entry, data)
    return buffer.getvalue(), sums


class Server:
    """A local web server of one file. ``cut``: hangs up after so many bytes, once. ``ranges``: honours Range."""

    def __init__(self) -> None:
        self.body, self.cut, self.ranges, self.etag = b"", 0, True, '"one"'
        self.requests: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                outer.requests.append(asked)
                if self.path != "/archive.zip":
                    self.send_error(404)
                    return
                start = 0
                if asked and outer.ranges and self.headers.get("If-Range") == outer.etag:
                    start = int(asked.removeprefix("bytes=").removesuffix("-"))
                rest = outer.body[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.send_header("ETag", outer.etag)
                self.end_headers()
                if outer.cut:
                    rest, outer.cut = rest[: outer.cut], 0
                    self.close_connection = True
                self.wfile.write(rest)

            def log_message(self, *args: object) -> None:
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/archive.zip"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_download_unpacks_checks_and_can_be_used(tree, server, tmp_path):
    server.body, sums = make_archive(tree, (f"{TOP}/MyDatasets/notes.txt", b"not wanted"))
    target, seen = tmp_path / "got" / "harvard", []
    assert download_harvard(target, url=server.url, sums=sums, progress=lambda *step: seen.append(step)) == target
    assert seen[-1] == ("downloading (kB)", len(server.body) // 1024, len(server.body) // 1024)
    assert left_in(target.parent) == {"harvard"}  # the archive and the staging folder are gone
    assert {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()} == set(sums)
    assert create_task("harvard/pet-mri", data=[target]).ids() == ["16012", "2011"]
    download_harvard(target, url=server.url, sums=sums)
    assert len(server.requests) == 1  # complete: no second request


def test_download_goes_to_the_user_folder_and_is_found_there(tree, server, tmp_path, monkeypatch):
    monkeypatch.setattr("fusionbench.datasets.download.user_folder", _places.user_folder)
    server.body, sums = make_archive(tree)
    assert download_harvard(url=server.url, sums=sums) == _places.user_folder()
    assert resolve_tasks(["all"], "auto") == ["harvard/ct-mri", "harvard/pet-mri", "harvard/spect-mri"]


def test_the_command_downloads(tree, server, tmp_path, monkeypatch):
    server.body, sums = make_archive(tree)
    here = functools.partial(download_harvard, url=server.url, sums=sums)
    monkeypatch.setattr("fusionbench.cli.data.download_harvard", here)
    result = CliRunner().invoke(data_command, ["download", "harvard", "--to", str(tmp_path / "harvard")])
    assert result.exit_code == 0, result.output
    assert checks.compare_files(tmp_path / "harvard", sums) == ([], [])


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_is_continued(tree, server, tmp_path, ranges):
    server.body, sums = make_archive(tree, ("large.bin", bytes(200_000)))
    server.cut, server.ranges = 150_000, ranges
    target = tmp_path / "harvard"
    with pytest.raises(InputError, match="run the same command again"):
        download_harvard(target, url=server.url, sums=sums)
    assert not target.exists()
    download_harvard(target, url=server.url, sums=sums)
    assert server.requests == [None, "bytes=131072-"]  # two whole blocks of 64 kB were kept
    assert checks.compare_files(target, sums) == ([], [])


def test_halves_of_two_archives_are_not_joined(tree, server, tmp_path):
    server.body, sums = make_archive(tree, ("large.bin", bytes(200_000)))
    server.cut = 150_000
    with pytest.raises(InputError):
        download_harvard(tmp_path / "harvard", url=server.url, sums=sums)
    server.body, server.etag = make_archive(tree, ("large.bin", b"x" * 210_000))[0], '"two"'
    download_harvard(tmp_path / "harvard", url=server.url, sums=sums)
    assert server.requests == [None, "bytes=131072-"]
    assert checks.compare_files(tmp_path / "harvard", sums) == ([], [])


def test_only_what_is_missing_or_damaged_is_replaced(tree, server, tmp_path):
    server.body, sums = make_archive(tree)
    target = download_harvard(tmp_path / "harvard", url=server.url, sums=sums)
    damaged, gone, own = target / "CT-MRI/test/CT/2011.png", target / "PET-MRI/train/PET/2010.png", target / "own.txt"
    damaged.write_bytes(b"damage")
    gone.unlink()
    own.write_text("mine")
    download_harvard(target, url=server.url, sums=sums)
    assert checks.compare_files(target, sums) == ([], [])
    assert own.read_text() == "mine"


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    [
        f"{TOP}/MyDatasets/../../../escaped.txt",
        "/escaped.txt",
        "..\\escaped.txt",
        "C:\\escaped.txt",
        link(f"{TOP}/MyDatasets/CT-MRI/link"),
    ],
)
def test_archives_that_lead_out_of_the_folder_are_refused_whole(tree, server, tmp_path, name):
    server.body, sums = make_archive(tree, (name, b"/etc/passwd"))
    target = tmp_path / "inner" / "harvard"
    with pytest.raises(InputError, match="leads out of the folder"):
        download_harvard(target, url=server.url, sums=sums)
    assert not target.exists()
    assert not list(tmp_path.rglob("escaped*"))
    assert not list(tmp_path.joinpath("inner").rglob("*.png"))


def test_altered_missing_and_broken_archives_are_refused(tree, server, tmp_path):
    body, sums = make_archive(tree)
    target = tmp_path / "harvard"
    first = next(iter(sums))
    server.body = body
    with pytest.raises(InputError, match=r"SHA-256 differs"):
        download_harvard(target, url=server.url, sums=sums | {first: "0" * 64})
    with pytest.raises(InputError, match=r"lacks 1 images, first CT-MRI/test/MRI/9\.png"):
        download_harvard(target, url=server.url, sums=sums | {"CT-MRI/test/MRI/9.png": "0" * 64})
    server.body = b"this is no archive"
    with pytest.raises(InputError, match="not a sound zip archive"):
        download_harvard(target, url=server.url, sums=sums)
    server.body = body.replace(b"IDAT", b"IDAX", 1)  # the zip's own check sum fails
    with pytest.raises(InputError, match="not a sound zip archive"):
        download_harvard(target, url=server.url, sums=sums)
    assert not target.exists()
    server.body = body  # and none of it stands in the way of the right one
    download_harvard(target, url=server.url, sums=sums)
    assert checks.compare_files(target, sums) == ([], [])


def test_no_server_and_no_such_page_are_told(tree, server, tmp_path):
    _, sums = make_archive(tree)
    with pytest.raises(InputError, match="404"):
        download_harvard(tmp_path / "harvard", url=server.url + "x", sums=sums)
    with pytest.raises(InputError, match="download failed"):
        download_harvard(tmp_path / "harvard", url="http://127.0.0.1:9/archive.zip", sums=sums)


def test_a_target_that_cannot_be_made_is_told(tree, server, tmp_path):
    server.body, sums = make_archive(tree)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="file"):
        download_harvard(tmp_path / "file" / "harvard", url=server.url, sums=sums)
