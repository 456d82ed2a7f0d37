"""Make fusionbench/datasets/data/icbm152_slices.npz, the brain that the phantom task deforms.

Needs nilearn and nibabel, which the package itself does not::

    python -m venv /tmp/atlas && /tmp/atlas/bin/pip install nilearn==0.14.1
    /tmp/atlas/bin/python tools/make_phantom_atlas.py

The volumes are the ICBM 152 2009a maps at 1 mm inside nilearn (see ICBM152-LICENSE.txt beside the result). Kept are axial
slices every 3 mm from above the orbits to below the vertex, cropped to the brain and 12 mm around it, turned so that the
nose points up and the patient's right is on the left, as radiologists look at them.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import nibabel
import nilearn.datasets
import numpy as np

MAPS = ("t1", "gm", "wm")
Z_MM = np.arange(-17, 71, 3)  # 30 slices, MNI z
MARGIN = 12
TARGET = Path(__file__).resolve().parents[1] / "fusionbench" / "datasets" / "data" / "icbm152_slices.npz"


def load_volume(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) uint8 volume in right-anterior-superior order, and its affine."""
    path = Path(nilearn.datasets.__file__).parent / "data" / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    image = nibabel.as_closest_canonical(nibabel.load(path))
    volume = np.asarray(image.dataobj)
    if volume.dtype != np.uint8 or not np.allclose(np.diag(image.affine)[:3], 1.0):
        raise ValueError(f"{path}: expected 8-bit values on a 1 mm grid")
    return volume, image.affine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    out: Path = parser.parse_args().out

    volumes = {}
    for name in MAPS:
        volume, affine = load_volume(name)
        rows = (Z_MM - affine[2, 3]).round().astype(int)
        # (X, Y, Z) -> (slice, row, column): anterior up, patient's right (+x) on the left.
        volumes[name] = volume[:, :, rows].transpose(2, 1, 0)[:, ::-1, ::-1]

    inside = (volumes["t1"] > 0).any(axis=0)
    r, c = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = (slice(None), slice(r[0] - MARGIN, r[-1] + MARGIN + 1), slice(c[0] - MARGIN, c[-1] + MARGIN + 1))
    arrays = {name: np.ascontiguousarray(volume[box]) for name, volume in volumes.items()}
    np.savez_compressed(out, z_mm=Z_MM.astype(np.int16), **arrays)
    print(f"{out}: {arrays['t1'].shape}, {out.stat().st_size:,} bytes, {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
