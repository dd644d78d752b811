"""Captures: exact round trips, every form of intrinsics, and no trust in anything."""

import json
import math
import struct
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from rodin_jax.cameras import Camera, orbit
from rodin_jax.data.capture import CaptureError, read_capture, write_capture
from rodin_jax.data.images import encode_png

SIZE = 6


def cameras(count):
    return orbit(jnp.linspace(0, 300, count), jnp.full(count, 10.0), SIZE)


def write(root, fields=None, frame=None, count=2):
    """A small valid capture, with some fields of the file or of frame 1 replaced."""
    pictures = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 4), np.uint8)
    frames = []
    for i in range(count):
        (root / f"r_{i}.png").write_bytes(encode_png(pictures[i]))
        pose = np.asarray(cameras(count).pose[i]).tolist()
        frames.append({"file_path": f"./r_{i}.png", "transform_matrix": pose})
    frames[1].update(frame or {})
    content = {"camera_angle_x": 0.8, "frames": frames, **(fields or {})}
    (root / "transforms.json").write_text(json.dumps(content))
    return pictures


def test_a_written_capture_comes_back_exactly(tmp_path):
    pictures = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 4), np.uint8)
    lens = jnp.array([[7.0, 7.5]] * 5), jnp.array([[3.1, 2.9]] * 5)
    given = Camera(cameras(5).pose, *lens)
    write_capture(tmp_path, pictures, given, {"train": [0, 2, 4], "test": [1, 3]})
    got = read_capture(tmp_path)
    order = [0, 2, 4, 1, 3]
    np.testing.assert_array_equal(got.images, pictures[order])
    for name in ("pose", "focal", "centre"):
        want = np.asarray(getattr(given, name))[order]
        np.testing.assert_array_equal(getattr(got.cameras, name), want)
    assert {k: v.tolist() for k, v in got.splits.items()} == {"train": [0, 1, 2], "test": [3, 4]}
    assert got.has_alpha


def test_nerf_synthetic_form(tmp_path):
    pictures = write(tmp_path, {}, {"file_path": "./r_1"})
    got = read_capture(tmp_path)
    np.testing.assert_array_equal(got.images, pictures)
    np.testing.assert_allclose(got.cameras.focal, SIZE / 2 / math.tan(0.4), rtol=1e-6)
    np.testing.assert_array_equal(got.cameras.centre, SIZE / 2)
    np.testing.assert_allclose(got.cameras.pose, cameras(2).pose, atol=1e-6)


def test_a_frame_overrides_the_file(tmp_path):
    write(tmp_path, {"fl_x": 8.0, "fl_y": 9.0, "cx": 2.0, "w": SIZE}, {"fl_x": 5.0, "cy": 1.0})
    got = read_capture(tmp_path)
    np.testing.assert_array_equal(got.cameras.focal, [[8, 9], [5, 9]])
    np.testing.assert_array_equal(got.cameras.centre, [[2, 3], [2, 1]])


def test_instant_ngp_placement_maps_its_box_to_the_cube(tmp_path):
    eye = np.asarray(cameras(2).pose[:, :3, 3])
    write(tmp_path, {"scale": 0.25, "offset": [0.5, 0.6, 0.5], "aabb_scale": 2})
    got = read_capture(tmp_path).cameras.pose[:, :3, 3]
    np.testing.assert_allclose(got, eye * 0.25 + np.array([0, 0.1, 0]), atol=1e-6)
    write(tmp_path, {"aabb_scale": 1})  # instant-ngp's own defaults
    got = read_capture(tmp_path).cameras.pose[:, :3, 3]
    np.testing.assert_allclose(got, eye * 0.66, atol=1e-6)


