"""Make docs/phantom.png: generated pairs of the three tasks, MRI above the other modality; or a method's contact sheet.

::

    python tools/make_phantom_figure.py
    python tools/make_phantom_figure.py --method dmfnet     # docs/dmfnet-phantom.png: what it makes of six pairs
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionbench.bench import run
from fusionbench.datasets import create_task
from fusionbench.pairs import Pair

DOCS = Path(__file__).resolve().parents[1] / "docs"
TASKS = ("phantom/ct-mri", "phantom/pet-mri", "phantom/spect-mri")
SHOWN = (2, 5, 8)  # of each task's test pairs


def rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return grey[..., None].repeat(3, axis=2)


def other(pair: Pair) -> NDArray[np.uint8]:
    return pair.color if pair.color is not None else rgb(pair.b)


def pairs() -> None:
    """The three tasks side by side."""
    columns = []
    for name in TASKS:
        task = create_task(name)
        for number in SHOWN:
            pair = task.load(f"test-{number:05d}")
            columns.append(np.concatenate([rgb(pair.a), other(pair)]))
    sheet = Image.fromarray(np.concatenate(columns, axis=1))
    sheet = sheet.resize((sheet.width * 5 // 8, sheet.height * 5 // 8), Image.Resampling.LANCZOS)
    sheet.save(DOCS / "phantom.png", optimize=True)


def contact_sheet(method: str) -> None:
    """A row a task, two pairs each: MRI, the other modality, fused."""
    figure, axes = plt.subplots(3, 6, figsize=(9, 4.65), dpi=100, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    with tempfile.TemporaryDirectory() as folder:
        run([method], TASKS, Path(folder), metrics=["en"], limit=2)
        for row, name in zip(axes, TASKS, strict=True):
            task = create_task(name)
            for number, place in enumerate(task.ids()[:2]):
                pair = task.load(place)
                fused = Path(folder, "fused", name, method)
                path = fused / "rgb" / f"{place}.png" if pair.color is not None else fused / f"{place}.png"
                shown = (pair.a, other(pair), np.asarray(Image.open(path)))
                for axis, picture in zip(row[3 * number : 3 * number + 3], shown, strict=True):
                    axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
                    axis.set_axis_off()
    for axis, title in zip(axes[0], ("MRI", "CT, PET, SPECT", "fused") * 2, strict=True):
        axis.set_title(title, fontsize=8)
    figure.savefig(DOCS / f"{method}-phantom.png", bbox_inches="tight", pad_inches=0.03)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", help="a contact sheet of this method")
    method = parser.parse_args().method
    if method:
        contact_sheet(method)
    else:
        pairs()


if __name__ == "__main__":
    main()
