"""How far surfaces are apart, in the units of their meshes. NumPy."""

from collections.abc import Callable

import numpy as np
import scipy.spatial
import trimesh
from jaxtyping import Float


def surface_distance(
    mesh: trimesh.Trimesh,
    distance: Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n"]],
    *,
    count: int = 20_000,
    seed: int = 0,
) -> float:
    """Mean distance of the mesh's surface to one that is known by its distance function.

    Args:
      mesh: its area is sampled evenly.
      distance: signed or unsigned distances of points.
      count: points.
      seed: of the points.
    """
    return float(np.abs(np.asarray(distance(_points(mesh, count, seed)))).mean())


def chamfer_distance(
    a: trimesh.Trimesh, b: trimesh.Trimesh, *, count: int = 20_000, seed: int = 0
) -> float:
    """Mean of the distances from a to b and from b to a, between ``count`` points on each.

    Points stand for surfaces, so equal meshes are not at 0 but at about half the points' spacing,
    ``sqrt(area / count) / 2``.
    """
    x, y = _points(a, count, seed), _points(b, count, seed + 1)
    there = scipy.spatial.cKDTree(y).query(x)[0].mean()
    back = scipy.spatial.cKDTree(x).query(y)[0].mean()
    return float((there + back) / 2)


def _points(mesh, count, seed):
    if not len(mesh.faces):
        raise ValueError("a mesh without faces has no surface")
    points, _ = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return np.asarray(points)
