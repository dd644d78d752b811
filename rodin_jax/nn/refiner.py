"""The convolutional refiner: a rendered view to one of twice its size (paper 3.3, last paragraph).

Volume rendering is poor at thin structures and costs the square of the picture's edge. The paper
therefore renders at 512 x 512 and lets a convolutional network complete the details at 1024 x 1024.
It does not describe the network. This one is made of the residual-in-residual dense blocks (RRDB)
of ESRGAN (Wang et al. 2018) with its ways of starting small: little weights, branches scaled down.

Symbols: ``c`` features of the trunk, ``g`` features that a layer of a dense block adds.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rodin_jax.nn.blocks import double

# A tenth of Kaiming's normal, as in ESRGAN: the sum of many branches stays near its trunk.
_SMALL = nn.initializers.variance_scaling(0.02, "fan_in", "normal")

_leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.2)


def enlarge(images: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 3"]:
    """Pictures of twice the size, by linear interpolation; what an untrained `Refiner` does."""
    b, h, w, c = images.shape
    return jax.image.resize(images, (b, 2 * h, 2 * w, c), "linear")


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of which sees the block's input and all that came before it.

    Attributes:
      growth: g.
      residual_scale: of what is added to the input.
      dtype: type of the computation; parameters stay float32.
    """

    growth: int
    residual_scale: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        seen = x
        for i in range(1, 5):
            seen = jnp.concatenate(
                [seen, _leaky_relu(_conv(self.growth, f"conv{i}", self.dtype)(seen))], axis=-1
            )
        return x + self.residual_scale * _conv(x.shape[-1], "conv5", self.dtype)(seen)


class RRDB(nn.Module):
    """A residual branch of three `ResidualDenseBlock`; attributes as there."""

    growth: int
    residual_scale: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = x
        for i in range(1, 4):
            options = (self.growth, self.residual_scale, self.dtype)
            y = ResidualDenseBlock(*options, name=f"rdb{i}")(y)
        return x + self.residual_scale * y


class Refiner(nn.Module):
    """``enlarge(x) + conv_last(up(trunk(x)))``, all but the last layers at the size of x.

    The last convolution starts at zero, so an untrained refiner is a plain resize.

    Attributes:
      channels: features of the trunk, c.
      blocks: how many `RRDB`.
      growth: see `ResidualDenseBlock`.
      residual_scale: likewise, also of each `RRDB`.
      remat: recompute activations of each `RRDB` in the backward pass, to save memory.
      dtype: type of the computation; parameters and the output are float32.
    """

    channels: int = 64
    blocks: int = 23
    growth: int = 32
    residual_scale: float = 0.2
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 3"]:
        """Pictures in [0, 1], in front of an opaque background, at twice their size.

        The result is not clipped to [0, 1].
        """
        block = nn.remat(RRDB) if self.remat else RRDB
        x = _conv(self.channels, "conv_first", self.dtype)(images)
        y = x
        for i in range(self.blocks):
            y = block(self.growth, self.residual_scale, self.dtype, name=f"body_{i}")(y)
        x = x + _conv(self.channels, "conv_body", self.dtype)(y)
        x = _leaky_relu(_conv(self.channels, "conv_up", self.dtype)(double(x)))
        x = _leaky_relu(_conv(self.channels, "conv_hr", self.dtype)(x))
        x = _conv(3, "conv_last", self.dtype, nn.initializers.zeros)(x)
        return enlarge(images) + x.astype(jnp.float32)


def _conv(features: int, name: str, dtype: DTypeLike, init=_SMALL) -> nn.Conv:
    return nn.Conv(features, (3, 3), kernel_init=init, dtype=dtype, name=name)
