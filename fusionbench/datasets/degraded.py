"""The robustness track: one source of a pair is degraded before fusing, and the fused image is scored on the clean pair.

``noise:sigma=0.05`` names a degradation: a kind and its strength. Left out, the strength is the kind's default; ``,input=a``
or ``,input=b`` says which source is degraded (a: the structural one), else the kind's own choice below. Random parts are
drawn from the pair's id and the kind, not from the strength, so that a curve over strengths shows one and the same flaw
growing. Results are kept under a data set of their own, ``phantom+noise,sigma=0.05`` (some systems allow no colon in names).

``rigid:mm=2`` and ``elastic:mm=2`` are misregistrations whose target registration error over the head is known: root mean
square, in millimetres, by the size of a pixel that the pair states. ``shift`` and ``rotate`` need no such size.

``undersample:accel=4,reconstruct=NAME`` restores the image before it is fused, from what was measured of its k-space;
without it, or with ``zero-filled``, what was not measured is zero. How a name restores is for whoever opens the task to say.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fusionbench.datasets import ChecksPairs, Task, check_pair
from fusionbench.datasets._displaced import elastic_field, head_of, moved, rigid_field
from fusionbench.errors import InputError
from fusionbench.pairs import Pair, UInt8, grey, to_uint8
from fusionbench.scores import fingerprint

ZERO_FILLED = "zero-filled"  # what undersampling is without a reconstruction
VERSION = 1  # bumped whenever a pixel of any degraded image changes

Array = NDArray[np.float64]
Degrade = Callable[[Array, float, np.random.Generator], Array]
Restore = Callable[[NDArray[np.complex128], Array], Array]
"""(H, W) masked spectrum as of ``numpy.fft.fft2``, (H,) ones for the lines that were measured -> (H, W) image."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of degradation.

    ``degrade``: (H, W, C) in [0, 1], strength, generator -> the same shape; values may leave [0, 1] and are clipped. All C
    channels get the same random parts. ``low`` and ``high`` bound the strength; ``input``: the source it usually happens to.
    A strength whose parameter is ``mm`` reaches ``degrade`` in pixels of the pair.
    """

    title: str
    parameter: str
    default: float
    low: float
    high: float
    input: str
    degrade: Degrade


@dataclasses.dataclass(frozen=True)
class Degradation:
    """A kind at one strength, of source ``input`` ("a" or "b"). ``reconstruct``: what restores it before fusing, or ""."""

    kind: str
    strength: float
    input: str
    reconstruct: str = ""

    @property
    def label(self) -> str:
        """The normal form of the name, which results are kept under."""
        usual = KINDS[self.kind]
        extra = "" if self.input == usual.input else f",input={self.input}"
        restored = f",reconstruct={self.reconstruct}" if self.reconstruct else ""
        return f"{self.kind},{usual.parameter}={self.strength:g}{extra}{restored}"

    def pixel(self, pair: Pair) -> float:
        """Millimetres a pixel where the strength is in millimetres, else 1. Raises InputError where a pair states none."""
        if KINDS[self.kind].parameter != "mm":
            return 1.0
        if pair.spacing is None:
            raise InputError(
                f"pair {pair.id} does not state the size of its pixels, so {self.kind} cannot be given in mm; take "
                "shift:px=2 or rotate:deg=2, or phantom pairs"
            )
        return pair.spacing

    def apply(self, pair: Pair, restore: Restore | None = None) -> Pair:
        """The pair with one source degraded; of a coloured source all channels are, alike, and its grey follows.

        restore: what ``reconstruct`` names. Raises ValueError where it names something and nothing is given.
        """
        if self.reconstruct and restore is None:
            raise ValueError(f"{self.label}: give what restores the image")
        rng = np.random.default_rng(list(hashlib.sha256(f"{self.kind}/{pair.id}".encode()).digest()))
        kind = KINDS[self.kind]
        strength = self.strength / self.pixel(pair)

        def degrade(image: UInt8) -> UInt8:
            channels = image[..., None] if image.ndim == 2 else image
            if restore is None:
                result = kind.degrade(channels / 255.0, strength, rng)
            else:
                result = _restored(channels / 255.0, self.strength, rng, restore)
            return to_uint8(np.clip(result[..., 0] if image.ndim == 2 else result, 0.0, 1.0))

        if self.input == "a":
            return dataclasses.replace(pair, a=degrade(pair.a))
        if pair.color is None:
            return dataclasses.replace(pair, b=degrade(pair.b))
        color = degrade(pair.color)
        return dataclasses.replace(pair, b=grey(color), color=color)


class DegradedTask:
    """A task whose pairs come degraded. Ids and cases are those of the clean one.

    restore: what the degradation's ``reconstruct`` names; made: changes with what it gives.
    """

    def __init__(self, task: Task, degradation: Degradation, restore: Restore | None = None, made: str = "") -> None:
        self._task = task
        self._degradation = degradation
        self._made = made
        self._apply = functools.lru_cache(
            maxsize=128 if restore else 0
        )(  # a network takes a second, and each method asks
            lambda id: degradation.apply(task.load(id), restore)
        )

    def ids(self) -> list[str]:
        return self._task.ids()

    def load(self, id: str) -> Pair:
        return self._apply(id)

    def case(self, id: str) -> str:
        return self._task.case(id)

    def digest(self, id: str) -> str:
        made = [self._made] if self._made else []
        return fingerprint(self._task.digest(id), self._degradation.label, VERSION, *made)

    def check(self, id: str) -> None:
        check_pair(self._task, id)
        if not isinstance(self._task, ChecksPairs):  # generated pairs state the size of their pixels
            self._degradation.pixel(self._task.load(id))


def parse_degradation(text: str) -> Degradation:
    """``"noise:sigma=0.05"``, ``"bias"``, ``"blur:sigma=1,input=a"``, or a label -> Degradation.

    Raises InputError for an unknown kind or setting, or a strength outside the kind's bounds.
    """
    name, _, rest = text.replace(":", ",", 1).partition(",")
    if name not in KINDS:
        raise InputError(f"unknown degradation {name!r}; known: {', '.join(_usage(kind) for kind in KINDS)}")
    kind = KINDS[name]
    strength, source, reconstruct = kind.default, kind.input, ""
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key == kind.parameter:
            try:
                strength = float(value)
            except ValueError:
                raise InputError(
                    f"degradation {text!r}: {value!r} is not a number; write it as {_usage(name)}"
                ) from None
            if not kind.low <= strength <= kind.high:
                raise InputError(f"degradation {text!r}: {key} must be between {kind.low:g} and {kind.high:g}")
        elif key == "input" and value in ("a", "b"):
            source = value
        elif key == "reconstruct" and name == "undersample" and re.fullmatch(r"[a-z0-9-]+", value):
            reconstruct = "" if value == ZERO_FILLED else value
        else:
            more = "[,reconstruct=NAME]" if name == "undersample" else ""
            raise InputError(
                f"degradation {text!r}: cannot read {item!r}; write it as {_usage(name)}[,input=a|b]{more}"
            )
    return Degradation(name, float(f"{strength:g}"), source, reconstruct)


def about(degradation: Degradation) -> Mapping[str, Any]:
    """What score files say of it."""
    kind = KINDS[degradation.kind]
    said = {key: value for key, value in dataclasses.asdict(degradation).items() if value != ""}
    return said | {"parameter": kind.parameter, "title": kind.title, "version": VERSION}


def _usage(name: str) -> str:
    return f"{name}:{KINDS[name].parameter}={KINDS[name].default:g}"


def _noise(image: Array, sigma: float, rng: np.random.Generator) -> Array:
    return image + sigma * rng.standard_normal(image.shape[:2])[..., None]


def _shift(image: Array, pixels: float, rng: np.random.Generator) -> Array:
    angle = rng.uniform(0, 2 * np.pi)
    offset = (pixels * np.sin(angle), pixels * np.cos(angle), 0)
    return np.asarray(ndimage.shift(image, offset, order=1, mode="constant"))


def _rotate(image: Array, degrees: float, rng: np.random.Generator) -> Array:
    sign = rng.choice([-1, 1])
    return np.asarray(ndimage.rotate(image, sign * degrees, axes=(1, 0), reshape=False, order=1, mode="constant"))


def _rigid(image: Array, pixels: float, rng: np.random.Generator) -> Array:
    return moved(image, rigid_field(head_of(image), pixels, rng))


def _elastic(image: Array, pixels: float, rng: np.random.Generator) -> Array:
    return moved(image, elastic_field(head_of(image), pixels, rng))


def _jpeg(image: Array, quality: float, rng: np.random.Generator) -> Array:
    levels = to_uint8(image)
    buffer = io.BytesIO()
    picture = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    picture.save(buffer, format="JPEG", quality=round(quality))
    decoded = np.asarray(Image.open(buffer), dtype=np.float64) / 255.0
    return np.asarray(decoded.reshape(image.shape))


def _blur(image: Array, sigma: float, rng: np.random.Generator) -> Array:
    return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest"))


def _bias(image: Array, strength: float, rng: np.random.Generator) -> Array:
    """A coil's sensitivity: a smooth factor from exp(-strength) to exp(strength), a random quadratic in x and y."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape[:2]), indexing="ij")
    terms = np.stack([x, y, x * y, x**2, y**2])
    field = np.tensordot(rng.standard_normal(5), terms, axes=1)
    field -= (field.max() + field.min()) / 2
    return np.asarray(image * np.exp(strength * field / np.abs(field).max())[..., None])


