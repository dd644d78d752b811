"""Colour textures: a surface cut into flat charts, and its colours painted on them.

Texture coordinates (u, v) are in [0, 1], u to the right and v down, as in glTF: texel (row i,
column j) of a texture of n x n has its centre at ((j + 0.5) / n, (i + 0.5) / n). The library
xatlas of the extra ``rodin_jax[mesh]`` cuts and packs the charts.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Float32, Int32, Integer

from rodin_jax.meshing import extra

# Points and outward unit normals ``[n, 3]`` -> sRGB colours, uint8 ``[n, 3]``.
Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]

_SMALLEST = 16
# Texels between charts, so that a bilinear look-up in one never meets another.
_GAP = 4
# Share of the texture that charts fill; packing is scaled to fit, so a guess is enough.
_FILLED = 0.6
# xatlas takes faces of less than about 1e-7 square units for nothing; ours are small.
_UNIT = 1000.0
_BATCH = 1 << 20


@dataclasses.dataclass(frozen=True)
class Texture:
    """A picture and where on it each corner of a mesh's faces lies.

    A vertex on the border of a chart has several places, so places have indices of their own:
    ``vertices[faces]`` are the faces of the mesh.

    Attributes:
      image: sRGB, uint8 ``[size, size, 3]``; row 0 is at v = 0.
      coordinates: places (u, v), float32 ``[t, 2]``.
      vertices: the mesh's vertex at each place, int32 ``[t]``.
      faces: places of the corners of the mesh's faces, int32 ``[m, 3]``.
    """

    image: np.ndarray
    coordinates: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray


def bake(
    vertices: Float[np.ndarray, "n 3"],
    faces: Integer[np.ndarray, "m 3"],
    normals: Float[np.ndarray, "n 3"],
    size: int,
    paint: Paint,
) -> Texture:
    """A texture of ``size`` x ``size`` texels for a mesh.

    Every texel, also between charts, gets the colour of the surface that is nearest to it in the
    picture, so neither bilinear look-ups nor mipmaps bring in a foreign colour. Cutting charts
    takes a minute or more for a hundred thousand faces: decimate first.

    Args:
      vertices: positions.
      faces: vertex indices.
      normals: outward unit vectors; interpolated over each face and given to ``paint``.
      size: texels along each edge, 16 or more.
      paint: colours of surface points; called with up to about a million.

    Raises:
      MeshExtraError: xatlas is not installed.
      ValueError: ``size`` is too small.
    """
    if size < _SMALLEST:
        raise ValueError(f"a texture needs at least {_SMALLEST} texels an edge, got {size}")
    coordinates, index, places = unwrap(vertices, faces, size)
    corners = (coordinates * size)[places].astype(np.float64)
    image = np.empty((size * size, 3), np.uint8)
    for texels, face in _batches(_nearest_face(corners, size)):
        centres = np.stack([texels % size, texels // size], axis=-1) + 0.5
        weights, _ = _closest(corners[face], centres)
        points, outward = (
            np.einsum("nk,nkc->nc", weights, array[faces[face]]) for array in (vertices, normals)
        )
        outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-9)
        image[texels] = paint(points.astype(np.float32), outward.astype(np.float32))
    return Texture(image.reshape(size, size, 3), coordinates, index, places)


def unwrap(
    vertices: Float[np.ndarray, "n 3"], faces: Integer[np.ndarray, "m 3"], size: int
) -> tuple[Float32[np.ndarray, "t 2"], Int32[np.ndarray, "t"], Int32[np.ndarray, "m 3"]]:
    """Charts of a surface for a texture of ``size`` x ``size``, equally large everywhere.

    Returns:
      ``coordinates``, ``vertices`` and ``faces`` as `Texture` has them; faces without area have no
      chart and lie at (0, 0).

    Raises:
      MeshExtraError: xatlas is not installed.
    """
    xatlas = extra.unwrapper()
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum()
    options = xatlas.PackOptions()
    options.padding = _GAP
    # Asked for a resolution, xatlas may spread charts over several pages; asked for a density it
    # makes one page of about the right size, which is then scaled to the size exactly.
    options.texels_per_unit = float(size * np.sqrt(_FILLED / area) / _UNIT)
    atlas = xatlas.Atlas()
    atlas.add_mesh((vertices * _UNIT).astype(np.float32), faces.astype(np.uint32))
    atlas.generate(pack_options=options)
    index, places, coordinates = atlas[0]
    page = np.array([atlas.width, atlas.height], np.float32)
    coordinates = (coordinates * (page / page.max())).astype(np.float32)
    return coordinates, index.astype(np.int32), places.astype(np.int32)


def _nearest_face(corners: Float[np.ndarray, "m 3 2"], size: int) -> Int32[np.ndarray, "h w"]:
    """The face at, or nearest to, the centre of every texel; ``corners`` in texels."""
    face = np.zeros(size * size, np.int32)
    distance = np.full(size * size, np.inf)
    for candidates, texels in _around(corners, size):
        centres = np.stack([texels % size, texels // size], axis=-1) + 0.5
        _, away = _closest(corners[candidates], centres)
        np.minimum.at(distance, texels, away)
        best = away == distance[texels]
        face[texels[best]] = candidates[best]
    far = np.isinf(distance).reshape(size, size)
    from scipy import ndimage  # here, for pictures alone should not wait for it

    row, column = ndimage.distance_transform_edt(far, return_distances=False, return_indices=True)
    return face.reshape(size, size)[row, column]


def _around(corners: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of (face, texel): texels in the bounding box of each face and one further out.

    One further, because charts may be narrow and lie between the centres of texels.
    """
    low = np.clip(np.floor(corners.min(1) - 1).astype(np.int64), 0, size)
    high = np.clip(np.ceil(corners.max(1) + 1).astype(np.int64), 0, size)
    # Faces without a chart lie in a corner of the texture and must not be seen there.
    width, height = np.where(corners.any((1, 2)), (high - low).T, 0)
    ends = np.cumsum(width * height)
    start = 0
    while start < len(corners):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _BATCH, side="right")))
        count = (width * height)[start:stop]
        face = np.repeat(np.arange(start, stop, dtype=np.int32), count)
        within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
        row, column = np.divmod(within, width[face])
        yield face, (row + low[face, 1]) * size + column + low[face, 0]
        start = stop


def _batches(face: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of (texel, its face)."""
    flat = face.reshape(-1)
    for start in range(0, len(flat), _BATCH):
        texels = np.arange(start, min(start + _BATCH, len(flat)))
        yield texels, flat[texels]


def _closest(
    corners: Float[np.ndarray, "n 3 2"], points: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """The point of each triangle closest to a point: weights of the corners, squared distance."""
    a, b, c = np.moveaxis(corners, 1, 0)
    area = _cross(b - a, c - a)
    flat = area == 0
    v = _cross(points - a, c - a) / np.where(flat, 1.0, area)
    w = _cross(b - a, points - a) / np.where(flat, 1.0, area)
    weights = np.stack([1.0 - v - w, v, w], axis=-1)
    distance = np.where((weights.min(-1) >= 0) & ~flat, 0.0, np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, edge = corners[:, i], corners[:, j] - corners[:, i]
        length = np.maximum((edge**2).sum(-1), 1e-12)
        share = np.clip(((points - start) * edge).sum(-1) / length, 0.0, 1.0)
        away = ((start + share[:, None] * edge - points) ** 2).sum(-1)
        nearer = away < distance
        distance[nearer] = away[nearer]
        weights[nearer] = 0.0
        weights[nearer, i], weights[nearer, j] = 1.0 - share[nearer], share[nearer]
    return weights, distance


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
