"""Random changes to portraits that do not change the person; colours matter, so they stay.

One matrix per axis and picture does the geometry: row i holds the Gaussian weights with which the
output's pixel i looks at the input, so shift, zoom, blur and antialiasing are one product.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed.

    Attributes:
      shift: largest shift, as a share of the edge.
      zoom: largest relative change of scale.
      brightness: largest relative change of all channels together.
      tint: largest relative change of one channel.
      blur: share of pictures that lose detail.
      background: share of pictures not over white but over a random gradient, as photos are.
    """

    shift: float = 0.06
    zoom: float = 0.12
    brightness: float = 0.08
    tint: float = 0.03
    blur: float = 0.25
    background: float = 0.3


def augment(
    images: UInt8[Array, "b h h 4"], size: int, key: Array, options: Augmentation
) -> Float[Array, "b size size 3"]:
    """Premultiplied RGBA -> what the image tower sees, in [0, 1]. The key is consumed."""
    place_key, blur_key, colour_key, ground_key = jax.random.split(key, 4)
    rows, columns = _matrices(place_key, blur_key, images.shape[:2], size, options)
    x = images.astype(jnp.float32) / 255
    x = look(x, rows, columns)
    rgb = x[..., :3] + (1 - x[..., 3:]) * _ground(ground_key, len(images), size, options)
    return jnp.clip(rgb * _gain(colour_key, len(images), options), 0, 1)


def gaussians(
    distance: Float[Array, "... i h"], spread: Float[Array, "b 1 1"]
) -> Float[Array, "b i h"]:
    """Weights with which each output pixel i looks at the input's pixels h, that far from it."""
    weight = jnp.exp(-0.5 * (distance / spread) ** 2)
    return weight / weight.sum(-1, keepdims=True)


def look(
    images: Float[Array, "b h w c"], rows: Float[Array, "b i h"], columns: Float[Array, "b j w"]
) -> Float[Array, "b i j c"]:
    """Pictures through a matrix for each axis."""
    return jnp.einsum("bjw,biwc->bijc", columns, jnp.einsum("bih,bhwc->biwc", rows, images))


def _matrices(place_key, blur_key, shape, size, options):
    """Row and column matrices ``[b, size, h]``."""
    batch, height = shape
    shift_key, zoom_key = jax.random.split(place_key)
    shift = options.shift * jax.random.uniform(shift_key, (batch, 2), minval=-1)
    zoom = 1 + options.zoom * jax.random.uniform(zoom_key, (batch, 1), minval=-1)
    chosen_key, width_key = jax.random.split(blur_key)
    chosen = jax.random.bernoulli(chosen_key, options.blur, (batch, 1, 1))
    strong = jnp.exp(jax.random.uniform(width_key, (batch, 1, 1), maxval=jnp.log(5.0)))
    # 0.3 output pixels, with what the source's own resampling did, is about a triangle's width.
    spread = 0.3 * jnp.where(chosen, strong, 1.0) * height / size

    unit = (jnp.arange(size) + 0.5) / size - 0.5

    def matrix(shift):
        centre = ((unit + shift[:, None]) * zoom + 0.5) * height - 0.5
        # Outside the picture its border continues.
        distance = jnp.clip(centre, 0, height - 1)[..., None] - jnp.arange(height)
        return gaussians(distance, spread)

    return matrix(shift[:, 0]), matrix(shift[:, 1])


def mirror_some(images: UInt8[Array, "b h h 4"], key: Array) -> UInt8[Array, "b h h 4"]:
    """Half of the pictures as a mirror shows them. The key is consumed."""
    mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def _ground(key, batch, size, options):
    """White, or a vertical gradient between two random colours."""
    chosen_key, colour_key = jax.random.split(key)
    ends = jax.random.uniform(colour_key, (2, batch, 1, 1, 3))
    down = jnp.linspace(0, 1, size)[:, None, None]
    gradient = ends[0] * (1 - down) + ends[1] * down
    chosen = jax.random.bernoulli(chosen_key, options.background, (batch, 1, 1, 1))
    return jnp.where(chosen, gradient, 1.0)


def _gain(key, batch, options):
    all_key, one_key = jax.random.split(key)
    everything = options.brightness * jax.random.uniform(all_key, (batch, 1, 1, 1), minval=-1)
    each = options.tint * jax.random.uniform(one_key, (batch, 1, 1, 3), minval=-1)
    return 1 + everything + each
