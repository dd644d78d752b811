"""A folder of captures becomes a data set that reads like any other."""

import json
import os
import re

import balls
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import cameras
from rodin_jax.data.builder import load_subjects
from rodin_jax.data.capture import read_capture, write_capture
from rodin_jax.data.captures import pinholes, training_set
from rodin_jax.data.images import encode_png

SIZE = 32
LENS = (38.0, 38.0), (16.0, 16.0)


def folder(root, names=("ann", "bob", "cleo", "dan"), count=6):
    """Square captures in cube coordinates."""
    for k, name in enumerate(names):
        poses = balls.poses(count + (k == 1))
        pictures = np.stack([balls.draw(pose, SIZE, SIZE, *LENS) for pose in poses])
        pictures[..., 0] += np.uint8(k)  # subjects differ
        focal, centre = (jnp.tile(jnp.array(x), (len(poses), 1)) for x in LENS)
        given = cameras.Camera(jnp.asarray(poses, jnp.float32), focal, centre)
        write_capture(root / name, pictures, given)
    return root


def files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_captures_come_back_as_subjects(tmp_path):
    root = folder(tmp_path / "captures")
    (root / "ann/caption.txt").write_text("a  woman with red hair\n\na woman\n")
    (root / "bob/captions.json").write_text('["a man", "someone"]')
    (root / "captions.json").write_text('{"cleo": "an old person", "bob": "not this"}')
    (root / "cleo/attributes.json").write_text('{"hair": "grey"}')
    portrait = np.full((40, 64, 3), 200, np.uint8)
    (root / "dan/front.png").write_bytes(encode_png(portrait))
    (root / "_notes").mkdir()
    result = training_set.build(root, tmp_path / "out", size=SIZE)
    assert result["subjects"] == 4 and result["views"] == 24 and result["captioned"] == 3
    assert result["out"] == str(tmp_path / "out") and result["views_per_second"] > 0
    splits = {
        name: load_subjects(tmp_path / "out", name) for name in ("train", "validation", "test")
    }
    subjects = [s for name in splits for s in splits[name]]
    assert [s.id for s in subjects] == ["ann", "bob", "cleo", "dan"]
    assert {name: len(s) for name, s in splits.items()} == {"train": 2, "validation": 1, "test": 1}
    assert [s.captions for s in subjects] == [
        ("a woman with red hair", "a woman"), ("a man", "someone"), ("an old person",),
        ("a person",),
    ]  # fmt: skip
    assert subjects[2].attributes == {"hair": "grey"} and subjects[0].attributes == {}
    # Pictures of the wanted size are copied, and cameras with them.
    capture = read_capture(root / "ann")
    np.testing.assert_array_equal(subjects[0].views, capture.images)
    for name in ("pose", "focal", "centre"):
        np.testing.assert_array_equal(
            getattr(subjects[0].cameras, name), getattr(capture.cameras, name)
        )
    # Of seven pictures six, the same each time; the camera at azimuth 0 is in front.
    seven = read_capture(root / "bob")
    np.testing.assert_array_equal(subjects[1].views, seven.images[[0, 1, 2, 4, 5, 6]])
    np.testing.assert_array_equal(subjects[1].front, seven.images[0])
    assert (subjects[3].front == [200, 200, 200, 255]).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["captures", "out"]
    # The same captures give the same bytes.
    training_set.build(root, tmp_path / "again", size=SIZE)
    assert files(tmp_path / "again") == files(tmp_path / "out")


def test_views_are_cut_and_resized_with_their_cameras(tmp_path):
    focal, centre = (160.0, 158.0), (98.0, 61.0)  # wide pictures, the balls a little to the left
    poses = balls.poses(5)
    for name in "ab":
        pictures = [balls.draw(pose, 240, 130, focal, centre) for pose in poses]
        lens = dict(zip(("fl_x", "fl_y", "cx", "cy"), focal + centre, strict=True))
        frames = [{"transform_matrix": pose.tolist()} for pose in poses]
        balls.write(tmp_path / "in" / name, pictures, frames, {**lens, "scale": 0.5})
    training_set.build(tmp_path / "in", tmp_path / "out", size=96, views=4)
    subject = load_subjects(tmp_path / "out")[1]
    assert subject.views.shape == (4, 96, 96, 4) and subject.front.shape == (96, 96, 4)
    distances = []
    for i, picture in enumerate(subject.views):
        camera = jax.tree.map(lambda x, i=i: x[i], subject.cameras)
        wanted = np.asarray(cameras.project(camera, jnp.asarray(balls.CENTRES, jnp.float32)))
        for ball, x, y in balls.find(picture):
            others = np.delete(np.hypot(*(wanted - wanted[ball]).T), ball)
            if others.min() > 3 * balls.RADIUS:
                distances.append(np.hypot(*(wanted[ball] - (x, y))))
    assert len(distances) >= 4 and max(distances) < 0.3
    assert (subject.views[..., 3] > 127).any((1, 2)).all()


