"""Packed samples: as many to each ray as its occupied, visible part is long.

Steps of one length are taken along every ray, and those in occupied cells that are still seen are
written one after another into a list of fixed size. A ray that grazes a surface gets dozens, one
that misses everything none. Rays for which the list has no room are left out, as a whole.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from rodin_jax.occupancy import Occupancy, look_up
from rodin_jax.rendering import cube_interval
from rodin_jax.types import Rays, Rendering, pytree

# Optical depth of the grid behind which nothing is seen: a transmittance of 0.7 %.
_OPAQUE = 5.0


@pytree
class Packed:
    """Samples of ``r`` rays in the rays' order, front to back.

    Attributes:
      ray: which ray a sample is of.
      t: its distance along the ray.
      delta: the length it stands for; 0 in the unused rest of the list.
      rank: how many samples of its ray come before it.
      whole: which rays have all of their samples in the list.
      total: how many samples all rays together asked for.
    """

    ray: Int[Array, "n"]
    t: Float[Array, "n"]
    delta: Float[Array, "n"]
    rank: Int[Array, "n"]
    whole: Bool[Array, "r"]
    total: Int[Array, ""]


def steps_across(box: Float[ArrayLike, "2 3"], step: float) -> int:
    """Steps that take any ray through the box, in a multiple of 16 so that programs are shared."""
    low, high = box
    diagonal = math.dist([float(x) for x in low], [float(x) for x in high])
    return max(16, 16 * math.ceil(diagonal / step / 16))


def pack_samples(
    grid: Occupancy,
    rays: Rays,
    *,
    step: ArrayLike,
    steps: int,
    size: int,
    key: Array | None = None,
) -> Packed:
    """Samples every ``step`` in the occupied cells that rays meet before they are stopped.

    Args:
      grid: the occupancy.
      rays: ``r`` rays.
      step: distance between samples of a ray, in world units.
      steps: looked at along each ray from where it enters the grid's box, see `steps_across`.
      size: of the list.
      key: shifts the samples of each ray together by up to a step when given; it is consumed.
    """
    count = rays.origins.shape[0]
    near, far = cube_interval(rays, *grid.box)
    offset = 0.5 if key is None else jax.random.uniform(key, (count, 1))
    t = near[:, None] + (jnp.arange(steps) + offset) * step
    density = look_up(grid, rays, t)
    wanted = (density >= 0) & (t < far[:, None])
    optical = jnp.where(wanted, density, 0.0) * step
    wanted &= jnp.cumsum(optical, -1) - optical < _OPAQUE
    rank = jnp.cumsum(wanted, -1, dtype=jnp.int32)
    end = jnp.cumsum(rank[:, -1])
    start = end - rank[:, -1]
    slot = jnp.where(wanted, start[:, None] + rank - 1, size)
    source = jnp.zeros(size, jnp.int32).at[slot.reshape(-1)].set(
        jnp.arange(count * steps, dtype=jnp.int32), mode="drop"
    )  # fmt: skip
    ray, _ = jnp.divmod(source, steps)
    place = jnp.arange(size)
    used = place < end[-1]
    # The unused rest belongs to the last ray, behind everything else, and has no length.
    ray = jnp.where(used, ray, count - 1)
    return Packed(
        ray=ray,
        t=jnp.where(used, t.reshape(-1)[source], 0.0),
        delta=jnp.where(used, step, 0.0),
        rank=place - start[ray],
        whole=end <= size,
        total=end[-1],
    )


def running_sum(values: Float[Array, "n"], rank: Int[Array, "n"]) -> Float[Array, "n"]:
    """Cumulative sums that begin anew wherever ``rank`` is 0 (Hillis and Steele's scan).

    Differences of plain cumulative sums would lose the small terms of late rays to rounding, and
    `jax.lax.associative_scan` takes more time to compile than all else of a fit.
    """

    def double(total, reach):
        return total + jnp.where(rank >= reach, jnp.roll(total, reach), 0.0), None

    reaches = 2 ** jnp.arange((len(values) - 1).bit_length())
    return jax.lax.scan(double, values, reaches)[0]


def composite_packed(
    density: Float[Array, "n"], rgb: Float[Array, "n 3"], samples: Packed
) -> tuple[Rendering, Float[Array, "n"]]:
    """`rendering.composite` of packed samples: the picture of ``r`` rays and the weights."""
    optical = density * samples.delta
    before = running_sum(optical, samples.rank) - optical
    weights = jnp.exp(-before) * -jnp.expm1(-optical)
    moments = jnp.concatenate([rgb, jnp.ones_like(rgb[:, :1]), samples.t[:, None]], -1)
    seen = _per_ray(weights[:, None] * moments, samples)
    return Rendering(rgb=seen[:, :3], alpha=seen[:, 3], depth=seen[:, 4]), weights


def distortion_packed(weights: Float[Array, "n"], samples: Packed) -> Float[Array, "r"]:
    """`rendering.distortion` of packed samples."""
    wt = weights * samples.t
    before = running_sum(weights, samples.rank) - weights
    before_t = running_sum(wt, samples.rank) - wt
    pairs = 2.0 * (wt * before - weights * before_t) + weights**2 * samples.delta / 3.0
    return _per_ray(pairs, samples)


def _per_ray(values, samples: Packed):
    count = samples.whole.shape[0]
    return jax.ops.segment_sum(values, samples.ray, count, indices_are_sorted=True)
