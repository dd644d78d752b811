"""`rodin data check` says in words what is wrong with a capture, and draws it."""

import dataclasses
import functools
import json
import re

import balls
import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from rodin_jax.cameras import Camera, look_at
from rodin_jax.data.capture import Capture, write_capture
from rodin_jax.data.captures import check, sheet

SIZE, COUNT = 48, 24
FOCAL, CENTRE = (55.0, 55.0), (24.0, 24.0)


@functools.cache
def drawn(count):
    poses = balls.poses(count)
    return np.stack([balls.draw(pose, SIZE, SIZE, FOCAL, CENTRE) for pose in poses]), poses


def capture(count=COUNT, change=lambda pictures, poses: None, tests=4):
    """Balls from all round; ``change`` spoils pictures and poses in place."""
    pictures, poses = (x.copy() for x in drawn(count))
    change(pictures, poses)
    cameras = Camera(
        jnp.asarray(poses, jnp.float32),
        *(jnp.tile(jnp.array(x), (count, 1)) for x in (FOCAL, CENTRE)),
    )
    splits = {"train": np.arange(count - tests)}
    if tests:
        splits["test"] = np.arange(count - tests, count)
    return Capture(pictures, cameras, splits)


def texts(given):
    return [finding.text for finding in check.examine(given).findings]


def test_nothing_is_wrong_with_a_good_capture():
    report = check.examine(capture())
    assert report.ok and report.findings == ()
    assert report.frames == {"train": 20, "test": 4} and report.size == (SIZE, SIZE)
    assert report.alpha == "pictures" and report.lenses == ("pinhole",)
    np.testing.assert_allclose(report.distance, 3.2, rtol=1e-5)
    low, high = np.array(report.subject)
    assert (low < balls.CENTRES.min(0)).all() and (high > balls.CENTRES.max(0)).all()
    assert report.lines()[-1] == "result    nothing wrong found"


def textured(pictures, poses):
    """Opaque pictures of noise, for those checks that look at detail."""
    rng = np.random.default_rng(0)
    pictures[..., :3] = cv2.resize(rng.integers(60, 200, (12, 12, 3), np.uint8), (SIZE, SIZE))
    pictures[..., :3] += rng.integers(0, 40, pictures[..., :3].shape, np.uint8)
    pictures[..., 3] = 255


def blur(pictures, poses):
    textured(pictures, poses)
    pictures[5] = cv2.GaussianBlur(pictures[5], (0, 0), 3)


def dim(pictures, poses):
    textured(pictures, poses)
    pictures[7, ..., :3] //= 2


def away(pictures, poses):
    poses[3, :3, :3] = poses[3, :3, :3] @ np.diag([-1, 1, -1])


def inside(pictures, poses):
    poses[2, :3, 3] *= 0.1


def grown(pictures, poses):
    poses[:, :3, 3] *= 1.6


def shrunk(pictures, poses):
    poses[:, :3, 3] *= 0.34


def computer_vision(pictures, poses):
    """The most common mistake: OpenCV's axes (y down, z ahead), and eyes seen from the world."""
    poses[:] = np.linalg.inv(poses)


def half_round(pictures, poses):
    poses[:] = poses[np.arange(COUNT) // 2 + 12]
    pictures[:] = pictures[np.arange(COUNT) // 2 + 12]


def fallen(pictures, poses):
    poses[:, :3] = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]]) @ poses[:, :3]


def grey(pictures, poses):
    pictures[4] = [128, 128, 128, 255]


def empty(pictures, poses):
    pictures[6] = 0


def opaque_one(pictures, poses):
    pictures[9, ..., 3] = 255


