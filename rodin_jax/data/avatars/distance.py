"""Signed distance of a sculpture, exact near its surface, and a grid of it for marching.

An avatar has hundreds of primitives, but near any point only some dozens matter. The grid's blocks
therefore keep lists of those nearest to them, and distances near the surface are measured to these
alone; `solid` measures to everything and is the reference.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rodin_jax.data.avatars.sculpture import MELT, Sculpture
from rodin_jax.types import pytree

# The box that holds every avatar, and the corners of the marching grid along each axis.
LOW, HIGH = (-0.92, -0.92, -1.0), (0.92, 0.92, 1.0)
CELLS = (120, 120, 128)
# The diagonal of a cell.
CELL = float(np.linalg.norm((np.array(HIGH) - np.array(LOW)) / (np.array(CELLS) - 1)))
_BLOCK = 4
_NEAREST = 16, 44  # ellipsoids and rods of a block
_FAR = 100.0


@pytree
class Primitives:
    """Indices of some of a sculpture's ellipsoids and rods."""

    ellipsoids: Int[Array, "*n e"]
    rods: Int[Array, "*n k"]


@pytree
class DistanceGrid:
    """Signed distances at the corners of a regular grid over the box LOW..HIGH.

    ``nearest`` lists the primitives that matter in each block of 4 x 4 x 4 corners near the
    surface.
    """

    values: Float[Array, "i j k"]
    nearest: Primitives


@pytree
class Nearby:
    """The primitives that matter at some points, with the points' shape ``n`` in front.

    Attributes:
      distance: to the ellipsoids, then to the rods at hand.
      slope: its gradient, component by component; a unit vector only nearly.
      part: of each primitive.
      colour: of each, the rods' already streaked with strands.
    """

    distance: Float[Array, "*n p"]
    slope: tuple[Float[Array, "*n p"], Float[Array, "*n p"], Float[Array, "*n p"]]
    part: Int[Array, "*n p"]
    colour: Float[Array, "*n p 3"]


def nearby(sculpture: Sculpture, points: Float[Array, "*n 3"], some: Primitives) -> Nearby:
    """Distances (first-order exact for ellipsoids) from points to ``some`` primitives, whose
    leading dimensions broadcast with those of the points."""
    ellipsoids, rods = sculpture.ellipsoid[some.ellipsoids], sculpture.rod[some.rods]
    ellipsoid, ellipsoid_slope = _ellipsoid_distance(ellipsoids, points)
    rod, rod_slope, streak = _rod_distance(rods, points)
    first, second = ellipsoid.shape, rod.shape
    streaked = jnp.clip(rods[..., 9:12] * (1.0 + streak)[..., None], 0.0, 1.0)
    own = jnp.broadcast_to(ellipsoids[..., 15:], (*first, 3))
    member = (
        jnp.broadcast_to(sculpture.ellipsoid_part[some.ellipsoids], first),
        jnp.broadcast_to(sculpture.rod_part[some.rods], second),
    )
    return Nearby(
        distance=jnp.concatenate([ellipsoid, rod], -1),
        slope=tuple(
            jnp.concatenate(both, -1) for both in zip(ellipsoid_slope, rod_slope, strict=True)
        ),
        part=jnp.concatenate(member, -1),
        colour=jnp.concatenate([own, streaked], -2),
    )