def _measured(image: Array, acceleration: float, rng: np.random.Generator) -> tuple[NDArray[np.complex128], Array]:
    """The lines of k-space that are kept: (H, W, C) -> ((H, W, C) spectrum, zero elsewhere, (H,) ones for those lines).

    Cartesian, one line in ``acceleration`` kept along the first axis, the central 8 % among them: the usual random mask of
    accelerated MRI (Zbontar et al., fastMRI, arXiv:1811.08839). Frequency zero is at index 0, as of ``numpy.fft``.
    """
    lines = image.shape[0]
    centre = np.arange(lines // 2 - max(1, round(0.04 * lines)), lines // 2 + max(1, round(0.04 * lines)))
    others = rng.permutation(np.setdiff1d(np.arange(lines), centre))
    wanted = max(0, round(lines / acceleration) - len(centre))
    centred = np.zeros(lines)
    centred[centre] = centred[others[:wanted]] = 1
    mask = np.fft.ifftshift(centred)
    return np.fft.fft2(image, axes=(0, 1)) * mask[:, None, None], mask


def _undersample(image: Array, acceleration: float, rng: np.random.Generator) -> Array:
    """What is not measured is filled with zeros; the magnitude is taken."""
    return np.asarray(np.abs(np.fft.ifft2(_measured(image, acceleration, rng)[0], axes=(0, 1))))


def _restored(image: Array, acceleration: float, rng: np.random.Generator, restore: Restore) -> Array:
    """The same lines kept as :func:`_undersample` keeps, and each channel restored from them."""
    spectrum, mask = _measured(image, acceleration, rng)
    return np.stack([restore(channel, mask) for channel in np.moveaxis(spectrum, 2, 0)], axis=2)


KINDS: Mapping[str, Kind] = {
    "noise": Kind("Gaussian noise, standard deviation as a fraction of full scale", "sigma", 0.05, 0, 1, "b", _noise),
    "shift": Kind("Misregistration: shift in pixels", "px", 2, 0, 64, "b", _shift),
    "rotate": Kind("Misregistration: rotation in degrees", "deg", 2, 0, 45, "b", _rotate),
    "rigid": Kind("Misregistration, rigid: target registration error in mm", "mm", 2, 0, 20, "b", _rigid),
    "elastic": Kind("Misregistration, elastic: target registration error in mm", "mm", 2, 0, 20, "b", _elastic),
    "jpeg": Kind("JPEG compression, quality", "q", 75, 1, 100, "b", _jpeg),
    "blur": Kind("Gaussian blur, standard deviation in pixels", "sigma", 1, 0, 32, "b", _blur),
    "bias": Kind("MRI bias field, logarithm of the largest factor", "strength", 0.3, 0, 3, "a", _bias),
    "undersample": Kind("MRI k-space undersampling, acceleration", "accel", 4, 1, 16, "a", _undersample),
}
