"""Binary little-endian PLY: the world's axes, sRGB vertex colours."""

import json
from collections.abc import Mapping

import numpy as np

from rodin_jax.meshing import Mesh


def ply(mesh: Mesh, provenance: Mapping) -> bytes:
    """The mesh with normals and vertex colours; the record is a comment."""
    names = [*"xyz", "nx", "ny", "nz", "red", "green", "blue"]
    types = ["<f4"] * 6 + ["u1"] * 3
    rows = np.empty(len(mesh.vertices), list(zip(names, types, strict=True)))
    columns = [*mesh.vertices.T, *mesh.normals.T, *mesh.colours.T]
    for name, column in zip(names, columns, strict=True):
        rows[name] = column
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("index", "<i4", 3)])
    faces["count"], faces["index"] = 3, mesh.faces
    properties = [
        f"property {'float' if kind == '<f4' else 'uchar'} {name}"
        for name, kind in zip(names, types, strict=True)
    ]
    head = [
        "ply",
        "format binary_little_endian 1.0",
        # One ASCII line; prompts may hold anything, so they are escaped.
        f"comment {json.dumps(dict(provenance), sort_keys=True)}",
        f"element vertex {len(rows)}",
        *properties,
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return ("\n".join(head) + "\n").encode() + rows.tobytes() + faces.tobytes()
