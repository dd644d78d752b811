"""Meshes of known solids: size, sides, axes, colours, fewer faces and textures."""

import sys

import numpy as np
import pytest
import trimesh
from solids import CENTRE, RADIUS, ball, box, box_distance, position_colour

from rodin_jax import meshing


@pytest.fixture(scope="module")
def sphere():
    return meshing.extract(ball, position_colour, resolution=64, chunk=50000)


def test_ball_has_its_size_and_place(sphere):
    reference = trimesh.Trimesh(sphere.vertices, sphere.faces, process=False)
    assert reference.is_watertight and reference.is_winding_consistent
    np.testing.assert_allclose(sphere.volume, 4 / 3 * np.pi * RADIUS**3, rtol=0.01)
    np.testing.assert_allclose(reference.area, 4 * np.pi * RADIUS**2, rtol=0.02)
    np.testing.assert_allclose(reference.center_mass, CENTRE, atol=0.005)
    np.testing.assert_allclose(sphere.volume, reference.volume, rtol=1e-4)


def test_the_surface_is_where_it_should_be_to_a_small_part_of_a_cell(sphere):
    step = 2 / 63
    away = np.linalg.norm(sphere.vertices - CENTRE, axis=-1) - RADIUS
    assert np.abs(away).max() < 0.1 * step
    mesh = meshing.extract(box, position_colour, resolution=64)
    away = box_distance(mesh.vertices)
    # Marching cubes cuts edges and corners off by at most half of a cell's diagonal.
    assert np.abs(away).max() < np.sqrt(3) / 2 * step
    assert np.percentile(np.abs(away), 80) < 0.1 * step
    reference = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert reference.is_watertight and reference.is_winding_consistent


def test_normals_point_outward_and_colours_come_from_below_the_surface(sphere):
    outward = (sphere.vertices - CENTRE) / np.linalg.norm(
        sphere.vertices - CENTRE, axis=-1, keepdims=True
    )
    assert (outward * sphere.normals).sum(-1).min() > 0.98
    np.testing.assert_allclose(np.linalg.norm(sphere.normals, axis=-1), 1, atol=1e-5)
    below = sphere.vertices - sphere.normals / 63
    np.testing.assert_allclose(sphere.colours / 255, (below + 1) / 2, atol=0.003)


def test_vertices_are_seen_head_on(sphere):
    mesh = meshing.extract(ball, lambda p, d: (d + 1) / 2, resolution=24)
    np.testing.assert_allclose(mesh.colours / 255, (1 - mesh.normals) / 2, atol=0.003)


def test_matter_cut_by_the_cube_is_closed_inside_it():
    def column(points):
        return 30.0 * (np.linalg.norm(points[:, :2], axis=-1) < 0.4)

    mesh = meshing.extract(column, position_colour, resolution=32)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight
    assert np.abs(mesh.vertices).max() <= 1 and mesh.vertices[:, 2].min() < -0.93


def test_islands_and_hollows_are_dropped():
    def three(points):
        shell = ball(points) * (np.linalg.norm(points - CENTRE, axis=-1) > 0.3)
        return shell + ball(points, np.array([-0.8, 0.8, 0.8]), 0.1)

    mesh = meshing.extract(three, position_colour, resolution=48)
    np.testing.assert_allclose(mesh.volume, 4 / 3 * np.pi * RADIUS**3, rtol=0.02)
    both = meshing.extract(three, position_colour, resolution=48, smallest=1e-3)
    assert both.volume > mesh.volume + 0.003


def test_occupancy_only_saves_work(sphere):
    line = (np.arange(16) + 0.5) / 8 - 1
    cells = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1)
    within = np.linalg.norm(cells - CENTRE, axis=-1) < RADIUS + 0.25
    asked = []

    def watched(points):
        asked.append(points)
        return ball(points)

    mesh = meshing.extract(watched, position_colour, resolution=64, within=within, chunk=5000)
    np.testing.assert_array_equal(mesh.faces, sphere.faces)
    np.testing.assert_allclose(mesh.vertices, sphere.vertices, atol=1e-6)
    outside = np.linalg.norm(np.concatenate(asked) - CENTRE, axis=-1)
    assert outside.max() < RADIUS + 0.25 + np.sqrt(3) / 16
    nodes = within.mean() * 64**3
    assert sum(map(len, asked)) < 1.1 * nodes + 5000


def test_an_empty_field_has_no_mesh():
    with pytest.raises(meshing.EmptyMeshError, match="no surface"):
        meshing.extract(lambda p: np.zeros(len(p)), position_colour, resolution=16)


def test_fewer_faces_keep_the_shape_and_its_colours(sphere):
    pytest.importorskip("fast_simplification")
    mesh = meshing.extract(ball, position_colour, resolution=64, faces=1000)
    assert 900 < len(mesh.faces) <= 1000 < len(sphere.faces)
    away = np.linalg.norm(mesh.vertices - CENTRE, axis=-1) - RADIUS
    assert np.abs(away).max() < 0.01
    np.testing.assert_allclose(mesh.volume, sphere.volume, rtol=0.02)
    outward = (mesh.vertices - CENTRE) / np.linalg.norm(mesh.vertices - CENTRE, axis=-1)[:, None]
    assert (outward * mesh.normals).sum(-1).min() > 0.98
    below = mesh.vertices - mesh.normals / 63
    np.testing.assert_allclose(mesh.colours / 255, (below + 1) / 2, atol=0.003)


def test_a_texture_is_of_the_very_mesh(sphere):
    pytest.importorskip("fast_simplification")
    pytest.importorskip("xatlas")
    mesh = meshing.extract(ball, position_colour, resolution=64, faces=1000, texture=64)
    assert mesh.texture.image.shape == (64, 64, 3)
    np.testing.assert_array_equal(mesh.texture.vertices[mesh.texture.faces], mesh.faces)


@pytest.mark.parametrize(
    ("module", "options"), [("fast_simplification", {"faces": 500}), ("xatlas", {"texture": 64})]
)
def test_a_missing_library_is_said_in_one_line_before_any_work(monkeypatch, module, options):
    monkeypatch.setitem(sys.modules, module, None)

    def never(*_):
        raise AssertionError("must not run")

    with pytest.raises(meshing.MeshExtraError) as caught:
        meshing.extract(never, never, resolution=16, **options)
    assert str(caught.value).endswith(f"{module.replace('_', '-')}: pip install 'rodin_jax[mesh]'")
    assert "\n" not in str(caught.value)
