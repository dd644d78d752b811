"""What captions say of a latent, phrase by phrase: changes that change nothing else.

The difference of two sentences carries along whatever goes with them: "a person with short hair" is
a man more often than not. A phrasebook knows how likely each phrase of the captions is of somebody
whose latent is z, by a line ``p(z) = usual + z R``, and so the smallest and likeliest change after
which what was asked for is read, what never goes with it is not, and all else is as it was:

    minimise over delta   mean_i w_i (delta R_i - c_i)^2 + stiffness delta Sigma^-1 delta^T,

where phrase i should change by ``c_i``: ``1 - p_i(z)`` if it is asked for, ``-p_i(z)`` if it should
go, else 0. Sigma is the latents' covariance, and w what a phrase counts: one over the variance of
whether it is said, more for those that should change.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from rodin_jax.nn import weights
from rodin_jax.types import pytree

# How many times more than others phrases count that should change, and those they exclude.
_MEANT, _IMPLIED = 100.0, 10.0
_RARE = 1e-3  # least variance of whether a phrase is said
_FLOOR = 1e-3  # least variance of latents along an axis


@pytree
class Phrasebook:
    """Phrases of captions and how they are read off latents.

    Attributes:
      phrases: tokens of two neighbouring words; a single word stands behind a zero.
      usual: how likely each is of anybody.
      reader: R, how that follows the latent.
      excluded: which pairs are never said of the same person.
      precision: the inverse covariance of latents.
    """

    phrases: Int[Array, "p 2"]
    usual: Float[Array, "p"]
    reader: Float[Array, "d p"]
    excluded: Bool[Array, "p p"]
    precision: Float[Array, "d d"]

    def said(self, tokens: Int[Array, "l"]) -> Bool[Array, "p"]:
        """Which phrases a sentence says."""
        words = jnp.stack([jnp.zeros_like(tokens), tokens], axis=-1)
        pairs = jnp.stack([tokens[:-1], tokens[1:]], axis=-1)
        found = jnp.concatenate([words, pairs])
        return (self.phrases[:, None] == found).all(-1).any(-1)

    def read(self, z: Float[Array, "b d"]) -> Float[Array, "b p"]:
        """How likely each phrase is of somebody."""
        return jnp.clip(self.usual + z @ self.reader, 0, 1)

    def change(
        self,
        z: Float[Array, "b d"],
        asked: Bool[Array, "p"],
        unasked: Bool[Array, "p"] | None = None,
        *,
        stiffness: float | Float[Array, ""] = 0.03,
    ) -> Float[Array, "b d"]:
        """The change of latents that the module describes.

        Args:
          z: latents as they are.
          asked: phrases that should become true.
          unasked: phrases that should cease to be true, besides those that never go with asked
            ones; asked phrases stay asked.
          stiffness: how much unlikely changes cost.
        """
        implied = (self.excluded & asked[:, None]).any(0)
        meant = asked if unasked is None else asked | unasked
        now = self.read(z)
        wanted = jnp.where(asked, 1 - now, jnp.where(meant | implied, -now, 0))
        counts = jnp.where(meant, _MEANT, jnp.where(implied, _IMPLIED, 1.0))
        counts = counts / jnp.maximum(self.usual * (1 - self.usual), _RARE) / len(self.usual)
        pull = self.reader * counts
        return jnp.linalg.solve(
            pull @ self.reader.T + stiffness * self.precision, pull @ wanted.T
        ).T


def unpack(
    stored: Mapping[str, Any], axes: Float[Array, "d d"], spectrum: Float[Array, "d"]
) -> Phrasebook:
    """A phrasebook from a file's arrays.

    Args:
      stored: what `rodin_jax.train.phrases.learn` made.
      axes: principal axes of the latents, orthonormal columns.
      spectrum: their variances.

    Raises:
      ValueError: an array is missing or of another shape.
    """
    count = len(stored["usual"]) if np.ndim(stored.get("usual")) == 1 else 0
    shapes = {
        "usual": (count,),
        "phrases": (count, 2),
        "reader": (len(axes), count),
        "excluded": (count, -(-count // 8)),
    }
    weights.check_shapes(stored, shapes, "phrases")
    excluded = np.unpackbits(np.asarray(stored["excluded"], np.uint8), axis=1, count=count)
    return Phrasebook(
        jnp.asarray(stored["phrases"], jnp.int32),
        jnp.asarray(stored["usual"], jnp.float32),
        jnp.asarray(stored["reader"], jnp.float32),
        jnp.asarray(excluded, bool),
        (axes / (spectrum + _FLOOR)) @ axes.T,
    )
