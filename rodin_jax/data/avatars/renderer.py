"""Pictures of a sculpture: sphere tracing, three lights, soft shadows and true alpha."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from rodin_jax.cameras import Camera, image_rays
from rodin_jax.data.avatars.distance import (
    CELL,
    HIGH,
    LOW,
    DistanceGrid,
    groups,
    look_up,
    look_up_nearest,
    primitives,
    solid,
    tabulate,
)
from rodin_jax.data.avatars.sculpture import GROUPS, Sculpture
from rodin_jax.types import Rays

# Directions towards the lights (unit) and their colours; the key stands to the upper front.
_KEY, _KEY_COLOUR = np.array([0.42, -0.72, 0.55]), np.array([1.0, 0.97, 0.92]) * 0.62
_FILL, _FILL_COLOUR = np.array([-0.75, -0.45, 0.25]), np.array([0.85, 0.92, 1.0]) * 0.22
_RIM, _RIM_COLOUR = np.array([-0.2, 0.85, 0.45]), np.array([1.0, 0.98, 0.95]) * 0.30
_AMBIENT = 0.40
_STEPS = 64
_CHUNK = 1024
# Colours of touching parts mix over this distance, so that their borders are antialiased.
_BORDER = 0.004
_SHINE = {"skin": 0.06, "hair": 0.10, "eye": 0.5, "glasses": 0.35, "cloth": 0.02}


def render_views(
    sculpture: Sculpture, camera: Camera, size: int
) -> UInt8[Array, "n {size} {size} 4"]:
    """Pictures (straight-alpha sRGB RGBA) of one sculpture from n cameras of ``size`` pixels."""
    return _render_views(sculpture, camera, size)


@functools.partial(jax.jit, static_argnames="size")
def _render_views(sculpture, camera, size):
    grid = tabulate(sculpture)
    return jax.lax.map(lambda one: _render_one(sculpture, grid, one, size), camera)


def _render_one(sculpture: Sculpture, grid: DistanceGrid, camera: Camera, size: int):
    rays = jax.tree.map(lambda x: x.reshape(-1, 3), image_rays(camera, size, size))
    near, far, close = _approach(grid, rays)
    count = size * size
    chunk = min(_CHUNK, count)
    order = jnp.pad(jnp.argsort(~close), (0, -count % chunk))
    chunks = (close.sum() + chunk - 1) // chunk

    def body(state):
        i, out = state
        index = jax.lax.dynamic_slice(order, (i * chunk,), (chunk,))
        some = jax.tree.map(lambda x: x[index], rays)
        t, miss = _march(grid, some, near[index], far[index])
        # A ray that passes within one pixel of the surface covers the edge in part.
        alpha = jnp.clip(1.0 - miss / (t / camera.focal[0]), 0.0, 1.0)
        rgb = jnp.where(alpha[:, None] > 0, _shade(sculpture, grid, some, t), 0.0)
        return i + 1, out.at[index].set(jnp.concatenate([rgb, alpha[:, None]], -1))

    _, rgba = jax.lax.while_loop(
        lambda state: state[0] < chunks, body, (jnp.int32(0), jnp.zeros((count, 4)))
    )
    return jnp.round(rgba * 255).astype(jnp.uint8).reshape(size, size, 4)


def _approach(grid: DistanceGrid, rays: Rays):
    """Long cheap steps towards the surface: where to march from, until where, and if at all."""
    inverse = 1.0 / jnp.where(jnp.abs(rays.directions) < 1e-9, 1e-9, rays.directions)
    a = (jnp.array(LOW) - rays.origins) * inverse
    b = (jnp.array(HIGH) - rays.origins) * inverse
    near = jnp.maximum(jnp.minimum(a, b).max(-1), 0.0)
    far = jnp.maximum(a, b).min(-1)

    def body(state):
        i, t, close = state
        d = look_up_nearest(grid, rays.origins + t[:, None] * rays.directions) - CELL / 2
        close = close | ((d < CELL) & (t < far))
        return i + 1, jnp.where(close, t, t + jnp.maximum(d, CELL / 2)), close

    def going(state):
        i, t, close = state
        return (i < _STEPS) & jnp.any(~close & (t < far))

    _, t, close = jax.lax.while_loop(going, body, (0, near, jnp.zeros(near.shape, bool)))
    return t, far, close


def _march(grid: DistanceGrid, rays: Rays, near: Float[Array, "n"], far: Float[Array, "n"]):
    """Sphere tracing: the distance of the hit, or of the nearest miss, and how far it misses."""

    def body(state):
        i, t, best_t, best = state
        d = look_up(grid, rays.origins + t[:, None] * rays.directions)
        d = jnp.where(t > far, jnp.inf, d)
        closer = d < best
        best_t, best = jnp.where(closer, t, best_t), jnp.where(closer, d, best)
        # Past the first hit a ray stays where it is; 0.9 forgives the smooth unions.
        t = jnp.where((best > 0.0) & (t <= far), t + jnp.maximum(0.9 * d, 0.006), t)
        return i + 1, t, best_t, best

    def going(state):
        i, t, _, best = state
        return (i < _STEPS) & jnp.any((t <= far) & (best > 0.0))

    start = (0, near, near, jnp.full(near.shape, jnp.inf))
    _, _, t, miss = jax.lax.while_loop(going, body, start)
    return t, miss


def _shade(sculpture: Sculpture, grid: DistanceGrid, rays: Rays, t: Float[Array, "n"]):
    # One step of exact distance mends what the grid's interpolation got wrong.
    t = t + solid(sculpture, rays.origins + t[:, None] * rays.directions)
    points = rays.origins + t[:, None] * rays.directions
    normals = jax.grad(lambda p: solid(sculpture, p).sum())(points)
    normals = normals / (jnp.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9)
    albedo, shine = _paint(sculpture, points)
    occlusion = jnp.ones(t.shape)
    for reach in (0.04, 0.10, 0.22):
        gap = look_up(grid, points + reach * normals)
        occlusion = occlusion - 0.28 * jnp.clip(1 - gap / reach, 0.0, 1.0)
    light = _AMBIENT * occlusion[:, None] * jnp.ones(3)
    shadow = _shadow(grid, points + 0.03 * normals)
    lamps = (_KEY, _KEY_COLOUR, shadow), (_FILL, _FILL_COLOUR, occlusion), (_RIM, _RIM_COLOUR, 1.0)
    for direction, colour, visible in lamps:
        direction = direction / np.linalg.norm(direction)
        # Wrapped diffuse light keeps the style soft.
        diffuse = jnp.clip((normals @ direction + 0.25) / 1.25, 0.0, 1.0)
        light = light + (diffuse * visible)[:, None] * colour
    half = _KEY / np.linalg.norm(_KEY) - rays.directions
    half = half / jnp.linalg.norm(half, axis=-1, keepdims=True)
    gloss = shine * jnp.clip((normals * half).sum(-1), 0.0, 1.0) ** 24 * shadow
    return jnp.clip(albedo * light + gloss[:, None], 0.0, 1.0)


def _shadow(grid: DistanceGrid, points: Float[Array, "n 3"]) -> Float[Array, "n"]:
    """Penumbra of the key light: how nearly anything blocks the way, from the grid."""
    direction = jnp.asarray(_KEY / np.linalg.norm(_KEY), jnp.float32)
    clear = jnp.ones(points.shape[0])
    for distance in (0.05, 0.1, 0.16, 0.23, 0.32, 0.44, 0.6):
        gap = look_up(grid, points + distance * direction)
        clear = jnp.minimum(clear, jnp.clip(0.5 + 4.0 * gap / distance, 0.0, 1.0))
    return 0.35 + 0.65 * clear


def _paint(sculpture: Sculpture, points: Float[Array, "n 3"]):
    """Albedo and shininess: nearby primitives mixed over a narrow border, then the spots."""
    distances = primitives(sculpture, points)
    nearest = groups(sculpture, distances)
    depth = distances - distances.min(-1, keepdims=True)
    weight = jnp.exp(-depth / _BORDER)
    weight = weight / weight.sum(-1, keepdims=True)
    belongs = jax.nn.softmax(-nearest / _BORDER, axis=-1)
    colour = weight @ sculpture.colour

    def cover(colour, spot):
        centre, radii, paint, target = spot
        level = jnp.sqrt((((points - centre) / radii) ** 2).sum(-1) + 1e-12)
        edge = (level - 1.0) * radii.min()
        share = jax.nn.sigmoid(-edge / (0.5 * _BORDER)) * (belongs @ target.astype(jnp.float32))
        return colour + share[:, None] * (paint - colour), None

    spots = (sculpture.spot_centre, sculpture.spot_radii, sculpture.spot_colour,
             sculpture.spot_target)  # fmt: skip
    colour, _ = jax.lax.scan(cover, colour, spots)
    shine = belongs @ jnp.array([_SHINE.get(name, 0.0) for name in GROUPS])
    return colour, shine
