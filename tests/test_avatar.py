"""An avatar of known shape: what cameras see, what the mesh measures, what comes back from disk."""

import dataclasses
import json
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_bundle
import trimesh
from imageio_ffmpeg import get_ffmpeg_exe

from rodin_jax import avatar_programs, provenance
from rodin_jax.avatar import Avatar, AvatarError, Media
from rodin_jax.cameras import image_rays, orbit
from rodin_jax.nn import weights
from rodin_jax.nn.decoder import Decoder, field

MEDIA = Media(frames=8, size=32, portrait=32, resolution=32)
RED, BLUE = [255, 0, 0], [0, 0, 255]


@pytest.fixture(scope="module")
def ball():
    return tiny_bundle.ball()


@pytest.fixture(scope="module")
def saved(ball, tmp_path_factory):
    return ball.save(tmp_path_factory.mktemp("avatar") / "ball", media=MEDIA)


def test_cameras_go_round_the_face(ball):
    front, left, back = (ball.render(a, 0, 32) for a in (0, 90, 180))
    assert front.shape == (32, 32, 3) and front.dtype == np.uint8
    np.testing.assert_allclose(front[16, 16], RED, atol=12)
    np.testing.assert_allclose(back[16, 16], BLUE, atol=12)
    # From the subject's left the face is on the picture's left.
    np.testing.assert_allclose(left[16, 11], RED, atol=12)
    np.testing.assert_allclose(left[16, 21], BLUE, atol=12)
    np.testing.assert_array_equal(front[0, 0], [255, 255, 255])


def test_transparent_pictures_have_straight_alpha(ball):
    rgba = ball.render(0, 0, 32, background=None)
    assert rgba.shape == (32, 32, 4)
    assert rgba[0, 0, 3] == 0 and rgba[16, 16, 3] == 255
    edge = rgba[(rgba[..., 3] > 60) & (rgba[..., 3] < 200)]
    assert len(edge) and (edge[:, 0] > 100).all()  # not darkened by the missing half
    # A ball of radius r at distance d covers a disc of radius f r / sqrt(d^2 - r^2).
    radius = 16 / np.tan(np.radians(20)) * 0.6 / np.sqrt(9 - 0.36)
    np.testing.assert_allclose(rgba[..., 3].sum() / 255, np.pi * radius**2, rtol=0.15)


def test_many_cameras_see_what_each_sees_alone(ball):
    programs = avatar_programs.render._cache_size()
    pictures = ball.render(np.array([0, 90, 200]), 10, 24)
    alone = [ball.render(a, 10, 24) for a in (0, 90, 200)]
    np.testing.assert_array_equal(pictures, alone)
    grid = ball.render([[0], [90]], [5, 10, 20], 24, background=None, radius=2.5)
    assert grid.shape == (2, 3, 24, 24, 4)
    np.testing.assert_array_equal(grid[1, 2], ball.render(90, 20, 24, background=None, radius=2.5))
    assert avatar_programs.render._cache_size() == programs + 1
    assert ball.render(np.zeros(0), 10, 24).shape == (0, 24, 24, 3)


def test_layers_know_how_far_the_ball_is_and_where_it_faces(ball):
    programs = avatar_programs.layers._cache_size()
    angles = np.array([0.0, 35.0, 250.0])
    layers = ball.layers(angles, 15.0, 48)
    assert layers.rgba.shape == (3, 48, 48, 4) and layers.normals.shape == (3, 48, 48, 3)
    camera = orbit(angles, 15.0, 48, radius=3.0, fov=40.0)
    rays = image_rays(camera, 48, 48)
    origins, directions = np.asarray(rays.origins), np.asarray(rays.directions)
    along = (origins * directions).sum(-1)
    across = (origins**2).sum(-1) - along**2
    seen = np.isfinite(layers.depth)
    sky = across > tiny_bundle.BALL_RADIUS**2
    np.testing.assert_allclose(seen.mean(), 1 - sky.mean(), rtol=0.15)
    # Where rays do not graze the soft rim, the ball is met within 1 % of the cube's edge.
    middle = across < 0.7 * tiny_bundle.BALL_RADIUS**2
    radius = tiny_bundle.half_way(np.sqrt(np.maximum(1 - across / tiny_bundle.BALL_RADIUS**2, 0.3)))
    expected = -along - np.sqrt(np.maximum(radius**2 - across, 0))
    assert np.abs(layers.depth - expected)[middle].max() < 0.02
    assert np.abs(layers.depth - expected)[middle].mean() < 0.004
    points = origins + expected[..., None] * directions
    cosine = ((layers.normals * points).sum(-1) / radius)[middle]
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 5
    np.testing.assert_allclose(np.linalg.norm(layers.normals[seen], axis=-1), 1, atol=1e-5)
    assert (layers.normals * directions).sum(-1)[seen].max() < 1e-5
    assert np.isinf(layers.depth[~seen]).all() and not layers.normals[~seen].any()
    assert avatar_programs.layers._cache_size() == programs + 1


