"""Misregistration of known size: displacement fields whose root mean square over the head is stated beforehand.

What is stated is the target registration error of Fitzpatrick, West and Maurer (doi:10.1109/42.736021), taken over every
pixel of the head in the image that is moved, in pixels of that image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SMOOTH = 0.08  # standard deviation of an elastic field's smoothing, as a share of the image's longer side: about 20 mm
_FOREGROUND = 0.05  # of full scale
_LEAST = 0.01  # a smaller head than this share of the image is none: the whole image is taken


def head_of(image: Array) -> Mask:
    """(H, W, C) in [0, 1] -> (H, W): the foreground with its holes filled; everything where there is hardly any."""
    head = np.asarray(ndimage.binary_fill_holes(image.max(axis=2) > _FOREGROUND))
    return head if head.mean() >= _LEAST else np.ones_like(head)


def rigid_field(head: Mask, size: float, rng: np.random.Generator) -> Array:
    """(2, H, W) displacements, rows and columns: a shift and a turn about the head's middle, half of the mean square each.

    Both are exact for any size below the head's radius of gyration: a turn by w moves a pixel at distance r by
    2 r sin(w / 2), and over the head shift and turn are uncorrelated.
    """
    angle, sign = rng.uniform(0, 2 * np.pi), float(rng.choice([-1.0, 1.0]))
    rows, columns = (np.asarray(axis, np.float64) for axis in np.indices(head.shape))
    down, right = rows - float(rows[head].mean()), columns - float(columns[head].mean())
    gyration = float(np.sqrt((down[head] ** 2 + right[head] ** 2).mean()))
    turn = 2 * np.arcsin(min(1.0, size / (2 * np.sqrt(2) * gyration))) * sign
    cos, sin = np.cos(turn) - 1, np.sin(turn)
    shift = size / np.sqrt(2) * np.array([np.sin(angle), np.cos(angle)])
    return np.stack([cos * down - sin * right + shift[0], sin * down + cos * right + shift[1]])


def elastic_field(head: Mask, size: float, rng: np.random.Generator) -> Array:
    """(2, H, W) displacements: white noise smoothed by a Gaussian of SMOOTH, without its mean over the head."""
    sigma = SMOOTH * max(head.shape)
    field = np.stack([ndimage.gaussian_filter(rng.standard_normal(head.shape), sigma) for _ in range(2)])
    field -= field[:, head].mean(axis=1)[:, None, None]
    return np.asarray(field * (size / error_of(field, head)))


def error_of(field: Array, head: Mask) -> float:
    """Root mean square length of (2, H, W) displacements over the head."""
    return float(np.sqrt((field[:, head] ** 2).sum(axis=0).mean()))


def moved(image: Array, field: Array) -> Array:
    """(H, W, C) sampled at each pixel's displaced place, linearly, zero outside."""
    at = np.indices(image.shape[:2], dtype=np.float64) + field
    channels = [ndimage.map_coordinates(channel, at, order=1, mode="constant") for channel in np.moveaxis(image, 2, 0)]
    return np.stack(channels, axis=2)
