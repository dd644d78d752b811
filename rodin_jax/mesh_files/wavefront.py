"""Wavefront OBJ and its material library MTL: text, in the world's axes, with sRGB colours."""

import json
from collections.abc import Mapping

import numpy as np

from rodin_jax.meshing import Mesh


def obj(mesh: Mesh, provenance: Mapping, library: str = "mesh.mtl") -> bytes:
    """The mesh with its texture's coordinates, or else with colours behind the positions.

    MeshLab and Blender read such colours. Vertices are not repeated where charts end.

    Args:
      mesh: the mesh.
      provenance: the record, for the first line.
      library: name of the file that `mtl` made, for a mesh with a texture.
    """
    head = _comment(provenance)
    normals = _lines("vn {:.4f} {:.4f} {:.4f}", mesh.normals)
    corners = mesh.faces + 1
    if mesh.texture is None:
        rows = np.hstack([mesh.vertices, mesh.colours / 255.0])
        vertices = _lines("v {:.6f} {:.6f} {:.6f} {:.4f} {:.4f} {:.4f}", rows)
        faces = _lines("f {}//{} {}//{} {}//{}", np.repeat(corners, 2, axis=1))
        return (head + vertices + normals + faces).encode()
    vertices = _lines("v {:.6f} {:.6f} {:.6f}", mesh.vertices)
    # OBJ counts v from the bottom.
    places = _lines("vt {:.6f} {:.6f}", mesh.texture.coordinates * [1, -1] + [0, 1])
    triples = np.stack([corners, mesh.texture.faces + 1, corners], axis=-1).reshape(-1, 9)
    faces = _lines("f {}/{}/{} {}/{}/{} {}/{}/{}", triples)
    named = f"mtllib {library}\n"
    return (head + named + vertices + places + normals + "usemtl avatar\n" + faces).encode()


def mtl(provenance: Mapping, picture: str) -> bytes:
    """A matt material coloured by the file ``picture``, for old readers and for those of PBR."""
    lines = [
        "newmtl avatar",
        "Ka 1 1 1",
        "Kd 1 1 1",
        "Ks 0 0 0",
        "illum 1",
        "Pr 1",
        "Pm 0",
        f"map_Kd {picture}",
    ]
    return (_comment(provenance) + "\n".join(lines) + "\n").encode()


def _lines(form: str, rows: np.ndarray) -> str:
    return "".join(form.format(*row) + "\n" for row in rows.tolist())


def _comment(provenance: Mapping) -> str:
    """One ASCII line; prompts may hold anything, so they are escaped."""
    return f"# {json.dumps(dict(provenance), sort_keys=True)}\n"
