"""The colour of surface points: primitives, painted spots, patterns of cloth, lenses."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rodin_jax.data.avatars.distance import Nearby
from rodin_jax.data.avatars.sculpture import PART_NAMES, Sculpture
from rodin_jax.types import Rays

# Painted borders are this soft, in world units.
_EDGE = 0.002
_STRIPE, _DOT = 0.125, 0.13  # from one stripe or dot to the next


def colours(
    sculpture: Sculpture,
    points: Float[Array, "n 3"],
    normals: Float[Array, "n 3"],
    found: Nearby,
) -> tuple[Float[Array, "n 3"], Int[Array, "n"]]:
    """Albedo and part of points: the nearest primitive's, then the pattern, then the spots."""
    nearest = found.distance.argmin(-1, keepdims=True)
    colour = jnp.take_along_axis(found.colour, nearest[..., None], axis=-2)[:, 0]
    part = jnp.take_along_axis(found.part, nearest, axis=-1)[:, 0]
    cloth = (part == PART_NAMES.index("cloth")) * _pattern(sculpture, points, normals)
    colour = colour + cloth[:, None] * (sculpture.pattern_colour - colour)

    def cover(colour, spot):
        row, target = spot
        level = jnp.sqrt((((points - row[:3]) / row[3:6]) ** 2).sum(-1) + 1e-12)
        edge = (level - 1.0) * row[3:6].min()
        share = jax.nn.sigmoid(-edge / _EDGE) * target[part]
        return colour + share[:, None] * (row[6:9] - colour), None

    return jax.lax.scan(cover, colour, (sculpture.spot, sculpture.spot_part))[0], part


def _pattern(
    sculpture: Sculpture, points: Float[Array, "n 3"], normals: Float[Array, "n 3"]
) -> Float[Array, "n"]:
    """One on stripes or dots. Dots are printed along the axis that the surface faces most."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    stripe = jnp.cos(2 * jnp.pi * z / _STRIPE) * _STRIPE / 6
    axis = jnp.abs(normals).argmax(-1)
    u, v = jnp.where(axis == 0, y, x), jnp.where(axis == 2, y, z)
    row = jnp.round(v / (0.8 * _DOT))
    aside = u - (jnp.round(u / _DOT - 0.5 * (row % 2)) + 0.5 * (row % 2)) * _DOT
    dot = 0.034 - jnp.sqrt(aside**2 + (v - row * 0.8 * _DOT) ** 2 + 1e-12)
    return sculpture.pattern[1:] @ jax.nn.sigmoid(jnp.stack([stripe, dot]) / _EDGE)


def through_lenses(
    sculpture: Sculpture, rays: Rays, t: Float[Array, "n"], colour: Float[Array, "n 3"]
) -> Float[Array, "n 3"]:
    """``colour`` at distance ``t`` as seen through the panes before it: a tint and a glare."""

    def look(colour, pane):
        facing = jnp.where(jnp.abs(rays.directions[:, 1]) < 1e-6, 1e-6, rays.directions[:, 1])
        at = (pane[1] - rays.origins[:, 1]) / facing
        hit = rays.origins + at[:, None] * rays.directions
        across, up = (hit[:, 0] - pane[0]) / pane[3], (hit[:, 2] - pane[2]) / pane[4]
        level = (jnp.abs(across) ** pane[5] + jnp.abs(up) ** pane[5]) ** (1 / pane[5])
        inside = jax.nn.sigmoid((1.0 - level) / 0.04) * ((at > 0) & (at < t))
        glare = jnp.exp(-(((across - 0.7 * up + 0.35) / 0.22) ** 2))
        amount = inside * pane[6] * (0.6 + 1.2 * glare)
        return colour + amount[:, None] * (jnp.array([0.93, 0.97, 1.0]) - colour), None

    return jax.lax.scan(look, colour, sculpture.lens)[0]
