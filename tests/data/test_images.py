"""Pictures of every kind become RGBA; every bad one gives a single clear line."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rodin_jax.data import images
from rodin_jax.data.images import ImageError, decode_image, encode_png, over_white, read_image

RNG = np.random.default_rng(0)
RGBA = RNG.integers(0, 256, (5, 7, 4), np.uint8)


def save(path, image, **options):
    image.save(path, **options)
    return path


def test_png_round_trips_and_equal_pictures_give_equal_bytes(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(RGBA))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGBA)
    np.testing.assert_array_equal(decode_image(encode_png(RGBA)), RGBA)
    assert encode_png(RGBA) == encode_png(RGBA.copy())


def test_pictures_without_alpha_are_opaque(tmp_path):
    got = read_image(save(tmp_path / "a.bmp", Image.fromarray(RGBA[..., :3])))
    np.testing.assert_array_equal(got[..., :3], RGBA[..., :3])
    assert (got[..., 3] == 255).all()


def test_sixteen_bits_keep_their_brightness(tmp_path):
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    got = read_image(save(tmp_path / "a.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(got[0, :, 0], [0, 1, 128, 255])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "RGB"])
def test_other_modes_are_converted(tmp_path, mode):
    white = Image.new("RGB", (6, 4), "white").convert(mode)
    got = read_image(save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), white))
    assert got.shape == (4, 6, 4) and (got >= 254).all()


def test_a_photo_lying_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to view
    path = save(tmp_path / "a.png", Image.fromarray(RGBA), exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(RGBA, -1))


def test_over_white_rounds_the_exact_blend():
    alpha = RGBA[..., 3:] / 255
    want = np.floor(RGBA[..., :3] * alpha + 255 * (1 - alpha) + 0.5)
    assert np.abs(over_white(RGBA).astype(int) - want).max() == 0


def bomb(width, height):
    """A PNG whose header promises more pixels than anyone wants."""

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
            + chunk(b"IEND", b""))  # fmt: skip


def hostile():
    noise = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    png, frames = encode_png(noise), [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    yield (
        "bomb",
        lambda p: p.write_bytes(bomb(9_000, 9_000)),
        "9000 x 9000 pixels, expected at most",
    )
    yield "huge", lambda p: p.write_bytes(bomb(60_000, 60_000)), "pixels"
    yield "truncated", lambda p: p.write_bytes(png[: len(png) // 2]), "damaged or truncated"
    yield "text", lambda p: p.write_text("hello"), "not a picture"
    yield "empty", lambda p: p.write_bytes(b""), "not a picture"
    yield "folder", lambda p: p.mkdir(), "is a folder"
    yield "missing", lambda p: None, "no such file"
    yield "tiny", lambda p: p.write_bytes(encode_png(noise[:1, :1])), "edges of 4 or more"
    yield (
        "animated",
        lambda p: frames[0].save(p, "GIF", save_all=True, append_images=frames[1:]),
        "2 frames",
    )
    floats = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    yield "floats", lambda p: floats.save(p, "TIFF"), "expected 8 or 16 bits"


@pytest.mark.parametrize(("name", "make", "message"), list(hostile()), ids=lambda x: str(x)[:12])
def test_bad_pictures_give_one_clear_line(tmp_path, name, make, message):
    path = tmp_path / f"{name}.png"
    make(path)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path, min_edge=4)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_paths_the_system_refuses_are_refused_politely(tmp_path):
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(ImageError):
            read_image(tmp_path / name)


def test_a_phone_picture_with_a_second_view_gives_the_first(tmp_path):
    first, second = (Image.new("RGB", (8, 8), c) for c in ("white", "black"))
    path = tmp_path / "a.jpg"
    first.save(path, "MPO", save_all=True, append_images=[second])
    assert (read_image(path) >= 250).all()


def test_pictures_in_memory_are_read_like_files():
    rng = np.random.default_rng(5)
    rgba = rng.integers(0, 256, (9, 7, 4), np.uint8)
    np.testing.assert_array_equal(images.from_pixels(rgba), rgba)
    np.testing.assert_array_equal(images.from_pixels(Image.fromarray(rgba)), rgba)
    opaque = images.from_pixels(rgba[..., :3])
    np.testing.assert_array_equal(opaque[..., :3], rgba[..., :3])
    assert (opaque[..., 3] == 255).all()
    grey = images.from_pixels(rgba[..., 0])
    np.testing.assert_array_equal(grey[..., 1], rgba[..., 0])
    for wrong in (rgba.astype(np.float32), rgba[..., :2], rgba[None]):
        with pytest.raises(images.ImageError, match="expected uint8 pixels"):
            images.from_pixels(wrong)
