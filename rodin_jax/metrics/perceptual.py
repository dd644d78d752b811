"""How alike two pictures look to a network (Zhang et al. 2018)."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Pictures in [0, 1] -> feature maps, finest first.
Features = Callable[[Float[Array, "b h w 3"]], Sequence[Float[Array, "b _h _w _c"]]]


def perceptual_distance(
    features: Features, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
) -> Float[Array, "b"]:
    """LPIPS without learned weights: squared distance of unit features, mean over places, summed.

    At every place of every level both features are scaled to unit length. With a VGG16 trained on
    ImageNet this is the uncalibrated baseline of the LPIPS paper; it orders pictures much like the
    calibrated distance, but its values are larger and must not be set beside published ones.
    """

    def unit(x):
        return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-10)

    levels = zip(features(a), features(b), strict=True)
    return sum(jnp.square(unit(x) - unit(y)).sum(-1).mean((1, 2)) for x, y in levels)
