"""Decoders: tri-plane features to density and colour (paper eq. 1, suppl. Fig. 2)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax import triplanes
from rodin_jax.nn.fourier import fourier
from rodin_jax.types import Field, Points


class Decoder(nn.Module):
    """Reads features; the view direction reaches the colour only.

    ``summed`` is the paper's: the sum of the three look-ups through four fully connected layers.
    It can be shared by many subjects. ``products`` is for one subject: the look-ups multiplied in
    pairs, then one linear layer for density and a colour that is linear in the direction before
    its sigmoid. A product says "here *and* there", for which a sum needs hidden layers, and is
    learned in far fewer steps.

    Attributes:
      width: hidden units; ``products`` has none.
      octaves: Fourier octaves of the features.
      density_scale: density of a unit pre-activation; 1 / (2 density_scale) is roughly the
        distance within which matter turns opaque, a few percent of the cube.
      view_dependent: whether colour may depend on the direction of view.
      form: ``summed`` or ``products``.
    """

    width: int = 64
    octaves: int = 2
    density_scale: float = 40.0
    view_dependent: bool = True
    form: str = "summed"

    def __post_init__(self):
        if self.form not in ("summed", "products"):
            raise ValueError(f"form is {self.form!r}, expected summed or products")
        super().__post_init__()

    def inputs(self, channels: int) -> int:
        """How many features a point has on planes of so many channels."""
        return channels if self.form == "summed" else 3 * channels

    def look_up(self, planes: Float[Array, "3 h w c"], points: Points) -> Float[Array, "*n d"]:
        """The features of points, as ``__call__`` takes them."""
        if self.form == "summed":
            return triplanes.sample(planes, points)
        each = triplanes.sample_each(planes, points)
        pairs = each * jnp.roll(each, -1, axis=-2)
        return pairs.reshape(*points.shape[:-1], -1)

    @nn.compact
    def __call__(
        self, features: Float[Array, "*n d"], directions: Float[Array, "*n 3"]
    ) -> tuple[Float[Array, "*n"], Float[Array, "*n 3"]]:
        """Densities (>= 0) and colours in [0, 1] of features seen along unit ``directions``."""
        waves = fourier(features, self.octaves)
        density, rgb = (self._summed if self.form == "summed" else self._products)(
            waves, directions
        )
        # The shift makes an untrained field almost empty, so that matter must be earned.
        density = self.density_scale * nn.softplus(density - 3.0)
        # Colours may slightly overshoot so that pure black and white are reachable.
        return density, 1.02 * nn.sigmoid(rgb) - 0.01

    def _summed(self, features, directions):
        hidden = nn.relu(nn.Dense(self.width, name="fc1")(features))
        hidden = nn.Dense(self.width + 1, name="fc2")(hidden)
        density, hidden = hidden[..., 0], nn.relu(hidden[..., 1:])
        if self.view_dependent:
            hidden = jnp.concatenate([hidden, directions], axis=-1)
        hidden = nn.relu(nn.Dense(self.width, name="fc3")(hidden))
        return density, nn.Dense(3, name="fc4")(hidden)

    def _products(self, features, directions):
        out = nn.Dense(13 if self.view_dependent else 4, name="fc1")(features)
        density, rgb = out[..., 0], out[..., 1:4]
        if self.view_dependent:
            turned = out[..., 4:].reshape(*out.shape[:-1], 3, 3)
            rgb = rgb + jnp.einsum("...cd,...d->...c", turned, directions)
        return density, rgb


def initial(decoder: Decoder, key: Array, channels: int):
    """Random parameters for planes of so many channels; the key is consumed."""
    features = jnp.zeros((1, decoder.inputs(channels)))
    return decoder.init(key, features, jnp.zeros((1, 3)))["params"]


def field(decoder: Decoder, params, planes: Float[Array, "3 h w c"]) -> Field:
    """The radiance field that a tri-plane and decoder parameters describe (eq. 1)."""

    def evaluate(points: Points, directions: Points):
        return decoder.apply({"params": params}, decoder.look_up(planes, points), directions)

    return evaluate


def density(decoder: Decoder, params, planes: Float[Array, "3 h w c"], points: Points):
    """Density alone; the colour layers are dead code that compilation removes."""
    return field(decoder, params, planes)(points, jnp.zeros_like(points))[0]
