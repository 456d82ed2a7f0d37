"""Make fusionbench/datasets/data/harvard-sha256.json from a folder that holds CT-MRI, PET-MRI and SPECT-MRI.

The paths are those inside ``MyDatasets`` of github.com/xianming-gu/Havard-Medical-Image-Fusion-Datasets::

    python tools/make_harvard_manifest.py Havard-Medical-Image-Fusion-Datasets/MyDatasets
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "fusionbench" / "datasets" / "data" / "harvard-sha256.json"


def main(root: Path) -> None:
    files = sorted(path for task in ("CT-MRI", "PET-MRI", "SPECT-MRI") for path in (root / task).rglob("*.png"))
    sums = {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    TARGET.write_text(json.dumps(sums, indent=0) + "\n", encoding="ascii")
    print(f"{TARGET}: {len(sums)} images")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
