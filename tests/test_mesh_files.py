"""Mesh files: what other programs read in them, and that they are written whole."""

import io
import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image
from solids import CENTRE, ball, position_colour

from rodin_jax import mesh_files, meshing, provenance
from rodin_jax.folders import OutputError
from rodin_jax.meshing import Texture

PROVENANCE = {"generator": "rodin_jax 0", "prompt": 'naïve\n"quotes"', "seed": 3}


@pytest.fixture(scope="module")
def sphere():
    return meshing.extract(ball, position_colour, resolution=32)


@pytest.fixture(scope="module")
def textured():
    """A square of two triangles, each with a chart of its own, red above and blue below."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :, 0] = image[4:, :, 2] = 255
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]], np.float32)
    upper, lower = [[0.2, 0.1], [0.9, 0.4], [0.2, 0.4]], [[0.2, 0.9], [0.9, 0.9], [0.9, 0.6]]
    texture = Texture(
        image,
        coordinates=np.array(upper + lower, np.float32),
        vertices=np.array([0, 2, 3, 0, 1, 2], np.int32),
        faces=np.array([[0, 1, 2], [3, 4, 5]], np.int32),
    )
    faces = np.array([[0, 2, 3], [0, 1, 2]], np.int32)
    normals = np.tile(np.float32([0, -1, 0]), (4, 1))
    return meshing.Mesh(vertices, faces, normals, np.zeros((4, 3), np.uint8), texture)


def opened(mesh, form):
    (data,) = mesh_files.encode(mesh, form, PROVENANCE).values()
    loaded = trimesh.load(io.BytesIO(data), file_type=form)
    return loaded.to_mesh() if form == "glb" else loaded


def parts_of(data):
    """The JSON and the binary chunk of a GLB."""
    (length,) = struct.unpack("<I", data[12:16])
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def test_glb_is_y_up_facing_z_with_linear_colours(sphere):
    loaded = opened(sphere, "glb")
    x, y, z = CENTRE
    np.testing.assert_allclose(loaded.center_mass, [x, z, -y], atol=0.005)
    assert loaded.is_watertight and loaded.volume > 0
    srgb = sphere.colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    document, binary = parts_of(mesh_files.encode(sphere, "glb", PROVENANCE)["mesh.glb"])
    view = document["bufferViews"][2]
    stored = np.frombuffer(binary, np.float32, view["byteLength"] // 4, view["byteOffset"])
    np.testing.assert_allclose(stored.reshape(-1, 3), linear, atol=1e-6)
    assert document["asset"]["extras"] == PROVENANCE
    assert document["asset"]["copyright"] == "AI-generated"
    fitted = mesh_files.encode(sphere, "glb", {"notice": "fitted to a capture"})["mesh.glb"]
    assert parts_of(fitted)[0]["asset"]["copyright"] == "fitted to a capture"
    assert "materials" not in document
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, linear, atol=0.01)


@pytest.mark.parametrize("form", ["obj", "ply"])
def test_obj_and_ply_keep_the_world(sphere, form):
    loaded = opened(sphere, form)
    np.testing.assert_allclose(loaded.vertices, sphere.vertices, atol=1e-5)
    np.testing.assert_array_equal(loaded.faces, sphere.faces)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3], sphere.colours, atol=1)
    with pytest.raises(ValueError, match="glb, obj, ply"):
        mesh_files.encode(sphere, "stl")


@pytest.mark.parametrize("form", ["glb", "obj"])
def test_textures_lie_where_they_should(textured, tmp_path, form):
    *_, path = mesh_files.write(tmp_path / f"a b.{form}", textured, PROVENANCE)
    loaded = trimesh.load(path, force="mesh", process=False)
    assert loaded.visual.kind == "texture" and len(loaded.faces) == 2
    material = loaded.visual.material
    picture = np.asarray(material.baseColorTexture if form == "glb" else material.image)
    np.testing.assert_array_equal(picture[..., :3], textured.texture.image)
    corners = loaded.vertices[loaded.faces]
    world = corners if form == "obj" else corners[..., [0, 2, 1]] * [1, -1, 1]
    np.testing.assert_allclose(world, textured.vertices[textured.faces], atol=1e-6)
    # trimesh counts v from the bottom.
    places = loaded.visual.uv[loaded.faces] * [1, -1] + [0, 1]
    expected = textured.texture.coordinates[textured.texture.faces]
    np.testing.assert_allclose(places, expected, atol=1e-6)


def test_a_textured_glb_is_matt_and_has_no_vertex_colours(textured):
    document, binary = parts_of(mesh_files.encode(textured, "glb", PROVENANCE)["mesh.glb"])
    (primitive,) = document["meshes"][0]["primitives"]
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "TEXCOORD_0"}
    surface = document["materials"][primitive["material"]]["pbrMetallicRoughness"]
    assert surface["metallicFactor"] == 0 and surface["roughnessFactor"] == 1
    view = document["bufferViews"][document["images"][0]["bufferView"]]
    start = view["byteOffset"]
    with Image.open(io.BytesIO(binary[start : start + view["byteLength"]])) as picture:
        assert picture.text["prompt"] == PROVENANCE["prompt"]


def test_every_file_of_an_obj_says_where_it_comes_from(textured, tmp_path):
    files = mesh_files.write(tmp_path / "x.obj", textured, PROVENANCE)
    assert [file.name for file in files] == ["x_texture.png", "x.mtl", "x.obj"]
    assert sorted(files) == sorted(tmp_path.iterdir())
    for file in files[1:]:
        head = file.read_text().splitlines()[0]
        assert json.loads(head.removeprefix("# ")) == PROVENANCE
    assert provenance.read_png(files[0])["seed"] == "3"
    assert "mtllib x.mtl\n" in files[2].read_text()
    assert "map_Kd x_texture.png\n" in files[1].read_text()


def test_ply_has_vertex_colours_only(textured, tmp_path):
    assert mesh_files.form_of("x.PLY") == "ply"
    with pytest.raises(ValueError, match=r"x\.ply: a mesh with a texture is one of glb, obj"):
        mesh_files.form_of("x.ply", texture=True)
    assert list(mesh_files.encode(textured, "ply")) == ["mesh.ply"]


def test_files_are_all_written_or_none(textured, tmp_path):
    (tmp_path / "x.mtl").mkdir()
    with pytest.raises(OutputError, match=r"x\.mtl: is a folder"):
        mesh_files.write(tmp_path / "x.obj", textured)
    with pytest.raises(ValueError, match="cannot refer"):
        mesh_files.write(tmp_path / "x\ny.obj", textured)
    assert [path.name for path in tmp_path.iterdir()] == ["x.mtl"]
