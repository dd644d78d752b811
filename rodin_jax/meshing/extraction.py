"""A surface with colours from a radiance field: marching cubes in world units.

The grid's outermost nodes lie on the faces of the cube [-1, 1]^3 and count as empty, so whatever
the cube cuts off (a torso, say) is closed by a cap and every mesh is watertight. Meshes keep the
world's axes (z up, facing -y); `mesh_files` turns them when it writes. Fewer faces and textures are
the matter of `decimation.py` and `texturing.py`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Bool, Float

from rodin_jax.meshing import extra
from rodin_jax.meshing.decimation import decimate
from rodin_jax.meshing.texturing import Texture, bake

# Densities -> densities, and points with view directions -> colours.
Density = Callable[[np.ndarray], Array]
Colour = Callable[[np.ndarray, np.ndarray], Array]


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles with per-vertex normals and colours, on the host.

    Attributes:
      vertices: world positions, float32 ``[n, 3]``.
      faces: indices, counter-clockwise seen from outside, int32 ``[m, 3]``.
      normals: outward unit vectors, float32 ``[n, 3]``.
      colours: sRGB, uint8 ``[n, 3]``.
      texture: the same colours in finer detail, if asked for.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    texture: Texture | None = None

    @property
    def volume(self) -> float:
        """Enclosed volume in world units; positive when faces point outward."""
        return float(_signed_volumes(self.vertices, self.faces).sum())


class EmptyMeshError(ValueError):
    """The field is nowhere, or everywhere, denser than the level: there is no surface."""


def extract(
    density: Density,
    colour: Colour,
    *,
    resolution: int = 128,
    level: float = 10.0,
    within: Bool[np.ndarray, "r r r"] | None = None,
    smallest: float = 0.02,
    faces: int | None = None,
    texture: int | None = None,
    chunk: int = 65536,
) -> Mesh:
    """The surface on which ``density`` equals ``level``.

    Args:
      density: densities of points ``[chunk, 3]``; called with this one shape, so jit pays.
      colour: colours in [0, 1] of points seen along unit directions, likewise. Vertices and
        texels are seen head-on (direction = inward normal), half a grid cell below the surface,
        where volume rendering takes most of a surface's colour.
      resolution: grid nodes along each edge of the cube.
      level: density of the surface; 10 turns half opaque within 0.07 world units.
      within: cells of the cube that may hold matter; the others are not evaluated.
      smallest: islands with less than this fraction of the largest one's volume are dropped.
      faces: at most so many, see `decimate`; None keeps all. Fewer faces stay closed, but they
        may touch each other.
      texture: texels along an edge of a colour texture, see `bake`; None makes none.
      chunk: points evaluated at once.

    Raises:
      EmptyMeshError: no node is denser than ``level``.
      MeshExtraError: ``faces`` or ``texture`` is asked for and its library is not installed.
    """
    if resolution < 8:
        raise ValueError(f"a mesh needs a resolution of at least 8, got {resolution}")
    # What is missing is better said now than after the field has been evaluated.
    if faces is not None:
        extra.simplifier()
    if texture is not None:
        extra.unwrapper()
    vertices, triangles = _surface(density, resolution, level, within, smallest, chunk)
    if faces is not None:
        vertices, triangles = decimate(vertices, triangles, faces)
    normals = vertex_normals(vertices, triangles)

    def paint(points: np.ndarray, outward: np.ndarray) -> np.ndarray:
        inside = np.clip(points - outward / (resolution - 1), -1.0, 1.0)
        rows = np.hstack([inside, -outward])
        seen = _in_chunks(lambda p: colour(p[:, :3], p[:, 3:]), rows, chunk)
        return np.round(np.clip(seen, 0.0, 1.0) * 255).astype(np.uint8)

    painted = None if texture is None else bake(vertices, triangles, normals, texture, paint)
    return Mesh(vertices, triangles, normals, paint(vertices, normals), painted)


def vertex_normals(
    vertices: Float[np.ndarray, "n 3"], faces: np.ndarray
) -> Float[np.ndarray, "n 3"]:
    """Area-weighted means of the adjoining faces' normals, unit length (z up where undefined)."""
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    area = np.cross(b - a, c - a)
    normals = np.stack(
        [
            np.bincount(faces.T.ravel(), np.tile(area[:, axis], 3), len(vertices))
            for axis in range(3)
        ],
        axis=-1,
    )
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    unit = np.where(length > 1e-20, normals / np.maximum(length, 1e-20), [0.0, 0.0, 1.0])
    return unit.astype(np.float32)


