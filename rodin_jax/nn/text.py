"""The text prior (suppl. B.5): from a sentence to an image latent, after DALL-E 2.

A causal transformer reads [the sentence's tokens, its embedding, the time, the noised latent, a
query]; at the query's place it says what the clean latent is. With a `SentenceLine` it only says
how the latent differs from what a line from the sentence's embedding foretells.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rodin_jax.diffusion.schedules import Schedule
from rodin_jax.nn import line as lines
from rodin_jax.nn import weights
from rodin_jax.nn.embedding import timestep_embedding
from rodin_jax.nn.line import Line, somebody
from rodin_jax.nn.transformer import TransformerBlock
from rodin_jax.types import pytree

_EXTRA = 4  # embedding, time, latent, query


class TextPrior(nn.Module):
    """Predicts z_0 from z_t, t and a sentence; see `null_text` for no sentence.

    Attributes:
      dim: of the latent.
      width: of the transformer.
      layers: transformer blocks.
      heads: attention heads.
    """

    dim: int
    width: int = 128
    layers: int = 4
    heads: int = 4

    @nn.compact
    def __call__(
        self,
        z_t: Float[Array, "b d"],
        t: Int[Array, "b"],
        text_features: Float[Array, "b l width_t"],
        text_embedding: Float[Array, "b e"],
        mask: Bool[Array, "b l"],
    ) -> Float[Array, "b d"]:
        """The clean latent.

        Args:
          z_t: the noised latent.
          t: timestep.
          text_features: of each token.
          text_embedding: of the sentence, normalised (see `rodin_jax.nn.clip.normalise`).
          mask: False where a token is padding.
        """
        batch, length = mask.shape
        time = nn.Dense(self.width, name="time_in")(timestep_embedding(t, self.width))
        query = self.param("query", nn.initializers.normal(0.02), (self.width,))
        tail = [
            nn.Dense(self.width, name="sentence")(text_embedding),
            nn.Dense(self.width, name="time_out")(nn.silu(time)),
            nn.Dense(self.width, name="latent")(z_t),
            jnp.broadcast_to(query, (batch, self.width)),
        ]
        words = nn.Dense(self.width, name="words")(text_features)
        x = jnp.concatenate([words, jnp.stack(tail, axis=1)], axis=1)
        x = x + self.param("places", nn.initializers.normal(0.02), x.shape[1:])
        attend = _causal(jnp.pad(mask, ((0, 0), (0, _EXTRA)), constant_values=True))
        for layer in range(self.layers):
            x = TransformerBlock(self.heads, name=f"block_{layer}")(x, attend)
        # Zero at first: the best guess that knows nothing.
        out = nn.Dense(self.dim, kernel_init=nn.initializers.zeros, name="output")
        return out(nn.LayerNorm(name="norm")(x[:, length + _EXTRA - 1]))


@pytree
class SentenceLine:
    """What a line from its embedding says of the latent that a sentence describes.

    Attributes:
      axes: principal axes of the latents, orthonormal columns.
      centre: mean embedding of sentences.
      line: of the latents' coordinates ``axes^T z``, given embeddings about their centre.
    """

    axes: Float[Array, "d k"]
    centre: Float[Array, "e"]
    line: Line

    def heard(self, embedding: Float[Array, "b e"]) -> Float[Array, "b e"]:
        """Embeddings about their centre; zeros, no sentence, stay zeros."""
        return jnp.where(somebody(embedding), embedding - self.centre, 0)

    def latent(self, embedding: Float[Array, "b e"]) -> Float[Array, "b d"]:
        """The mean latent of whoever sentences describe."""
        return self.line.prior(self.heard(embedding))[0] @ self.axes.T

    def denoise(
        self,
        network: Callable[..., Float[Array, "b k"]],
        z_t: Float[Array, "b d"],
        t: Int[Array, "b"],
        text: Sequence[Array],
        schedule: Schedule,
    ) -> Float[Array, "b d"]:
        """Clean latents, see `Line.denoise`.

        Args:
          network: `TextPrior`'s function, of standardised coordinates instead of noised latents.
          z_t: noised latents.
          t: original diffusion times.
          text: features, embedding and mask, as `TextPrior` wants them.
          schedule: of all original times.
        """
        c = self.line.denoise(
            lambda seen: network(seen, t, *text), z_t @ self.axes, t, self.heard(text[1]), schedule
        )
        return c @ self.axes.T


def unpack(stored: Mapping[str, Any], dim: int) -> SentenceLine:
    """A line from a file's arrays, for latents and embeddings of ``dim`` numbers.

    Raises:
      ValueError: an array is missing, of another shape, or a variance not positive.
    """
    weights.check_shapes(stored, {"axes": (dim, dim), "centre": (dim,)}, "line")
    axes, centre = (jnp.asarray(stored[name], jnp.float32) for name in ("axes", "centre"))
    return SentenceLine(axes, centre, lines.unpack(stored, dim, dim, "line"))


def null_text(
    text_features: Float[Array, "b l w"],
    text_embedding: Float[Array, "b e"],
    mask: Bool[Array, "b l"],
    where: Bool[Array, "b"] | bool = True,
) -> tuple[Float[Array, "b l w"], Float[Array, "b e"], Bool[Array, "b l"]]:
    """Replaces sentences by none, for guidance: zeros, and no token to look at.

    Args:
      text_features: as for `TextPrior`.
      text_embedding: likewise.
      mask: likewise.
      where: which examples lose their sentence; all by default.
    """
    keep = ~jnp.broadcast_to(jnp.asarray(where), mask.shape[:1])
    return (
        jnp.where(keep[:, None, None], text_features, 0),
        jnp.where(keep[:, None], text_embedding, 0),
        mask & keep[:, None],
    )


def _causal(valid):
    """``[b, i, j]``: j is no padding and not after i; every place sees itself."""
    length = valid.shape[1]
    order = jnp.tri(length, dtype=bool)
    return (order & valid[:, None, :]) | jnp.eye(length, dtype=bool)
