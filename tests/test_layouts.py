"""Collections of volumes: whose file is whose, digests, downloads from a server of the same layout, and NIfTI out."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusionbench.bench.volumes import read_volume, write_volume
from fusionbench.cli import main
from fusionbench.datasets.collections import COLLECTIONS, download_collection
from fusionbench.datasets.layouts import read_layout
from fusionbench.errors import InputError

pytest.importorskip("nibabel", reason="the extra fusionbench-mmif[volumes] is not installed")

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])
NAMES = {
    "bids": {
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz": ("01", "a", "T1"),
        "sub-01/ses-a/pet/sub-01_ses-a_trc-FDG_pet.nii.gz": ("01", "a", "PET"),
        "sub-02/anat/sub-02_FLAIR.nii": ("02", "", "FLAIR"),
        "derivatives/norm/sub-02/anat/sub-02_space-MNI_T1w.nii.gz": ("02", "space-MNI", "T1"),
    },
    "brats": {
        "BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz": ("BraTS20_Training_001", "", "T1CE"),
        "BraTS20_Training_001/BraTS20_Training_001_flair.nii.gz": ("BraTS20_Training_001", "", "FLAIR"),
        "BraTS-GLI-00005-101/BraTS-GLI-00005-101-t2f.nii.gz": ("BraTS-GLI-00005", "101", "FLAIR"),
    },
    "synthrad": {
        "Task1/brain/1BA001/mr.nii.gz": ("1BA001", "", "MRI"),
        "Task1/brain/1BA001/ct.nii.gz": ("1BA001", "", "CT"),
        "Task1/brain/1BA001/mask.nii.gz": ("1BA001", "", "mask"),
    },
    "rire": {
        "training_001/ct/header.ascii": ("training_001", "", "CT"),
        "training_001/mr_T1/training_001_mr_T1.mhd": ("training_001", "", "T1"),
        "training_001/mr_T1_rectified/header.ascii": ("training_001", "", "T1_rectified"),
    },
    "brainweb": {"subject_04.bin.gz": ("04", "", "classes")},
}


@pytest.mark.parametrize("layout", NAMES)
def test_files_find_their_subject(tmp_path: Path, layout: str) -> None:
    others = [
        "README",
        "dataset_description.json",
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.json",
        "overview/1BA001_train.png",
    ]
    for name in [*NAMES[layout], *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found, volumes = read_layout(tmp_path)
    assert found.name == layout
    assert {(s, t, m) for (s, t), of in volumes.items() for m in of} == set(NAMES[layout].values())


def bids(root: Path, subjects: int = 2) -> Path:
    rng = np.random.default_rng(0)
    for n in range(1, subjects + 1):
        for kind, suffix in (("anat", "T1w"), ("pet", "pet")):
            data = rng.random((16, 16, 8), dtype=np.float32)
            write_volume(root / f"sub-{n:02d}" / kind / f"sub-{n:02d}_{suffix}.nii.gz", data, AFFINE)
    return root


def test_manifest_and_side_by_side(tmp_path: Path) -> None:
    root = bids(tmp_path / "set")
    done = CliRunner().invoke(main, ["data", "volumes", str(root), "--json", "--manifest", str(tmp_path / "m.csv")])
    assert done.exit_code == 0, done.output
    assert [one["subject"] for one in json.loads(done.output)["subjects"]] == ["01", "02"]
    check = ["data", "volumes", str(root), "--check", str(tmp_path / "m.csv")]
    assert CliRunner().invoke(main, check).exit_code == 0
    (root / "sub-01" / "pet" / "sub-01_pet.nii.gz").write_bytes(b"other")
    (root / "sub-02" / "pet" / "sub-02_pet.nii.gz").unlink()
    done = CliRunner().invoke(main, check)
    assert done.exit_code == 1
    assert done.output == "absent: sub-02/pet/sub-02_pet.nii.gz\naltered: sub-01/pet/sub-01_pet.nii.gz\n"
    done = CliRunner().invoke(main, ["data", "volumes", str(root), "--pair", "T1,PET", "--to", str(tmp_path / "pairs")])
    assert done.exit_code == 0, done.output
    assert sorted(p.relative_to(tmp_path / "pairs").as_posix() for p in (tmp_path / "pairs").rglob("*.gz")) == [
        "PET/01.nii.gz",
        "T1/01.nii.gz",
    ]
    np.testing.assert_array_equal(
        read_volume(tmp_path / "pairs" / "T1" / "01.nii.gz").data,
        read_volume(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz").data,
    )


def test_bad_wishes_are_one_line(tmp_path: Path) -> None:
    root = bids(tmp_path / "set", 1)
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty").mkdir()
    for words in (
        [str(tmp_path / "absent")],
        [str(tmp_path / "empty")],
        [str(root), "--layout", "brats"],
        [str(root), "--check", str(tmp_path / "no.csv")],
        [str(root), "--pair", "T1,CT", "--to", str(tmp_path / "out")],
        [str(root), "--pair", "T1", "--to", str(tmp_path / "out")],
        [str(root), "--pair", "T1,PET"],
        [str(root), "--pair", "T1,PET", "--to", str(root)],
    ):
        result = CliRunner().invoke(main, ["data", "volumes", *words])
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
    assert not (tmp_path / "out").exists()
    (root / "sub-01" / "anat" / "sub-01_T1w.nii").write_bytes(b"")
    with pytest.raises(InputError, match="two volumes of T1"):
        read_layout(root)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def rire_archives(folder: Path, escape: bool = False) -> None:
    """ct.tar.gz and its like: each a folder with header.ascii and image.bin, the transforms as text."""
    folder.mkdir()
    for archive in COLLECTIONS["rire"].archives:
        name = archive.removesuffix(".tar.gz")
        header = "Slice thickness := 3.0\nRows := 4\nColumns := 5\nSlices := 6\nPixel size := 1.25 : 1.25\n"
        files = {f"{name}/header.ascii": header.encode(), f"{name}/image.bin": bytes(range(240))}
        if name == "transformations":
            files = {"transformations/ct_T1.standard": b"x"}
        if escape and name == "pet":
            files["../../evil"] = b"x"
        with tarfile.open(folder / archive, "w:gz") as tar:
            for path, content in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def test_rire_is_fetched_and_written_as_nifti(tmp_path: Path) -> None:
    rire_archives(tmp_path / "www")
    with served(tmp_path / "www") as base:
        words = ["data", "download", "rire", "--to", str(tmp_path / "rire"), "--url", base]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        again = CliRunner().invoke(main, words)
        assert (again.exit_code, len(again.output.splitlines())) == (2, 1), again.output
    assert "CC BY 3.0" in result.output
    assert (tmp_path / "rire" / "training_001" / "transformations" / "ct_T1.standard").exists()
    assert len((tmp_path / "rire" / "manifest.csv").read_text().splitlines()) == 9
    words = ["data", "volumes", str(tmp_path / "rire")]
    assert CliRunner().invoke(main, [*words, "--check", str(tmp_path / "rire" / "manifest.csv")]).exit_code == 0
    result = CliRunner().invoke(main, [*words, "--pair", "T1,CT", "--to", str(tmp_path / "pairs")])
    assert result.exit_code == 0, result.output
    assert read_volume(tmp_path / "pairs" / "CT" / "training_001.nii.gz").data.shape == (5, 4, 6)
    assert not list(tmp_path.glob(".*"))


def test_synthrad_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    with zipfile.ZipFile(tmp_path / "www" / "Task1.zip", "w") as zipped:
        for name in NAMES["synthrad"]:
            zipped.writestr(name, b"volume")
    with served(tmp_path / "www") as base:
        place = download_collection("synthrad", tmp_path / "out", base=base)
    found, volumes = read_layout(place)
    assert "not the Whole Brain Atlas of Harvard" in found.title
    assert list(volumes) == [("1BA001", "")]


def test_archives_that_lie_are_refused(tmp_path: Path) -> None:
    rire_archives(tmp_path / "www", escape=True)
    with served(tmp_path / "www") as base:
        with pytest.raises(InputError, match="leads out"):
            download_collection("rire", tmp_path / "rire", base=base)
        (tmp_path / "www" / "pet.tar.gz").write_bytes(b"torn")
        with pytest.raises(InputError, match="not a sound archive"):
            download_collection("rire", tmp_path / "rire", base=base)
        with pytest.raises(InputError, match="check the address"):
            download_collection("synthrad", tmp_path / "synthrad", base=base)
    assert not (tmp_path / "rire").exists()
    assert not (tmp_path / "evil").exists()
    for name in ("cermep", "brats", "bids"):
        result = CliRunner().invoke(main, ["data", "download", name, "--to", str(tmp_path / name)])
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
