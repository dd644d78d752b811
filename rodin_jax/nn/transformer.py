"""The pre-norm transformer block shared by the text tower and the text prior."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class TransformerBlock(nn.Module):
    """``x + Attention(LN(x))``, then ``x + MLP(LN(x))``.

    Attributes:
      heads: attention heads; must divide the width.
      expansion: width of the MLP's hidden layer over that of the block.
    """

    heads: int
    expansion: int = 4

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l width"], mask: Bool[Array, "#b #l l"]
    ) -> Float[Array, "b l width"]:
        """Position i of the result depends on the positions j of ``x`` with ``mask[..., i, j]``."""
        width = x.shape[-1]
        if width % self.heads:
            raise ValueError(f"a width of {width} does not split into {self.heads} heads")
        qkv = nn.Dense(3 * width, name="qkv")(nn.LayerNorm(name="attention_norm")(x))
        query, key, value = (
            part.reshape(*x.shape[:2], self.heads, width // self.heads)
            for part in jnp.split(qkv, 3, axis=-1)
        )
        attended = jax.nn.dot_product_attention(query, key, value, mask=mask[:, None])
        x = x + nn.Dense(width, name="projection")(attended.reshape(x.shape))
        hidden = nn.Dense(self.expansion * width, name="expand")(nn.LayerNorm(name="mlp_norm")(x))
        return x + nn.Dense(width, name="contract")(nn.gelu(hidden))
