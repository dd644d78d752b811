"""The tri-plane: three orthogonal feature planes that together describe a volume (paper 3.1).

Axes u = x, v = y, w = z. Planes are stacked ``[*b, 3, h, w, c]`` in cyclic order: plane 0 ``uv``
(rows u, columns v), plane 1 ``wu`` (rows w, columns u), plane 2 ``vw`` (rows v, columns w). So the
row axis of plane k is the column axis of plane k + 1, and its column axis is the row axis of
plane k + 2 (indices mod 3). Texel i of n is centred at (i + 0.5) / n of the cube's edge.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax.types import Planes, Points

PLANE_AXIS = -4
# World axes (u, v, w) = (0, 1, 2) that run along the rows and columns of each plane.
ROW_AXES = (0, 2, 1)
COLUMN_AXES = (1, 0, 2)


def roll_out(planes: Planes) -> Float[Array, "*b h 3*w c"]:
    """hstack(uv, wu, vw): ``[*b, 3, h, w, c] -> [*b, h, 3w, c]`` (paper 3.2)."""
    return jnp.concatenate([planes[..., k, :, :, :] for k in range(3)], axis=-2)


def unroll(image: Float[Array, "*b h w3 c"]) -> Planes:
    """Inverse of `roll_out`; the width must be a multiple of three."""
    if image.shape[-2] % 3:
        raise ValueError(f"a rolled-out tri-plane has a width of 3w, got {image.shape[-2]}")
    return jnp.stack(jnp.split(image, 3, axis=-2), axis=PLANE_AXIS)


def row_context(planes: Planes) -> Float[Array, "*b 3 h c"]:
    """What the other planes know along each plane's row axis: mean over the rows of plane k + 1."""
    return jnp.roll(planes, -1, axis=PLANE_AXIS).mean(axis=-3)


def column_context(planes: Planes) -> Float[Array, "*b 3 w c"]:
    """Likewise along the column axis: mean over the columns of plane k + 2."""
    return jnp.roll(planes, -2, axis=PLANE_AXIS).mean(axis=-2)


def mirror(planes: Planes) -> Planes:
    """The subject seen in a mirror: reverses the u axis (left and right)."""
    uv, wu, vw = (planes[..., k, :, :, :] for k in range(3))
    return jnp.stack([jnp.flip(uv, -3), jnp.flip(wu, -2), vw], axis=PLANE_AXIS)


def resize(planes: Planes, size: int) -> Float[Array, "*b 3 {size} {size} c"]:
    """Resamples to ``size`` x ``size`` texels: antialiased when shrinking, linear when growing."""
    shape = (*planes.shape[:-3], size, size, planes.shape[-1])
    return jax.image.resize(planes, shape, method="linear", antialias=True)


def resize_matrix(size: int, to: int) -> Float[np.ndarray, "to size"]:
    """`resize` along one axis as a matrix: it is linear and separable."""
    with jax.ensure_compile_time_eval():  # a constant, wherever it is asked for
        rows = jax.image.resize(jnp.eye(size), (to, size), method="linear", antialias=True)
        return np.asarray(rows)


def sample(planes: Float[Array, "3 h w c"], points: Points) -> Float[Array, "*n c"]:
    """Sum of the three bilinear look-ups y_uv(p) + y_wu(p) + y_vw(p) (paper 3.1).

    Points outside the cube take the value at its nearest face. For subjects in a batch, `jax.vmap`.
    """
    corners, weight = _corners(planes, points)
    lead, c = points.shape[:-1], planes.shape[-1]
    return jnp.einsum("...kc,...k->...c", corners.reshape(*lead, 12, c), weight.reshape(*lead, 12))


def sample_each(planes: Float[Array, "3 h w c"], points: Points) -> Float[Array, "*n 3 c"]:
    """The three look-ups that `sample` adds up."""
    return jnp.einsum("...pkc,...pk->...pc", *_corners(planes, points))


def _corners(planes, points):
    """The texels around each point on each plane, ``[*n, 3, 4, c]``, and their weights."""
    _, h, w, c = planes.shape
    table = planes.reshape(3 * h * w, c)
    rows, row_weight = _texels(jnp.stack([points[..., a] for a in ROW_AXES], -1), h)
    cols, col_weight = _texels(jnp.stack([points[..., a] for a in COLUMN_AXES], -1), w)
    base = (jnp.arange(3) * h * w)[:, None]
    index = base[..., None] + rows[..., :, None] * w + cols[..., None, :]
    weight = row_weight[..., :, None] * col_weight[..., None, :]
    lead = points.shape[:-1]
    corners = jnp.take(table, index.reshape(*lead, 12), axis=0, mode="clip")
    weight = weight.reshape(*lead, 3, 4).astype(planes.dtype)
    return corners.reshape(*lead, 3, 4, c), weight


def _texels(coordinate, size: int):
    """The two texels around each coordinate in [-1, 1] and their weights, on a trailing axis."""
    position = jnp.clip((coordinate + 1) * (size / 2) - 0.5, 0, size - 1)
    low = jnp.clip(jnp.floor(position), 0, max(size - 2, 0)).astype(jnp.int32)
    fraction = position - low
    high = jnp.minimum(low + 1, size - 1)
    return jnp.stack([low, high], -1), jnp.stack([1 - fraction, fraction], -1)
