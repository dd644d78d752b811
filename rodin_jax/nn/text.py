"""The text prior (suppl. B.5): from a sentence to an image latent, after DALL-E 2.

A causal transformer reads [the sentence's tokens, its embedding, the time, the noised latent, a
query]; at the query's place it says what the clean latent is.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rodin_jax.nn.embedding import timestep_embedding
from rodin_jax.nn.transformer import TransformerBlock

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
