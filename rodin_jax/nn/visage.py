"""The face that a latent foretells, as a picture: what planes are corrected toward.

Planes are foretold of a latent with all their freedom, of which pictures show little, so what a few
thousand fits teach of eyes and mouths drowns in it. Pixels have no such freedom, and there is a
portrait of many more people than are ever fitted. So the face is foretold apart, by the mean of a
Gaussian process in the coordinates of its principal components,

    face(z) = mean + B (z W + bumps(z M) a),

see `rodin_jax.nn.bend`, and `rodin_jax.likeness` finds the planes that look so.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax.nn.bend import bumps


class Visage(nn.Module):
    """From latents to what they let expect of a window of the front.

    Its weights come from a closed form (`rodin_jax.train.visage`), not from descent.

    Attributes:
      dim: of latents.
      size: pixels along an edge of the front.
      top: the window's first row.
      left: its first column.
      height: its rows.
      width: its columns.
      rank: principal components of the window.
      bumps: how many stand about known people.
      coordinates: in which people are compared there.
    """

    dim: int
    size: int
    top: int
    left: int
    height: int
    width: int
    rank: int
    bumps: int
    coordinates: int

    @nn.compact
    def __call__(
        self, z: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b h w 4"], Float[Array, "h w"]]:
        """The windows of latents of unit variance, and how far each pixel may be off.

        Windows are colour over white and coverage, both about 0 to 1; the second is the expected
        square of the error, that of colour (its channels' mean) and that of coverage together.
        """

        def weight(name, *shape):
            return self.param(name, nn.initializers.zeros, shape)

        window = (self.height, self.width, 4)
        place = z @ weight("measure", self.dim, self.coordinates)
        alike = bumps(place, weight("centres", self.bumps, self.coordinates))
        c = z @ weight("slope", self.dim, self.rank)
        c += alike @ weight("heights", self.bumps, self.rank)
        # Not ``c @ basis.T``: its gradient would write the transpose out.
        face = jnp.einsum("br,hwpr->bhwp", c, weight("basis", *window, self.rank))
        return face + weight("mean", *window), weight("doubt", *window[:2])
