"""Solid shapes as signed distances (negative inside) that melt into each other, and their meshes.

Points are ``[n, 3]`` world positions, distances ``[n]`` world units, close to the surface exact
enough to project onto it.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Field = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]


def ellipsoid(p, centre, radii):
    """Distance to an axis-parallel ellipsoid, of first order near its surface."""
    offset = p - np.asarray(centre)
    radii = np.asarray(radii)
    scaled = offset / radii
    near = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    scaled /= radii
    slope = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    return near * (near - 1.0) / np.maximum(slope, 1e-6)


def capsule(p, start, end, radius):
    """Distance to a thick segment; ``radius`` may be a pair (at the start, at the end)."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    first, last = radius if isinstance(radius, tuple) else (radius, radius)
    line = end - start
    t = np.clip((p - start) @ line / (line @ line), 0, 1)
    offset = p - start - t[:, None] * line
    return np.sqrt(np.einsum("ij,ij->i", offset, offset)) - (first + (last - first) * t)


def melt(a, b, width):
    """Union with a rounded seam of ``width``."""
    seam = np.maximum(width - np.abs(a - b), 0) / width
    return np.minimum(a, b) - seam * seam * width / 4


def carve(a, b, width):
    """What of ``a`` is outside ``b``, with a rounded edge of ``width``."""
    return -melt(-a, b, width)


def gradient(field: Field, p) -> Float[np.ndarray, "n 3"]:
    """Unit outward normals by central differences."""
    step = 1e-3
    slopes = [field(p + step * axis) - field(p - step * axis) for axis in np.eye(3)]
    slopes = np.stack(slopes, axis=-1)
    return slopes / np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 1e-9)


def settle(field: Field, p, *, lift: float = 0.0, rounds: int = 3) -> Float[np.ndarray, "n 3"]:
    """Points moved along the normals to where the distance is ``lift``."""
    for _ in range(rounds):
        p = p - (field(p) - lift)[:, None] * gradient(field, p)
    return p


def from_front(field: Field, x, z, *, lift: float = 0.0) -> Float[np.ndarray, "*n 3"]:
    """Where a look along +y at (x, z) meets the surface raised by ``lift``."""
    x, z = np.broadcast_arrays(np.asarray(x, float), np.asarray(z, float))
    p = np.stack([x.ravel(), np.full(x.size, -0.6), z.ravel()], axis=-1)
    for _ in range(16):
        p[:, 1] += np.clip(field(p) - lift, -0.03, 0.2)
        p[:, 1] = np.minimum(p[:, 1], 0.3)
    return p.reshape(*x.shape, 3)


def surface(
    field: Field, low, high, step: float
) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "m 3"]]:
    """Vertices and outward triangles of the field's zero inside the box from ``low`` to ``high``.

    A coarse look first finds the blocks that the surface passes; only those are sampled.
    """
    from skimage.measure import marching_cubes

    low, block = np.asarray(low, float), 4
    counts = np.ceil((np.asarray(high) - low) / (step * block)).astype(int)
    corner = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1)
    middle = low + (corner.reshape(-1, 3) + 0.5) * step * block
    distance = field(middle)
    passed = np.abs(distance) < 1.3 * step * block
    volume = np.repeat(
        np.where(distance > 0, 1.0, -1.0).astype(np.float32)[:, None], block**3, axis=1
    )
    cell = np.stack(np.meshgrid(*(np.arange(block),) * 3, indexing="ij"), -1).reshape(-1, 3)
    fine = middle[passed][:, None] + (cell + 0.5 - block / 2) * step
    volume[passed] = field(fine.reshape(-1, 3)).reshape(-1, block**3)
    volume = volume.reshape(*counts, block, block, block).transpose(0, 3, 1, 4, 2, 5)
    volume = volume.reshape(counts * block)
    # A shell of air closes what the box cuts.
    volume = np.pad(volume, 1, constant_values=1.0)
    vertices, faces, _, _ = marching_cubes(
        volume, 0.0, spacing=(step,) * 3, gradient_direction="descent"
    )
    vertices = vertices + low - 0.5 * step
    return vertices, np.ascontiguousarray(faces)