FAULTS = {
    "blurred": (blur, False, r"1 picture \(5\) has much less detail"),
    "dim": (dim, False, r"1 picture \(7\) has another brightness"),
    "away": (away, True, r"1 camera \(3\) is looking away from the cube"),
    "inside": (inside, True, r"1 camera \(2\) is inside of the cube"),
    "outside": (grown, True, r"\d+ pictures \(.*\.\.\.\) have the subject partly"),
    "other matrices": (computer_vision, True, "no volume in common"),
    "half": (half_round, False, "nobody looks from 225 degrees of the way round"),
    "copies": (half_round, False, r"12 pictures \(1, 3, .* have the pose of another"),
    "fallen": (fallen, False, "up points sideways in the file: is its z axis up"),
    "one colour": (grey, True, r"1 picture \(4\) has nothing but one colour"),
    "empty": (empty, True, r"1 picture \(6\) has nothing but transparent pixels"),
    "opaque": (opaque_one, True, r"1 picture \(9\) has nothing transparent, unlike the others"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_found(case):
    change, serious, message = FAULTS[case]
    report = check.examine(capture(change=change))
    found = [f for f in report.findings if re.search(message, f.text)]
    assert len(found) == 1, [f.text for f in report.findings]
    assert found[0].serious == serious and (report.ok or serious)


def test_few_pictures_no_tests_no_alpha():
    few = capture(5, tests=0)
    assert any("only 5 pictures" in text for text in texts(few))
    assert any("no test pictures" in text for text in texts(few))
    assert not check.examine(few).ok
    opaque = capture(change=lambda pictures, _: pictures[..., 3].fill(255))
    assert any("no alpha and no masks" in text for text in texts(opaque))
    assert check.examine(opaque).subject is None and check.examine(opaque).alpha == "none"


def test_a_small_subject_comes_with_the_reason():
    eye = np.asarray(capture().cameras.pose[:, :3, 3]) * 5  # a lens as long as the way is far
    poses = np.asarray(look_at(jnp.asarray(eye), jnp.zeros(eye.shape)), np.float64)
    pictures = [
        balls.draw(p, SIZE, SIZE, (275.0, 275.0), CENTRE, points=0.3 * balls.CENTRES) for p in poses
    ]
    cameras = Camera(jnp.asarray(poses, jnp.float32), jnp.full((COUNT, 2), 275.0),
                     jnp.full((COUNT, 2), 24.0))  # fmt: skip
    small = Capture(np.stack(pictures), cameras, capture().splits)
    (text,) = texts(small)
    assert text.startswith("the subject fills 2") or text.startswith("the subject fills 3")


def test_the_page_shows_every_camera_and_picture():
    given = capture(change=away)
    page = sheet.draw(given, check.examine(given))
    assert page.dtype == np.uint8 and page.shape[1] == 1200 and 700 < page.shape[0] < 3000
    for colour in (sheet._RED, sheet._SPLITS["train"], sheet._SPLITS["test"]):
        assert (page == colour).all(-1).sum() > 100, colour
    good = capture()
    page = sheet.draw(good, check.examine(good))
    assert not (page == sheet._RED).all(-1).any()
    wide = dataclasses.replace(good, images=good.images[:, :8])  # thumbnails of any shape
    assert sheet.draw(wide, check.examine(wide)).shape[1] == 1200


def test_the_command(rodin, tmp_path):
    given = capture()
    write_capture(tmp_path / "mine", given.images, given.cameras, given.splits)
    page = tmp_path / "page.png"
    code, out, err = rodin("data", "check", tmp_path / "mine", "--out", page)
    assert code == 0 and err == "" and out.endswith(f"nothing wrong found\nwrote {page}\n")
    assert "pictures  20 train, 4 test; 48 x 48 pixels" in out
    with Image.open(page) as image:
        assert image.format == "PNG" and image.size[0] == 1200
    code, out, _ = rodin("data", "--json", "check", tmp_path / "mine")
    result = json.loads(out)
    assert code == 0 and out.count("\n") == 1 and result["ok"] and result["findings"] == []
    assert result["frames"] == {"train": 20, "test": 4} and result["out"] is None
    assert result["cube_fields"] == {"scale": 0.5, "offset": [0.5, 0.5, 0.5], "aabb_scale": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "page.png"]


def test_bad_requests_are_one_line_and_leave_nothing(rodin, tmp_path):
    given = capture(5, tests=0)
    write_capture(tmp_path / "mine", given.images, given.cameras)
    (tmp_path / "mine/train/r_0003.png").write_bytes(b"\x89PNG")
    for arguments, code, message in (
        ((tmp_path / "mine",), 1, "frames[3].file_path"),
        ((tmp_path / "mine", "--out", "page.gif"), 2, "expected a .png"),
        ((tmp_path / "none",), 1, "is not a folder"),
        ((), 2, "required: CAPTURE_DIR"),
    ):
        got, out, err = rodin("data", "check", *arguments)
        assert got == code and out == "" and err.count("\n") == 1 and message in err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
