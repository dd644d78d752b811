"""How much pictures change with each number of planes: what components should hold first.

Most numbers of a set of planes are hardly ever seen: they describe air, or the inside of heads. Of
those that are seen some turn a mouth, others nothing. With pictures ``I(x)`` of a person, the
squared weight of number i is

    E[|dI / dx_i|^2] + floor * (its mean over all numbers).

The squared columns of the Jacobian come from products with random signs s, for
``E[(s^T dI / dx_i)^2] = |dI / dx_i|^2``. Pictures are of two kinds, from all round and of a window
of the front, where people look first.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax import cameras, occupancy, triplanes
from rodin_jax.data.planes import PlanesStore
from rodin_jax.nn import decoder as decoders
from rodin_jax.rendering import over
from rodin_jax.train.fitted import Decoded
from rodin_jax.types import Rays

_ROUND = 48  # pixels along an edge of the pictures from all round
_ELEVATION, _TURN = 10.0, 30.0  # of those; and how far to the sides windows are seen from, degrees
_GRID = 48  # cells along an edge of the occupancy
_SAMPLES = 12  # field evaluations a ray
_SIGNS = 2  # random products a picture


def importance(
    store: PlanesStore,
    decoded: Decoded,
    deviation: Float[Array, "3 c"],
    window: Mapping[str, int],
    *,
    people: int,
    emphasis: float,
    floor: float,
) -> Float[np.ndarray, "3 h w c"]:
    """Weights of the numbers of normalised planes, the same for people and their mirror images.

    Their mean square is one.

    Args:
      store: fitted people; so many of the first are looked at, each from two sides.
      decoded: their decoder.
      deviation: of normalised planes' features.
      window: of the front; ``size`` pixels along its edge, then top, left, height and width.
      people: see ``store``.
      emphasis: how much the window counts, the pictures from all round counting 1.
      floor: what numbers nobody sees count, as a share of the mean.
    """
    squares = jax.jit(functools.partial(_squares, decoded))
    found = np.zeros((2, *store.shape), np.float32)
    for i in range(min(people, len(store))):
        planes = jnp.asarray(store.planes(i), jnp.float32)
        keys = jax.random.split(jax.random.key(i), 4)
        rays = _all_round(keys[0]), _of_window(keys[1], **window)
        for kind, (seen, key) in enumerate(zip(rays, keys[2:], strict=True)):
            found[kind] += np.asarray(squares(planes, seen, key))
    found *= np.square(np.asarray(deviation))[:, None, None]
    found += np.stack([np.asarray(triplanes.mirror(jnp.asarray(x))) for x in found])
    round_, face = found / found.mean((1, 2, 3, 4), keepdims=True)
    weight = round_ + emphasis * face
    weight += floor * weight.mean()
    return np.sqrt(weight / weight.mean())


def _squares(
    decoded: Decoded, planes: Float[Array, "3 h w c"], rays: Rays, key: Array
) -> Float[Array, "3 h w c"]:
    """Squared derivatives of what rays see of a subject with respect to its planes."""
    draw_key, sign_key = jax.random.split(key)
    solid = functools.partial(decoders.density, decoded.decoder, decoded.params, planes)
    grid = occupancy.survey(solid, _GRID)

    def picture(planes):
        field = decoded.field(planes)
        return over(
            occupancy.render_guided(field, grid, rays, samples=_SAMPLES, key=draw_key)[0], 1.0
        )

    return column_squares(picture, planes, sign_key)


def column_squares(
    picture: Callable[[Array], Array], at: Float[Array, "*s"], key: Array
) -> Float[Array, "*s"]:
    """Squared columns of the Jacobian of a picture, estimated without bias; the key is consumed."""
    colours, pull = jax.vjp(picture, at)
    signs = jax.random.rademacher(key, (_SIGNS, *colours.shape), colours.dtype)
    return jnp.mean(jax.lax.map(lambda s: pull(s)[0] ** 2, signs), axis=0)


def _all_round(key: Array) -> Rays:
    azimuth = jax.random.uniform(key, minval=-180.0, maxval=180.0)
    camera = cameras.orbit(azimuth, _ELEVATION, _ROUND, radius=cameras.RADIUS, fov=cameras.FOV)
    return jax.tree.map(lambda x: x.reshape(-1, 3), cameras.image_rays(camera, _ROUND, _ROUND))


def _of_window(key: Array, size: int, top: int, left: int, height: int, width: int) -> Rays:
    azimuth = jax.random.uniform(key, minval=-_TURN, maxval=_TURN)
    camera = cameras.orbit(azimuth, 0.0, size, radius=cameras.RADIUS, fov=cameras.FOV)
    rays = cameras.image_rays(camera, size, size)
    inside = slice(top, top + height), slice(left, left + width)
    return jax.tree.map(lambda x: x[inside].reshape(-1, 3), rays)
