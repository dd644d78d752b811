"""Where the cube [-1, 1]^3 lies in a capture's own coordinates.

1. The file says so, with any of instant-ngp's fields; those that are missing have instant-ngp's
   defaults. ``scale`` (0.33) and ``offset`` (0.5, 0.5, 0.5) take a point p to p * scale + offset,
   where instant-ngp keeps its scene around (0.5, 0.5, 0.5) in a box of edge ``aabb_scale`` (1).
   That box is the cube: p -> (p * scale + offset - 0.5) * 2 / aabb_scale. ``aabb``, two corners,
   stands for the scale and offset that take its longest edge to 1 and its middle to 0.5. (Inside,
   instant-ngp also cycles the axes; that is its own affair and changes nothing here.)
   So ``"scale": 0.5`` says that the file's coordinates are the cube's.
2. The file says nothing and its coordinates will do as they are: the cameras stand outside of the
   cube, and its subject is in it. With silhouettes, hardly any of their pixels look past the cube;
   without, what the cameras look at is in its middle and about as large as it.
3. Otherwise the cube is put around the subject: the bounding box of what the silhouettes have in
   common, and a margin; without silhouettes, the sphere around the point that the cameras look at
   which their pictures just hold. Scaled alike on all axes and never turned.

nerfstudio's ``applied_transform`` and ``applied_scale`` tell what its own tool has done to the
poses already. They are not done again.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from rodin_jax.data.captures.fields import CaptureError, number, vector
from rodin_jax.data.captures.pinholes import project, rays

_FIELDS = ("scale", "offset", "aabb_scale", "aabb")
_SCALE = 0.33  # instant-ngp's default: the NeRF-synthetic objects in its unit cube
_MARGIN = 1.08  # room around a bounding box
_OUTSIDE = 0.005  # share of a silhouette's pixels that may look past the cube
_OPAQUE = 0.97  # coverage of pictures that are no silhouettes
_VIEWS, _PIXELS, _CELLS = 48, 64, 48  # enough to frame by, little enough to be quick


@dataclasses.dataclass(frozen=True)
class Placement:
    """The file's coordinates p -> the cube's, ``p * scale + shift``.

    Attributes:
      scale: cube units in one of the file's.
      shift: in cube units.
      reason: fields, as it is, silhouettes or cameras; how it was found.
    """

    scale: float = 1.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    reason: str = "as it is"

    def place(self, poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
        """Camera poses in cube coordinates."""
        placed = poses.copy()
        placed[:, :3, 3] = poses[:, :3, 3] * self.scale + np.array(self.shift)
        return placed

    def as_fields(self) -> dict[str, Any]:
        """The ``scale``, ``offset`` and ``aabb_scale`` that say the same in a file."""
        offset = [round(x / 2 + 0.5, 6) for x in self.shift]
        return {"scale": float(f"{self.scale / 2:.9g}"), "offset": offset, "aabb_scale": 1}


@dataclasses.dataclass(frozen=True)
class Views:
    """Cameras of one size, as NumPy arrays.

    Attributes:
      pose: camera-to-world matrices.
      focal: focal lengths in pixels.
      centre: principal points in pixels.
      alpha: coverage, 0 to 255; None if the pictures are no silhouettes, see `silhouettes`.
      width: of the pictures.
      height: of the pictures.
    """

    pose: Float[np.ndarray, "n 4 4"]
    focal: Float[np.ndarray, "n 2"]
    centre: Float[np.ndarray, "n 2"]
    alpha: np.ndarray | None
    width: int
    height: int

    def some(self, count: int) -> "Views":
        """At most ``count`` of them, evenly spaced."""
        total = len(self.pose)
        rows = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
        alpha = None if self.alpha is None else self.alpha[rows]
        return dataclasses.replace(
            self, pose=self.pose[rows], focal=self.focal[rows], centre=self.centre[rows],
            alpha=alpha,
        )  # fmt: skip


def given(common: Mapping[str, Any], path: pathlib.Path) -> Placement | None:
    """What the file says; None if it says nothing.

    Raises:
      CaptureError: a field that is not what instant-ngp would read.
    """
    if not set(_FIELDS) & set(common):
        return None
    scale = number(common.get("scale", _SCALE), f"{path}: scale")
    edge = number(common.get("aabb_scale", 1), f"{path}: aabb_scale")
    offset = common.get("offset", [0.5] * 3)
    offset = vector(offset if isinstance(offset, list) else [offset] * 3, 3, f"{path}: offset")
    for name, value in (("scale", scale), ("aabb_scale", edge)):
        if not 1e-9 < value < 1e9:
            raise CaptureError(f"{path}: {name}: {common[name]}, expected a positive number")
    if "aabb" in common:
        corners = common["aabb"]
        if not isinstance(corners, list) or len(corners) != 2:
            raise CaptureError(f"{path}: aabb: expected two corners")
        low, high = (vector(x, 3, f"{path}: aabb[{i}]") for i, x in enumerate(corners))
        length = np.abs(high - low).max()
        if length < 1e-6:
            raise CaptureError(f"{path}: aabb: is empty, expected two different corners")
        scale = 1 / length
        offset = 0.5 - (low + high) / 2 * scale
    shift = (offset - 0.5) * (2 / edge)
    return Placement(float(scale * 2 / edge), tuple(shift.tolist()), "fields")


def automatic(views: Views) -> Placement:
    """The cube around the subject of ``views``, whose poses are the file's; rules 2 and 3 above."""
    views = views.some(_VIEWS)
    target, radius = looked_at(views)
    if _fits(views, target, radius) or target is None:  # without a target, nothing to go by
        return Placement()
    box = None if views.alpha is None else extent(views, target, 1.5 * radius)
    if box is not None:
        # Once more, closer: the cells of the first look are as wide as the whole view.
        (low, high), cell = box, 3 * radius / _CELLS
        finer = extent(views, (low + high) / 2, (high - low).max() / 2 + cell)
        low, high = box if finer is None else finer
        return _around((low + high) / 2, (high - low).max() / 2 * _MARGIN, "silhouettes")
    return _around(target, radius, "cameras")


