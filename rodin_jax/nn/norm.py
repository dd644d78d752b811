"""Adaptive group normalisation (AdaGN) of stacked planes."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class AdaptiveNorm(nn.Module):
    """``GroupNorm(x) * (1 + s) + b``, where ``s, b`` are linear in an embedding, per plane.

    Without an embedding it is a plain GroupNorm.

    Attributes:
      norm: 'plane' for statistics of each plane on its own, 'joint' for the three together as on
        a roll-out. Jointly, planes of unlike scale stay unlike after the normalisation.
      groups: upper bound of the number of groups; the greatest common divisor with c is used.
      epsilon: added to the variance.
      dtype: type of the result; statistics are taken in float32.
    """

    norm: str = "plane"
    groups: int = 32
    epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b p h w c"], embedding: Float[Array, "b _p e"] | None = None
    ) -> Float[Array, "b p h w c"]:
        if self.norm not in ("plane", "joint"):
            raise ValueError(f"norm must be 'plane' or 'joint', got {self.norm!r}")
        c = x.shape[-1]
        gain = self.param("scale", nn.initializers.ones, (c,))
        offset = self.param("bias", nn.initializers.zeros, (c,))

        x32 = x.astype(jnp.float32)
        mean = self._pool(x32)
        variance = jnp.maximum(self._pool(lax.square(x32)) - lax.square(mean), 0)
        gain = gain * lax.rsqrt(variance + self.epsilon)
        offset = offset - mean * gain
        if embedding is not None:
            modulation = nn.Dense(2 * c, dtype=self.dtype, name="modulation")(embedding)
            s, b = jnp.split(modulation.astype(jnp.float32), 2, axis=-1)
            gain, offset = gain * (1 + s), offset * (1 + s) + b
        # Everything above is per channel, so the planes are touched by one multiply-add.
        gain, offset = (v[:, :, None, None, :] for v in (gain, offset))
        return (x32 * gain + offset).astype(self.dtype)

    def _pool(self, x):
        """Mean over the texels and the channels of each group: ``[b, p or 1, c]``."""
        c = x.shape[-1]
        mean = x.mean(axis=(2, 3))
        if self.norm == "joint":
            mean = mean.mean(axis=1, keepdims=True)
        grouped = mean.reshape(*mean.shape[:-1], math.gcd(self.groups, c), -1)
        return jnp.broadcast_to(grouped.mean(-1, keepdims=True), grouped.shape).reshape(mean.shape)