def test_the_square_shows_the_cube_and_stays_in_the_picture():
    camera = cameras.orbit(jnp.array([0.0, 50.0, 100.0]), jnp.zeros(3), 400)
    corner, edge = training_set.square(camera, 400, 300)
    assert (corner >= 0).all() and (corner + edge[:, None] <= [400, 300]).all()
    near = cameras.orbit(jnp.array([0.0]), jnp.zeros(1), 400, radius=8.0)
    corner, edge = training_set.square(near, 400, 400)
    places = np.asarray(cameras.project(
        jax.tree.map(lambda x: x[0], near), jnp.asarray(pinholes.CORNERS, jnp.float32)
    ))  # fmt: skip
    assert (places >= corner).all() and (places <= corner + edge[0] + 1).all() and edge[0] < 200
    inside = cameras.orbit(jnp.array([0.0]), jnp.zeros(1), 400, radius=0.5)
    np.testing.assert_array_equal(training_set.square(inside, 400, 300)[1], 300)


def test_the_command(rodin, tmp_path):
    root = folder(tmp_path / "in", ("a", "b"))
    out = tmp_path / "made" / "set"
    options = ("--size", 16, "--views", 3, "--json")
    code, said, err = rodin("data", "--from", root, *options, "--out", out)
    assert code == 0 and err == ""
    result = json.loads(said)
    assert result["subjects"] == 2 and result["views"] == 6 and result["out"] == str(out)
    assert load_subjects(out)[0].views.shape == (3, 16, 16, 4)
    code, said, err = rodin("data", "--from", root, "--out", out)
    assert code == 1 and "holds a data set already" in err and err.count("\n") == 1


def test_a_data_set_of_made_up_people_is_not_joined(tmp_path):
    root = folder(tmp_path / "in", ("a",))
    target = tmp_path / "out/rodin_avatars/smoke/2.0.0"
    target.mkdir(parents=True)
    (target / "features.json").write_text("{}")
    with pytest.raises(ValueError, match="holds a data set already"):
        training_set.build(root, tmp_path / "out", size=8)


def damage(root, name, text=None):
    path = root / name
    path.write_bytes(path.read_bytes()[:50]) if text is None else path.write_text(text)


BAD = {
    "picture": (lambda r: damage(r, "dan/train/r_0002.png"), r"dan/.*frames\[2\]\.file_path"),
    "stray": (lambda r: (r / "stray").mkdir(), "stray: holds no transforms"),
    "transforms": (lambda r: damage(r, "bob/transforms_train.json", "{"), "bob/transforms_train"),
    "captions": (lambda r: damage(r, "bob/captions.json", "[3]"), r"captions\[0\]: 3, expected a"),
    "no captions": (lambda r: damage(r, "bob/caption.txt", " \n"), "caption.txt: lines: expected"),
    "long": (
        lambda r: damage(r, "bob/caption.txt", "a " * 101),
        r"lines\[0\]: expected a sentence",
    ),
    "names": (lambda r: damage(r, "captions.json", '{"eve": "a"}'), "'eve' is not the name"),
    "attributes": (lambda r: damage(r, "bob/attributes.json", '{"a": 1}'), "a: 1, expected a text"),
    "portrait": (lambda r: damage(r, "bob/front.png", "hello"), "front.png: not a picture"),
    "link": (lambda r: os.symlink("/etc", r / "eve"), "eve: leaves the capture folder"),
    "caption link": (
        lambda r: os.symlink("/etc/hostname", r / "bob/caption.txt"),
        "caption.txt: leaves the capture folder",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_capture_stops_all_and_nothing_is_written(rodin, tmp_path, case):
    spoil, message = BAD[case]
    root = folder(tmp_path / "in", count=3)
    spoil(root)
    code, out, err = rodin("data", "--from", root, "--size", 8, "--out", tmp_path / "a/out")
    assert code == 1 and out == "" and err.count("\n") == 1 and re.search(message, err), err
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "none", "--out", "out"], 1, "none: is not a folder"),
        (["--from", "empty", "--out", "out"], 1, "has no sub-folders"),
        (["--from", "in", "--views", "9", "--out", "out"], 1, "3 pictures, expected 9 views"),
        (["--from", "in", "--size", "0", "--out", "out"], 2, "--size 0"),
        (["--from", "in", "--subjects", "3", "--out", "out"], 2, "--subjects: is for made-up"),
        (["--from", "in"], 2, "required: --out"),
        (["--from", "in", "--out", "file"], 1, "file"),
    ],
)
def test_bad_requests(rodin, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "in", ("a",), count=3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    got, out, err = rodin("data", *arguments)
    assert got == code and out == "" and err.count("\n") == 1 and message in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "in"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_killed_run_leaves_what_the_next_one_clears(tmp_path, monkeypatch):
    root = folder(tmp_path / "in", ("a", "b"), count=2)

    def stop(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_set, "_cut", stop)
        with pytest.raises(KeyboardInterrupt):
            training_set.build(root, tmp_path / "out", size=8)
    assert not (tmp_path / "out").exists()
    left = tmp_path / "out/rodin_captures/incomplete.ABC_1.0.0"  # as a kill would leave it
    left.mkdir(parents=True)
    (left / "features.json").write_text("{}")
    training_set.build(root, tmp_path / "out", size=8)
    assert not left.exists() and len(load_subjects(tmp_path / "out")) == 2
