"""What an embedding holds besides what captions say: how the person looks.

The paper's CLIP learned from hundreds of millions of pictures, and its latent tells a likeness.
Towers that learn from a few thousand captions keep what captions mention and forget the rest: the
cut of a collar, the width of a face. So while they learn, a small network must draw the front view
from the embedding. Nothing else needs it, and no bundle holds it.
"""

import flax.linen as nn
from jaxtyping import Array, Float


class AppearanceHead(nn.Module):
    """Draws a small picture from an embedding.

    Attributes:
      size: edge of the picture in pixels.
      width: of the hidden layer.
    """

    size: int
    width: int

    @nn.compact
    def __call__(self, embedding: Float[Array, "b d"]) -> Float[Array, "b size size 4"]:
        """Premultiplied RGBA, about [0, 1], of normalised embeddings."""
        x = nn.silu(nn.Dense(self.width, name="hidden")(embedding))
        pixels = nn.Dense(self.size**2 * 4, name="pixels")(x)
        return pixels.reshape(-1, self.size, self.size, 4)
