"""GLB, the binary form of glTF 2.0: one mesh with vertex colours or a texture, and provenance.

glTF is y-up and faces +z, so the world is turned by (x, y, z) -> (x, z, -y). Vertex colours are
linear light, as the standard asks, and textures sRGB.
"""

import json
import struct
from collections.abc import Mapping

import numpy as np

from rodin_jax import png
from rodin_jax.meshing import Mesh

_FLOAT, _UINT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963
_LINEAR, _MIPMAPS, _CLAMP = 9729, 9987, 33071


def glb(mesh: Mesh, provenance: Mapping) -> bytes:
    """One node, one primitive, float positions and normals, and colours or a texture.

    Eight bits of linear light would band in dark hair, readers disagree about sixteen: vertex
    colours are floats. They come without a material, because some readers ignore them beside one.
    A texture comes with a matt material, and vertices are repeated where charts end.
    """
    if mesh.texture is None:
        return _file(_coloured(mesh), provenance)
    return _file(_textured(mesh, provenance), provenance)


class _Parts:
    """Binary blocks and the glTF objects that describe them."""

    def __init__(self):
        self.binary = b""
        self.views: list[dict] = []
        self.accessors: list[dict] = []
        self.rest: dict = {}
        self.primitive: dict = {}

    def view(self, data: bytes, **fields) -> int:
        """Index of a new buffer view of ``data``."""
        place = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        self.views.append(place | fields)
        self.binary += data + bytes(-len(data) % 4)
        return len(self.views) - 1

    def accessor(self, array: np.ndarray, component: int, kind: str, target: int, **fields) -> int:
        """Index of a new accessor of ``array``'s rows."""
        view = self.view(np.ascontiguousarray(array).tobytes(), target=target)
        form = {"bufferView": view, "componentType": component, "count": len(array), "type": kind}
        self.accessors.append(form | fields)
        return len(self.accessors) - 1

    def geometry(self, positions: np.ndarray, normals: np.ndarray, **attributes: np.ndarray):
        """Positions and normals in the world's axes, and further attributes as they are."""
        positions = _turned(positions)
        bounds = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
        places = {"POSITION": self.accessor(positions, _FLOAT, "VEC3", _VERTICES, **bounds)}
        for name, array in {"NORMAL": _turned(normals), **attributes}.items():
            places[name] = self.accessor(array, _FLOAT, f"VEC{array.shape[1]}", _VERTICES)
        self.primitive["attributes"] = places

    def faces(self, faces: np.ndarray):
        """The primitive's triangles."""
        indices = faces.astype(np.uint32).reshape(-1)
        self.primitive["indices"] = self.accessor(indices, _UINT, "SCALAR", _INDICES)


def _coloured(mesh: Mesh) -> _Parts:
    parts = _Parts()
    parts.geometry(mesh.vertices, mesh.normals, COLOR_0=_linear(mesh.colours).astype(np.float32))
    parts.faces(mesh.faces)
    return parts


def _textured(mesh: Mesh, provenance: Mapping) -> _Parts:
    parts, texture = _Parts(), mesh.texture
    corners = texture.vertices
    parts.geometry(mesh.vertices[corners], mesh.normals[corners], TEXCOORD_0=texture.coordinates)
    parts.faces(texture.faces)
    parts.primitive["material"] = 0
    matt = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    image = parts.view(png.encode(texture.image, provenance))
    filters = {"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _CLAMP, "wrapT": _CLAMP}
    parts.rest = {
        "materials": [{"name": "avatar", "pbrMetallicRoughness": matt}],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [filters],
        "images": [{"bufferView": image, "mimeType": "image/png", "name": "avatar"}],
    }
    return parts


def _file(parts: _Parts, provenance: Mapping) -> bytes:
    asset = {"version": "2.0", "generator": provenance.get("generator", "rodin_jax")}
    if provenance:
        notice = provenance.get("notice", "AI-generated")
        asset |= {"copyright": notice, "extras": dict(provenance)}
    document = {
        "asset": asset,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "avatar"}],
        "meshes": [{"name": "avatar", "primitives": [parts.primitive]}],
        "accessors": parts.accessors,
        "bufferViews": parts.views,
        "buffers": [{"byteLength": len(parts.binary)}],
        **parts.rest,
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(parts.binary), 0x004E4942) + parts.binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def _turned(vectors: np.ndarray) -> np.ndarray:
    x, y, z = vectors.astype(np.float32).T
    return np.stack([x, z, -y], axis=-1)


def _linear(srgb: np.ndarray) -> np.ndarray:
    value = srgb / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
