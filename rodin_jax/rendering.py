"""Volume rendering of a radiance field (paper eq. 1) inside the cube [-1, 1]^3.

Symbols: along a ray, samples i = 1..s at distances t_i with quadrature lengths delta_i,
densities sigma_i and colours c_i; opacity a_i = 1 - exp(-sigma_i delta_i), transmittance
T_i = prod_{j<i} (1 - a_j), weights w_i = T_i a_i; the ray sees sum_i w_i c_i.

`render_rays` evaluates the whole cube and is the plain reference. `occupancy.py` places fewer,
better samples and shares `composite`.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from rodin_jax.cameras import Camera, image_rays
from rodin_jax.types import Field, Rays, Rendering


def cube_interval(
    rays: Rays, low: ArrayLike = -1.0, high: ArrayLike = 1.0
) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Distances at which rays enter and leave the cube; equal where they miss it.

    Rays parallel to a face are handled: their slab is either everything or nothing.

    Args:
      rays: any batch shape.
      low: corner of another box ``[3]``, instead of the cube.
      high: its other corner.
    """
    o, d = rays.origins, rays.directions
    parallel = jnp.abs(d) < 1e-9
    inverse = 1.0 / jnp.where(parallel, 1.0, d)
    a, b = (low - o) * inverse, (high - o) * inverse
    inside = (o >= low) & (o <= high)
    enter = jnp.where(parallel, jnp.where(inside, -jnp.inf, jnp.inf), jnp.minimum(a, b))
    leave = jnp.where(parallel, jnp.where(inside, jnp.inf, -jnp.inf), jnp.maximum(a, b))
    near = jnp.maximum(enter.max(-1), 0.0)
    far = leave.min(-1)
    hit = far > near
    return jnp.where(hit, near, 0.0), jnp.where(hit, far, 0.0)


def composite(
    density: Float[Array, "*n s"],
    rgb: Float[Array, "*n s 3"],
    t: Float[Array, "*n s"],
    delta: Float[Array, "*n s"],
) -> tuple[Rendering, Float[Array, "*n s"]]:
    """Alpha-composites samples front to back; returns the picture and the weights w_i."""
    weights = sample_weights(density, delta)
    picture = Rendering(
        rgb=jnp.einsum("...s,...sc->...c", weights, rgb),
        alpha=weights.sum(-1),
        depth=(weights * t).sum(-1),
    )
    return picture, weights


def sample_weights(
    density: Float[Array, "*n s"], delta: Float[Array, "*n s"]
) -> Float[Array, "*n s"]:
    """w_i = T_i (1 - exp(-sigma_i delta_i))."""
    optical = density * delta
    before = jnp.cumsum(optical, axis=-1) - optical
    return jnp.exp(-before) * -jnp.expm1(-optical)


def render_rays(field: Field, rays: Rays, *, samples: int, key: Array | None = None) -> Rendering:
    """Renders rays with ``samples`` evenly spaced points across the cube.

    Args:
      field: the radiance field.
      rays: any batch shape.
      samples: points a ray.
      key: jitters the points inside their strata when given; it is consumed.
    """
    near, far = cube_interval(rays)
    offset = 0.5 if key is None else jax.random.uniform(key, (*near.shape, samples))
    t = near[..., None] + (jnp.arange(samples) + offset) / samples * (far - near)[..., None]
    points = rays.origins[..., None, :] + t[..., None] * rays.directions[..., None, :]
    density, rgb = field(points, jnp.broadcast_to(rays.directions[..., None, :], points.shape))
    delta = jnp.broadcast_to(((far - near) / samples)[..., None], t.shape)
    return composite(density, rgb, t, delta)[0]


def points_at_once() -> int:
    """How many points to read from planes at a time.

    A processor is up to twice as fast while their texels stay in its cache; accelerators want
    many.
    """
    return 8192 if jax.default_backend() == "cpu" else 65536


def rays_at_once(samples: int) -> int:
    """How many rays of so many samples are `points_at_once`; at least one."""
    return max(points_at_once() // samples, 1)


def render_image(
    field: Field,
    camera: Camera,
    height: int,
    width: int,
    *,
    samples: int = 64,
    chunk: int | None = None,
) -> Rendering:
    """Renders every pixel of one camera, ``chunk`` rays at a time; arrays are ``[h, w, ...]``."""
    rays = image_rays(camera, height, width)
    chunk = chunk or rays_at_once(samples)
    return map_rays(lambda r: render_rays(field, r, samples=samples), rays, chunk)


def map_rays(render, rays: Rays, chunk: int) -> Rendering:
    """Applies ``render`` to flat chunks of ``rays``, restoring their batch shape."""
    shape = rays.origins.shape[:-1]
    flat = jax.tree.map(lambda x: x.reshape(-1, 3), rays)
    count = flat.origins.shape[0]
    chunk = min(chunk, count)
    pad = -count % chunk
    flat = jax.tree.map(lambda x: jnp.pad(x, ((0, pad), (0, 0)), mode="edge"), flat)
    pieces = jax.tree.map(lambda x: x.reshape(-1, chunk, 3), flat)
    picture = jax.lax.map(render, pieces)
    return jax.tree.map(
        lambda x: x.reshape(-1, *x.shape[2:])[:count].reshape(*shape, *x.shape[2:]), picture
    )


def over(picture: Rendering, background) -> Float[Array, "*n 3"]:
    """The picture in front of an opaque background colour."""
    return picture.rgb + (1 - picture.alpha[..., None]) * jnp.asarray(background)


def distortion(
    weights: Float[Array, "*n s"], t: Float[Array, "*n s"], delta: Float[Array, "*n s"]
) -> Float[Array, "*n"]:
    """The mip-NeRF 360 distortion loss, exact in O(s): compact weights along each ray (suppl. B.2).

    sum_ij w_i w_j |t_i - t_j| + 1/3 sum_i w_i^2 delta_i, with t ascending.
    """
    wt = weights * t
    before = jnp.cumsum(weights, -1) - weights
    before_t = jnp.cumsum(wt, -1) - wt
    pairs = 2.0 * (wt * before - weights * before_t).sum(-1)
    return pairs + (weights**2 * delta).sum(-1) / 3.0
