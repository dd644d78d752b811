"""Fewer faces: how many, how far from the surface, and still closed."""

import sys
import types

import numpy as np
import pytest
from solids import CENTRE, RADIUS, ball, box, box_distance, position_colour

from rodin_jax import meshing
from rodin_jax.meshing import decimate

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)


def is_closed(faces):
    """Every edge is run along as often one way as the other."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, group = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    return not np.bincount(group.ravel(), np.sign(edges[:, 1] - edges[:, 0])).any()


@pytest.fixture(scope="module")
def meshes():
    pytest.importorskip("fast_simplification")
    return {
        field.__name__: meshing.extract(field, position_colour, resolution=48)
        for field in (ball, box)
    }


@pytest.mark.parametrize(("count", "error"), [(2000, 0.006), (500, 0.012)])
def test_a_ball_stays_round(meshes, count, error):
    mesh = meshes["ball"]
    vertices, faces = decimate(mesh.vertices, mesh.faces, count)
    assert 0.9 * count < len(faces) <= count and is_closed(faces)
    assert len(vertices) == len(np.unique(faces))
    middles = vertices[faces].mean(1)
    for points in (vertices, middles):
        assert np.abs(np.linalg.norm(points - CENTRE, axis=-1) - RADIUS).max() < error
    assert (meshing.vertex_normals(vertices, faces) * (vertices - CENTRE)).sum(-1).min() > 0.5


def test_flat_sides_need_few_faces(meshes):
    mesh = meshes["box"]
    before = np.abs(box_distance(mesh.vertices)).max()
    vertices, faces = decimate(mesh.vertices, mesh.faces, 300)
    assert len(faces) <= 300 and is_closed(faces)
    assert np.abs(box_distance(vertices)).max() < 1.5 * before
    assert np.median(np.abs(box_distance(vertices[faces].mean(1)))) < 0.002


def test_same_mesh_same_faces(meshes):
    mesh = meshes["ball"]
    first, second = (decimate(mesh.vertices, mesh.faces, 300) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_mesh_that_is_light_enough_is_left_alone():
    pytest.importorskip("fast_simplification")
    vertices, faces = decimate(CORNERS, TETRAHEDRON, 4)
    np.testing.assert_array_equal(vertices, CORNERS)
    np.testing.assert_array_equal(faces, TETRAHEDRON)


def test_sheets_back_to_back_are_dropped(monkeypatch):
    """A library that returns a tetrahedron and a flap of no volume between other points."""
    flap = np.array([[4, 5, 6], [4, 6, 5]], np.int32)
    vertices = np.concatenate([CORNERS, CORNERS[:3] + 2])

    library = types.ModuleType("fast_simplification")
    library.simplify = lambda *_args, **_kwargs: (vertices, np.concatenate([TETRAHEDRON, flap]))
    monkeypatch.setitem(sys.modules, "fast_simplification", library)
    kept, faces = decimate(vertices, np.repeat(TETRAHEDRON, 3, axis=0), 6)
    np.testing.assert_array_equal(kept, CORNERS)
    np.testing.assert_array_equal(faces, TETRAHEDRON)


def test_requests_that_make_no_sense(monkeypatch):
    with pytest.raises(ValueError, match="at least 4 faces, got 3"):
        decimate(CORNERS, TETRAHEDRON, 3)
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    with pytest.raises(meshing.MeshExtraError, match="pip install"):
        decimate(CORNERS, TETRAHEDRON, 4)
