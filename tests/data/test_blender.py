"""Blender as a source of views: the same people, cameras and files; and what runs without it."""

import dataclasses
import importlib.util
import json

import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import cli
from rodin_jax.cameras import orbit, project
from rodin_jax.data import avatars, blender, render_subjects
from rodin_jax.data.avatars import spec as words
from rodin_jax.data.blender import fields, person
from rodin_jax.data.blender.head import Head
from rodin_jax.data.blender.parts import Part, Surface, sphere, tube
from rodin_jax.data.builder import generate, load_subjects


def someone(**changes):
    return dataclasses.replace(avatars.sample_spec(0, 3), **changes)


@pytest.fixture
def without_blender(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "bpy" else find(name, *a)
    )


@pytest.fixture
def painter(monkeypatch):
    """A source that takes no time."""

    def draw(source):
        return lambda spec, cameras, size: np.zeros((len(cameras.pose), size, size, 4), np.uint8)

    monkeypatch.setattr(render_subjects, "_draw", draw)


# Without Blender.


def test_where_blender_is_missing_one_line_says_what_to_install(rodin, tmp_path, without_blender):
    out = tmp_path / "out"
    code, _, err = rodin("data", "--preset", "smoke", "--source", "blender", "--out", out)
    lines = err.strip().splitlines()
    assert code == 1 and len(lines) == 1
    assert "pip install 'rodin_jax[blender]'" in lines[0]
    assert not any(out.iterdir())


def test_the_source_is_written_down_and_old_data_sets_stay_readable(tmp_path, painter, monkeypatch):
    monkeypatch.setattr(blender, "require", lambda: None)
    folder = "rodin_avatars/smoke/2.0.0/metadata.json"
    for source in ("jax", "blender"):
        generate("smoke", 2, tmp_path / source, views=1, size=8, processes=1, source=source)
        assert json.loads((tmp_path / source / folder).read_text())["source"] == source
    # A data set from before there was a choice.
    metadata = tmp_path / "jax" / folder
    old = json.loads(metadata.read_text())
    del old["source"]
    metadata.write_text(json.dumps(old))
    again = generate("smoke", 2, tmp_path / "jax", views=1, size=8, processes=1)
    assert again["views_per_second"] == 0 and len(load_subjects(tmp_path / "jax")) == 2
    with pytest.raises(ValueError, match="holds a data set of"):
        generate("smoke", 2, tmp_path / "jax", views=1, size=8, processes=1, source="blender")


def test_chunks_from_before_there_was_a_choice_are_kept(tmp_path, painter):
    plan = render_subjects.RenderPlan(seed=0, subjects=1, views=1, size=8)
    assert render_subjects.render_all(plan, tmp_path, processes=1) == 1
    stored = json.loads((tmp_path / "plan.json").read_text())
    del stored["source"]
    (tmp_path / "plan.json").write_text(json.dumps(stored))
    assert render_subjects.render_all(plan, tmp_path, processes=1) == 0
    other = dataclasses.replace(plan, source="blender")
    assert render_subjects.render_all(other, tmp_path, processes=1) == 1


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="source: got 'maya', expected one of jax, blender"):
        render_subjects.RenderPlan(seed=0, subjects=1, views=1, size=8, source="maya")


