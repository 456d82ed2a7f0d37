"""Reading images under the stated rules, grey levels, colour, and PNG out."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from fusionbench.errors import InputError
from fusionbench.pairs import (
    Pair,
    grey,
    is_file_name,
    list_pictures,
    pixel_digest,
    read_picture,
    recolour,
    to_uint8,
    write_png,
)
from tests.conftest import save, slices

GREY = slices(1, 16)[0]
RGB = np.stack([GREY, 255 - GREY, GREY // 3], axis=-1)
images = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9))
color_images = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def png(path: Path, width: int, height: int, depth: int, kind: int, rows: bytes) -> Path:
    """A PNG written by hand: Pillow cannot make every kind that exists."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_grey_images_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    # A row of 16 pixels: its length must not be taken for 16 bits a channel (BMP keeps it where the raw mode stands).
    picture = read_picture(save(tmp_path / f"x.{suffix}", GREY))
    np.testing.assert_array_equal(picture.pixels, GREY)
    assert picture.color is None
    assert not picture.lossy


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_colour_images_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    picture = read_picture(save(tmp_path / f"x.{suffix}", RGB))
    np.testing.assert_array_equal(picture.color, RGB)
    np.testing.assert_array_equal(picture.grey, grey(RGB))


def test_three_equal_channels_are_grey(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "x.png", np.stack([GREY] * 3, axis=-1)))
    assert picture.color is None
    np.testing.assert_array_equal(picture.pixels, GREY)


def test_a_palette_is_expanded(tmp_path: Path) -> None:
    few = Image.fromarray(RGB // 64 * 64)
    path = tmp_path / "x.png"
    few.quantize(256).save(path)
    with Image.open(path) as image:
        assert image.mode == "P"
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_picture(path).color, expected)


def test_black_and_white_becomes_0_and_255(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(GREY > 90).save(path)
    np.testing.assert_array_equal(read_picture(path).pixels, np.where(GREY > 90, 255, 0))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.png"
    image = Image.fromarray(GREY if mode == "LA" else RGB).convert(mode)
    image.save(path)
    np.testing.assert_array_equal(read_picture(path).pixels, GREY if mode == "LA" else RGB)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB"])
def test_transparency_is_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.png"
    image = Image.fromarray(RGB).convert(mode)
    if mode.endswith("A"):
        alpha = np.full(GREY.shape, 255, np.uint8)
        alpha[3, 4] = 254
        image.putalpha(Image.fromarray(alpha))
        image.save(path)
    else:
        pixel = image.getpixel((8, 8))
        image.save(path, transparency=pixel)
    with pytest.raises(InputError, match=r"x\.png: has transparent pixels; flatten it"):
        read_picture(path)


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_a_channel_are_refused(tmp_path: Path, kind: int, channels: int) -> None:
    rows = b"".join(b"\0" + bytes([255, 255] * channels * 4) for _ in range(4))
    with pytest.raises(InputError, match=r"x\.png: .*16.bit.*window it to 8 bits"):
        read_picture(png(tmp_path / "x.png", 4, 4, 16, kind, rows))


def test_float_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.tif: .*float.*window it to 8 bits"):
        read_picture(save(tmp_path / "x.tif", GREY.astype(np.float32)))


def test_cmyk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(RGB).convert("CMYK").save(path)
    with pytest.raises(InputError, match=r"x\.jpg: colour space CMYK; convert it"):
        read_picture(path)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gif"
    Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.fromarray(255 - GREY)])
    with pytest.raises(InputError, match=r"x\.gif: has 2 frames; save the wanted one"):
        read_picture(path)


def test_a_jpeg_is_read_and_marked_lossy(tmp_path: Path) -> None:
    assert read_picture(save(tmp_path / "x.jpg", GREY)).lossy


@pytest.mark.parametrize("side", [8_001, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, side: int) -> None:
    path = png(tmp_path / "x.png", side, side, 8, 0, b"\0" * 100)
    with pytest.raises(InputError, match=r"x\.png: .*64,000,000 pixels; crop or downsample it"):
        read_picture(path)


@pytest.mark.parametrize("keep", [0, 5, 40, 60, 0.5, 0.98])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    path = save(tmp_path / "x.png", slices(1, 64)[0])
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(InputError, match=r"x\.png: .*(damaged or truncated|not an image).*(replace|save)"):
        read_picture(path)


@given(data=st.data())
def test_any_damage_is_refused_in_words_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = save(tmp_path_factory.getbasetemp() / "damaged.png", RGB)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    message = ""
    try:
        read_picture(path)
    except InputError as error:
        message = str(error)
    assert not message or (str(path) in message and "\n" not in message and ";" in message)


def test_not_an_image_missing_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("hello", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.png: not an image"):
        read_picture(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"y\.png: no such file"):
        read_picture(tmp_path / "y.png")
    with pytest.raises(InputError, match="is a folder"):
        read_picture(tmp_path)


def test_grey_is_bt601_rounded_half_up() -> None:
    rgb = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [10, 20, 35]]], np.uint8)
    # 0.299 * 255 = 76.245; 0.587 * 255 = 149.685; 0.114 * 255 = 29.07; 2.99 + 11.74 + 3.99 = 18.72
    np.testing.assert_array_equal(grey(rgb), [[255, 76, 150, 29, 0, 19]])
    # 299 R + 587 G + 114 B = 500 exactly, for R = 0: 587 G + 114 B = 500 has none; a half comes from (2, 4, 11): 4200
    assert grey(np.array([[[250, 4, 1]]], np.uint8))[0, 0] == (299 * 250 + 587 * 4 + 114 + 500) // 1000


