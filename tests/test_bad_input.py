"""Bad input through the command line: one line that names the file and the remedy, exit code 2, nothing written."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cli, Write, folder_options, make_folders, process, save, slices, tree
from tests.test_pairs import png

Spoil = Callable[[Path, Path], object]  # (mri folder, pet folder): makes the last pair bad


def _size(mri: Path, pet: Path) -> None:
    save(pet / "p2.png", slices(1, 48)[0])


def _truncated(mri: Path, pet: Path) -> None:
    content = (pet / "p2.png").read_bytes()
    (pet / "p2.png").write_bytes(content[: len(content) // 2])


def _16_bit_grey(mri: Path, pet: Path) -> None:
    save(mri / "p2.png", slices(1)[0].astype(np.uint16) * 257)


def _16_bit_rgb(mri: Path, pet: Path) -> None:
    png(pet / "p2.png", 64, 64, 16, 2, (b"\0" + bytes(6 * 64)) * 64)


def _transparent(mri: Path, pet: Path) -> None:
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[..., 3] = 128
    save(pet / "p2.png", rgba)


def _transparent_palette(mri: Path, pet: Path) -> None:
    Image.fromarray(slices(1)[0]).convert("P").save(pet / "p2.png", transparency=0)


def _cmyk(mri: Path, pet: Path) -> None:
    (pet / "p2.png").unlink()
    Image.fromarray(slices(1)[0]).convert("CMYK").save(pet / "p2.jpg")


def _empty_folder(mri: Path, pet: Path) -> None:
    shutil.rmtree(mri)
    mri.mkdir()


def _bomb(mri: Path, pet: Path) -> None:
    png(mri / "p2.png", 60_000, 60_000, 8, 0, bytes(100))


def _frames(mri: Path, pet: Path) -> None:
    (pet / "p2.png").unlink()
    Image.fromarray(slices(1)[0]).save(
        pet / "p2.gif", save_all=True, append_images=[Image.fromarray(slices(1, seed=3)[0])]
    )


SPOILT: dict[str, tuple[Spoil, list[str]]] = {
    "missing partner": (lambda mri, pet: (pet / "p2.png").unlink(), ["pet: no partner for p2", "add the missing images"]),
    "missing folder": (lambda mri, pet: shutil.rmtree(pet), ["pet: no such folder", "check"]),
    "two sizes": (_size, ["p2.png", "64 x 64 and 48 x 48", "resample"]),
    "not an image": (lambda mri, pet: (mri / "p2.png").write_text("x"), ["p2.png: not an image", "save it as"]),
    "empty file": (lambda mri, pet: (mri / "p2.png").write_bytes(b""), ["p2.png: not an image", "save it as"]),
    "truncated": (_truncated, ["p2.png: damaged or truncated", "replace the file"]),
    "16-bit grey": (_16_bit_grey, ["p2.png: ", "16-bit", "window it to 8 bits"]),
    "16-bit RGB": (_16_bit_rgb, ["p2.png: 16 bits a channel", "window it to 8 bits"]),
    "transparency": (_transparent, ["p2.png: has transparent pixels", "flatten it"]),
    "transparency in a palette": (_transparent_palette, ["p2.png: has transparent pixels", "flatten it"]),
    "CMYK": (_cmyk, ["p2.jpg: colour space CMYK", "convert it"]),
    "empty folder": (_empty_folder, ["mri: holds no image", "check the path"]),
    "decompression bomb": (_bomb, ["p2.png: ", "64,000,000 pixels", "crop or downsample"]),
    "several frames": (_frames, ["p2.gif: has 2 frames", "save the wanted one"]),
    "two of one stem": (lambda mri, pet: shutil.copy(mri / "p2.png", mri / "p2.bmp"), ["p2.png: same stem"]),
}  # fmt: skip


def refused(output: str, words: list[str]) -> None:
    """One line on stderr, beginning with Error, that holds the words; which pairs are taken may have been told before."""
    lines = [line for line in output.strip().splitlines() if not line.startswith("no Harvard pairs found: ")]
    assert len(lines) == 1, output
    assert lines[0].startswith("Error: ")
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize("case", SPOILT)
def test_run_refuses(cli: Cli, tmp_path: Path, folders: tuple[Path, Path], case: str) -> None:
    spoil, words = SPOILT[case]
    spoil(*folders)
    results = tmp_path / "results"
    result = cli("run", "-m", "average", *folder_options(folders), "--results", results, code=2)
    refused(result.stderr, words)
    assert result.stdout == ""
    assert not results.exists()


@pytest.mark.parametrize("case", ["missing partner", "two sizes", "truncated", "16-bit RGB", "empty folder"])
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "split"])
def test_run_refuses_in_the_harvard_layout(cli: Cli, tmp_path: Path, case: str, flat: bool) -> None:
    root = tmp_path / "harvard"
    mri, pet = make_folders(tmp_path / "made")
    home = root / "PET-MRI" if flat else root / "PET-MRI" / "test"
    home.mkdir(parents=True)
    spoil, words = SPOILT[case]
    spoil(mri, pet)
    mri, pet = mri.rename(home / "MRI"), pet.rename(home / "PET")
    results = tmp_path / "results"
    result = cli("run", "-m", "average", "-t", "pet-mri", "--data", root, "--results", results, code=2)
    refused(result.stderr, [word.replace("pet:", "PET:").replace("mri:", "MRI:") for word in words])
    assert not results.exists()


@pytest.mark.parametrize(
    "case", ["not an image", "truncated", "16-bit grey", "16-bit RGB", "transparency", "decompression bomb"]
)
def test_fuse_refuses(cli: Cli, tmp_path: Path, folders: tuple[Path, Path], case: str) -> None:
    spoil, words = SPOILT[case]
    spoil(*folders)
    output = tmp_path / "out" / "fused.png"
    result = cli("fuse", folders[0] / "p2.png", folders[1] / "p2.png", "-o", output, "-m", "average", code=2)
    refused(result.stderr, words)
    assert not output.parent.exists()


def test_fuse_refuses_two_sizes_missing_files_and_lossy_output(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    a, b, output = folders[0] / "p0.png", folders[1] / "p0.png", tmp_path / "out" / "fused.png"
    small = save(tmp_path / "small.png", slices(1, 32)[0])
    refused(
        cli("fuse", a, small, "-o", output, "-m", "average", code=2).stderr, [str(a), str(small), "32 x 32", "resample"]
    )
    refused(cli("fuse", a, tmp_path / "no.png", "-o", output, "-m", "average", code=2).stderr, ["no.png: no such file"])
    refused(
        cli("fuse", a, b, "-o", output.with_suffix(".jpg"), "-m", "average", code=2).stderr,
        ["fused.jpg", "name it *.png"],
    )
    refused(
        cli("fuse", a, b, "-o", output, "-m", "avrage", code=2).stderr,
        ["unknown method 'avrage'", "did you mean 'average'"],
    )
    refused(
        cli("fuse", a, b, "-o", output, "-m", "average", "--device", "gpu", code=2).stderr, ["unknown device 'gpu'"]
    )
    assert not output.parent.exists()


@pytest.mark.parametrize(
    "case", ["not an image", "truncated", "16-bit RGB", "transparency", "CMYK", "decompression bomb"]
)
def test_score_refuses_bad_fused_images(cli: Cli, tmp_path: Path, folders: tuple[Path, Path], case: str) -> None:
    theirs = make_folders(tmp_path / "theirs")
    spoil, words = SPOILT[case]
    spoil(*theirs)
    bad = theirs[0] if str(words[0]).startswith("p2") and case in ("not an image", "decompression bomb") else theirs[1]
    results = tmp_path / "results"
    result = cli("score", bad, "--name", "Net", *folder_options(folders), "--results", results, code=2)
    refused(result.stderr, [str(bad), *words])
    assert not results.exists()


def test_score_refuses_a_missing_image_another_size_and_names_that_climb(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    theirs, results = make_folders(tmp_path / "theirs")[0], tmp_path / "results"

    def score(*options: object, name: str = "Net") -> str:
        return cli(
            "score", theirs, "--name", name, *folder_options(folders), "--results", results, *options, code=2
        ).stderr

    for name in ("../Net", "..", "a/../b", "/tmp/x"):
        refused(score(name=name), [f"method name {name!r}", "use at most 80 letters"])
    refused(score(name="average"), ["'average' is a method of the suite", "give another name"])
    refused(score("--split", "../../x"), ["split"])
    (theirs / "p1.png").unlink()
    refused(score(), [str(theirs), "no image for 1 of 3 pairs (p1)", "name the files after"])
    save(theirs / "p1.png", slices(1, 60)[0])
    refused(score(), ["p1.png: is 60 x 60, its pair p1 is 64 x 64", "score images at the size"])
    assert not results.exists()
    assert not (tmp_path / "Net.csv").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return a * float('nan')", ["pair p0: fuse returned NaN or infinite values", "guard divisions"]),
        (
            "return a[..., 1:]",
            ["pair p0: fuse returned torch.float32 (1, 1, 64, 63)", "return torch.float32 (1, 1, 64, 64)"],
        ),
        ("return a * 300", ["pair p0: fuse returned values from", "clamp them"]),
    ],
)
def test_a_method_that_breaks_its_contract(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path], method_file: Write, body: str, words: list[str]
) -> None:
    name = f"bad-{sum(map(ord, body))}"
    path, results = method_file(name, body), tmp_path / "results"
    result = cli("run", "-m", path, *folder_options(folders), "--metric", "en", "--results", results, code=2)
    refused(result.stderr, [name, *words])
    assert not results.exists()
    output = tmp_path / "out.png"
    result = cli("fuse", folders[0] / "p0.png", folders[1] / "p0.png", "-o", output, "-m", path, code=2)
    refused(result.stderr, words[0].replace("p0", "p0+p0").split("\n"))
    assert not output.exists()


def test_fuse_with_a_method_that_raises(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path], method_file: Write
) -> None:
    path, output = method_file("bad-raises", "raise RuntimeError('out of\\nluck')"), tmp_path / "out.png"
    result = cli("fuse", folders[0] / "p0.png", folders[1] / "p0.png", "-o", output, "-m", path, code=1)
    refused(result.stderr, ["RuntimeError: out of luck"])
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "avrage", "-t", "pet-mri"], ["unknown method 'avrage'; did you mean 'average'"]),
        (["-m", "laplacian:level=3", "-t", "pet-mri"], ["no setting 'level'", "levels"]),
        (["-m", "laplacian:levels=0", "-t", "pet-mri"], ["levels"]),
        (["-m", "weighted:weight=2", "-t", "pet-mri"], ["weight=2"]),
        (["-m", "average", "-t", "pet-mir"], ["unknown task", "did you mean", "phantom/pet-mri"]),
        (["-m", "average", "-t", "pet-mri", "--dataset", "harvrd"], ["unknown dataset 'harvrd'", "known: "]),
        (["-m", "average", "-t", "pet-mri", "--dataset", "harvard"], ["no Harvard images", "--data"]),
        (["-m", "average", "-t", "pet-mri", "--data", ".", "--data", "."], ["--data was given twice", "--dataset folders"]),
        (["-m", "average", "-t", "pet-mri", "--data", "no/such"], ["no/such: no such folder", "check --data"]),
        (["-m", "average", "-t", "pet-mri", "--split", "val"], ["no split 'val'", "test, train"]),
        (["-m", "average", "-t", "pet-mri", "--split", "../x"], ["split '../x'"]),
        (["-m", "average", "-t", "pet-mri", "--metric", "ssmi"], ["'ssmi'", "did you mean 'ssim"]),
        (["-m", "average", "-t", "pet-mri", "--profile", "dmfnt"], ["unknown profile 'dmfnt'", "dmfnet"]),
        (["-m", "average", "-t", "pet-mri", "--device", "tpu"], ["unknown device 'tpu'", "auto, cpu or cuda"]),
        (["-m", "average", "-t", "pet-mri", "--mask", "no.png"], ["no.png: no such file"]),
        (["-m", "no/such.py", "-t", "pet-mri"], ["no/such.py: no such plugin file"]),
        (["-m", "average", "-t", "pet-mri", "--plugin", "no.such"], ["no.such: cannot be imported"]),
        (["-m", "average", "-t", "pet-mri", "--config", "no.toml"], ["no.toml: no such config file"]),
        (["-m", "average", "-t", "folders/pet-mri"], ["folders takes two folders", "--data twice"]),
    ],
)  # fmt: skip
def test_bad_usage_of_run(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(cli("run", *arguments, code=2).stderr, words)
    assert tree(tmp_path) == {}


def test_a_plugin_file_without_a_method(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "empty_plugin.py"
    path.write_text("x = 1\n", encoding="utf-8")
    refused(
        cli("run", "-m", path, "-t", "pet-mri", code=2).stderr,
        ["empty_plugin.py: registers no method", "METHODS.register"],
    )


def test_damaged_results_are_told_by_report(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    results = tmp_path / "results"
    refused(cli("report", "--results", results, code=2).stderr, [str(results), "holds no scores", "fusionbench run"])
    cli("run", "-m", "average", *folder_options(folders), "--metric", "en", "--limit", 1, "--results", results)
    path = results / "scores/folders-data/pet-mri/average.json"
    path.write_text("{", encoding="utf-8")
    refused(cli("report", "--results", results, code=2).stderr, [str(path), "damaged", "delete it"])


def _lose_roots_privilege() -> None:
    """Root may read everything; a process that has dropped these two capabilities may not (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    drop_from_bounding_set, override, read_search = 24, 1, 2
    for capability in (override, read_search):
        if libc.prctl(drop_from_bounding_set, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.slow
@pytest.mark.promise
@pytest.mark.skipif(sys.platform != "linux", reason="takes the privilege from root in Linux's way")
@pytest.mark.parametrize("what", ["folder", "file", "results"])
def test_without_permission(tmp_path: Path, what: str) -> None:
    folders = make_folders(tmp_path / "data")
    results = tmp_path / "results"
    if what == "results":
        results.mkdir(mode=0o555)
    bad = {"folder": folders[0], "file": folders[0] / "p2.png", "results": results}[what]
    bad.chmod(0o555 if what == "results" else 0)
    arguments = ["run", "-m", "average", *folder_options(folders), "--metric", "en", "--results", results]
    running = process(*arguments, preexec_fn=_lose_roots_privilege if os.geteuid() == 0 else None)
    _, errors = running.communicate(timeout=120)
    bad.chmod(0o755)
    assert running.returncode == 2, errors
    refused(errors, [str(bad), "ermission"])
    assert tree(results) == {}


@pytest.mark.slow
@pytest.mark.promise
def test_many_lines_never_reach_the_user_as_a_traceback(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    SPOILT["truncated"][0](*folders)
    running = process("run", "-m", "average", *folder_options(folders), "--results", tmp_path / "results")
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 2
    assert output == ""
    refused(errors, SPOILT["truncated"][1])