def png(width, height, depth=8, data=b"\0"):
    """An RGB PNG with any header."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def matrix(**changes):
    pose = np.asarray(cameras(2).pose[1], np.float64)
    for place, value in changes.items():
        pose[int(place[1]), int(place[2])] = value
    return {"transform_matrix": pose.tolist()}


BAD_FRAMES = {
    "parent": ({"file_path": "../secret.png"}, "file_path.*leaves the capture folder"),
    "absolute": ({"file_path": "/etc/hostname"}, "file_path.*leaves the capture folder"),
    "link": ({"file_path": "link.png"}, "file_path.*leaves the capture folder"),
    "null": ({"file_path": "a\0b"}, "file_path.*expected the path"),
    "half a character": ({"file_path": "\ud800"}, "file_path: .*ud800', expected a text"),
    "long": ({"file_path": "x" * 5000}, "file_path"),
    "number": ({"file_path": 3}, "file_path: 3, expected a text"),
    "missing": ({"file_path": "gone.png"}, "file_path.*gone.png' is missing"),
    "folder": ({"file_path": "."}, "file_path.*is missing"),
    "truncated": ({"file_path": "half.png"}, "file_path.*damaged or truncated"),
    "mixed sizes": ({"file_path": "other.png"}, "file_path.*is 4 x 4 pixels, expected 6 x 6"),
    "no matrix": ({"transform_matrix": None}, "transform_matrix: expected a 4 x 4"),
    "ragged": ({"transform_matrix": [[1, 0], [0, 1]]}, "transform_matrix: expected a 4 x 4"),
    "text matrix": (matrix() | {"transform_matrix": [["a"] * 4] * 4}, "transform_matrix.*a number"),
    "scaled": (matrix(_00=3.0), "transform_matrix: the rotation is not orthonormal"),
    "mirrored": ({"transform_matrix": np.diag([-1.0, 1, 1, 1]).tolist()}, "rotation mirrors"),
    "projective": (matrix(_32=0.5), "transform_matrix: the last row"),
    "far": (matrix(_03=1e9), "transform_matrix: the camera is more than"),
    "another lens": ({"camera_model": "EQUIRECTANGULAR"}, "camera_model.*expected PINHOLE"),
    "ftheta": ({"ftheta_p0": 1}, "ftheta_p0: expected a pinhole"),
    "text distortion": ({"k1": "much"}, "k1: 'much', expected a number"),
    "fourth radial term": ({"k4": 0.1}, "k4: 0.1, expected camera_model FULL_OPENCV"),
    "folded": ({"k1": -40.0}, "k1: opencv.*cannot be undone"),
    "tangential fisheye": ({"is_fisheye": True, "p1": 0.1}, "p1: 0.1, expected 0"),
    "fisheye flag": ({"is_fisheye": "yes"}, "is_fisheye: 'yes', expected true or false"),
    "no mask": ({"mask_path": "masks/gone.png"}, "mask_path.*gone.png' is missing"),
    "mask outside": ({"mask_path": "../secret.png"}, "mask_path.*leaves the capture folder"),
    "deep colour": ({"file_path": "deep.png"}, "file_path.*16 or more bits a channel"),
    "deep grey": ({"file_path": "grey.png"}, "file_path.*16 or more bits a channel"),
    "inks": ({"file_path": "inks.jpg"}, "file_path.*CMYK colours, expected RGB"),
    "bomb": ({"file_path": "bomb.png"}, "file_path.*60000 x 60000|file_path.*pixels"),
    "not a picture": ({"file_path": "text.png"}, "file_path.*not a picture"),
    "field of view": ({"x_fov": 190}, "x_fov: 190.0, expected degrees"),
    "zero focal": ({"fl_x": 0}, "fl_x: 0.0, expected a focal length"),
    "angle": ({"camera_angle_x": 4.0}, "camera_angle_x: 4.0, expected radians"),
    "centre": ({"cx": -9}, "cx.*expected a point in the picture"),
    "width": ({"w": 800}, "w: 800, expected 6"),
    "huge number": ({"fl_x": 10**400}, "fl_x.*expected a number"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_bad_frame_is_named_with_its_field(tmp_path, case):
    frame, message = BAD_FRAMES[case]
    root = tmp_path / "capture"
    root.mkdir()
    picture = encode_png(np.random.default_rng(0).integers(0, 256, (4, 4, 4), np.uint8))
    (tmp_path / "secret.png").write_bytes(picture)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "other.png").write_bytes(picture)
    (root / "half.png").write_bytes(picture[:60])
    (root / "deep.png").write_bytes(png(SIZE, SIZE, depth=16, data=b"\0" * (1 + 6 * SIZE) * SIZE))
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint16)).save(root / "grey.png")
    Image.new("CMYK", (SIZE, SIZE)).save(root / "inks.jpg")
    (root / "bomb.png").write_bytes(png(60_000, 60_000))
    (root / "text.png").write_text("hello")
    write(root, {}, frame)
    with pytest.raises(CaptureError, match=message) as caught:
        read_capture(root)
    assert "transforms.json: frames[1]" in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_FILES = {
    "not JSON": ("{", "cannot be read as JSON"),
    "NaN": ('{"frames": [{"transform_matrix": [[NaN]]}]}', "NaN is not a number"),
    "deep": ("[" * 100_000, "cannot be read as JSON"),
    "list": ("[1]", "expected a JSON object"),
    "no frames": ('{"camera_angle_x": 0.8}', "frames: expected a list"),
    "empty": ('{"frames": []}', "frames: expected a list"),
    "text frames": ('{"frames": ["a"]}', r"frames\[0\]: expected an object"),
    "offset": ('{"offset": [3], "frames": [{}]}', "offset: a list of 1, expected a list of 3"),
    "far": (
        '{"offset": 1e9, "frames": [{"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,0]]}]}',
        "scale and offset put the camera more than 1e6",
    ),
    "aabb": ('{"aabb": [[0, 0, 0], [0, 0, 0]], "frames": [{}]}', "aabb: is empty"),
    "applied": ('{"applied_transform": 3, "frames": [{}]}', "applied_transform: expected a 3 x 4"),
    "named": ('{"test_filenames": [3], "frames": [{}]}', "test_filenames: expected a list of"),
    "too many": (json.dumps({"frames": [{}] * 20_001}), "frames: 20001, expected at most"),
    "not UTF-8": (b"\xff\xfe{", "cannot be read as JSON"),
    "scale": ('{"scale": -1, "frames": [{}]}', "scale: -1, expected a positive"),
    "infinite": ('{"scale": 1e999, "frames": [{}]}', "scale: inf, expected a finite"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named(tmp_path, case):
    text, message = BAD_FILES[case]
    text = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "transforms.json").write_bytes(text)
    with pytest.raises(CaptureError, match=message) as caught:
        read_capture(tmp_path)
    assert "transforms.json" in str(caught.value)


def test_folders_without_a_training_split_are_refused(tmp_path):
    with pytest.raises(CaptureError, match=r"holds no transforms\.json"):
        read_capture(tmp_path)
    with pytest.raises(CaptureError, match="is not a folder"):
        read_capture(tmp_path / "nowhere")
    write(tmp_path)
    (tmp_path / "transforms.json").rename(tmp_path / "transforms_test.json")
    with pytest.raises(CaptureError, match=r"transforms_train\.json is missing"):
        read_capture(tmp_path)


def test_the_sum_of_all_pictures_is_bounded(tmp_path):
    write(tmp_path)
    with pytest.raises(CaptureError, match="more than 50 pixels"):
        read_capture(tmp_path, max_total_pixels=50)
    with pytest.raises(CaptureError, match="6 x 6 pixels, expected at most 20"):
        read_capture(tmp_path, max_pixels=20)
