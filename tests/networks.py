"""What the tests of the trained networks share: golden values, pairs and generators from seeds, methods on given weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.methods import create_method


def read_golden(name):
    """The arrays of golden/NAME.npz as tensors: of the tests, or, as some are too large for the repository, of ../shared."""
    folders = (Path(__file__).parent, Path(__file__).resolve().parents[2] / "shared")
    path = next((path for folder in folders if (path := folder / "golden" / f"{name}.npz").is_file()), None)
    if path is None:
        pytest.skip(f"needs ../shared/golden/{name}.npz, which is not there")
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def count(module):
    return sum(p.numel() for p in module.parameters())


def prepared(name, weights, **settings):
    """A method with weights from a file, ready on the CPU."""
    spec = ",".join(f"{key}={value}" for key, value in {"weights": weights, **settings}.items())
    made = create_method(f"{name}:{spec}").method
    made.prepare(torch.device("cpu"))
    return made


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def random_pairs(n, height, width):
    return torch.rand(2, n, 1, height, width, generator=torch.Generator().manual_seed(3))
