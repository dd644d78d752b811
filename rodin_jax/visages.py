"""Faces that latents foretell, as portraits that planes are held against by `likeness`."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax import kept_programs, likeness
from rodin_jax.likeness import Looks
from rodin_jax.nn.visage import Visage
from rodin_jax.portrait import Portrait
from rodin_jax.rendering import over

_CERTAIN = 0.3  # nothing is surer than so much of the mean expected error
_OPEN = 0.15  # coverage that is so far from none and from all is not asked for
_DARKEST = 0.01  # least that shares of a colour are taken of
_SAMPLES = 32  # field evaluations a ray of a face that an edit starts from


def expected(net: Visage, params: Any, z: Float[Array, "n d"]) -> Portrait:
    """The faces of latents; pixels count the more the surer they are."""
    return Portrait(*_expected(net, params, z), net.size)


def altered(
    net: Visage,
    params: Any,
    looks: Looks,
    planes: Float[Array, "n 3 h w c"],
    z: Float[Array, "n d"],
    delta: Float[Array, "n d"],
    keys: Array,
) -> Portrait:
    """The faces that planes have, changed as those of latents z that move by delta.

    Args:
      net: the bundle's.
      params: its weights.
      looks: of the bundle.
      planes: in feature units.
      z: what the fronts of planes are read as.
      delta: how that should change.
      keys: one for each; consumed.
    """
    return Portrait(*_altered(net, params, looks, planes, z, delta, keys), net.size)


@kept_programs.jit({"net"})
def _expected(net: Visage, params: Any, z):
    return _pixels(net, *net.apply({"params": params}, z))


@kept_programs.jit({"net"})
def _altered(net: Visage, params: Any, looks: Looks, planes, z, delta, keys):
    before, doubt = net.apply({"params": params}, z)
    after, _ = net.apply({"params": params}, z + delta)
    rays = jax.tree.map(lambda x: x[_places(net)], likeness.front_rays(net.size))

    def draw(args):
        planes, key = args
        seen = looks.draw(planes, looks.survey(planes), rays, key, _SAMPLES)
        return jnp.concatenate([over(seen, 1.0), seen.alpha[:, None]], axis=-1)

    now = jax.lax.map(draw, (planes, keys)).reshape(before.shape)
    return _pixels(net, turned(now, before, after), doubt)


def turned(
    now: Float[Array, "*s"], before: Float[Array, "*s"], after: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """``now``, changed as ``before`` is to become ``after``: by shares, which stay in [0, 1].

    A difference would turn somebody dark black who is to become dark.
    """
    before, after = (jnp.clip(x, _DARKEST, 1 - _DARKEST) for x in (before, after))
    darker, lighter = now * after / before, 1 - (1 - now) * (1 - after) / (1 - before)
    return jnp.where(after < before, darker, lighter)


def _pixels(net: Visage, faces: Float[Array, "n h w 4"], doubt: Float[Array, "h w"]):
    """The fields of a `Portrait` of the window."""
    faces = jnp.clip(faces, 0, 1).reshape(len(faces), -1, 4)
    # Where it is open whether there is anybody, what is to be expected is a haze that nobody has.
    alpha = jnp.round(faces[..., 3])
    decided = 1 - jnp.minimum(jnp.abs(faces[..., 3] - alpha) / _OPEN, 1)
    rgb = jnp.where(alpha[..., None] == 0, 1.0, faces[..., :3])
    weight = decided / (doubt + _CERTAIN * doubt.mean()).ravel()
    weight /= jnp.maximum(weight.mean(-1, keepdims=True), 1e-6)
    return rgb, alpha, jnp.broadcast_to(_places(net), alpha.shape), weight


def _places(net: Visage):
    """The window's pixels in the front."""
    rows = net.top + jnp.arange(net.height)
    columns = net.left + jnp.arange(net.width)
    return (rows[:, None] * net.size + columns).ravel()
