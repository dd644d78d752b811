"""The base diffusion network: an ADM U-Net on three planes (paper 3.2, supplement B.1)."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from rodin_jax.nn.attention import RollOutAttention
from rodin_jax.nn.blocks import Conv, LinearFilter, ResBlock, depth_to_space, space_to_depth
from rodin_jax.nn.embedding import Conditioning
from rodin_jax.nn.norm import AdaptiveNorm

CONVS = ("aware", "plane", "rolled", "concat")


class UNet(nn.Module):
    """Predicts the diffusion target of noisy tri-planes from time and a latent.

    The defaults are the nano preset. The paper's network is ``channels=192, multipliers=(1, 2, 3,
    4), blocks=3, attention=(8, 16, 32), head_channels=64, aware_everywhere=False`` at 64².

    Attributes:
      out_channels: channels per plane of the output; twice the input's with a learned variance.
      channels: features at the finest scale.
      multipliers: features of each scale over ``channels``, finest first; scales halve the size.
      blocks: residual blocks per scale on the way down; one more on the way up.
      attention: plane sizes, in patches, at which attention follows every residual block.
      head_channels: channels per attention head.
      dropout: probability in every residual block; needs a 'dropout' key when training.
      conv: 'aware' (3D-aware), or the ablations 'plane' (no cross-plane context), 'rolled' (a 2D
        network on the roll-out) and 'concat' (a 2D network on planes concatenated as channels).
      norm: statistics of each 'plane', or 'joint' over the roll-out.
      latent: False makes the network deaf to the latent, an ablation.
      plane_embedding: tell the blocks which plane they see. Without it the 'aware' and 'plane'
        networks commute with the cyclic change of axes u -> v -> w.
      aware_everywhere: with False, scales that have attention convolve per plane: attention
        already lets planes communicate there (paper 4.1), and the kernels are three times smaller.
      patch: the network works on squares of this many texels a side, each a texel of patch^2 times
        the channels: a finer plane for the price of a coarse one. The paper has 1.
      linear_path: add a `LinearFilter` of the noisy planes. Needed when a patch of them holds as
        many numbers as the network has ``channels``, or more. The paper has none.
      position_embedding: learn features of each place on each plane. Subjects that all stand alike
        have their parts in the same places, which convolutions find out but slowly; it fixes the
        planes' size. The paper has none.
      remat: recompute activations of each block in the backward pass, to save memory.
      dtype: type of the computation; parameters and the output are float32.
    """

    out_channels: int
    channels: int = 64
    multipliers: Sequence[int] = (1, 2)
    blocks: int = 2
    attention: Sequence[int] = (8,)
    head_channels: int = 32
    dropout: float = 0.0
    conv: str = "aware"
    norm: str = "plane"
    latent: bool = True
    plane_embedding: bool = True
    aware_everywhere: bool = True
    patch: int = 1
    linear_path: bool = False
    position_embedding: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b 3 h w c"],
        t: Num[Array, "b"],
        z: Float[Array, "b d"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "b 3 h w out"]:
        """Runs the network.

        Args:
          x: noisy planes; their size must be divisible by
            ``patch * 2 ** (len(multipliers) - 1)``.
          t: original diffusion time, 0 ... T - 1.
          z: latents of unit variance; None, or zeros, is the null condition.
          deterministic: False enables dropout.

        Raises:
          ValueError: an unknown ``conv`` or ``norm``, or sizes and channels that do not divide.
        """
        self._check(x)
        x = space_to_depth(x, self.patch)
        last = len(self.multipliers) - 1
        concat = self.conv == "concat"
        planes = 3 if self.plane_embedding and not concat else 0
        conditioning = Conditioning(self.channels, planes, self.dtype, name="conditioning")
        embedding = conditioning(t, z if self.latent else None)

        def block(y, features, name, attend=True, resample=None):
            """One residual block, then attention at the scales that have it."""
            scale = {None: 1.0, "down": 0.5, "up": 2.0}[resample]
            attended = int(y.shape[-2] * scale) in self.attention
            spared = self.conv == "aware" and attended and not self.aware_everywhere
            kind = "plane" if concat or spared else self.conv
            layer = nn.remat(ResBlock, static_argnums=(3,)) if self.remat else ResBlock
            options = (features, kind, self.norm, resample, self.dropout, self.dtype)
            y = layer(*options, name=name)(y, embedding, deterministic)
            if attend and attended:
                layer = nn.remat(RollOutAttention) if self.remat else RollOutAttention
                options = (self.head_channels, self.norm, self.dtype)
                y = layer(*options, name=f"{name}_attention")(y)
            return y

        edge = "plane" if concat else self.conv
        y = _stack_on_channels(x) if concat else x
        y = Conv(self.channels, edge, dtype=self.dtype, name="conv_in")(y)
        if self.position_embedding:
            places = self.param("position", nn.initializers.zeros, y.shape[1:])
            y = y + places.astype(self.dtype)

        skips = [y]
        for level, multiplier in enumerate(self.multipliers):
            features = self.channels * multiplier
            for i in range(self.blocks):
                y = block(y, features, f"down_{level}_{i}")
                skips.append(y)
            if level < last:
                y = block(y, features, f"down_{level}_pool", attend=False, resample="down")
                skips.append(y)

        y = block(y, y.shape[-1], "middle_0")
        y = block(y, y.shape[-1], "middle_1", attend=False)

        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            features = self.channels * multiplier
            for i in range(self.blocks + 1):
                y = jnp.concatenate([y, skips.pop()], axis=-1)
                y = block(y, features, f"up_{level}_{i}")
            if level > 0:
                finer = self.channels * self.multipliers[level - 1]
                y = block(y, finer, f"up_{level}_grow", attend=False, resample="up")

        y = nn.silu(AdaptiveNorm(self.norm, dtype=self.dtype, name="norm_out")(y))
        features = self.patch**2 * self.out_channels * (3 if concat else 1)
        y = Conv(features, edge, zero=True, dtype=self.dtype, name="conv_out")(y)
        y = _unstack_channels(y) if concat else y
        if self.linear_path:
            options = (self.patch**2 * self.out_channels, 2 * x.shape[-1], self.dtype)
            y = y + LinearFilter(*options, name="linear")(x, embedding)
        return depth_to_space(y, self.patch).astype(jnp.float32)

    def _check(self, x):
        """Names the argument that is wrong before a shape error somewhere deep does not."""
        if self.conv not in CONVS:
            raise ValueError(f"conv must be one of {CONVS}, got {self.conv!r}")
        divisor = self.patch * 2 ** (len(self.multipliers) - 1)
        if any(side % divisor for side in x.shape[-3:-1]):
            raise ValueError(f"planes of {x.shape[-3:-1]} texels, expected multiples of {divisor}")


def _stack_on_channels(x):
    """``[b, 3, h, w, c] -> [b, 1, h, w, 3c]``, plane-major."""
    b, p, h, w, c = x.shape
    return jnp.moveaxis(x, 1, 3).reshape(b, 1, h, w, p * c)


def _unstack_channels(x):
    """Inverse of `_stack_on_channels`."""
    b, _, h, w, c = x.shape
    return jnp.moveaxis(x.reshape(b, h, w, 3, c // 3), 3, 1)