def silhouettes(alpha: np.ndarray) -> np.ndarray | None:
    """``alpha [n, h, w]`` if at least half of the pictures are mostly not opaque, else None."""
    coverage = (alpha[:, :: max(1, alpha.shape[1] // 128)] > 127).mean((1, 2))
    return alpha if np.median(coverage) < _OPAQUE else None


def looked_at(views: Views) -> tuple[Float[np.ndarray, "3"] | None, float]:
    """The point nearest to the middle rays of all pictures, and a radius.

    The radius is that of the largest sphere around it that the median picture holds whole.
    (None, 0) if the rays are parallel, or the point is behind most cameras.
    """
    middle = np.array([views.width, views.height]) / 2
    directions = _directions(views, middle[None])[:, 0]
    origins = views.pose[:, :3, 3]
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    matrix = across.sum(0)
    if np.linalg.eigvalsh(matrix)[0] < 1e-3 * len(origins):
        return None, 0.0
    target = np.linalg.solve(matrix, np.einsum("nij,nj->i", across, origins))
    ahead = np.einsum("ni,ni->n", target - origins, directions)
    if (ahead > 0).mean() < 0.75:
        return None, 0.0
    angle = np.arctan(np.min([views.width, views.height] / (2 * views.focal), axis=1))
    return target, float(np.median((ahead * np.sin(angle))[ahead > 0]))


def extent(
    views: Views, middle: Float[np.ndarray, "3"], half: float
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]] | None:
    """Corners of the box around what the silhouettes have in common in a cube.

    A cell counts if half of the pictures see it, and hardly any of those is transparent there; a
    few bad masks change nothing. None if no cell counts.

    Args:
      views: with alpha.
      middle: of the cube, in the coordinates of the poses.
      half: half of the cube's edge.
    """
    steps = (np.arange(_CELLS) + 0.5) / _CELLS * 2 - 1
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    points = middle + half * cells
    seen, full = np.zeros(len(points), int), np.zeros(len(points), int)
    solid = views.alpha > 127
    for i, pose in enumerate(views.pose):
        x, y = project(pose, views.focal[i], views.centre[i], points)[0].T
        here = (x >= 0) & (x < views.width) & (y >= 0) & (y < views.height)
        full[here] += solid[i, y[here].astype(int), x[here].astype(int)]
        seen += here
    counted = (2 * seen >= len(views.pose)) & (full >= 0.95 * seen) & (seen > 0)
    if not counted.any():
        return None
    cell = half / _CELLS
    return points[counted].min(0) - cell, points[counted].max(0) + cell


def outside(views: Views) -> Float[np.ndarray, "n"]:
    """The share of each silhouette's pixels that look past the cube; poses in its coordinates."""
    rows, columns = (
        np.unique(np.linspace(0, edge - 1, min(edge, _PIXELS)).round().astype(int))
        for edge in (views.height, views.width)
    )
    x, y = np.meshgrid(columns + 0.5, rows + 0.5)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2)
    full = views.alpha[:, rows[:, None], columns].reshape(len(views.pose), -1) > 127
    met = _meets(views.pose[:, None, :3, 3], _directions(views, pixels))
    return (full & ~met).sum(1) / np.maximum(full.sum(1), 1)


def inside_cube(views: Views) -> Bool[np.ndarray, "n"]:
    """Which cameras stand in the cube."""
    return (np.abs(views.pose[:, :3, 3]) < 1).all(1)


def _fits(views: Views, target: Float[np.ndarray, "3"] | None, radius: float) -> bool:
    if inside_cube(views).mean() > 0.05:
        return False
    if views.alpha is not None:
        return float(np.quantile(outside(views), 0.75)) <= _OUTSIDE
    return target is not None and float(np.abs(target).max()) <= 0.5 <= radius <= 4


def _around(middle: Float[np.ndarray, "3"], half: float, reason: str) -> Placement:
    return Placement(1 / half, tuple((-middle / half).tolist()), reason)


def _directions(views: Views, pixels: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "n p 3"]:
    """Unit vectors through image coordinates."""
    through = rays(views.pose, views.focal, views.centre, pixels)
    return through / np.linalg.norm(through, axis=-1, keepdims=True)


def _meets(origins: Float[np.ndarray, "..."], directions: Float[np.ndarray, "..."]):
    """Whether half-lines meet the cube [-1, 1]^3."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (-1 - origins) / directions
        second = (1 - origins) / directions
    # 0 / 0: in a face's own plane, which bounds nothing.
    near = np.nan_to_num(np.fmin(first, second), nan=-np.inf).max(-1)
    far = np.nan_to_num(np.fmax(first, second), nan=np.inf).min(-1)
    return (far >= near) & (far > 0)