def volume(part: Part) -> float:
    """Of a closed mesh; positive if its faces look outwards."""
    faces = part.faces
    if faces.shape[1] == 4:
        faces = np.concatenate([faces[:, :3], faces[:, [0, 2, 3]]])
    a, b, c = (part.vertices[faces[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_meshes_have_the_volume_of_their_shape_and_look_outwards():
    plain = Surface("plastic")
    assert volume(sphere((1, 2, 3), (0.5, 0.4, 0.3), plain, rings=40)) == pytest.approx(
        4 / 3 * np.pi * 0.5 * 0.4 * 0.3, rel=0.01
    )
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
    torus = tube(circle, 0.1, plain, closed=True, sides=32)
    assert volume(torus) == pytest.approx(2 * np.pi**2 * 0.01, rel=0.02)
    straight = tube(np.array([[0, 0, 0.0], [1, 0, 0]]), 0.1, plain, sides=32)
    assert volume(straight) == pytest.approx(np.pi * 0.01 + 4 / 3 * np.pi * 0.001, rel=0.1)


def test_a_field_s_mesh_is_its_zero():
    def ball(p):
        return fields.ellipsoid(p, (0.1, 0, 0), (0.4, 0.3, 0.2))

    vertices, faces = fields.surface(ball, (-0.6,) * 3, (0.6,) * 3, 0.02)
    assert volume(Part(vertices, faces, Surface("skin"))) == pytest.approx(
        4 / 3 * np.pi * 0.4 * 0.3 * 0.2, rel=0.02
    )
    assert np.abs(ball(vertices)).max() < 0.004
    assert np.abs(ball(fields.settle(ball, vertices, lift=0.05)) - 0.05).max() < 1e-3


def test_everybody_is_finite_inside_the_cube_and_made_of_known_materials():
    from rodin_jax.data.blender.materials import _PRINCIPLED

    known = {*_PRINCIPLED, "hair", "clear lens"}
    vocabulary = {
        "hair_style": words.HAIR_STYLE, "facial_hair": words.FACIAL_HAIR,
        "expression": words.EXPRESSION, "clothing": words.CLOTHING, "headwear": words.HEADWEAR,
        "glasses": words.GLASSES, "earrings": words.EARRINGS, "nose": words.NOSE,
        "eye_shape": words.EYE_SHAPE, "pattern": words.PATTERN, "brow_shape": words.BROW_SHAPE,
    }  # fmt: skip
    # Every word of every table occurs once in this many people.
    for i in range(max(map(len, vocabulary.values()))):
        changes = {name: table[i % len(table)] for name, table in vocabulary.items()}
        parts, strands = person.build(someone(presentation="man", **changes))
        for part in parts:
            assert part.surface.kind in known and part.faces.max() < len(part.vertices)
            assert np.isfinite(part.vertices).all() and np.abs(part.vertices).max() < 1
        for group in strands:
            assert np.isfinite(group.points).all() and np.abs(group.points).max() < 1
            assert group.points.shape[:2] == group.radius.shape and group.radius.min() > 0


@pytest.mark.parametrize("style", ["side part", "long", "braids"])
def test_hair_stays_out_of_the_skull_and_on_it(style):
    head = Head(someone(hair_style=style, headwear="none"))
    _, strands = person.build(head.spec)
    points = np.concatenate([g.points.reshape(-1, 3) for g in strands if len(g.points) > 450])
    depth = head.skull(points)
    # Roots go a little under the skin.
    assert depth.min() > -0.03 and (depth < -0.012).mean() < 0.01


def test_the_same_spec_gives_the_same_arrays_and_another_detail_other_hair():
    one, two = (person.build(someone())[1] for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
    other = person.build(someone(detail=1))[1]
    assert not np.array_equal(one[-1].points, other[-1].points)


# With Blender.


@pytest.fixture(scope="module")
def bpy():
    return pytest.importorskip("bpy")


def render(*arguments, **options):
    from rodin_jax.data.blender.render import render

    return render(*arguments, **options)


def test_a_point_lands_on_its_pixel(bpy):
    from rodin_jax.data.blender import scene
    from rodin_jax.data.blender.camera import place
    from rodin_jax.data.blender.render import shoot

    size, point = 48, np.array([0.25, -0.3, 0.4])
    camera = orbit(np.array([35.0, -110.0]), np.array([20.0, -15.0]), size, radius=2.5, fov=45.0)
    camera = dataclasses.replace(camera, centre=camera.centre + jnp.array([3.25, -5.5]))
    stage = scene.empty(samples=128, threads=1)
    scene.add_part(stage, sphere(point, (0.05,) * 3, Surface("plastic")))
    expected = np.asarray(project(camera, jnp.tile(jnp.asarray(point, jnp.float32), (2, 1))))
    for i, picture in enumerate(shoot(stage, camera, size)):
        weight = picture[..., 3].astype(float)
        y, x = np.mgrid[:size, :size] + 0.5
        centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(centre, expected[i], atol=0.05)
    with pytest.raises(ValueError, match="square"):
        place(stage.camera, np.eye(4), (40.0, 50.0), (24.0, 24.0), size)


def test_views_have_a_person_on_clear_air_and_the_same_bytes_again(bpy):
    spec = someone(headwear="none")
    cameras = avatars.training_cameras(0, 3, 2, 40)
    views = render(spec, cameras, 40, samples=4)
    alpha = views[..., 3]
    assert views.shape == (2, 40, 40, 4) and views.dtype == np.uint8
    assert alpha.max() == 255 and 0.1 < (alpha > 128).mean() < 0.7
    assert (alpha[:, 0] == 0).all() and (alpha[:, :, 0] == 0).all()
    assert 40 < views[alpha == 255][:, :3].mean() < 230
    np.testing.assert_array_equal(views, render(spec, cameras, 40, samples=4, threads=2))
    other = render(dataclasses.replace(spec, skin="ebony"), cameras, 40, samples=4)
    assert not np.array_equal(views, other)


def test_a_data_set_of_blender_s_people(bpy, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("rodin_jax.data.blender.render.SAMPLES", 2)
    code = cli.main(
        ["data", "--preset", "smoke", "--source", "blender", "--views", "2", "--subjects", "1",
         "--processes", "1", "--json", "--out", str(tmp_path)]
    )  # fmt: skip
    out = capfd.readouterr().out.strip().splitlines()
    assert code == 0 and len(out) == 1 and json.loads(out[0])["views"] == 2
    subject = load_subjects(tmp_path)[0]
    assert subject.views.shape == (2, 32, 32, 4) and subject.front[..., 3].max() == 255
    assert subject.captions[0] and set(subject.attributes) == set(
        avatars.attributes(avatars.sample_spec(0, 0))
    )