def test_layers_of_many_are_those_of_each(ball):
    both = ball.layers([0, 90], 10, 24)
    for i, angle in enumerate((0, 90)):
        one = ball.layers(angle, 10, 24)
        for name in ("rgba", "depth", "normals"):
            np.testing.assert_array_equal(getattr(both, name)[i], getattr(one, name))
    picture = ball.render(90, 10, 24, background=None)
    np.testing.assert_array_equal(np.round(both.rgba[1] * 255), picture)


def test_mesh_is_the_ball(ball):
    mesh = ball.mesh(48)
    reference = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert reference.is_watertight
    np.testing.assert_allclose(mesh.volume, 4 / 3 * np.pi * tiny_bundle.BALL_RADIUS**3, rtol=0.05)
    front = mesh.colours[mesh.vertices[:, 1].argmin()]
    np.testing.assert_allclose(front, RED, atol=12)


def test_a_folder_opens_without_its_bundle(ball, saved):
    names = ["avatar.json", "mesh.glb", "planes.safetensors", "preview.png", "turntable.mp4"]
    assert sorted(p.name for p in saved.iterdir()) == names
    loaded = Avatar.load(saved)
    assert loaded.recipe == ball.recipe and loaded.decoder == ball.decoder
    np.testing.assert_array_equal(loaded.planes, ball.planes)
    np.testing.assert_array_equal(loaded.render(30, 10, 32), ball.render(30, 10, 32))


def test_same_avatar_same_bytes(saved, tmp_path):
    again = Avatar.load(saved).save(tmp_path / "again", media=MEDIA)
    for file in saved.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name


def test_every_file_says_where_it_comes_from(saved):
    text = provenance.read_png(saved / "preview.png")
    assert text["prompt"] == "a ball" and text["seed"] == "1"
    assert text["notice"] == "AI-generated" and text["generator"].startswith("rodin_jax ")
    record = json.loads((saved / "avatar.json").read_text())
    assert record["prompt"] == "a ball" and record["notice"] == "AI-generated"
    command = [get_ffmpeg_exe(), "-i", str(saved / "turntable.mp4")]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    assert "AI-generated" in said and "a ball" in said
    scene = trimesh.load(saved / "mesh.glb")
    assert scene.to_mesh().visual.kind == "vertex"
    assert b"AI-generated" in (saved / "mesh.glb").read_bytes()[:2000]


@pytest.fixture(scope="module")
def refinable(ball):
    """The ball with a refiner that adds something to every picture."""
    net, params = tiny_bundle.refiner()
    return dataclasses.replace(ball, refiner=net, refiner_params=params)


def test_refined_pictures_have_the_size_that_was_asked_for(ball, refinable):
    many = refinable.render([0, 90], 10, 48, refine=True)
    assert many.shape == (2, 48, 48, 3) and many.dtype == np.uint8
    np.testing.assert_array_equal(many[1], refinable.render(90, 10, 48, refine=True))
    truth = ball.render(0, 10, 48, background=(0.0, 0.5, 0))
    nothing = jax.tree.map(jnp.zeros_like, refinable.refiner_params)
    plain = dataclasses.replace(refinable, refiner_params=nothing)
    picture = plain.render(0, 10, 48, background=(0.0, 0.5, 0), refine=True)
    np.testing.assert_array_equal(picture[0, 0], [0, 128, 0])
    assert np.abs(many[0].astype(float) - plain.render(0, 10, 48, refine=True)).mean() > 1
    # Untrained, it is a resize, which differs from a larger picture at edges only.
    error = np.abs(picture.astype(int) - truth).max(-1)
    assert np.median(error) == 0 and (error > 20).mean() < 0.15


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": 33}, "must be even"), ({"background": None}, "need a background")],
)
def test_pictures_that_cannot_be_refined(ball, refinable, options, message):
    with pytest.raises(ValueError, match=message):
        refinable.render(**{"size": 32, "refine": True} | options)
    with pytest.raises(ValueError, match=r"has no refiner.*with_refiner"):
        ball.render(size=32, refine=True)


def test_a_folder_carries_its_refiner_if_asked(refinable, tmp_path):
    without = Avatar.load(refinable.save(tmp_path / "without", media=None))
    assert without.refiner is None
    folder = refinable.save(tmp_path / "with", media=None, refiner=True)
    loaded = Avatar.load(folder)
    assert {name: getattr(loaded.refiner, name) for name in tiny_bundle.REFINER} == (
        tiny_bundle.REFINER
    )
    np.testing.assert_array_equal(
        loaded.render(30, 10, 48, refine=True), refinable.render(30, 10, 48, refine=True)
    )
    for fields, message in (
        ({"blocks": 10**9}, "'refiner' describes no network"),
        ({"channels": 5}, "refiner: tensor"),
        ({"dtype": "nonsense"}, "'refiner' describes no network"),
    ):
        _change(folder, refiner={**_document(folder)["refiner"], **fields})
        with pytest.raises(AvatarError, match=message):
            Avatar.load(folder)
        refinable.save(folder, media=None, refiner=True)


