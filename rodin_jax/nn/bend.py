"""What a line misses of how coefficients follow a condition: a sum of bumps about known people.

The mean of a Gaussian process. Conditions z are alike when their coordinates ``x = z M`` are near,

    bend(z) = sum_i exp(-|z M - x_i|^2 / 2) a_i,

so that far from everybody nothing is said, and the line alone remains.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax.nn import weights
from rodin_jax.types import pytree


@pytree
class Bend:
    """A sum of bumps.

    Attributes:
      measure: M, from conditions to coordinates in which bumps are one wide.
      centres: x_i, where they stand.
      heights: a_i, how far each moves the coefficients.
    """

    measure: Float[Array, "d r"]
    centres: Float[Array, "n r"]
    heights: Float[Array, "n k"]

    def __call__(self, z: Float[Array, "b d"]) -> Float[Array, "b k"]:
        """How far the coefficients are off the line, given conditions."""
        return bumps(z @ self.measure, self.centres) @ self.heights


def bumps(x: Float[Array, "b r"], centres: Float[Array, "n r"]) -> Float[Array, "b n"]:
    """``exp(-|x - x_i|^2 / 2)``."""
    squares = jnp.sum(x * x, -1)[:, None] + jnp.sum(centres * centres, -1)
    return jnp.exp(-jnp.maximum(squares - 2 * x @ centres.T, 0) / 2)


def unpack(stored: Mapping[str, Any], rank: int, dim: int, where: str) -> Bend:
    """A bend from a file's arrays, named as its attributes.

    Args:
      stored: what `rodin_jax.train.regression.follow` made.
      rank: how many coefficients there should be.
      dim: of the condition.
      where: names the arrays in errors.

    Raises:
      ValueError: an array is missing or of another shape.
    """
    shape = np.shape(stored.get("centres", ()))
    count, r = shape if len(shape) == 2 else (0, 0)
    shapes = {"measure": (dim, r), "centres": (count, r), "heights": (count, rank)}
    weights.check_shapes(stored, shapes, where)
    return Bend(*(jnp.asarray(stored[name], jnp.float32) for name in shapes))
