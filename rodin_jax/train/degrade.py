"""Condition augmentation of the upsampler (paper 3.3, supplement B.1).

What the base model samples is a little wrong and a little soft; the upsampler is trained on low
planes made so. Every subject gets its own random combination of down-scaling, Gaussian blur and
Gaussian noise. Features are signed and unbounded: nothing is clipped. Each plane is degraded alone:
down-scaling and blur are matrices along rows and columns, and never reach across planes.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax.triplanes import resize_matrix


def degrade(
    low: Float[Array, "b 3 h w c"],
    key: Array,
    *,
    sizes: Sequence[int] = (),
    blur: float = 0.0,
    noise: float = 0.0,
    probability: float = 0.5,
) -> Float[Array, "b 3 h w c"]:
    """Degrades normalised low planes; the key is consumed.

    Args:
      low: square planes of unit variance.
      key: random key.
      sizes: one of these, by chance, is what a subject's planes are scaled down to, and back.
      blur: largest standard deviation of the blur, in texels; a subject draws from [0, blur].
      noise: largest standard deviation of the noise; a subject draws from [0, noise].
      probability: with which a subject undergoes each of the three, independently.
    """
    batch, size = low.shape[0], low.shape[-2]
    pick_size, pick_blur, pick_noise, pick_parts, draw = jax.random.split(key, 5)
    scaled, blurred, noised = jax.random.bernoulli(pick_parts, probability, (3, batch))

    choices = jnp.stack([jnp.eye(size), *(_round_trip(size, s) for s in sizes)])
    index = jax.random.randint(pick_size, (batch,), 1, max(len(choices), 2))
    scale = choices[jnp.where(scaled & bool(sizes), index, 0)]
    deviation = blur * jax.random.uniform(pick_blur, (batch,)) * blurred
    operator = gaussian_matrix(size, deviation) @ scale
    low = jnp.einsum("bih,bphwc,bjw->bpijc", operator, low, operator)

    strength = noise * jax.random.uniform(pick_noise, (batch,)) * noised
    return low + strength[:, None, None, None, None] * jax.random.normal(draw, low.shape, low.dtype)


def gaussian_matrix(size: int, deviation: Float[Array, "b"]) -> Float[Array, "b n n"]:
    """Blur along one axis as matrices whose rows sum to one; a deviation of 0 is the identity."""
    offset = jnp.arange(size)[:, None] - jnp.arange(size)[None, :]
    # Below 0.05 texels the neighbours' weights are zero in float32 already.
    deviation = jnp.maximum(deviation, 0.05)[:, None, None]
    weight = jnp.exp(-0.5 * (offset / deviation) ** 2)
    return weight / weight.sum(-1, keepdims=True)


def _round_trip(size: int, to: int):
    return jnp.asarray(resize_matrix(to, size) @ resize_matrix(size, to))
