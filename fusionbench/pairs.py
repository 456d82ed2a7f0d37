"""Pairs of registered images: reading with every check, grey levels, colour, and PNG out.

Rules for files, the same everywhere:

* 8-bit grey, RGB and palette images are read; a palette is expanded. RGB with three equal channels is grey.
* An alpha channel is dropped when fully opaque and refused otherwise (what lies behind it is not for us to invent).
* 16-bit, float, CMYK and multi-frame images are refused: the window or conversion must be chosen by whoever knows the data.
* Colour becomes grey by BT.601 full range, rounded half up: (299 R + 587 G + 114 B + 500) // 1000.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fusionbench.errors import InputError
from fusionbench.files import write_bytes

UInt8 = NDArray[np.uint8]

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".gif", ".webp")
MAX_PIXELS = 64_000_000
_LOSSY = {"JPEG", "WEBP"}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """Two registered images of one slice.

    ``a``: (H, W) uint8, the structural image (MRI). ``b``: (H, W) uint8, the other modality's grey levels (luminance where
    it is coloured). ``color``: (H, W, 3) uint8 RGB of the other modality, or None. ``table``: (256, 3) uint8 colours of
    the levels that ``b`` holds, where it is not the luminance of ``color``. ``truth``: ground truth of generated pairs, name
    -> (H, W) array. ``case``: patient or subject, "" where unknown. ``lossy``: a source was a JPEG or WebP.
    ``spacing``: millimetres a pixel, None where unknown.
    """

    id: str
    a: UInt8
    b: UInt8
    color: UInt8 | None = None
    table: UInt8 | None = None
    case: str = ""
    lossy: bool = False
    spacing: float | None = None
    truth: Mapping[str, NDArray[Any]] | None = None

    def __post_init__(self) -> None:
        for name, image, form in (("a", self.a, "(H, W)"), ("b", self.b, "(H, W)"), ("color", self.color, "(H, W, 3)")):
            if image is None:
                continue
            if image.dtype != np.uint8 or image.ndim != form.count(",") + 1 or image.shape[2:] not in ((), (3,)):
                raise ValueError(f"pair {self.id}: {name} must be uint8 {form}, is {image.dtype} {image.shape}")
            if image.shape[:2] != self.a.shape:
                raise InputError(
                    f"pair {self.id}: the two images differ in size, {size_text(self.a)} and {size_text(image)}; "
                    "register and resample them to one grid first"
                )

    def show(self, fused: UInt8) -> UInt8 | None:
        """A fused image (H, W) as people see it, (H, W, 3): through ``table``, or with the chroma of ``color``; None where
        the sources are grey."""
        if self.color is None:
            return None
        return recolour(fused, self.color) if self.table is None else self.table[fused]


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A file as read: ``pixels`` (H, W) or (H, W, 3) uint8, and whether its format loses information."""

    pixels: UInt8
    lossy: bool

    @property
    def grey(self) -> UInt8:
        """(H, W) uint8 grey levels."""
        return self.pixels if self.pixels.ndim == 2 else grey(self.pixels)

    @property
    def color(self) -> UInt8 | None:
        """(H, W, 3) uint8 RGB, or None for a grey image."""
        return self.pixels if self.pixels.ndim == 3 else None


def read_picture(path: Path) -> Picture:
    """Read an 8-bit image under the rules at the top of this module.

    Raises InputError, naming the file and the remedy, for anything else: missing, unreadable, truncated, not an image, a
    wrong bit depth or colour space, several frames, transparency, or more than 64 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own, lower limit follows
            with Image.open(path) as image:
                _check_header(path, image)
                image.load()
                lossy = image.format in _LOSSY
                return Picture(_pixels(path, image), lossy)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the name") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, an image file was expected; give the file itself") from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it; change its mode or owner") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: claims more than {MAX_PIXELS:,} pixels; crop or downsample it first") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image that can be read; save it as 8-bit PNG") from None
    except Exception as error:  # Pillow's decoders raise almost anything on damaged data
        raise InputError(f"{path}: damaged or truncated image ({_one_line(error)}); replace the file") from error


def _check_header(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise InputError(
            f"{path}: {image.width} x {image.height} is more than {MAX_PIXELS:,} pixels; crop or downsample it first"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{path}: has {image.n_frames} frames; save the wanted one as a PNG of its own")  # type: ignore[attr-defined]
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: {image.mode} (16-bit or float) image; window it to 8 bits first")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"):
        raise InputError(f"{path}: colour space {image.mode}; convert it to 8-bit RGB or grey first")
    # Pillow silently narrows 16-bit RGB PNGs to 8 bits; the raw mode of the tile still tells.
    if any("16" in _raw_mode(tile) for tile in getattr(image, "tile", ())):
        raise InputError(f"{path}: 16 bits a channel; window it to 8 bits first")


def _raw_mode(tile: tuple[Any, ...]) -> str:
    """How the file stores a channel: the decoder's argument, or the first of several (the others are row lengths)."""
    arguments = tile[-1]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _pixels(path: Path, image: Image.Image) -> UInt8:
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            raise InputError(f"{path}: has transparent pixels; flatten it onto a background first")
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    pixels = np.array(image, dtype=np.uint8)
    if pixels.ndim == 3 and (pixels[..., :1] == pixels).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    return pixels


