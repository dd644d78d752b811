"""Fine detail foretold from coarse planes: what the upsampler starts from.

Full planes are the resized low ones and what those have no texels for. Of people who all stand
alike much of that follows, by a line, from the coefficients of the low planes' eigenplanes: where
there are glasses there are thin rims. The upsampler then has to say only what a line cannot.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rodin_jax.nn import weights
from rodin_jax.types import pytree


@pytree
class Detail:
    """Full planes less the resized low ones, in the low planes' normalised units.

    Attributes:
      mean: of everybody.
      places: which of its numbers differ among people, in the order of ``mean.ravel()``.
      basis: the principal components of how they differ, one a row.
      slope: how their coefficients follow those of the low planes.
    """

    mean: Float[Array, "3 h w c"]
    places: Int[Array, "m"]
    basis: Float[Array, "r m"]
    slope: Float[Array, "k r"]

    def __call__(self, c: Float[Array, "b k"]) -> Float[Array, "b 3 h w c"]:
        """The detail that belongs to coefficients of low planes, given about their mean."""
        return self.mean + self.change(c)

    def change(self, c: Float[Array, "b k"]) -> Float[Array, "b 3 h w c"]:
        """How the detail changes with coefficients that change by so much."""
        differ = c @ self.slope @ self.basis
        flat = jnp.zeros((len(c), self.mean.size))
        return flat.at[:, self.places].set(differ).reshape(-1, *self.mean.shape)


def unpack(stored: Mapping[str, Any], rank: int) -> Detail:
    """Detail from a file's arrays, the ``basis`` as int8: one component a column, with a ``scale``.

    Args:
      stored: what `rodin_jax.train.detail.learn` made.
      rank: of the low planes' coefficients.

    Raises:
      ValueError: an array is missing, of another shape, or a place is outside of the planes.
    """
    where = "eigenplanes/detail"
    known = {name: np.shape(stored.get(name, ())) for name in ("mean", "basis")}
    if len(known["mean"]) != 4 or known["mean"][0] != 3 or len(known["basis"]) != 2:
        raise ValueError(f"tensors '{where}/mean' and '{where}/basis' are missing")
    places, r = known["basis"]
    weights.check_shapes(stored, {"places": (places,), "scale": (r,), "slope": (rank, r)}, where)
    weights.check_places(stored["places"], math.prod(known["mean"]), f"{where}/places")
    return Detail(
        jnp.asarray(stored["mean"], jnp.float32),
        jnp.asarray(stored["places"], jnp.int32),
        jnp.asarray(np.asarray(stored["basis"]).T, jnp.float32) * stored["scale"][:, None],
        jnp.asarray(stored["slope"], jnp.float32),
    )
