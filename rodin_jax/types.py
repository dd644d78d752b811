"""Shape vocabulary and the frozen pytrees shared by every room.

Axis letters used throughout: ``b`` batch, ``h w`` plane rows and columns, ``c`` channels,
``n`` points or rays, ``s`` samples along a ray.
"""

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import Array, Float


def static(**kwargs):
    """A dataclass field that is part of the tree's structure, not one of its leaves."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


def pytree(cls):
    """Makes ``cls`` a frozen dataclass registered as a JAX pytree; see `static` for meta fields."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


Planes = Float[Array, "*b 3 h w c"]
Points = Float[Array, "*n 3"]

# A radiance field: (points, unit view directions) -> (density >= 0, rgb in [0, 1]).
Field = Callable[
    [Float[Array, "*n 3"], Float[Array, "*n 3"]],
    tuple[Float[Array, "*n"], Float[Array, "*n 3"]],
]


@pytree
class Rays:
    """Half-lines ``origins + t * directions``; directions have unit length."""

    origins: Float[Array, "*n 3"]
    directions: Float[Array, "*n 3"]


@pytree
class Rendering:
    """What volume rendering sees along each ray (eq. 1 and its moments).

    Attributes:
      rgb: colour premultiplied by coverage, i.e. over black; add ``(1 - alpha) * background``.
      alpha: coverage in [0, 1].
      depth: expected distance along the ray, premultiplied by coverage.
    """

    rgb: Float[Array, "*n 3"]
    alpha: Float[Array, "*n"]
    depth: Float[Array, "*n"]