def grey(rgb: UInt8) -> UInt8:
    """(..., 3) uint8 RGB -> (...) uint8 luminance, BT.601 full range, rounded half up."""
    weighted = rgb.astype(np.uint32) @ np.array([299, 587, 114], dtype=np.uint32)
    levels: UInt8 = ((weighted + 500) // 1000).astype(np.uint8)
    return levels


def recolour(luminance: UInt8, color: UInt8) -> UInt8:
    """Put the chroma of ``color`` (H, W, 3) back onto ``luminance`` (H, W): uint8 RGB, BT.601 full range (as in JPEG).

    Cb and Cr are kept unrounded, so that recolouring with the image's own luminance changes no channel by more than one
    level; what falls outside 0..255 is clipped.
    """
    rgb = color.astype(np.float64)
    y = rgb @ np.array([0.299, 0.587, 0.114])
    chroma = rgb - y[..., None]  # R - Y, G - Y, B - Y carry exactly what Cb and Cr carry
    return to_uint8((luminance.astype(np.float64)[..., None] + chroma) / 255.0)


def to_uint8(image: NDArray[np.floating]) -> UInt8:
    """[0, 1] -> 8-bit levels, rounded half up, clipped.

    Raises ValueError for NaN or infinity, and for values beyond [-1, 2], which overshoot does not reach: those of another
    range.
    """
    if not np.isfinite(image).all():
        raise ValueError("the image holds NaN or infinite values")
    if image.size and (image.min() < -1.0 or image.max() > 2.0):
        raise ValueError(
            f"the image holds values from {image.min():.4g} to {image.max():.4g}; scale it to [0, 1] "
            "(divide levels 0..255 by 255)"
        )
    levels: UInt8 = np.floor(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return levels


def list_pictures(folder: Path) -> dict[str, Path]:
    """Stem -> file of all images directly in a folder, sorted by stem; hidden files are passed over.

    Raises InputError when the folder is missing, unreadable or holds no image, or when two files share a stem.
    """
    try:
        entries = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    except FileNotFoundError:
        raise InputError(f"{folder}: no such folder; check the path") from None
    except NotADirectoryError:
        raise InputError(f"{folder}: not a folder; give the folder that holds the images") from None
    except PermissionError:
        raise InputError(f"{folder}: no permission to read this folder; change its mode or owner") from None
    if not entries:
        raise InputError(f"{folder}: holds no image ({', '.join(SUFFIXES)}); check the path")
    found: dict[str, Path] = {}
    for path in entries:
        if path.stem in found:
            raise InputError(f"{path}: same stem as {found[path.stem].name}; keep one of the two")
        found[path.stem] = path
    return found


def is_file_name(id: str) -> bool:
    """Whether a pair's id can name its image: printable, without a slash of any kind or a leading dot."""
    return bool(id) and id.isprintable() and not id.startswith(".") and not set(id) & set("/\\")


def write_png(path: Path, pixels: UInt8, *, durable: bool = True) -> str:
    """Write (H, W) or (H, W, 3) uint8 as PNG, atomically; returns the SHA-256 of the pixels (see pixel_digest).

    ``durable``: as in :func:`fusionbench.files.write_bytes`.
    """

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=4)
    write_bytes(path, buffer.getvalue(), durable=durable)
    return pixel_digest(pixels)


def pixel_digest(*images: UInt8 | None) -> str:
    """SHA-256 over shapes and pixels of uint8 arrays (None counts as absent): the same for every file format."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(None if image is None else image.shape).encode())
        if image is not None:
            digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def size_text(image: NDArray[Any]) -> str:
    """``"256 x 181"``: width by height, as image viewers print it."""
    return f"{image.shape[1]} x {image.shape[0]}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
