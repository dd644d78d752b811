"""Pictures of a sculpture: sphere tracing, three lights, soft shadows and true alpha.

Every pixel is traced once; those that differ from a neighbour are traced again with four rays, so
that outlines and borders of paint are smooth where it shows and nothing is wasted elsewhere.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from rodin_jax.cameras import Camera, image_rays, pixel_rays
from rodin_jax.data.avatars import paint
from rodin_jax.data.avatars.distance import (
    CELL,
    HIGH,
    LOW,
    DistanceGrid,
    look_up,
    look_up_nearest,
    nearby,
    primitives_near,
    surface,
    tabulate,
    union,
)
from rodin_jax.data.avatars.sculpture import SHINE, WRAP, Sculpture
from rodin_jax.types import Rays, pytree


def _unit(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z]) / np.linalg.norm([x, y, z])


# Directions towards the lights and their colours; the key stands to the upper front.
_KEY, _KEY_COLOUR = _unit(0.42, -0.74, 0.53), np.array([1.0, 0.96, 0.90]) * 0.62
_FILL, _FILL_COLOUR = _unit(-0.75, -0.45, 0.25), np.array([0.86, 0.92, 1.0]) * 0.24
_RIM, _RIM_COLOUR = _unit(-0.25, 0.85, 0.45), np.array([1.0, 0.98, 0.95]) * 0.32
_SKY, _GROUND = np.array([1.0, 1.0, 1.02]) * 0.44, np.array([1.0, 0.93, 0.88]) * 0.34
_FIRST_STEPS, _STEPS = 14, 64
_CHUNK = 1024
# Where in a pixel its four rays go: a square turned a little, so that no edge hides between them.
_OFFSETS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]])
# A pixel is traced again if it differs this much from a neighbour.
_CONTRAST = 0.10


@pytree
class Layers:
    """What n cameras see of a sculpture, pixel by pixel.

    Attributes:
      rgba: straight alpha, sRGB.
      depth: distance along the ray of the pixel's centre, world units; inf where nothing is.
      normals: unit outward normals in world axes; zero where nothing is.
      parts: index into `sculpture.PART_NAMES`; -1 where nothing is.
    """

    rgba: UInt8[Array, "*n s s 4"]
    depth: Float[Array, "*n s s"]
    normals: Float[Array, "*n s s 3"]
    parts: Int[Array, "*n s s"]


@functools.partial(jax.jit, static_argnames="size")
def render_layers(sculpture: Sculpture, camera: Camera, size: int) -> Layers:
    """Pictures with depth, normals and part labels, for n cameras of ``size`` pixels."""
    grid = tabulate(sculpture)
    return jax.lax.map(lambda one: _render_one(sculpture, grid, one, size), camera)


def _render_one(sculpture: Sculpture, grid: DistanceGrid, camera: Camera, size: int) -> Layers:
    rays = image_rays(camera, size, size)
    near, close = _approach(grid, jax.tree.map(lambda x: x.reshape(-1, 3), rays))
    # A neighbouring ray may meet the surface earlier than the pixel's own.
    start = _spread(near.reshape(size, size), jnp.minimum).ravel() - CELL
    reach = _spread(close.reshape(size, size), jnp.logical_or).ravel()
    row, column = jnp.divmod(jnp.arange(size * size), size)
    middle = jnp.stack([column, row], -1) + 0.5

    def trace(pixels, offset, width):
        some = pixel_rays(camera, middle[pixels] + offset)
        return _sample(sculpture, grid, some, start[pixels], width / camera.focal[0])

    def whole(pixels):
        return trace(pixels, jnp.zeros(2), 1.0)

    def quarter(pixels):
        pixels, offsets = jnp.repeat(pixels, 4), jnp.tile(jnp.asarray(_OFFSETS), (len(pixels), 1))
        four = trace(pixels, offsets, 0.5).reshape(-1, 4, _CHANNELS)
        return four[:, 0].at[:, :4].set(four[..., :4].mean(1))

    empty = jnp.zeros((size * size, _CHANNELS)).at[:, 4].set(jnp.inf).at[:, 8].set(-1.0)
    first = _where(whole, reach, empty, _CHUNK)
    picture = first[:, :4].reshape(size, size, 4)
    contrast = _contrast(picture).ravel() > _CONTRAST
    final = _where(quarter, contrast & reach, first, _CHUNK // 4)
    rgba = final[:, :4]
    straight = rgba[:, :3] / jnp.maximum(rgba[:, 3:], 1e-6)
    rgba = jnp.concatenate([jnp.clip(straight, 0.0, 1.0), rgba[:, 3:]], -1)
    return Layers(
        rgba=jnp.round(rgba * 255).astype(jnp.uint8).reshape(size, size, 4),
        depth=first[:, 4].reshape(size, size),
        normals=first[:, 5:8].reshape(size, size, 3),
        parts=first[:, 8].astype(jnp.int32).reshape(size, size),
    )


# Premultiplied red, green, blue and alpha; depth; normal; part.
_CHANNELS = 9


def _where(function, wanted, rows, chunk):
    """``rows`` with ``function(indices)`` written where ``wanted``, ``chunk`` of them at a time."""
    count = len(wanted)
    chunk = min(chunk, count)
    order = jnp.pad(jnp.argsort(~wanted), (0, -count % chunk))
    chunks = (wanted.sum() + chunk - 1) // chunk

    def body(state):
        i, rows = state
        some = jax.lax.dynamic_slice(order, (i * chunk,), (chunk,))
        new = jnp.where(wanted[some][:, None], function(some), rows[some])
        return i + 1, rows.at[some].set(new)

    return jax.lax.while_loop(lambda s: s[0] < chunks, body, (jnp.int32(0), rows))[1]


def _spread(image, join):
    """Each pixel joined with its eight neighbours."""
    for axis in (0, 1):
        pad = [(1, 1) if i == axis else (0, 0) for i in range(2)]
        wide = jnp.pad(image, pad, mode="edge")
        n = image.shape[axis]
        a, b, c = (jax.lax.slice_in_dim(wide, i, i + n, axis=axis) for i in range(3))
        image = join(join(a, b), c)
    return image


def _contrast(picture: Float[Array, "s s 4"]) -> Float[Array, "s s"]:
    """The largest difference to one of the four neighbours."""
    down = jnp.abs(picture[1:] - picture[:-1]).max(-1)
    right = jnp.abs(picture[:, 1:] - picture[:, :-1]).max(-1)
    vertical = jnp.maximum(jnp.pad(down, ((0, 1), (0, 0))), jnp.pad(down, ((1, 0), (0, 0))))
    horizontal = jnp.maximum(jnp.pad(right, ((0, 0), (0, 1))), jnp.pad(right, ((0, 0), (1, 0))))
    return jnp.maximum(vertical, horizontal)


def _approach(grid: DistanceGrid, rays: Rays):
    """Long cheap steps towards the surface: where to march from, and if it is met at all."""
    near, far = _box(rays)

    def body(state):
        i, t, close = state
        d = look_up_nearest(grid, rays.origins + t[:, None] * rays.directions) - CELL / 2
        close = close | ((d < CELL) & (t < far))
        return i + 1, jnp.where(close, t, t + jnp.maximum(d, CELL / 2)), close

    def going(state):
        i, t, close = state
        return (i < _STEPS) & jnp.any(~close & (t < far))

    _, t, close = jax.lax.while_loop(going, body, (0, near, jnp.zeros(near.shape, bool)))
    return t, close


def _box(rays: Rays):
    inverse = 1.0 / jnp.where(jnp.abs(rays.directions) < 1e-9, 1e-9, rays.directions)
    a = (jnp.array(LOW) - rays.origins) * inverse
    b = (jnp.array(HIGH) - rays.origins) * inverse
    return jnp.maximum(jnp.minimum(a, b).max(-1), 0.0), jnp.maximum(a, b).min(-1)


def _sample(sculpture: Sculpture, grid: DistanceGrid, rays: Rays, start, width):
    """One sample a ray, ``width`` wide at distance one: see `_CHANNELS`."""
    t, deepest = _march(grid, rays, start, 0.5 * width)
    # A ray as wide as its share of the pixel: half covered when its middle touches the surface.
    half = 0.5 * width * t
    alpha = jnp.clip(0.5 - 0.5 * deepest / half, 0.0, 1.0)
    points = rays.origins + t[:, None] * rays.directions
    some = primitives_near(grid, points)
    # A step of exact distance mends what the grid's interpolation got wrong.
    t = t + union(sculpture, nearby(sculpture, points, some), points)
    points = rays.origins + t[:, None] * rays.directions
    found = nearby(sculpture, points, some)
    rest, normals = surface(sculpture, found, points)
    colour, part = paint.colours(sculpture, points, normals, found)
    rgb = _light(grid, rays, points, normals, colour, part)
    rgb = paint.through_lenses(sculpture, rays, t, rgb)
    # What is left of the way to the surface, along the ray.
    slant = jnp.maximum(-(normals * rays.directions).sum(-1), 0.3)
    t = t + rest / slant
    there = alpha[:, None] > 0
    return jnp.concatenate(
        [
            jnp.where(there, rgb * alpha[:, None], 0.0),
            alpha[:, None],
            jnp.where(there, t[:, None], jnp.inf),
            jnp.where(there, normals, 0.0),
            jnp.where(there, part[:, None], -1).astype(jnp.float32),
        ],
        -1,
    )


def _march(grid: DistanceGrid, rays: Rays, start: Float[Array, "n"], half_width):
    """Sphere tracing of a ray that widens by ``half_width``: where it comes nearest to the surface
    or first enters it, and the least signed distance there (not below minus its half width)."""
    _, far = _box(rays)
    infinite = jnp.full(start.shape, jnp.inf)
    first = _advance(grid, rays, far, half_width, (start, start, infinite), _FIRST_STEPS)

    def further(some):
        picked = jax.tree.map(lambda x: x[some], (rays, far, first))
        return jnp.stack(_advance(grid, *picked[:2], half_width, picked[2], _STEPS), -1)

    # Most rays arrive soon; the few that graze a surface go on among themselves.
    wanted = _travelling(first, far, half_width)
    _, t, deepest = _where(further, wanted, jnp.stack(first, -1), _CHUNK // 8).T
    return t, deepest


def _travelling(state, far, half_width):
    t, _, best = state
    return (t <= far) & (best > -half_width * t)


def _advance(grid: DistanceGrid, rays: Rays, far, half_width, state, steps: int):
    def body(carry):
        i, (t, best_t, best) = carry
        d = look_up(grid, rays.origins + t[:, None] * rays.directions)
        d = jnp.where(t > far, jnp.inf, d)
        closer = d < best
        best_t, best = jnp.where(closer, t, best_t), jnp.where(closer, d, best)
        # A ray that has sunk in stays where it is; 0.9 forgives the smooth unions.
        step = jnp.maximum(0.9 * d, 0.6 * half_width * t)
        t = jnp.where(_travelling((t, best_t, best), far, half_width), t + step, t)
        return i + 1, (t, best_t, best)

    def going(carry):
        return (carry[0] < steps) & jnp.any(_travelling(carry[1], far, half_width))

    return jax.lax.while_loop(going, body, (jnp.int32(0), state))[1]


def _light(grid: DistanceGrid, rays: Rays, points, normals, colour, part):
    """What the lights make of surface ``colour``: ambient, key with shadow, fill, rim and gloss."""
    occlusion = jnp.ones(points.shape[0])
    for reach in (0.04, 0.10, 0.22):
        gap = look_up(grid, points + reach * normals)
        occlusion = occlusion - 0.26 * jnp.clip(1 - gap / reach, 0.0, 1.0)
    up = 0.5 + 0.5 * normals[:, 2:]
    light = occlusion[:, None] * (_GROUND + up * (_SKY - _GROUND))
    shadow = _shadow(grid, points + 0.03 * normals)
    wrap = jnp.asarray(WRAP)[part]
    lamps = (_KEY, _KEY_COLOUR, shadow), (_FILL, _FILL_COLOUR, occlusion), (_RIM, _RIM_COLOUR, 1.0)
    for direction, lamp, visible in lamps:
        # Light wraps around what lets it through, which keeps the style soft.
        cosine = normals @ direction
        diffuse = jnp.clip((cosine + wrap) / (1.0 + wrap), 0.0, 1.0)
        light = light + (diffuse * visible)[:, None] * lamp
    half = _KEY - rays.directions
    half = half / jnp.linalg.norm(half, axis=-1, keepdims=True)
    shine = jnp.asarray(SHINE)[part]
    gloss = shine * jnp.clip((normals * half).sum(-1), 0.0, 1.0) ** 30 * shadow
    return jnp.clip(colour * light + gloss[:, None], 0.0, 1.0)


def _shadow(grid: DistanceGrid, points: Float[Array, "n 3"]) -> Float[Array, "n"]:
    """Penumbra of the key light: how nearly anything blocks the way, from the grid."""
    direction = jnp.asarray(_KEY, jnp.float32)
    clear = jnp.ones(points.shape[0])
    for distance in (0.05, 0.1, 0.16, 0.23, 0.32, 0.44, 0.6):
        gap = look_up(grid, points + distance * direction)
        clear = jnp.minimum(clear, jnp.clip(0.5 + 4.0 * gap / distance, 0.0, 1.0))
    return 0.35 + 0.65 * clear
