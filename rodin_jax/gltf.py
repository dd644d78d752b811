"""Mesh files: GLB (glTF 2.0), OBJ and PLY, with vertex colours and provenance.

glTF is y-up and faces +z, so GLB turns the world by (x, y, z) -> (x, z, -y); its colours are
linear light, as the standard asks. OBJ and PLY keep the world's axes and sRGB colours.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rodin_jax.meshing import Mesh

FORMATS = ("glb", "obj", "ply")
_FLOAT, _UINT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963


def encode(mesh: Mesh, form: str, provenance: Mapping | None = None) -> bytes:
    """``mesh`` as the bytes of a file of type ``form`` (`FORMATS`); equal input, equal bytes."""
    if form not in FORMATS:
        raise ValueError(f"mesh format must be one of {', '.join(FORMATS)}, got {form!r}")
    return {"glb": glb, "obj": obj, "ply": ply}[form](mesh, provenance or {})


def write(path: str | Path, mesh: Mesh, provenance: Mapping | None = None) -> Path:
    """Writes ``mesh`` in the format that the file's suffix names."""
    path = Path(path)
    path.write_bytes(encode(mesh, path.suffix.lower().lstrip("."), provenance))
    return path


def glb(mesh: Mesh, provenance: Mapping) -> bytes:
    """One node, one primitive, float positions, normals and colours.

    Eight bits of linear light would band in dark hair; readers disagree about sixteen. There is
    no material, because some readers ignore vertex colours beside one.
    """
    positions, normals = _turned(mesh.vertices), _turned(mesh.normals)
    colours = _linear(mesh.colours).astype(np.float32)
    blocks = [
        (positions, _FLOAT, "VEC3", _VERTICES),
        (normals, _FLOAT, "VEC3", _VERTICES),
        (colours, _FLOAT, "VEC3", _VERTICES),
        (mesh.faces.astype(np.uint32).reshape(-1), _UINT, "SCALAR", _INDICES),
    ]
    binary, views, accessors = b"", [], []
    for array, component, kind, target in blocks:
        data = np.ascontiguousarray(array).tobytes()
        views.append(
            {"buffer": 0, "byteOffset": len(binary), "byteLength": len(data), "target": target}
        )
        accessors.append(
            {
                "bufferView": len(accessors),
                "componentType": component,
                "count": len(array),
                "type": kind,
            }
        )
        binary += data + bytes(-len(data) % 4)
    accessors[0] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    asset = {"version": "2.0", "generator": provenance.get("generator", "rodin_jax")}
    if provenance:
        asset |= {"copyright": "AI-generated", "extras": dict(provenance)}
    document = {
        "asset": asset,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "avatar"}],
        "meshes": [
            {
                "name": "avatar",
                "primitives": [
                    {
                        "attributes": {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2},
                        "indices": 3,
                    }
                ],
            }
        ],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def obj(mesh: Mesh, provenance: Mapping) -> bytes:
    """Wavefront text; colours follow the position, as MeshLab and Blender read them."""
    head = f"# {_comment(provenance)}\n"
    rows = np.hstack([mesh.vertices, mesh.colours / 255.0])
    vertices = _lines("v {:.6f} {:.6f} {:.6f} {:.4f} {:.4f} {:.4f}", rows)
    normals = _lines("vn {:.4f} {:.4f} {:.4f}", mesh.normals)
    corners = np.repeat(mesh.faces + 1, 2, axis=1)
    faces = _lines("f {}//{} {}//{} {}//{}", corners)
    return (head + vertices + normals + faces).encode()


def ply(mesh: Mesh, provenance: Mapping) -> bytes:
    """Binary little-endian PLY."""
    names = [*"xyz", "nx", "ny", "nz", "red", "green", "blue"]
    types = ["<f4"] * 6 + ["u1"] * 3
    rows = np.empty(len(mesh.vertices), list(zip(names, types, strict=True)))
    for name, column in zip(
        names, [*mesh.vertices.T, *mesh.normals.T, *mesh.colours.T], strict=True
    ):
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
        f"comment {_comment(provenance)}",
        f"element vertex {len(rows)}",
        *properties,
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return ("\n".join(head) + "\n").encode() + rows.tobytes() + faces.tobytes()


def _lines(form: str, rows: np.ndarray) -> str:
    return "".join(form.format(*row) + "\n" for row in rows.tolist())


def _turned(vectors: np.ndarray) -> np.ndarray:
    x, y, z = vectors.astype(np.float32).T
    return np.stack([x, z, -y], axis=-1)


def _linear(srgb: np.ndarray) -> np.ndarray:
    value = srgb / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _comment(provenance: Mapping) -> str:
    """One ASCII line; prompts may hold anything, so they are escaped."""
    return json.dumps(dict(provenance), sort_keys=True)
