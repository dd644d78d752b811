"""Meshes of fewer faces: edges collapse where that moves the surface least.

The order of collapses is that of quadric error metrics (Garland and Heckbert, SIGGRAPH 1997), done
by the library fast-simplification of the extra ``rodin_jax[mesh]``.
"""

import numpy as np
from jaxtyping import Float, Int, Int32

from rodin_jax.meshing import extra

_FEWEST = 4  # a tetrahedron


def decimate(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"], count: int
) -> tuple[Float[np.ndarray, "k 3"], Int32[np.ndarray, "l 3"]]:
    """The same surface with ``count`` faces, or a few less.

    A closed surface stays closed: along every edge as many faces run one way as the other. It may
    touch itself, so that four faces meet in an edge. A mesh of no more faces is returned as it is.

    Args:
      vertices: positions.
      faces: vertex indices, counter-clockwise seen from outside.
      count: how many faces to keep, 4 or more.

    Raises:
      MeshExtraError: fast-simplification is not installed.
      ValueError: ``count`` is less than 4.
    """
    if count < _FEWEST:
        raise ValueError(f"a closed mesh has at least {_FEWEST} faces, got {count}")
    library = extra.simplifier()
    if count >= len(faces):
        return vertices, faces.astype(np.int32)
    vertices, faces = library.simplify(
        np.ascontiguousarray(vertices, np.float32),
        np.ascontiguousarray(faces, np.int32),
        target_count=count,
    )
    return _referenced(np.asarray(vertices, np.float32), _without_flaps(np.asarray(faces)))


def _without_flaps(faces: np.ndarray) -> np.ndarray:
    """Drops faces back to back: what is left of a sheet that collapsed onto itself."""
    a, b, c = faces.T
    # The sign of the permutation that sorts a face tells its side.
    side = np.where((a < b).astype(int) + (b < c) + (c < a) == 2, 1, -1)
    _, group = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)
    return faces[np.bincount(group.ravel(), side)[group.ravel()] != 0]


def _referenced(vertices: np.ndarray, faces: np.ndarray):
    """Drops vertices of no face."""
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used], index.reshape(-1, 3).astype(np.int32)