@given(images)
def test_grey_of_grey_is_itself(image: np.ndarray) -> None:
    np.testing.assert_array_equal(grey(np.stack([image] * 3, axis=-1)), image)


@given(color_images)
def test_colour_survives_its_own_luminance(color: np.ndarray) -> None:
    back = recolour(grey(color), color).astype(int)
    assert np.abs(back - color).max() <= 1


@given(color_images, st.data())
def test_recolouring_gives_the_luminance_asked_for_where_nothing_is_clipped(
    color: np.ndarray, data: st.DataObject
) -> None:
    luminance = data.draw(arrays(np.uint8, color.shape[:2]))
    back = recolour(luminance, color)
    inside = ((back > 0) & (back < 255)).all(axis=-1)
    assert np.abs(grey(back).astype(int) - luminance)[inside].max(initial=0) <= 1


@given(images)
def test_levels_survive_the_float_range(image: np.ndarray) -> None:
    np.testing.assert_array_equal(to_uint8(image / 255.0), image)
    np.testing.assert_array_equal(to_uint8((image.astype(np.float32) / np.float32(255)).astype(np.float64)), image)


def test_rounding_is_half_up_and_clipped() -> None:
    np.testing.assert_array_equal(to_uint8(np.array([0.5, 1.5, 2.49999, -3, 300]) / 255), [1, 2, 2, 0, 255])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_uint8(np.array([[0.5, bad]]))


@given(st.one_of(images, color_images))
def test_png_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "deep" / "er" / "x.png"
    digest = write_png(path, image)
    pixels = read_picture(path).pixels
    if image.ndim == 3 and pixels.ndim == 2:  # three equal channels are grey
        np.testing.assert_array_equal(np.stack([pixels] * 3, axis=-1), image)
    else:
        np.testing.assert_array_equal(pixels, image)
        assert pixel_digest(pixels) == digest
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]  # no temporary file stays


def test_digests_tell_shapes_and_absence_apart() -> None:
    wide, tall = np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)
    digests = [
        pixel_digest(wide),
        pixel_digest(tall),
        pixel_digest(wide, None),
        pixel_digest(wide, tall),
        pixel_digest(tall, wide),
    ]
    assert len(set(digests)) == len(digests)
    assert pixel_digest(wide) == pixel_digest(np.asfortranarray(wide))


def test_a_pair_must_agree_in_size_and_type() -> None:
    with pytest.raises(InputError, match=r"pair p1: .*differ in size, 16 x 16 and 16 x 12"):
        Pair(id="p1", a=GREY, b=GREY[:12])
    with pytest.raises(InputError, match=r"pair p1: .*differ in size"):
        Pair(id="p1", a=GREY, b=GREY, color=RGB[:12])
    with pytest.raises(ValueError, match="pair p1: a must be uint8"):
        Pair(id="p1", a=GREY / 255, b=GREY)
    with pytest.raises(ValueError, match="pair p1: b must be uint8"):
        Pair(id="p1", a=GREY, b=RGB)


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a.TIF", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert list(list_pictures(tmp_path)) == ["a", "b"]
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"same stem"):
        list_pictures(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_pictures(tmp_path / "none")
    with pytest.raises(InputError, match="not a folder"):
        list_pictures(tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        list_pictures(tmp_path / "empty")


def test_ids_that_are_no_file_names() -> None:
    assert all(map(is_file_name, ["16009", "test-00001", "a b", "x.y", "ä"]))
    assert not any(map(is_file_name, ["", ".", "..", "../x", "a/b", "a\\b", ".x", "a\nb", "a\0b"]))


def test_levels_of_another_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"values from 0 to 255; scale it to \[0, 1\]"):
        to_uint8(np.arange(256.0).reshape(16, 16))
    assert to_uint8(np.array([[-0.2, 1.2]])).tolist() == [[0, 255]]  # overshoot is clipped