def union(sculpture: Sculpture, found: Nearby, points: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """Signed distance to all parts together, cut flat at the floor.

    Inside a part primitives melt, ``-k log sum exp(-d / k)``. Only the two parts nearest to a
    point are looked at; a third has no say.
    """
    return _union(sculpture, found, points)[0]


def surface(
    sculpture: Sculpture, found: Nearby, points: Float[Array, "*n 3"]
) -> tuple[Float[Array, "*n"], Float[Array, "*n 3"]]:
    """`union` and its gradient, the unit outward normals."""
    distance, weight = _union(sculpture, found, points)
    slope = jnp.stack([(weight * component).sum(-1) for component in found.slope], -1)
    below = sculpture.floor - points[..., 2]
    slope = jnp.where((below > -1e-3)[..., None], jnp.array([0.0, 0.0, -1.0]), slope)
    return distance, slope / (jnp.linalg.norm(slope, axis=-1, keepdims=True) + 1e-9)


def _union(sculpture, found, points):
    """The union, and the weights of the primitives in its gradient."""
    distance, part = found.distance, found.part

    def melted(distance):
        nearest = distance.argmin(-1, keepdims=True)
        least = jnp.take_along_axis(distance, nearest, -1)
        its_part = jnp.take_along_axis(part, nearest, -1)
        melt = jnp.asarray(MELT)[its_part]
        # Bounded, because an overflow that is thrown away still makes the gradient NaN.
        near = jnp.exp(jnp.minimum((least - found.distance) / melt, 0.0))
        share = jnp.where(part == its_part, near, 0.0)
        total = share.sum(-1, keepdims=True)
        return least - melt * jnp.log(total), share / total, its_part

    first, weight, its_part = melted(distance)
    second, other, _ = melted(jnp.where(part == its_part, _FAR, distance))
    chosen = jnp.where(first <= second, weight, other)
    level = jnp.minimum(first, second)[..., 0]
    return jnp.maximum(level, sculpture.floor - points[..., 2]), chosen


def solid(sculpture: Sculpture, points: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """Signed distance to the whole avatar: positive outside, in world units."""
    everything = Primitives(jnp.arange(len(sculpture.ellipsoid)), jnp.arange(len(sculpture.rod)))
    return union(sculpture, nearby(sculpture, points, everything), points)


def primitives_near(grid: DistanceGrid, points: Float[Array, "*n 3"]) -> Primitives:
    """The primitives that matter near points of the surface."""
    counts = np.array(CELLS) // _BLOCK
    block = jnp.minimum((_position(points) / _BLOCK).astype(jnp.int32), counts - 1)
    index = (block[..., 0] * counts[1] + block[..., 1]) * counts[2] + block[..., 2]
    return jax.tree.map(lambda lists: lists[index], grid.nearest)


def _ellipsoid_distance(rows: Float[Array, "*m e 18"], points: Float[Array, "*n 3"]):
    # Written by components: reductions over axes of length three keep compilers from fusing.
    offset = [points[..., i, None] - rows[..., i] for i in range(3)]
    level = slope = 1e-12
    direction = [0.0, 0.0, 0.0]
    for a in range(3):
        scaled = sum(offset[i] * rows[..., 3 + 3 * a + i] for i in range(3))
        level = level + scaled**2
        slope = slope + (scaled / rows[..., 12 + a]) ** 2
        direction = [direction[i] + scaled * rows[..., 3 + 3 * a + i] for i in range(3)]
    level, inverse = jnp.sqrt(level), jax.lax.rsqrt(slope)
    return level * (level - 1.0) * inverse, [x * inverse for x in direction]


def _rod_distance(rows: Float[Array, "*m k 13"], points: Float[Array, "*n 3"]):
    """Distance, its slope, and the strands: stripes along the rod that differ round its axis."""
    offset = [points[..., i, None] - rows[..., i] for i in range(3)]
    axis = [rows[..., 3 + i] for i in range(3)]
    along = jnp.clip(sum(o * a for o, a in zip(offset, axis, strict=True)) * rows[..., 6], 0.0, 1.0)
    away = [o - along * a for o, a in zip(offset, axis, strict=True)]
    inverse = jax.lax.rsqrt(sum(x**2 for x in away) + 1e-12)
    distance = 1.0 / inverse - (rows[..., 7] + along * rows[..., 8])
    phase = 110.0 * away[0] + 97.0 * away[1] + 83.0 * away[2]
    return distance, [x * inverse for x in away], rows[..., 12] * jnp.sin(phase)


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
    rods, _, _ = _rod_distance(sculpture.rod, middles)
    ellipsoids, _ = _ellipsoid_distance(sculpture.ellipsoid, middles)
    coarse = jnp.minimum(ellipsoids.min(-1), rods.min(-1))
    coarse = jnp.maximum(coarse, sculpture.floor - middles[:, 2])
    # One cell more than the block, because interpolation reads the neighbour's corners; smooth
    # unions reach a little further than the nearest primitive.
    near = jnp.abs(coarse) < half + float(np.linalg.norm(step)) + 0.03
    chunk = 64
    order = jnp.pad(jnp.argsort(~near), (0, -len(index) % chunk))
    chunks = (near.sum() + chunk - 1) // chunk

    def body(state):
        i, values, lists = state
        some = jax.lax.dynamic_slice(order, (i * chunk,), (chunk,))
        nearest = Primitives(
            jax.lax.top_k(-ellipsoids[some], _NEAREST[0])[1],
            jax.lax.top_k(-rods[some], _NEAREST[1])[1],
        )
        corners = first[some][:, None] + inner
        found = nearby(sculpture, corners, jax.tree.map(lambda x: x[:, None], nearest))
        exact = union(sculpture, found, corners)
        lists = jax.tree.map(lambda old, new: old.at[some].set(new), lists, nearest)
        return i + 1, values.at[some].set(exact), lists

    smooth = jax.image.resize(coarse.reshape(blocks), CELLS, "linear")
    shape = [n for pair in zip(blocks, [_BLOCK] * 3, strict=True) for n in pair]
    start = smooth.reshape(shape).transpose(0, 2, 4, 1, 3, 5).reshape(len(index), -1)
    lists = Primitives(*(jnp.zeros((len(index), count), jnp.int32) for count in _NEAREST))
    _, values, lists = jax.lax.while_loop(
        lambda s: s[0] < chunks, body, (jnp.int32(0), start, lists)
    )
    values = values.reshape(*blocks, _BLOCK, _BLOCK, _BLOCK).transpose(0, 3, 1, 4, 2, 5)
    return DistanceGrid(values.reshape(CELLS), lists)


def look_up(grid: DistanceGrid, points: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """Trilinear interpolation of the grid; points outside the box are clamped to it."""
    position = _position(points)
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
    cell = jnp.round(_position(points)).astype(jnp.int32)
    index = (cell[..., 0] * CELLS[1] + cell[..., 1]) * CELLS[2] + cell[..., 2]
    return jnp.take(grid.values.reshape(-1), index, mode="clip")


def _position(points):
    low, high = np.array(LOW), np.array(HIGH)
    position = (points - low) * ((np.array(CELLS) - 1) / (high - low))
    return jnp.clip(position.astype(jnp.float32), 0.0, jnp.array(CELLS) - 1.001)
