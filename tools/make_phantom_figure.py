"""Make docs/phantom.png: generated pairs of the three tasks, MRI above the other modality.

::

    python tools/make_phantom_figure.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.datasets import create_task

TARGET = Path(__file__).resolve().parents[1] / "docs" / "phantom.png"
SHOWN = (2, 5, 8)  # of each task's test pairs


def main() -> None:
    columns = []
    for name in ("phantom/ct-mri", "phantom/pet-mri", "phantom/spect-mri"):
        task = create_task(name)
        for number in SHOWN:
            pair = task.load(f"test-{number:05d}")
            other = pair.color if pair.color is not None else pair.b[..., None].repeat(3, axis=2)
            columns.append(np.concatenate([pair.a[..., None].repeat(3, axis=2), other]))
    sheet = Image.fromarray(np.concatenate(columns, axis=1))
    sheet = sheet.resize((sheet.width * 5 // 8, sheet.height * 5 // 8), Image.Resampling.LANCZOS)
    sheet.save(TARGET, optimize=True)
    print(f"{TARGET}: {sheet.width} x {sheet.height}, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
