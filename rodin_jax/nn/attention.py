"""Full attention over the roll-out: every texel of every plane attends to all others."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rodin_jax.nn.norm import AdaptiveNorm


def implementation(dtype: DTypeLike, head_channels: int) -> str | None:
    """``cudnn``, flash attention, where it can run; None, plain XLA, elsewhere.

    JAX does not choose it by itself. It takes half precision, an NVIDIA GPU of compute capability
    8.0 (Ampere) or more, and heads of a multiple of 8 and at most 128 channels.
    """
    device = jax.local_devices()[0]
    # A number on NVIDIA's GPUs; AMD's say gfx..., processors have none.
    capability = str(getattr(device, "compute_capability", ""))
    major = capability.partition(".")[0]
    half = jnp.dtype(dtype) in (jnp.bfloat16, jnp.float16)
    fits = head_channels % 8 == 0 and head_channels <= 128
    return "cudnn" if half and fits and major.isdigit() and int(major) >= 8 else None


class RollOutAttention(nn.Module):
    """``x + Proj(Attention(Norm(x)))`` with the texels of all planes as one set of tokens.

    Attention does not see the order of tokens, so stacked planes serve as well as their roll-out.
    The projection starts at zero: at initialisation the block is the identity.

    Attributes:
      head_channels: channels per head; must divide the input's channels.
      norm: 'plane' or 'joint', see `AdaptiveNorm`.
      dtype: type of the computation; parameters stay float32.
    """

    head_channels: int = 32
    norm: str = "plane"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b p h w c"]) -> Float[Array, "b p h w c"]:
        batch, *_, c = x.shape
        if c % self.head_channels:
            raise ValueError(f"{c} channels do not split into heads of {self.head_channels}")
        heads = (batch, -1, c // self.head_channels, self.head_channels)
        tokens = AdaptiveNorm(self.norm, dtype=self.dtype, name="norm")(x).reshape(batch, -1, c)
        qkv = nn.Dense(3 * c, dtype=self.dtype, name="qkv")(tokens)
        query, key, value = (part.reshape(heads) for part in jnp.split(qkv, 3, axis=-1))
        out = jax.nn.dot_product_attention(
            query, key, value, implementation=implementation(query.dtype, self.head_channels)
        ).reshape(x.shape)
        zeros = nn.initializers.zeros
        return x + nn.Dense(c, dtype=self.dtype, kernel_init=zeros, name="projection")(out)
