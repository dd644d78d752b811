"""What a scene is made of before Blender sees it: meshes and strands in world units, as arrays.

Colours are sRGB in [0, 1]; normals of closed meshes point outwards.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True)
class Surface:
    """How a part meets light.

    Attributes:
      kind: a name `materials` knows: skin, cloth, leather, hair, ...
      colour: of the whole part, unless its vertices bring their own.
      pattern: plain, striped or dotted; for cloth.
      second: the colour of stripes and dots.
    """

    kind: str
    colour: tuple[float, float, float] = (0.8, 0.8, 0.8)
    pattern: str = "plain"
    second: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Part:
    """A smooth mesh.

    Attributes:
      vertices: world positions.
      faces: triangles (k = 3) or quadrilaterals (k = 4), counter-clockwise seen from outside.
      surface: its material.
      colours: one for each vertex, or None.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m k"]
    surface: Surface
    colours: Float[np.ndarray, "n 3"] | None = None


@dataclasses.dataclass(frozen=True)
class Strands:
    """Many thin curves with as many points each.

    Attributes:
      points: world positions, from root to tip.
      radius: half the thickness at each point.
      colours: one for each strand.
    """

    points: Float[np.ndarray, "s k 3"]
    radius: Float[np.ndarray, "s k"]
    colours: Float[np.ndarray, "s 3"]


def sphere(centre, radii, surface: Surface, *, rings: int = 16, pitch: float = 0.0) -> Part:
    """An ellipsoid; ``pitch`` turns it about x, in degrees. Its poles lie on the y axis."""
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    around = -np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)[None]
    level = np.sin(polar)
    ball = (level * np.cos(around), -np.cos(polar) + 0 * around, level * np.sin(around))
    unit = np.stack(ball, axis=-1)
    c, s = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    vertices = (unit * np.asarray(radii)) @ turn.T + np.asarray(centre)
    return Part(vertices.reshape(-1, 3), _grid(rings + 1, 2 * rings, wrap=True), surface)


def sheet(points: Float[np.ndarray, "r c 3"], surface: Surface, colours=None) -> Part:
    """A surface through a grid of points; its outside is where rows x columns point."""
    rows, columns = points.shape[:2]
    if colours is not None:
        colours = np.broadcast_to(colours, points.shape).reshape(-1, 3)
    return Part(points.reshape(-1, 3), _grid(rows, columns, wrap=False), surface, colours)


def tube(
    path: Float[np.ndarray, "n 3"],
    radius,
    surface: Surface,
    *,
    closed: bool = False,
    sides: int = 12,
    flat: float = 1.0,
    up=(0.0, 0.0, 1.0),
) -> Part:
    """A round tube along ``path``.

    Args:
      path: the middle line; at least two points.
      radius: a number, or one for each point.
      surface: its material.
      closed: whether the end meets the beginning; open ends are rounded off.
      sides: corners of the cross-section.
      flat: thickness across ``up`` as a share of that along it.
      up: the direction that cross-sections keep, not parallel to the path.
    """
    path = np.asarray(path, float)
    radius = np.broadcast_to(np.asarray(radius, float), path.shape[:1])
    if closed:
        tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    else:
        path, radius = _rounded(path, radius)
        tangent = np.gradient(path, axis=0)
    tangent = unit_vectors(tangent)
    across = unit_vectors(np.cross(tangent, np.asarray(up, float)))
    along = np.cross(across, tangent)
    angle = -np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = flat * np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * along[:, None]
    vertices = path[:, None] + radius[:, None, None] * ring
    faces = _grid(len(path), sides, wrap=True, wrap_rows=closed)
    return Part(vertices.reshape(-1, 3), faces, surface)


def merge(parts: list[Part], surface: Surface) -> Part:
    """Several uncoloured meshes of one kind of face as one part."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    return Part(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([p.faces + s for p, s in zip(parts, starts[:-1], strict=True)]),
        surface,
    )


def smooth_path(points, count: int, *, closed: bool = False) -> Float[np.ndarray, "count 3"]:
    """A cubic spline through ``points`` at ``count`` even parameters."""
    from scipy.interpolate import CubicSpline

    points = np.asarray(points, float)
    if closed:
        points = np.concatenate([points, points[:1]])
    knots = np.linspace(0, 1, len(points))
    spline = CubicSpline(knots, points, bc_type="periodic" if closed else "natural")
    return spline(np.linspace(0, 1, count, endpoint=not closed))


def unit_vectors(vectors):
    """Vectors of length one; the zero vector stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _rounded(path, radius):
    """Both ends of a tube's path drawn out into domes."""
    ahead = unit_vectors(np.stack([path[0] - path[1], path[-1] - path[-2]]))
    r = radius[[0, -1]]
    ring, tip = (path[[0, -1]] + ahead * (r * reach)[:, None] for reach in (0.66, 1.0))
    path = np.concatenate([tip[:1], ring[:1], path, ring[1:], tip[1:]])
    ends = np.array([0.02, 0.75])
    return path, np.concatenate([ends * r[0], radius, ends[::-1] * r[1]])


def _grid(rows: int, columns: int, *, wrap: bool, wrap_rows: bool = False) -> np.ndarray:
    """Quadrilaterals of a grid of vertices; ``wrap`` joins the last column to the first."""
    r = np.arange(rows if wrap_rows else rows - 1)[:, None]
    c = np.arange(columns if wrap else columns - 1)[None]
    below, right = (r + 1) % rows, (c + 1) % columns
    corners = (r * columns + c, r * columns + right, below * columns + right, below * columns + c)
    return np.stack(np.broadcast_arrays(*corners), axis=-1).reshape(-1, 4)
