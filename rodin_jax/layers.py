"""What lies behind each pixel: the surface's distance and its normal.

The surface of a ray is where half of the light is stopped, transmittance 1/2. Unlike the expected
distance it never lies between a silhouette and what is behind it, and thin haze does not move it.
Symbols are those of `rendering`.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax.cameras import Camera
from rodin_jax.occupancy import Occupancy, map_view, render_guided
from rodin_jax.rendering import rays_at_once
from rodin_jax.types import Field, Points, Rays, Rendering

# A density of 10 turns half opaque within 0.07 world units, see `meshing.extract`.
_SOLID = 10.0


@dataclasses.dataclass(frozen=True)
class Layers:
    """Views with what lies behind each pixel, float32 arrays on the host.

    Attributes:
      rgba: straight-alpha colours in [0, 1], ``[*b, h, w, 4]``.
      depth: distance from the camera to the surface, in world units along the pixel's ray (not
        along the camera's axis), ``[*b, h, w]``; infinite where less than half of the light is
        stopped.
      normals: outward unit vectors of the surface in the world's axes, on the camera's side,
        ``[*b, h, w, 3]``; zero where the depth is infinite.
    """

    rgba: np.ndarray
    depth: np.ndarray
    normals: np.ndarray


def median_depth(
    weights: Float[Array, "*n s"], t: Float[Array, "*n s"], delta: Float[Array, "*n s"]
) -> Float[Array, "*n"]:
    """The distance at which transmittance falls to 1/2, with constant density in each sample.

    Within a sample T falls from T_i to T_i - w_i as T_i exp(-sigma_i x), x from 0 to delta_i.

    Args:
      weights: w_i, front to back.
      t: distances of the samples' middles.
      delta: their lengths.

    Returns:
      distances; infinite where transmittance stays above 1/2.
    """
    left = 1.0 - jnp.cumsum(weights, axis=-1)
    first = jnp.argmax(left <= 0.5, axis=-1)[..., None]
    left, w, t, delta = (
        jnp.take_along_axis(x, first, axis=-1)[..., 0] for x in (left, weights, t, delta)
    )
    # Bounds for what rounding leaves, and for rays whose T stays above 1/2.
    before = jnp.maximum(left + w, 0.5)
    fall = jnp.log(before / jnp.maximum(left, 1e-6))
    share = jnp.clip(jnp.log(2.0 * before) / jnp.maximum(fall, 1e-6), 0.0, 1.0)
    return jnp.where(left <= 0.5, t + (share - 0.5) * delta, jnp.inf)


def surface_normals(
    density: Callable[[Points], Float[Array, "*n"]],
    points: Float[Array, "*n 3"],
    directions: Float[Array, "*n 3"],
    *,
    step: float,
) -> Float[Array, "*n 3"]:
    """Unit vectors down the gradient of density, on the side that rays come from.

    Central differences of sigma / (sigma + 10): the bilinear look-ups of a tri-plane make the
    exact gradient jump at every texel, and densities in the thousands would drown all others.
    A normal that points away from the camera is mirrored at the plane across the ray, which at
    silhouettes changes it little. Where nothing changes around a point it faces the camera.

    Args:
      density: of points.
      points: on the surface.
      directions: unit directions of the rays that ended there.
      step: of the differences, in world units; half a texel of the planes serves well.
    """
    offsets = step * jnp.concatenate([jnp.eye(3), -jnp.eye(3)])
    around = density(points[..., None, :] + offsets)
    solid = around / (around + _SOLID)
    outward = solid[..., 3:] - solid[..., :3]
    length = jnp.linalg.norm(outward, axis=-1, keepdims=True)
    outward = jnp.where(length > 1e-6, outward / jnp.maximum(length, 1e-6), -directions)
    away = jnp.maximum((outward * directions).sum(-1, keepdims=True), 0.0)
    return outward - 2.0 * away * directions


def render_layers(
    field: Field,
    density: Callable[[Points], Float[Array, "*n"]],
    grid: Occupancy,
    camera: Camera,
    height: int,
    width: int,
    *,
    step: float,
    samples: int = 16,
    chunk: int | None = None,
) -> tuple[Rendering, Float[Array, "h w"], Float[Array, "h w 3"]]:
    """One view, as `occupancy.render_view` makes it, with the depth and normals of `Layers`.

    Args:
      field: the radiance field.
      density: its density alone.
      grid: where there is anything.
      camera: one camera.
      height: pixels.
      width: pixels.
      step: see `surface_normals`.
      samples: field evaluations a ray; normals take six more of the density.
      chunk: rays evaluated at once.
    """

    def shade(rays: Rays):
        picture, weights, t, delta = render_guided(field, grid, rays, samples=samples)
        depth = median_depth(weights, t, delta)
        seen = jnp.isfinite(depth)[:, None]
        points = rays.origins + jnp.where(seen, depth[:, None], 0.0) * rays.directions
        normals = surface_normals(density, points, rays.directions, step=step)
        return jnp.concatenate(
            [
                picture.rgb,
                picture.alpha[:, None],
                picture.depth[:, None],
                depth[:, None],
                jnp.where(seen, normals, 0.0),
            ],
            axis=-1,
        )

    chunk = chunk or rays_at_once(samples)
    empty = (0.0,) * 5 + (jnp.inf,) + (0.0,) * 3
    out = map_view(shade, grid, camera, height, width, empty=empty, chunk=chunk)
    picture = Rendering(rgb=out[..., :3], alpha=out[..., 3], depth=out[..., 4])
    return picture, out[..., 5], out[..., 6:]
