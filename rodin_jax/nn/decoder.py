"""The shared MLP decoder: tri-plane feature to density and colour (paper eq. 1, suppl. Fig. 2)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax import triplanes
from rodin_jax.nn.fourier import fourier
from rodin_jax.types import Field, Points


class Decoder(nn.Module):
    """Four fully connected layers; the view direction reaches the colour only.

    Attributes:
      width: hidden units.
      octaves: Fourier octaves of the summed feature.
      density_scale: density of a unit pre-activation; 1 / (2 density_scale) is roughly the
        distance within which matter turns opaque, a few percent of the cube.
      view_dependent: whether colour may depend on the direction of view.
    """

    width: int = 64
    octaves: int = 2
    density_scale: float = 40.0
    view_dependent: bool = True

    @nn.compact
    def __call__(
        self, features: Float[Array, "*n c"], directions: Float[Array, "*n 3"]
    ) -> tuple[Float[Array, "*n"], Float[Array, "*n 3"]]:
        """Densities (>= 0) and colours in [0, 1] of features seen along unit ``directions``."""
        hidden = nn.relu(nn.Dense(self.width, name="fc1")(fourier(features, self.octaves)))
        hidden = nn.Dense(self.width + 1, name="fc2")(hidden)
        # The shift makes an untrained field almost empty, so that matter must be earned.
        density = self.density_scale * nn.softplus(hidden[..., 0] - 3.0)
        hidden = nn.relu(hidden[..., 1:])
        if self.view_dependent:
            hidden = jnp.concatenate([hidden, directions], axis=-1)
        hidden = nn.relu(nn.Dense(self.width, name="fc3")(hidden))
        rgb = nn.sigmoid(nn.Dense(3, name="fc4")(hidden))
        # Colours may slightly overshoot so that pure black and white are reachable.
        return density, 1.02 * rgb - 0.01


def field(decoder: Decoder, params, planes: Float[Array, "3 h w c"]) -> Field:
    """The radiance field that a tri-plane and decoder parameters describe (eq. 1)."""

    def evaluate(points: Points, directions: Points):
        return decoder.apply({"params": params}, triplanes.sample(planes, points), directions)

    return evaluate


def density(decoder: Decoder, params, planes: Float[Array, "3 h w c"], points: Points):
    """Density alone; the colour layers are dead code that compilation removes."""
    return field(decoder, params, planes)(points, jnp.zeros_like(points))[0]
