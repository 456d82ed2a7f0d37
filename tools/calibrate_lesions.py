"""Sets the contrast of the findings of data set ``lesion``, on training subjects, from the source images alone.

    python tools/calibrate_lesions.py [--images 2000] [--tasks ct-mri,...] [--search]

``--search`` looks for the contrast at which the source that shows a finding (PET and SPECT: their level) gives its linear
observer an area of 0.93, by bisection on 600 images, and prints it; the numbers are then written by hand into
fusionbench/datasets/lesion.py, once, and its VERSION is bumped. Without it the areas of the shipped contrasts are measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import sys

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from fusionbench import observers
from fusionbench.datasets import task_plugin
from fusionbench.datasets.lesion import STATES, STUDIES, Study

SIZE = 65
Floats = NDArray[np.float64]


def subject(number: int, task: str, study: Study) -> list[dict[str, NDArray[np.float64]]]:
    made = task_plugin(f"lesion/{task}").factory(split="train", study=study)
    out = []
    for state in STATES:
        pair = made.load(f"train-{number:05d}-{state}")
        row, column = np.unravel_index(pair.truth["place"].argmax(), pair.a.shape)
        mri, other = (observers.region(image, int(row), int(column), SIZE) for image in (pair.a, pair.b))
        seen = {"mri": mri.astype(float), "luma": other.astype(float)}
        if pair.color is not None:
            color = observers.region(pair.color, int(row), int(column), SIZE)
            seen |= {"level": made.level(color).astype(float), "colour": rgb2lab(color)}
        out.append(seen)
    return out


def images(pool: multiprocessing.pool.Pool, task: str, study: Study, subjects: int) -> dict[str, Floats]:
    made = pool.map(functools.partial(subject, task=task, study=study), range(subjects), chunksize=5)
    flat = [seen for four in made for seen in four]
    return {name: np.stack([seen[name] for seen in flat]) for name in flat[0]}


def area(regions: Floats, present: NDArray[np.bool_], width: float, how: str = "linear") -> observers.Auc:
    subjects = np.arange(len(regions)) // 4
    folds = observers.fold_of(subjects)
    seen = observers.read(regions, observers.laguerre_gauss(SIZE, width))
    if how == "trees":
        seen = np.hstack([seen, observers.ring_means(regions)])
        return observers.area(observers.boosted_responses(seen, present, folds), present, folds, subjects)
    return observers.area(observers.linear_responses(seen, present, folds), present, folds, subjects)


def states(task: str, count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    made = task_plugin(f"lesion/{task}").factory(split="train")
    shown = np.array([made.shows(pair) for pair in made.subjects(count)])
    return shown[:, 0], shown[:, 1]


def best(regions: Floats, present: NDArray[np.bool_]) -> tuple[float, float]:
    found = [(area(regions, present, w).value, w) for w in (8.0, 12.0, 16.0, 22.0, 30.0)]
    value, width = max(found)
    return value, width


def search(pool: multiprocessing.pool.Pool, task: str, subjects: int) -> Study:
    study = STUDIES[task]
    bounds = {"mri": (0.05, 1.5), "other": (0.05, 1.5)}
    for _ in range(6):
        tried = {k: float(np.sqrt(low * high)) for k, (low, high) in bounds.items()}
        study = dataclasses.replace(
            study,
            mri=dataclasses.replace(study.mri, contrast=tried["mri"]),
            other=dataclasses.replace(study.other, contrast=tried["other"]),
        )
        seen = images(pool, task, study, subjects)
        in_mri, in_other = states(task, subjects)
        for k, regions, present in (
            ("mri", seen["mri"], in_mri),
            ("other", seen.get("level", seen["luma"]), in_other),
        ):
            value, width = best(regions, present)
            low, high = bounds[k]
            bounds[k] = (tried[k], high) if value < 0.93 else (low, tried[k])
            print(f"{task} {k}: contrast {tried[k]:.3f} width {width:g} area {value:.3f}", flush=True)
    return study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--tasks", default=",".join(STUDIES))
    parser.add_argument("--search", action="store_true")
    options = parser.parse_args()
    with multiprocessing.Pool(2) as pool:
        for task in options.tasks.split(","):
            study = search(pool, task, 150) if options.search else STUDIES[task]
            count = options.images // 4
            seen = images(pool, task, study, count)
            for finding, present in zip(("mri", "other"), states(task, count), strict=True):
                for name, regions in seen.items():
                    for how in ("linear", "trees") if regions.ndim == 3 else ("linear",):
                        width = getattr(study, finding).width
                        auc = area(regions, present, width, how)
                        where = f"{task} finding in {finding}, read from {name}, {how}, width {width:g}"
                        print(f"{where}: {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]", flush=True)
            print(task, study, flush=True)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
