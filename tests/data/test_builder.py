"""Data sets: the same bytes on any number of processes, restartable, read in any order."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.cameras import orbit
from rodin_jax.data import avatars, render_subjects
from rodin_jax.data.builder import generate, load_subjects
from rodin_jax.data.presets import split_subjects


@pytest.fixture
def painter(monkeypatch):
    """A renderer that takes no time: plain colours that name the subject and the view."""
    painted = []

    def render(spec, cameras, size):
        painted.append(spec)
        colours = np.arange(cameras.pose.shape[0], dtype=np.uint8)[:, None, None, None]
        return np.broadcast_to(colours, (len(colours), size, size, 4)) + np.uint8(spec)

    monkeypatch.setattr(avatars, "sample_spec", lambda seed, index: 100 * seed + index)
    monkeypatch.setattr(avatars, "attributes", lambda spec: {"age": str(spec)})
    monkeypatch.setattr(
        avatars, "captions", lambda spec, seed, count: [f"é{spec}-{i}" for i in range(count)]
    )
    monkeypatch.setattr(avatars, "render", render)
    monkeypatch.setattr(
        avatars,
        "training_cameras",
        lambda seed, index, views, size: orbit(jnp.arange(views) * 9.0, jnp.zeros(views), size),
    )
    monkeypatch.setattr(avatars, "front_camera", lambda size: orbit(0.0, 0.0, size))
    return painted


def files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_subjects_come_back_in_order_with_everything(tmp_path, painter):
    summary = generate("smoke", 21, tmp_path, seed=1, views=3, size=8, processes=1)
    assert summary["subjects"] == 21 and summary["views"] == 63 and summary["out"] == str(tmp_path)
    assert summary["views_per_second"] > 0
    splits = {name: load_subjects(tmp_path, name) for name in ("train", "validation", "test")}
    assert {name: len(s) for name, s in splits.items()} == {
        "train": 19, "validation": 1, "test": 1,
    }  # fmt: skip
    subject = splits["validation"][0]
    assert subject.id == "1-000019" and subject.attributes == {"age": "119"}
    assert subject.captions == tuple(f"é119-{i}" for i in range(8))
    assert subject.views.shape == (3, 8, 8, 4) and subject.front.shape == (8, 8, 4)
    np.testing.assert_array_equal(subject.views[:, 0, 0, 0], [119, 120, 121])
    assert (subject.front == 122).all()
    want = orbit(jnp.arange(3) * 9.0, jnp.zeros(3), 8)
    for name in ("pose", "focal", "centre"):
        np.testing.assert_array_equal(getattr(subject.cameras, name), getattr(want, name))
    ids = [s.id for name in splits for s in splits[name]]
    assert ids == [f"1-{i:06d}" for i in range(21)]
    with pytest.raises(IndexError):
        splits["test"][1]


def test_fronts_and_captions_can_be_read_alone(tmp_path, painter):
    generate("smoke", 3, tmp_path, views=2, size=8, processes=1)
    subject = load_subjects(tmp_path, views=False)[0]
    assert subject.views.shape == (0, 8, 8, 4) and subject.cameras.pose.shape == (0, 4, 4)
    assert (subject.front == 2).all() and subject.captions[0] == "é0-0"


def test_a_killed_run_renders_only_what_is_missing(tmp_path, painter, monkeypatch):
    write, written = render_subjects.records.write_shard, []

    def die_on_the_third(path, made):
        if len(written) == 2:
            path.with_name(path.name + ".partial").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path)
        write(path, made)

    with monkeypatch.context() as patch:
        patch.setattr(render_subjects.records, "write_shard", die_on_the_third)
        with pytest.raises(KeyboardInterrupt):
            generate("smoke", 30, tmp_path / "a", views=2, size=8, processes=1)
    with pytest.raises(ValueError, match="expected one data set"):
        load_subjects(tmp_path / "a")
    painter.clear()
    generate("smoke", 30, tmp_path / "a", views=2, size=8, processes=1)
    assert painter == list(range(16, 30))
    generate("smoke", 30, tmp_path / "b", views=2, size=8, processes=1)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    painter.clear()
    again = generate("smoke", 30, tmp_path / "a", views=2, size=8, processes=1)
    assert painter == [] and again["views"] == 60 and again["views_per_second"] == 0


def test_a_data_set_made_with_other_numbers_is_not_overwritten(tmp_path, painter):
    generate("smoke", 3, tmp_path, views=2, size=8, processes=1)
    with pytest.raises(ValueError, match="holds a data set of"):
        generate("smoke", 4, tmp_path, views=2, size=8, processes=1)
    assert len(load_subjects(tmp_path)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "huge"}, "preset: got 'huge', expected one of smoke"),
        ({"subjects": 0}, "subjects must be positive, got 0"),
        ({"views": -1}, "views must be positive"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_impossible_requests_say_why_and_leave_nothing(tmp_path, options, message):
    options = {"preset": "smoke", "subjects": 2, "out": tmp_path / "out", **options}
    with pytest.raises(ValueError, match=message):
        generate(**options)
    assert not (tmp_path / "out").exists()


def test_reading_what_is_not_there_says_what_is(tmp_path, painter):
    with pytest.raises(ValueError, match="found none"):
        load_subjects(tmp_path)
    generate("smoke", 2, tmp_path, views=1, size=8, processes=1)
    with pytest.raises(ValueError, match="no split 'test', expected one of train"):
        load_subjects(tmp_path, "test")


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100])
def test_splits_part_the_subjects(count):
    parts = split_subjects(count)
    assert [i for part in parts.values() for i in part] == list(range(count))
    assert len(parts) == (3 if count >= 3 else 1)


def test_real_avatars_have_the_same_bytes_on_one_process_and_on_two(tmp_path):
    for processes in (1, 2):  # nine subjects are two chunks
        out = tmp_path / str(processes)
        generate("smoke", 9, out, seed=5, views=1, size=8, processes=processes)
    one = files(tmp_path / "1")
    assert one == files(tmp_path / "2")
    metadata = json.loads(one["rodin_avatars/smoke/2.0.0/metadata.json"])
    assert metadata["seed"] == 5 and metadata["subjects"] == 9
    subject = load_subjects(tmp_path / "1")[0]
    assert subject.front[..., 3].max() == 255 and subject.front[0, 0, 3] == 0
    assert "tensorflow" not in sys.modules


def test_several_sets_are_read_as_one(tmp_path, painter):
    generate("smoke", 4, tmp_path / "a", seed=1, views=1, size=8, processes=1)
    generate("smoke", 6, tmp_path / "b", seed=2, views=2, size=8, processes=1)
    both = load_subjects(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    ids = [s.id for name in ("a", "b") for s in load_subjects(tmp_path / name)]
    assert [s.id for s in both] == ids and both[-1].id == ids[-1]
    assert len({s.id[0] for s in both}) == 2 and len(both[-1].views) == 2
    with pytest.raises(IndexError):
        both[len(both)]
