"""The residual block of both diffusion networks, its convolution and its resampling.

Features are stacked planes ``[b, p, h, w, c]``: p = 3, or 1 when planes are stacked on channels.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rodin_jax.nn.aware_conv import KERNEL_INIT, AwareConv, conv2d
from rodin_jax.nn.norm import AdaptiveNorm
from rodin_jax.triplanes import roll_out, unroll


class Conv(nn.Module):
    """3x3 convolution of stacked planes, of one of three kinds.

    Attributes:
      features: output channels.
      kind: 'aware' sees both contexts (`AwareConv`); 'plane' treats planes as independent images;
        'rolled' convolves the roll-out and so mixes unrelated texels across its seams.
      zero: start at zero instead of Lecun's normal.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    kind: str = "aware"
    zero: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b p h w c"]) -> Float[Array, "b p h w d"]:
        init = nn.initializers.zeros if self.zero else KERNEL_INIT
        if self.kind == "aware":
            layer = AwareConv(self.features, kernel_init=init, dtype=self.dtype, name="aware")
            return layer(x)
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.kind == "plane":
            return conv2d(x, kernel) + bias
        if self.kind == "rolled":
            return unroll(conv2d(roll_out(x), kernel)) + bias
        raise ValueError(f"conv must be 'aware', 'plane' or 'rolled', got {self.kind!r}")


class ResBlock(nn.Module):
    """``skip(x) + Conv(SiLU(AdaGN(Conv(SiLU(Norm(x))), embedding)))``, as in ADM.

    The last convolution starts at zero, so the block starts as its skip path.

    Attributes:
      features: output channels.
      conv: kind of both convolutions, see `Conv`.
      norm: 'plane' or 'joint', see `AdaptiveNorm`.
      resample: 'down' halves and 'up' doubles the planes' size on both paths; None keeps it.
      dropout: probability, before the last convolution.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    conv: str = "aware"
    norm: str = "plane"
    resample: str | None = None
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b p h w c"],
        embedding: Float[Array, "b _p e"],
        deterministic: bool = True,
    ) -> Float[Array, "b p h2 w2 d"]:
        resample = {None: lambda y: y, "down": halve, "up": double}[self.resample]

        y = nn.silu(AdaptiveNorm(self.norm, dtype=self.dtype, name="norm_in")(x))
        y = Conv(self.features, self.conv, dtype=self.dtype, name="conv_in")(resample(y))
        y = nn.silu(AdaptiveNorm(self.norm, dtype=self.dtype, name="norm_out")(y, embedding))
        y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
        y = Conv(self.features, self.conv, zero=True, dtype=self.dtype, name="conv_out")(y)

        if x.shape[-1] != self.features:
            x = nn.Dense(self.features, dtype=self.dtype, name="skip")(x)
        return resample(x) + y


class LinearFilter(nn.Module):
    """``Conv(gains(embedding) * (x M))``: linear in x, like the Wiener filter of a noise level.

    What a diffusion network predicts is, texel by texel, largely the noise that it was shown, and
    normalised features of limited width drop some of it. Added to such a network, this path
    carries the noise and leaves to the network what is not linear. It starts at zero.

    Attributes:
      features: output channels.
      width: channels in between.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b p h w c"], embedding: Float[Array, "b _p e"]
    ) -> Float[Array, "b p h w d"]:
        gains = 1 + nn.Dense(self.width, dtype=self.dtype, name="gains")(embedding)
        y = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="mix")(x)
        y = y * gains[:, :, None, None]
        return Conv(self.features, "plane", zero=True, dtype=self.dtype, name="conv")(y)


def halve(x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 c"]:
    """Mean of each 2x2 block of texels."""
    *lead, h, w, c = x.shape
    return x.reshape(*lead, h // 2, 2, w // 2, 2, c).mean(axis=(-4, -2))


def double(x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 c"]:
    """Every texel becomes a 2x2 block."""
    *lead, h, w, c = x.shape
    x = jnp.broadcast_to(x[..., :, None, :, None, :], (*lead, h, 2, w, 2, c))
    return x.reshape(*lead, 2 * h, 2 * w, c)


def space_to_depth(x: Float[Array, "*b h w c"], factor: int) -> Float[Array, "*b h2 w2 c2"]:
    """Each ``factor`` x ``factor`` block of texels becomes channels: nothing is lost."""
    *lead, h, w, c = x.shape
    x = x.reshape(*lead, h // factor, factor, w // factor, factor, c).swapaxes(-4, -3)
    return x.reshape(*lead, h // factor, w // factor, factor * factor * c)


def depth_to_space(x: Float[Array, "*b h w c"], factor: int) -> Float[Array, "*b h2 w2 c2"]:
    """Inverse of `space_to_depth` (sub-pixel upsampling)."""
    *lead, h, w, c = x.shape
    x = x.reshape(*lead, h, w, factor, factor, c // factor**2).swapaxes(-4, -3)
    return x.reshape(*lead, h * factor, w * factor, c // factor**2)
