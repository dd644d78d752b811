"""A small classifier that says what a front view shows: hair, glasses, clothes and so on.

Text faithfulness and editing are judged by it, always beside its own accuracy on pictures of
people it has never seen.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Rows and columns of the face, in shares of the picture: eyes and mouth are a few pixels each.
_FACE = ((0.25, 0.625), (0.3125, 0.6875))


class Probe(nn.Module):
    """Three looks, at the person, the colours and the face, and one softmax for each question.

    Attributes:
      questions: what is asked, each with its possible answers.
      image_size: edge of the pictures in pixels, a multiple of 16.
      width: channels of the towers' first level.
      colours: of the palette.
      dropout: of the three looks together.
    """

    questions: tuple[tuple[str, tuple[str, ...]], ...]
    image_size: int = 128
    width: int = 24
    colours: int = 32
    dropout: float = 0.3

    @nn.compact
    def __call__(
        self, images: Float[Array, "b s s 3"], *, deterministic: bool = True
    ) -> list[Float[Array, "b _"]]:
        """Logits of the answers to every question, of pictures in [0, 1] over white.

        Raises:
          ValueError: pictures of another size.
        """
        if images.shape[1] != self.image_size:
            raise ValueError(f"pictures of {images.shape[1]} px, expected {self.image_size}")
        x = (images - 0.5) / 0.3
        half = nn.avg_pool(x, (2, 2), (2, 2))
        rows, columns = (slice(*(round(s * self.image_size) for s in side)) for side in _FACE)
        seen = [
            Tower(self.width, first_stride=2, name="person")(half),
            Palette(self.colours, name="palette")(half),
            Tower(self.width, first_stride=1, name="face")(x[:, rows, columns]),
        ]
        y = nn.Dropout(self.dropout)(jnp.concatenate(seen, -1), deterministic=deterministic)
        y = nn.gelu(nn.LayerNorm()(nn.Dense(256, name="joined")(y)))
        return [nn.Dense(len(answers), name=name)(y) for name, answers in self.questions]


class Tower(nn.Module):
    """Four levels, each half the size and twice the channels of the one before.

    Attributes:
      width: channels of the first level.
      first_stride: 2 halves the picture before the first level too.
    """

    width: int
    first_stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b f"]:
        """Features that keep their place: heads are where the camera looks."""
        for level in range(4):
            channels, stride = self.width * 2**level, 2 if level else self.first_stride
            x = nn.Conv(channels, (3, 3), (stride, stride))(x)
            x = x + nn.Conv(channels, (3, 3))(nn.gelu(nn.LayerNorm()(x)))
            x = nn.gelu(nn.LayerNorm()(x))
        return x.reshape(len(x), -1)


class Palette(nn.Module):
    """How much of which colours is where: pixel by pixel, then averaged over 8 x 8 cells.

    Attributes:
      colours: that are told apart.
    """

    colours: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b f"]:
        """Shares of the colours in each cell."""
        for _ in range(2):
            x = nn.gelu(nn.Dense(self.colours)(x))
        cell = (x.shape[1] // 8,) * 2
        return nn.LayerNorm()(nn.avg_pool(x, cell, cell)).reshape(len(x), -1)


def log_probabilities(
    probe: Probe, params, images: Float[Array, "b s s 3"], shifts: Sequence[tuple[int, int]]
) -> list[Float[Array, "b _"]]:
    """Sums of the answers' log-probabilities over shifted pictures and their mirror images."""
    moved = [jnp.roll(images, shift, (1, 2)) for shift in shifts]
    views = jnp.stack([view for x in moved for view in (x, x[:, :, ::-1])])

    def look(view):
        return [jax.nn.log_softmax(answer) for answer in probe.apply({"params": params}, view)]

    return [way.sum(0) for way in jax.lax.map(look, views)]
