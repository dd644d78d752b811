"""What every residual block is told: the diffusion time, the subject's latent, and which plane.

Symbols: ``b`` batch, ``p`` planes (three, or one when they are stacked on channels), ``e`` width.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num


def timestep_embedding(
    t: Num[Array, "b"], dim: int, max_period: float = 10_000.0
) -> Float[Array, "b dim"]:
    """Cosines then sines of t at ``dim / 2`` geometrically spaced frequencies from 1 down.

    Raises:
      ValueError: ``dim`` is odd.
    """
    if dim % 2:
        raise ValueError(f"timestep_embedding needs an even dim, got {dim}")
    frequencies = max_period ** (-jnp.arange(dim // 2) / (dim // 2))
    angles = t.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class Conditioning(nn.Module):
    """``SiLU(MLP(t) + MLP(z) + plane)``: the input of each block's AdaGN (paper 3.2).

    The latent's null value is zero, and ``z=None`` means exactly that: only the latent's first
    weight matrix is skipped, so a network that was initialised with a latent runs without one.

    With one kernel for all planes nothing else tells a block which plane it denoises, so a plane
    embedding is learned.

    Attributes:
      features: width of the sinusoids.
      planes: how many planes get an embedding; 0 for none, and then ``p`` is 1.
      dtype: type of the computation and the result.
    """

    features: int
    planes: int = 3
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, t: Num[Array, "b"], z: Float[Array, "b d"] | None = None
    ) -> Float[Array, "b p e"]:
        width = 4 * self.features

        def dense(name, **options):
            return nn.Dense(width, dtype=self.dtype, name=name, **options)

        time = dense("time_in")(timestep_embedding(t, self.features))
        embedding = dense("time_out")(nn.silu(time))

        latent = self.param("latent_bias", nn.initializers.zeros, (width,)).astype(self.dtype)
        if z is not None:
            latent = latent + dense("latent_in", use_bias=False)(z)
        embedding = embedding + dense("latent_out")(nn.silu(latent))

        embedding = embedding[:, None]
        if self.planes:
            shape = (self.planes, width)
            plane = self.param("plane", nn.initializers.normal(0.5), shape)
            embedding = embedding + plane.astype(self.dtype)
        return nn.silu(embedding)