def test_without_media_only_what_load_reads(ball, tmp_path):
    folder = ball.save(tmp_path / "ball", media=None)
    assert sorted(p.name for p in folder.iterdir()) == ["avatar.json", "planes.safetensors"]


def test_folders_of_both_forms_of_decoder_open(ball, tmp_path):
    decoder = Decoder(octaves=0, form="products")
    planes = jax.random.normal(jax.random.key(0), (3, 8, 8, 4))
    point = jnp.ones((1, 3)) / 2
    params = decoder.init(jax.random.key(1), decoder.look_up(planes, point), point)["params"]
    Avatar(planes, decoder, params, ball.recipe).write(tmp_path, media=None)
    again = Avatar.load(tmp_path)
    assert again.decoder == decoder
    wanted, found = (
        field(decoder, p, y)(point, point)
        for p, y in ((params, planes), (again.params, again.planes))
    )
    jax.tree.map(np.testing.assert_array_equal, wanted, found)
    # Those written when there was but one do not say which.
    old = tmp_path / "old"
    old.mkdir()
    ball.write(old, media=None)
    document = json.loads((old / "avatar.json").read_text())
    del document["decoder"]["form"]
    (old / "avatar.json").write_text(json.dumps(document))
    assert Avatar.load(old).decoder == ball.decoder


@pytest.mark.parametrize("name", ["x.glb", "x.obj"])
def test_light_textured_meshes_are_written_the_same_each_time(ball, tmp_path, name):
    pytest.importorskip("fast_simplification")
    pytest.importorskip("xatlas")
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        assert ball.export(folder / name, 32, faces=500, texture=128) == folder / name
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) == {"x.glb": 1, "x.obj": 3}[name]
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    loaded = trimesh.load(tmp_path / "a" / name, force="mesh")
    assert loaded.visual.kind == "texture" and len(loaded.faces) <= 500
    # The face is red, the back blue; in glTF the subject faces +z.
    front = loaded.vertices[:, 2].argmax() if name == "x.glb" else loaded.vertices[:, 1].argmin()
    colours = loaded.visual.to_color().vertex_colors
    np.testing.assert_allclose(colours[front, :3], RED, atol=12)


def test_a_ply_cannot_have_a_texture(ball, tmp_path):
    with pytest.raises(ValueError, match="one of glb, obj"):
        ball.export(tmp_path / "x.ply", 16, texture=64)
    assert trimesh.load(ball.export(tmp_path / "x.ply", 16)).visual.kind == "vertex"


def test_fog_still_has_a_mesh(ball):
    thin = Avatar(ball.planes, ball.decoder.clone(density_scale=0.1), ball.params, ball.recipe)
    assert thin.mesh(16).volume > 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "avatar.json").unlink(), "not an avatar"),
        (lambda d: (d / "avatar.json").write_text("{"), "avatar.json: damaged"),
        (lambda d: (d / "avatar.json").write_text('{"format": 9}'), "format 9, expected 1"),
        (lambda d: _change(d, z=["nan"]), "'z' is not finite"),
        (lambda d: _change(d, decoder={"width": 5}), "decoder: tensor"),
        (lambda d: _change(d, decoder={"wide": 5}), "damaged"),
        (lambda d: (d / "planes.safetensors").write_bytes(b"no"), "not a readable safetensors"),
        (lambda d: _tensors(d, planes=np.zeros((3, 8, 8), "f4")), r"\[3, h, w, c\]"),
        (lambda d: _tensors(d, planes=np.full((3, 8, 8, 2), np.nan, "f4")), "NaN"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(ball, tmp_path, damage, message):
    folder = ball.save(tmp_path / "ball", media=None)
    damage(folder)
    with pytest.raises(AvatarError, match=message) as caught:
        Avatar.load(folder)
    assert "\n" not in str(caught.value)


def _document(folder):
    return json.loads((folder / "avatar.json").read_text())


def _change(folder, **fields):
    (folder / "avatar.json").write_text(json.dumps(_document(folder) | fields))


def _tensors(folder, **arrays):
    from safetensors.numpy import save_file

    flat = weights.flatten(weights.load_params(folder / "planes.safetensors"))
    flat = {name: np.asarray(value) for name, value in flat.items()}
    save_file(flat | arrays, folder / "planes.safetensors")
