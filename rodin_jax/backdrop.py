"""What lies behind the cube: a picture on the sphere of directions.

Photographs without silhouettes show a room. All of it that is far away looks the same from
everywhere, so a colour for each direction stands for it, and the cube keeps what is near.

The picture ``[h, w, 3]`` holds logits of colours on Lambert's cylinder, whose texels have equal
area: columns go round the z axis, rows are evenly spaced in z.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def start(height: int = 32) -> Float[Array, "h w 3"]:
    """Grey all round, with square texels at the horizon."""
    return jnp.zeros((height, 3 * height, 3))


def look(picture: Float[Array, "h w 3"], directions: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """Colours in [0, 1] along unit ``directions``, bilinear, and seamless round the z axis."""
    height, width, _ = picture.shape
    x, y, z = jnp.moveaxis(directions, -1, 0)
    column = jnp.arctan2(y, x) * (width / (2 * jnp.pi)) - 0.5
    row = jnp.clip((z + 1) * (height / 2) - 0.5, 0, height - 1)
    left, top = jnp.floor(column), jnp.clip(jnp.floor(row), 0, height - 2)
    across, down = (column - left)[..., None], (row - top)[..., None]
    left, top = left.astype(jnp.int32), top.astype(jnp.int32)

    def line(i):
        beside = picture[i, left % width], picture[i, (left + 1) % width]
        return beside[0] * (1 - across) + beside[1] * across

    return jax.nn.sigmoid(line(top) * (1 - down) + line(top + 1) * down)
