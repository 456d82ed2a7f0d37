"""How much processor time an observer takes to read and judge the images of one method.

    python benchmarks/observers.py [--images 2000] [--rounds 3]

Four states of each subject, regions of smooth noise with faint findings, as files; read from disk, judged in grey and in
colour (CIELAB of the recoloured picture). Medians; the labelling of pixels takes 50 subjects whatever their number.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from fusionbench.observers.study import OBSERVERS, REGION, Study, judge, label
from fusionbench.pairs import read_picture, recolour, write_png


def make(folder: Path, images: int) -> tuple[Study, NDArray[np.uint8], NDArray[np.uint8]]:
    """Write the regions of ``images`` images; (what is known of them, their colours, their labels)."""
    random = np.random.default_rng(0)
    states = np.arange(images) % 4
    shows = np.stack([states & 1, states >> 1], 1).astype(bool)
    axis = np.arange(REGION) - REGION // 2
    blob = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 4.0**2))
    for n in range(images):
        noise = gaussian_filter(random.standard_normal((REGION, REGION)), 3.0) * 150
        grey = np.clip(120 + noise + 8 * blob * shows[n].sum(), 0, 255).astype(np.uint8)
        write_png(folder / f"{n}.png", grey, durable=False)
    color = random.integers(0, 256, (images, REGION, REGION, 3), dtype=np.uint8)
    labels = (random.random((images, REGION, REGION)) * 4).astype(np.uint8)
    subjects = np.array([str(n // 4) for n in range(images)])
    return Study(shows=shows, subjects=subjects, widths=(14.0, 18.0)), color, labels


def seconds(
    folder: Path, observer: str, study: Study, color: NDArray[np.uint8] | None, labels: NDArray[np.uint8]
) -> float:
    """Processor time of one reading: files, colours, judgement."""
    start = time.process_time()
    grey = np.stack([read_picture(folder / f"{n}.png").grey for n in range(len(labels))])
    if observer == "pixels":
        label([grey.astype(np.float64)], labels, study)
    elif color is None:
        judge([grey.astype(np.float64)], study, observer)
    else:
        judge([np.stack([rgb2lab(recolour(x, c)) for x, c in zip(grey, color, strict=True)])], study, observer)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        study, color, labels = make(Path(name), options.images)
        print(f"| observer | grey, processor s | colour, processor s | ({options.images} images)\n|---|--:|--:|")
        for observer in (*OBSERVERS, "pixels"):
            told = []
            for colours in (None, color) if observer != "pixels" else (None,):
                times = [seconds(Path(name), observer, study, colours, labels) for _ in range(options.rounds)]
                told.append(f"{statistics.median(times):.1f}")
            print(f"| `{observer}` | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