def _surface(density: Density, resolution: int, level: float, within, smallest: float, chunk: int):
    """Vertices in world units and triangles of the surface, without small islands."""
    values, corner = _grid(density, resolution, within, chunk)
    if not np.isfinite(values).all():
        raise ValueError("the field has densities that are not finite")
    # x / (x + level) is bounded, so the interpolated surface does not stick to grid nodes where
    # density jumps from nothing to hundreds.
    values /= values + level
    if values.max(initial=0.0) <= 0.5:
        raise EmptyMeshError(f"nothing in the field is denser than {level:g}: no surface")
    from skimage import measure  # here, for pictures alone should not wait for it

    vertices, faces, _, _ = measure.marching_cubes(values, 0.5, gradient_direction="ascent")
    vertices = ((vertices + corner) * (2.0 / (resolution - 1)) - 1.0).astype(np.float32)
    return _drop_islands(vertices, faces.astype(np.int32), smallest)


def _grid(density: Density, resolution: int, within, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Densities at the nodes of a box, zero on its faces and outside ``within``; its first node.

    The box is the smallest around ``within`` and the empty nodes beside it.
    """
    line = np.linspace(-1.0, 1.0, resolution, dtype=np.float32)
    wanted = np.zeros((resolution,) * 3, bool)
    wanted[1:-1, 1:-1, 1:-1] = True
    if within is not None:
        cells = within.shape[0]
        cell = np.clip(((line + 1) * (cells / 2)).astype(int), 0, cells - 1)
        wanted &= np.asarray(within)[np.ix_(cell, cell, cell)]
    if not wanted.any():
        return np.zeros((2, 2, 2), np.float32), np.zeros(3, int)
    sides = [np.flatnonzero(wanted.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    corner = np.array([side[0] - 1 for side in sides])
    wanted = wanted[tuple(slice(side[0] - 1, side[-1] + 2) for side in sides)]
    values = np.zeros(wanted.shape, np.float32)
    nodes = np.flatnonzero(wanted)
    # Positions of all nodes at once would take several times the memory of their densities.
    for some in np.split(nodes, range(chunk, len(nodes), chunk)):
        points = line[np.stack(np.unravel_index(some, wanted.shape), axis=-1) + corner]
        values.reshape(-1)[some] = _in_chunks(density, points, chunk)
    return values, corner


def _in_chunks(function, rows: np.ndarray, chunk: int) -> np.ndarray:
    """``function(rows)``, always called with ``chunk`` rows."""
    pieces = []
    for start in range(0, len(rows), chunk):
        piece = rows[start : start + chunk]
        padded = np.pad(piece, ((0, chunk - len(piece)), (0, 0)), mode="edge")
        pieces.append(np.asarray(function(padded))[: len(piece)])
    return np.concatenate(pieces)


def _drop_islands(vertices: np.ndarray, faces: np.ndarray, smallest: float):
    """Keeps connected surfaces that enclose enough; hollows inside matter have none (< 0)."""
    ones = np.ones(len(faces) * 2, np.int8)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    from scipy import sparse  # likewise

    graph = sparse.coo_matrix((ones, edges.T), shape=(len(vertices),) * 2)
    count, label = sparse.csgraph.connected_components(graph, directed=False)
    volume = np.bincount(label[faces[:, 0]], _signed_volumes(vertices, faces), count)
    keep = volume >= max(smallest * volume.max(), 1e-12)
    keep[volume.argmax()] = True
    kept = keep[label]
    index = np.cumsum(kept, dtype=np.int32) - 1
    return vertices[kept], index[faces[kept[faces[:, 0]]]]


def _signed_volumes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Volume of the tetrahedron each face spans with the origin (the divergence theorem)."""
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return np.einsum("ni,ni->n", a, np.cross(b, c)) / 6.0
