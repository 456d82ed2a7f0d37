"""Learn the dictionaries of the sparse baselines from the training pairs of docs/protocol.md, into the package.

    python tools/learn_dictionaries.py --data DIR

Writes fusionbench/methods/baselines/data/dictionaries.npz:
``patch`` (64, 256) for LP-SR; ``csr`` (32, 8, 8) for CSR; ``cartoon`` and ``texture`` (32, 8, 8) for CSMCA; ``latlrr``
(64, 64), the salient projection of latent low-rank representation. Deterministic for given data. About ten minutes.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from protocol_jobs import COUNTS, protocol_split
from skimage.restoration import denoise_tv_chambolle
from sklearn.decomposition import MiniBatchDictionaryLearning

from fusionbench.methods.baselines._convolutional import sparse_codes, spectra, split_bands

Array = NDArray[np.float64]
TARGET = Path(__file__).parents[1] / "fusionbench/methods/baselines/data/dictionaries.npz"


def training_images(data: Path, pairs_a_task: int = 12) -> list[Array]:
    """Evenly spaced training slices of every modality, (H, W) in [0, 1]."""
    images = []
    split = protocol_split(data)
    for task in COUNTS:
        pairs = sorted((p for p in split.train if p.task == task), key=lambda p: p.id)
        for index in np.linspace(0, len(pairs) - 1, pairs_a_task).round().astype(int):
            pair = pairs[index]
            images += [pair.a / 255, pair.b / 255]
    return images


def crops(images: list[Array], size: int, count: int, rng: np.random.Generator) -> Array:
    """(count, size, size) crops that show something: standard deviation of 0.03 or more."""
    found: list[Array] = []
    while len(found) < count:
        image = images[rng.integers(len(images))]
        row, column = (rng.integers(side - size + 1) for side in image.shape)
        crop = image[row : row + size, column : column + size]
        if crop.std() >= 0.03:
            found.append(crop)
    return np.stack(found)


def learn_patches(images: list[Array], rng: np.random.Generator) -> Array:
    """(64, 256) unit atoms for 8x8 patches without their mean."""
    patches = crops(images, 8, 20_000, rng).reshape(-1, 64)
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.linalg.norm(patches, axis=1, keepdims=True)
    learner = MiniBatchDictionaryLearning(
        256, alpha=0.15, max_iter=3, batch_size=256, random_state=0, fit_algorithm="cd"
    )
    atoms: Array = learner.fit(patches).components_
    return (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).T


def learn_filters(signals: Array, weight: float, rounds: int = 10) -> Array:
    """(32, 8, 8) unit filters by alternating sparse coding and projected gradient steps on the filters."""
    torch.manual_seed(0)
    target = torch.from_numpy(signals).float()
    target /= target.std(dim=(1, 2), keepdim=True).clamp_min(1e-3) * 10
    filters = unit(torch.randn(32, 8, 8))
    start = None
    shape = (target.shape[1], target.shape[2])
    for round_ in range(rounds):
        start = sparse_codes(target, spectra(filters, shape), weight, iterations=12, tolerance=0, start=start)
        codes = torch.fft.rfft2(start[0])
        step = 1 / float((codes.abs() ** 2).sum(dim=(0, 1)).max())
        for _ in range(12):
            misfit = (codes * spectra(filters, shape)).sum(dim=1) - torch.fft.rfft2(target)
            slope = torch.fft.irfft2((codes.conj() * misfit[:, None]).sum(dim=0), s=shape).roll((4, 4), (1, 2))
            filters = unit(filters - step * slope[:, :8, :8])
        print(
            f"round {round_}: misfit {float(misfit.abs().square().mean()):.5f}, used {(start[0] != 0).float().mean():.4f}"
        )
    return filters.double().numpy()


def unit(filters: torch.Tensor) -> torch.Tensor:
    return filters / filters.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]


def learn_latent(images: list[Array], rng: np.random.Generator, weight: float = 0.4) -> Array:
    """(64, 64) projection L of min |Z|_* + |L|_* + weight |E|_1 with X = X Z + L X + E, by inexact multipliers.

    Liu and Yan, doi:10.1109/ICCV.2011.6126422; X holds 600 patches of 8x8.
    """
    data = crops(images, 8, 600, rng).reshape(-1, 64).T
    dimension, count = data.shape
    low_rank, projection, noise = np.zeros((count, count)), np.zeros((dimension, dimension)), np.zeros_like(data)
    first, second, third = np.zeros_like(data), np.zeros_like(low_rank), np.zeros_like(projection)
    penalty = 1e-6
    inverse_right = np.linalg.inv(np.eye(count) + data.T @ data)
    inverse_left = np.linalg.inv(np.eye(dimension) + data @ data.T)
    for _ in range(200):
        smooth_z = shrink_values(low_rank + second / penalty, 1 / penalty)
        smooth_l = shrink_values(projection + third / penalty, 1 / penalty)
        rest = data - projection @ data - noise
        low_rank = inverse_right @ (data.T @ rest + smooth_z + (data.T @ first - second) / penalty)
        rest = data - data @ low_rank - noise
        projection = (rest @ data.T + smooth_l + (first @ data.T - third) / penalty) @ inverse_left
        rest = data - data @ low_rank - projection @ data + first / penalty
        noise = np.sign(rest) * np.maximum(np.abs(rest) - weight / penalty, 0)
        gaps = (data - data @ low_rank - projection @ data - noise, low_rank - smooth_z, projection - smooth_l)
        first, second, third = (
            multiplier + penalty * gap for multiplier, gap in zip((first, second, third), gaps, strict=True)
        )
        penalty = min(penalty * 1.1, 1e6)
        if max(np.abs(gap).max() for gap in gaps) < 1e-6:
            break
    return projection


def shrink_values(matrix: Array, threshold: float) -> Array:
    """Soft threshold of the singular values."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray((left * np.maximum(values - threshold, 0)) @ right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with CT-MRI, PET-MRI and SPECT-MRI")
    images = training_images(parser.parse_args().data)
    rng = np.random.default_rng(0)
    patch = learn_patches(images, rng)
    print("patch atoms learned")
    latlrr = learn_latent(images, rng)
    print("projection learned; rank", np.linalg.matrix_rank(latlrr, tol=1e-3))
    blocks = crops(images, 64, 24, rng)
    _, high = split_bands(torch.from_numpy(blocks).float(), 5.0)
    csr = learn_filters(high.double().numpy(), 0.03)
    cartoons = np.stack([denoise_tv_chambolle(block, weight=0.1) for block in blocks])
    _, flat = split_bands(torch.from_numpy(cartoons).float(), 60.0)
    cartoon = learn_filters(flat.double().numpy(), 0.03)
    texture = learn_filters(blocks - cartoons, 0.03)
    buffer = io.BytesIO()
    arrays = {"patch": patch, "csr": csr, "cartoon": cartoon, "texture": texture, "latlrr": latlrr}
    np.savez_compressed(buffer, **{name: array.astype(np.float32) for name, array in arrays.items()})
    TARGET.parent.mkdir(exist_ok=True)
    temporary = TARGET.with_suffix(".tmp")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(TARGET)
    print(f"{TARGET}: {len(buffer.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
