"""Our baselines against images that the original authors' programs made (in ../shared, for checking only)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fusionbench.methods import create_method
from fusionbench.methods.baselines.guided import gff_blend, gff_weights
from fusionbench.pairs import to_uint8

pytestmark = pytest.mark.slow

UInt8 = NDArray[np.uint8]
BT601 = np.array([0.298936021293776, 0.587043074451121, 0.114020904255103])  # MATLAB's rgb2gray
SCENES = ("carWhite", "fight", "peopleshadow")


@pytest.fixture
def golden(shared: Path) -> Path:
    folder = shared / "golden" / "baselines"
    if not folder.is_dir():
        pytest.skip("needs ../shared/golden/baselines, which is not there")
    return folder


def read(path: Path) -> UInt8:
    with Image.open(path) as image:
        return np.asarray(image)


def fuse(spec: str, a: UInt8, b: UInt8) -> UInt8:
    """Fuse two (H, W) uint8 images; in float64, which MATLAB computes in, where the method allows it."""
    method = create_method(spec).method
    method.prepare(torch.device("cpu"))
    kind = torch.float32 if spec.startswith("ifcnn") else torch.float64
    x, y = (torch.from_numpy(image.copy())[None, None].to(kind) / 255 for image in (a, b))
    return to_uint8(method.fuse(x, y, torch.Generator().manual_seed(0))[0, 0].double().numpy())


def as_jpeg(pixels: UInt8) -> UInt8:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=75)
    with Image.open(buffer) as image:
        return np.asarray(image)


def worst(x: UInt8, y: UInt8) -> int:
    return int(np.abs(x.astype(int) - y.astype(int)).max())


def psnr(x: UInt8, y: UInt8) -> float:
    error = ((x.astype(float) - y.astype(float)) ** 2).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def published(golden: Path, scene: str, method: str) -> tuple[UInt8, UInt8, UInt8]:
    """(infrared, visible, published result), RGB."""
    ours, theirs = (golden / "vifb" / f"{scene}_{kind}.jpg" for kind in ("IR", method))
    if not theirs.is_file():
        pytest.skip(f"{method} of {scene} is not among the published images")
    return read(ours), read(golden / "vifb" / f"{scene}_VI.jpg"), read(theirs)


def test_laplacian_equals_the_original(golden):
    a, b, wanted = (read(golden / "lp" / name) for name in ("a01_1.tif", "a01_2.tif", "fused.tif"))
    assert worst(fuse("laplacian", a, b), wanted) == 0


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    ("spec", "name"), [("adf", "ADF"), ("fpde", "FPDE"), ("cbf", "CBF"), ("vsm-wls", "VSMWLS"), ("tif", "TIF")]
)
def test_equal_to_vifb(golden, spec, name, scene):
    """Identical after the JPEG step of the published images; one level is left to another Pillow."""
    infrared, visible, wanted = published(golden, scene, name)
    fused = np.stack([fuse(spec, infrared[..., c], visible[..., c]) for c in range(3)], axis=-1)
    assert worst(as_jpeg(fused), wanted) <= 1


@pytest.mark.parametrize("scene", SCENES)
def test_guided_filter_against_vifb(golden, scene):
    """The original weighs all channels by maps of the grey images, which had been saved as JPEG once more."""
    infrared, visible, wanted = published(golden, scene, "GFF")
    a, b = as_jpeg(visible), as_jpeg(infrared)
    grey_a, grey_b = (np.floor(image @ BT601 + 0.5) / 255 for image in (a, b))
    base, detail = gff_weights(grey_a, grey_b, 45, 0.3), gff_weights(grey_a, grey_b, 7, 1e-6)
    channels = [gff_blend(a[..., c] / 255, b[..., c] / 255, base, detail) for c in range(3)]
    assert psnr(as_jpeg(to_uint8(np.stack(channels, axis=-1))), wanted) >= 53


def test_nsst_papcnn_against_the_authors_result(golden):
    folder = golden / "nsst_papcnn"
    fused = fuse("nsst-papcnn", read(folder / "s01_CT.tif"), read(folder / "s01_MRT2.tif"))
    assert worst(fused, read(folder / "fused.tif")) <= 1


@pytest.mark.parametrize("index", range(1, 9))
def test_ifcnn_against_the_authors_results(golden, index):
    folder = golden / "ifcnn"
    fused = fuse(
        f"ifcnn-max:weights={folder / 'IFCNN-MAX.pth'}",
        read(folder / f"c0{index}_1.tif"),
        read(folder / f"c0{index}_2.tif"),
    )
    assert psnr(fused, read(folder / f"IFCNN-MAX-MD-c0{index}.png")) >= 85
