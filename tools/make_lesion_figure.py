"""Make docs/lesion.png, the four states of one subject in each task of ``lesion``: python tools/make_lesion_figure.py."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from fusionbench.datasets import create_task
from fusionbench.datasets.lesion import STATES
from fusionbench.report.figures import style
from fusionbench.report.plots import OKABE_ITO

DOCS = Path(__file__).resolve().parents[1] / "docs"
SUBJECTS = {"ct-mri": "test-00006", "pet-mri": "test-00003", "spect-mri": "test-00001"}
TITLES = {"none": "no finding", "mri": "in the MRI", "other": "in the other", "both": "in both"}


def main() -> None:
    """Two rows a task, MRI and the other image; a column a state; the place is ringed, filled or not."""
    with style():
        figure = Figure(figsize=(5.2, 7.6), layout="constrained")
        axes = figure.subplots(6, 4)
        for k, (name, subject) in enumerate(SUBJECTS.items()):
            task = create_task(f"lesion/{name}")
            for column, state in enumerate(STATES):
                pair = task.load(f"{subject}-{state}")
                assert pair.truth is not None
                row, across = np.unravel_index(int(pair.truth["place"].argmax()), pair.a.shape)
                shown = (state in ("mri", "both"), state in ("other", "both"))
                images = (pair.a, pair.b if pair.color is None else pair.color)
                for part, (image, there) in enumerate(zip(images, shown, strict=True)):
                    axis = axes[2 * k + part][column]
                    axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
                    color, line = (OKABE_ITO[1], "-") if there else ("#56B4E9", ":")
                    axis.add_patch(Circle((across, row), 16, fill=False, ec=color, lw=1.0, ls=line))
                    axis.set_xlim(30, 225)
                    axis.set_ylim(238, 18)
                    axis.set_xticks([])
                    axis.set_yticks([])
                    for spine in axis.spines.values():
                        spine.set_visible(False)
                    if column == 0:
                        axis.set_ylabel(("MRI", name.partition("-")[0].upper())[part])
                    if k == 0 and part == 0:
                        axis.set_title(TITLES[state])
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=130)
    Image.open(buffer).convert("RGB").quantize(256).save(DOCS / "lesion.png", optimize=True)


if __name__ == "__main__":
    main()
