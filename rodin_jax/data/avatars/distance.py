"""Signed distance of a sculpture, exact near its surface, and a grid of it for marching."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax.data.avatars.sculpture import GROUPS, Sculpture
from rodin_jax.types import pytree

# The box that holds every avatar, and the cells of the marching grid along each axis.
LOW, HIGH = (-0.84, -0.84, -1.0), (0.84, 0.84, 1.0)
CELLS = (80, 80, 96)
# The diagonal of a cell.
CELL = float(np.linalg.norm((np.array(HIGH) - np.array(LOW)) / (np.array(CELLS) - 1)))
_BLOCK = 4
_CLIP = 80.0


@pytree
class DistanceGrid:
    """Signed distances at the corners of a regular grid over the box LOW..HIGH."""

    values: Float[Array, "i j k"]


def primitives(sculpture: Sculpture, points: Float[Array, "n 3"]) -> Float[Array, "n p"]:
    """Signed distance from each point to each primitive (first-order exact for ellipsoids).

    Written by components: reductions over axes of length three keep compilers from fusing.
    """
    point = [points[:, None, i] for i in range(3)]
    frame, radii = sculpture.frame, sculpture.radii
    offset = [point[i] - sculpture.centre[:, i] for i in range(3)]
    level = slope = 1e-12
    for a in range(3):
        scaled = sum(offset[i] * (frame[:, a, i] / radii[:, a]) for i in range(3))
        level = level + scaled**2
        slope = slope + (scaled / radii[:, a]) ** 2
    level = jnp.sqrt(level)
    ellipsoids = level * (level - 1.0) * jax.lax.rsqrt(slope)
    axis = sculpture.end - sculpture.start
    weight = axis / ((axis**2).sum(-1, keepdims=True) + 1e-9)
    offset = [point[i] - sculpture.start[:, i] for i in range(3)]
    along = jnp.clip(sum(offset[i] * weight[:, i] for i in range(3)), 0.0, 1.0)
    away = sum((offset[i] - along * axis[:, i]) ** 2 for i in range(3))
    girth, taper = sculpture.girth[:, 0], sculpture.girth[:, 1] - sculpture.girth[:, 0]
    capsules = jnp.sqrt(away + 1e-12) - (girth + along * taper)
    return jnp.concatenate([ellipsoids, capsules], axis=-1)


def groups(sculpture: Sculpture, distances: Float[Array, "n p"]) -> Float[Array, "n g"]:
    """Smooth union inside each group: -k log sum exp(-d / k); cut flat at the floor by `solid`."""
    radius = jnp.array(list(GROUPS.values()))
    scaled = jnp.clip(distances / (sculpture.member @ radius), -_CLIP, _CLIP)
    total = jnp.exp(-scaled) @ sculpture.member
    return -radius * jnp.log(total + 1e-34)


def solid(sculpture: Sculpture, points: Float[Array, "n 3"]) -> Float[Array, "n"]:
    """Signed distance to the whole avatar: positive outside, in world units."""
    nearest = groups(sculpture, primitives(sculpture, points)).min(-1)
    return jnp.maximum(nearest, sculpture.floor - points[:, 2])


def tabulate(sculpture: Sculpture) -> DistanceGrid:
    """Signed distances at all corners of the marching grid.

    Only blocks near the surface are measured corner by corner; elsewhere the distances at the
    blocks' middles are interpolated.
    """
    blocks = np.array(CELLS) // _BLOCK
    step = (np.array(HIGH) - np.array(LOW)) / (np.array(CELLS) - 1)
    index = np.stack(np.meshgrid(*map(np.arange, blocks), indexing="ij"), -1).reshape(-1, 3)
    inner = np.stack(np.meshgrid(*[np.arange(_BLOCK)] * 3, indexing="ij"), -1).reshape(-1, 3)
    first = jnp.asarray(np.array(LOW) + index * _BLOCK * step, jnp.float32)
    inner = jnp.asarray(inner * step, jnp.float32)
    half = float(np.linalg.norm(step) * (_BLOCK - 1) / 2)

    middles = first + inner.mean(0)
    coarse = solid(sculpture, middles)
    # One cell more than the block, because interpolation reads the neighbour's corners.
    near = jnp.abs(coarse) < half + float(np.linalg.norm(step))
    chunk = 64
    order = jnp.pad(jnp.argsort(~near), (0, -len(index) % chunk))
    chunks = (near.sum() + chunk - 1) // chunk

    def body(state):
        i, values = state
        some = jax.lax.dynamic_slice(order, (i * chunk,), (chunk,))
        corners = (first[some][:, None] + inner).reshape(-1, 3)
        return i + 1, values.at[some].set(solid(sculpture, corners).reshape(chunk, -1))

    smooth = jax.image.resize(coarse.reshape(blocks), CELLS, "linear")
    shape = [n for pair in zip(blocks, [_BLOCK] * 3, strict=True) for n in pair]
    start = smooth.reshape(shape).transpose(0, 2, 4, 1, 3, 5).reshape(len(index), -1)
    _, values = jax.lax.while_loop(lambda s: s[0] < chunks, body, (jnp.int32(0), start))
    values = values.reshape(*blocks, _BLOCK, _BLOCK, _BLOCK).transpose(0, 3, 1, 4, 2, 5)
    return DistanceGrid(values.reshape(CELLS))


def look_up(grid: DistanceGrid, points: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """Trilinear interpolation of the grid; points outside the box are clamped to it."""
    position = jnp.clip(_position(points), 0.0, jnp.array(CELLS) - 1.001)
    base = position.astype(jnp.int32)
    f = position - base
    ny, nz = CELLS[1], CELLS[2]
    index = (base[..., 0] * ny + base[..., 1]) * nz + base[..., 2]
    flat = grid.values.reshape(-1)

    def corner(offset):
        return jnp.take(flat, index + offset, mode="clip")

    def blend(offset):
        near = corner(offset) + f[..., 2] * (corner(offset + 1) - corner(offset))
        far = corner(offset + nz) + f[..., 2] * (corner(offset + nz + 1) - corner(offset + nz))
        return near + f[..., 1] * (far - near)

    first, second = blend(0), blend(ny * nz)
    return first + f[..., 0] * (second - first)


def look_up_nearest(grid: DistanceGrid, points: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """The nearest corner's value: an eighth of the work, right within `CELL` / 2."""
    cell = jnp.clip(jnp.round(_position(points)), 0, jnp.array(CELLS) - 1).astype(jnp.int32)
    index = (cell[..., 0] * CELLS[1] + cell[..., 1]) * CELLS[2] + cell[..., 2]
    return jnp.take(grid.values.reshape(-1), index, mode="clip")


def _position(points):
    low, high = np.array(LOW), np.array(HIGH)
    return ((points - low) * ((np.array(CELLS) - 1) / (high - low))).astype(jnp.float32)
