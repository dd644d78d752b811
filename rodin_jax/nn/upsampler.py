"""The diffusion upsampler: low-resolution planes to high-resolution ones (paper 3.3).

Symbols: ``h`` the low and ``H = factor * h`` the high resolution, ``c`` channels of a plane.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from rodin_jax import triplanes
from rodin_jax.nn.blocks import Conv, LinearFilter, ResBlock, depth_to_space, space_to_depth
from rodin_jax.nn.embedding import Conditioning
from rodin_jax.nn.norm import AdaptiveNorm


class Upsampler(nn.Module):
    """Predicts clean high-resolution planes from noisy ones and the low-resolution condition.

    Nearly all work happens at the low resolution: the noisy planes come down by space-to-depth,
    residual blocks run there, and a single sub-pixel layer goes up by ``factor`` (supplement B.1,
    figure 1). A light head then looks at the noisy planes at their own resolution, because the
    last steps of diffusion must copy detail that the trunk has no room to carry:

        x0 = gain * resize(low) + offset + head(up(trunk(x_t, low, t)), x_t, t)
             + linear(x_t, resize(low), t)    # if ``linear_path``

    The two resolutions have statistics of their own, so a gain and an offset for each plane and
    channel carry one normalisation into the other. They start at 1 and 0 and what is added at
    zero: an untrained upsampler is a bilinear resize.

    Attributes:
      out_channels: channels per plane of the output, c.
      channels: features of the trunk.
      blocks: residual blocks of the trunk.
      factor: ratio of the resolutions.
      detail_channels: features of the high-resolution head; None is a quarter of ``channels``.
      dropout: probability in every residual block; needs a 'dropout' key when training.
      conv: 'aware', 'plane' or 'rolled', see `rodin_jax.nn.blocks.Conv`.
      norm: statistics of each 'plane', or 'joint' over the roll-out.
      plane_embedding: tell the blocks which plane they see.
      linear_path: add a `LinearFilter` of the noisy planes and the resized low ones, for trunks
        and heads that are narrow. The paper has none.
      remat: recompute activations of each block in the backward pass, to save memory.
      dtype: type of the computation; parameters and the output are float32.
    """

    out_channels: int
    channels: int = 64
    blocks: int = 4
    factor: int = 4
    detail_channels: int | None = None
    dropout: float = 0.0
    conv: str = "aware"
    norm: str = "plane"
    plane_embedding: bool = True
    linear_path: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x_t: Float[Array, "b 3 H W c"],
        low: Float[Array, "b 3 h w c"],
        t: Num[Array, "b"],
        fine: Float[Array, "b 3 H W c"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "b 3 H W out"]:
        """Returns the predicted x0.

        Args:
          x_t: noisy high-resolution planes, normalised.
          low: low-resolution planes, normalised by statistics of their own.
          t: original diffusion time, 0 ... T - 1.
          fine: the low planes with what detail they foretell, normalised as they are, in the place
            of ``resize(low)`` (see `rodin_jax.nn.eigenplanes.EigenPlanes.fine`).
          deterministic: False enables dropout.

        Raises:
          ValueError: the sizes are not in the ratio ``factor``, or channels differ.
        """
        high = x_t.shape[-2]
        if high != self.factor * low.shape[-2] or low.shape[-1] != self.out_channels:
            raise ValueError(
                f"x_t {x_t.shape} must be {self.factor} times the size of low {low.shape}, "
                f"with {self.out_channels} channels"
            )
        detail = self.detail_channels or self.channels // 4

        def conv(features, name, zero=False):
            return Conv(features, self.conv, zero, self.dtype, name=name)

        planes = 3 if self.plane_embedding else 0
        embedding = Conditioning(self.channels, planes, self.dtype, name="conditioning")(t)
        layer = nn.remat(ResBlock, static_argnums=(3,)) if self.remat else ResBlock

        y = jnp.concatenate([space_to_depth(x_t, self.factor), low], axis=-1)
        y = conv(self.channels, "conv_in")(y)
        for i in range(self.blocks):
            options = (self.channels, self.conv, self.norm, None, self.dropout, self.dtype)
            y = layer(*options, name=f"block_{i}")(y, embedding, deterministic)

        y = nn.silu(AdaptiveNorm(self.norm, dtype=self.dtype, name="norm_up")(y))
        y = depth_to_space(conv(self.factor**2 * detail, "conv_up")(y), self.factor)

        y = jnp.concatenate([y, x_t.astype(y.dtype)], axis=-1)
        y = conv(detail, "head_in")(y)
        y = nn.silu(AdaptiveNorm(self.norm, dtype=self.dtype, name="head_norm")(y, embedding))
        y = conv(self.out_channels, "head_out", zero=True)(y)

        shape = (3, 1, 1, self.out_channels)
        gain = self.param("low_gain", nn.initializers.ones, shape)
        offset = self.param("low_offset", nn.initializers.zeros, shape)
        resized = triplanes.resize(low, high) if fine is None else fine
        if self.linear_path:
            options = (self.out_channels, 2 * (self.out_channels + low.shape[-1]), self.dtype)
            shown = jnp.concatenate([x_t, resized], axis=-1)
            y = y + LinearFilter(*options, name="linear")(shown, embedding)
        return gain * resized + offset + y.astype(jnp.float32)
