"""Textures of known colours: what a bilinear look-up finds on a surface."""

import numpy as np
import pytest
from scipy import ndimage
from solids import ball, box, position_colour

from rodin_jax import meshing
from rodin_jax.meshing import bake

pytest.importorskip("xatlas")
SIZE = 256


def look_up(image, coordinates):
    """Bilinear look-ups, in levels of 0 to 255."""
    row, column = (coordinates * image.shape[0] - 0.5).T[::-1]
    channels = np.moveaxis(image.astype(np.float64), -1, 0)
    return np.stack(
        [ndimage.map_coordinates(c, [row, column], order=1, mode="nearest") for c in channels], -1
    )


def on_surface(mesh, texture, count=4000):
    """Random points of a mesh's faces: position, interpolated normal, texture coordinates."""
    rng = np.random.default_rng(0)
    face = rng.integers(len(mesh.faces), size=count)
    weights = rng.dirichlet(np.ones(3), count)[..., None]
    points, normals = (
        (array[mesh.faces[face]] * weights).sum(1) for array in (mesh.vertices, mesh.normals)
    )
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return points, normals, (texture.coordinates[texture.faces[face]] * weights).sum(1)


def areas(vertices, faces):
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=-1)


@pytest.fixture(scope="module", params=[ball, box])
def mesh(request):
    return meshing.extract(request.param, position_colour, resolution=24, texture=SIZE)


def test_look_ups_find_the_colour_below_the_surface(mesh):
    points, normals, coordinates = on_surface(mesh, mesh.texture)
    expected = (points - normals / 23 + 1) / 2 * 255
    error = np.abs(look_up(mesh.texture.image, coordinates) - expected).max(-1)
    # Seams are no worse: look-ups across the border of a chart find the colour of the border.
    assert np.percentile(error, 99) < 1 and error.max() < 2


def test_every_face_has_its_share_of_the_picture(mesh):
    texture = mesh.texture
    np.testing.assert_array_equal(texture.vertices[texture.faces], mesh.faces)
    assert texture.coordinates.min() >= 0 and texture.coordinates.max() <= 1
    flat = np.pad(texture.coordinates, ((0, 0), (0, 1)))
    share = areas(flat, texture.faces)
    assert 0.3 < share.sum() < 1
    area = areas(mesh.vertices, mesh.faces)
    fine = (share / share.sum())[area > 1e-6] / (area / area.sum())[area > 1e-6]
    assert np.percentile(fine, 2) > 0.5 and np.percentile(fine, 98) < 2.5


def test_neighbours_in_the_picture_do_not_bleed():
    """Two balls of two colours: no look-up on one, not even at a border, finds the other's."""

    def two(points):
        return ball(points, np.array([-0.5, 0, 0]), 0.3) + ball(points, np.array([0.5, 0, 0]), 0.3)

    def colour(points, directions):
        return np.where(points[:, :1] < 0, [1.0, 0, 0], [0, 0, 1.0])

    mesh = meshing.extract(two, colour, resolution=32, texture=128)
    found = look_up(mesh.texture.image, mesh.texture.coordinates)
    expected = mesh.colours[mesh.texture.vertices]
    assert {tuple(c) for c in expected} == {(255, 0, 0), (0, 0, 255)}
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (mesh.texture.image.reshape(-1, 3).sum(-1) == 255).all()  # every texel is painted


def test_texels_are_seen_head_on():
    mesh = meshing.extract(ball, lambda p, d: (d + 1) / 2, resolution=24, texture=SIZE)
    _, normals, coordinates = on_surface(mesh, mesh.texture)
    found = look_up(mesh.texture.image, coordinates) / 255
    assert np.percentile(np.abs(found - (1 - normals) / 2), 99) < 0.02


def test_same_mesh_same_texture(mesh):
    def paint(points, normals):
        return np.round((points + 1) / 2 * 255).astype(np.uint8)

    first, second = (bake(mesh.vertices, mesh.faces, mesh.normals, 64, paint) for _ in range(2))
    for name in ("image", "coordinates", "vertices", "faces"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_texture_must_have_some_texels(mesh):
    with pytest.raises(ValueError, match="at least 16 texels an edge, got 8"):
        bake(mesh.vertices, mesh.faces, mesh.normals, 8, lambda p, n: p)


def test_large_pictures_are_painted_in_batches(monkeypatch, mesh):
    calls = []

    def paint(points, normals):
        calls.append(len(points))
        return np.round((points + 1) / 2 * 255).astype(np.uint8)

    whole = bake(mesh.vertices, mesh.faces, mesh.normals, 64, paint)
    monkeypatch.setattr("rodin_jax.meshing.texturing._BATCH", 1000)
    pieces = bake(mesh.vertices, mesh.faces, mesh.normals, 64, paint)
    assert calls == [4096, 1000, 1000, 1000, 1000, 96]
    np.testing.assert_array_equal(whole.image, pieces.image)
