"""Meshes of known solids: size, sides, axes, colours, and files that other programs read."""

import io
import json
import struct

import numpy as np
import pytest
import trimesh

from rodin_jax import gltf, meshing

RADIUS, CENTRE = 0.6, np.array([0.1, -0.2, 0.15])
PROVENANCE = {"generator": "rodin_jax 0", "prompt": 'naïve\n"quotes"', "seed": 3}


def ball(points, centre=CENTRE, radius=RADIUS):
    return 10.0 * np.exp(40.0 * (radius - np.linalg.norm(points - centre, axis=-1)))


def position_colour(points, directions):
    return (points + 1) / 2


@pytest.fixture(scope="module")
def sphere():
    return meshing.extract(ball, position_colour, resolution=64, chunk=50000)


def opened(mesh, form):
    loaded = trimesh.load(io.BytesIO(gltf.encode(mesh, form, PROVENANCE)), file_type=form)
    return loaded.to_mesh() if form == "glb" else loaded


def test_ball_has_its_size_and_place(sphere):
    reference = trimesh.Trimesh(sphere.vertices, sphere.faces, process=False)
    assert reference.is_watertight and reference.is_winding_consistent
    np.testing.assert_allclose(sphere.volume, 4 / 3 * np.pi * RADIUS**3, rtol=0.01)
    np.testing.assert_allclose(reference.area, 4 * np.pi * RADIUS**2, rtol=0.02)
    np.testing.assert_allclose(reference.center_mass, CENTRE, atol=0.005)
    np.testing.assert_allclose(sphere.volume, reference.volume, rtol=1e-4)


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
    mesh = meshing.extract(ball, position_colour, resolution=64, within=within)
    np.testing.assert_array_equal(mesh.vertices, sphere.vertices)


def test_an_empty_field_has_no_mesh():
    with pytest.raises(meshing.EmptyMeshError, match="no surface"):
        meshing.extract(lambda p: np.zeros(len(p)), position_colour, resolution=16)


def test_glb_is_y_up_facing_z_with_linear_colours(sphere):
    loaded = opened(sphere, "glb")
    x, y, z = CENTRE
    np.testing.assert_allclose(loaded.center_mass, [x, z, -y], atol=0.005)
    assert loaded.is_watertight and loaded.volume > 0
    srgb = sphere.colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    data = gltf.encode(sphere, "glb", PROVENANCE)
    (length,) = struct.unpack("<I", data[12:16])
    document = json.loads(data[20 : 20 + length])
    view = document["bufferViews"][2]
    start = 28 + length + view["byteOffset"]
    stored = np.frombuffer(data[start : start + view["byteLength"]], np.float32).reshape(-1, 3)
    np.testing.assert_allclose(stored, linear, atol=1e-6)
    assert document["asset"]["extras"] == PROVENANCE
    assert document["asset"]["copyright"] == "AI-generated"
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, linear, atol=0.01)


@pytest.mark.parametrize("form", ["obj", "ply"])
def test_obj_and_ply_keep_the_world(sphere, form):
    loaded = opened(sphere, form)
    np.testing.assert_allclose(loaded.vertices, sphere.vertices, atol=1e-5)
    np.testing.assert_array_equal(loaded.faces, sphere.faces)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3], sphere.colours, atol=1)
    with pytest.raises(ValueError, match="glb, obj, ply"):
        gltf.encode(sphere, "stl")
