"""The latent diffusion network (suppl. B.4), after the one of diffusion autoencoders."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rodin_jax.nn.embedding import timestep_embedding


class LatentNet(nn.Module):
    """An MLP whose every layer but the first sees the input again and all but the last see t.

    A layer is ``SiLU(LN((W h) * (1 + cond(t))))``; the last is bare and predicts the noise. It
    expects latents of unit variance.

    Attributes:
      dim: of the latent.
      width: of the hidden layers.
      depth: number of layers.
      time_features: width of the sinusoids of t.
    """

    dim: int
    width: int = 2048
    depth: int = 20
    time_features: int = 64

    @nn.compact
    def __call__(self, z_t: Float[Array, "b d"], t: Int[Array, "b"]) -> Float[Array, "b d"]:
        """The noise in ``z_t`` at timestep ``t``."""
        if self.depth < 2:
            raise ValueError(f"the latent network needs at least two layers, got {self.depth}")
        time = nn.Dense(self.dim, name="time_in")(timestep_embedding(t, self.time_features))
        time = nn.silu(nn.Dense(self.dim, name="time_out")(nn.silu(time)))
        h = z_t
        for layer in range(self.depth - 1):
            h = h if layer == 0 else jnp.concatenate([h, z_t], axis=-1)
            h = nn.Dense(self.width, name=f"layer_{layer}")(h)
            h = h * (1 + nn.Dense(self.width, name=f"condition_{layer}")(time))
            h = nn.silu(nn.LayerNorm(name=f"norm_{layer}")(h))
        return nn.Dense(self.dim, name="output")(jnp.concatenate([h, z_t], axis=-1))
