"""Pictures that people send, as portraits that an avatar can be held against.

Who stands before nothing or before a plain colour is told apart from it, and brought to where the
heads and shoulders of training pictures are, so that the image tower and the camera see what they
know.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rodin_jax.data.images import Picture
from rodin_jax.types import pytree

SIZE = 128  # pixels along an edge of the portraits that are compared
# Where people are in training pictures, as shares of the edge: top and bottom rows, on average.
_TOP, _BOTTOM = 0.13, 0.98
_ALIKE = 0.08  # differences from the background that noise and compression make
_BORDER = 0.9  # share of the border that one colour must fill
_LEAST = 0.02  # share of a picture that anybody fills
# People whose height or place differs by no more than this are left where they are: hats do that.
_TOLERANCE = 0.25


@pytree
class Portrait:
    """A picture of the front, to be resembled.

    Attributes:
      rgb: in front of its background, in [0, 1].
      alpha: coverage; only looked at where it is ``known``.
      background: the one colour behind the person.
      known: 1 if the coverage is known, else 0.
    """

    rgb: Float[Array, "s s 3"]
    alpha: Float[Array, "s s"]
    background: Float[Array, "3"]
    known: Float[Array, ""]


def backdrop(picture: Picture) -> Float[np.ndarray, "3"] | None:
    """The colour that a person stands before, in [0, 1]: white if they are cut out.

    None if there are several colours along the top and the upper sides.
    """
    if _cut_out(picture):
        return np.ones(3, np.float32)
    rgb = picture[..., :3].astype(np.float32) / 255
    sides = rgb[: max(len(rgb) // 2, 1)]
    border = np.concatenate([rgb[0], sides[:, 0], sides[:, -1]])
    colour = np.median(border, axis=0)
    alike = np.abs(border - colour).max(-1) < _ALIKE
    return colour.astype(np.float32) if alike.mean() > _BORDER else None


def framed(picture: Picture) -> Picture:
    """The picture, square, with the person where training pictures have people.

    Somebody who is about there already stays, and so does everybody before several colours.
    """
    colour = backdrop(picture)
    if colour is None:
        return picture
    rows, columns = (np.flatnonzero(_somebody(picture, colour).any(axis)) for axis in (1, 0))
    if not len(rows):
        return picture
    edge = max(picture.shape[:2])
    margins = [(edge - n) // 2 for n in picture.shape[:2]]
    top, bottom = (rows[[0, -1]] + [0, 1] + margins[0]) / edge
    middle = (columns[[0, -1]] + [0, 1] + margins[1]).mean() / edge
    zoom = (_BOTTOM - _TOP) / (bottom - top)
    about = abs(np.log(zoom)) < _TOLERANCE and abs(middle - 0.5) < _TOLERANCE / 2
    if about and abs((top + bottom) / 2 - 0.5) < _TOLERANCE / 2:
        return picture
    size = min(edge, 1024)
    scale = zoom * size / edge
    shift = size * np.array([_TOP - zoom * top, 0.5 - zoom * middle])
    outside = np.append(colour, 0.0 if _cut_out(picture) else 1.0)
    # Weighted by coverage, so that what is behind nothing does not bleed in.
    seen = _premultiplied(picture) - _premultiplied_colour(outside)
    moved = jax.image.scale_and_translate(
        seen, (size, size, 4), (0, 1), jnp.full(2, scale),
        jnp.asarray(shift + scale * np.array(margins)), "linear",
    )  # fmt: skip
    moved = np.clip(np.asarray(moved) + _premultiplied_colour(outside), 0, 1)
    rgb = moved[..., :3] / np.maximum(moved[..., 3:], 1e-3)
    straight = np.concatenate([np.clip(rgb, 0, 1), moved[..., 3:]], -1)
    return np.round(255 * straight).astype(np.uint8)


def portrait_of(picture: Picture) -> Portrait | None:
    """A picture as a portrait; None if nobody can tell the person from what is behind."""
    colour = backdrop(picture)
    if colour is None or _somebody(picture, colour).mean() < _LEAST:
        return None
    seen = _premultiplied(picture)
    rgb = seen[..., :3] + colour * (1 - seen[..., 3:])
    square = _square(np.concatenate([rgb, seen[..., 3:]], -1), np.append(colour, 0.0))
    shape = (SIZE, SIZE, 4)
    small = jnp.clip(jax.image.resize(square, shape, "linear", antialias=True), 0, 1)
    known = jnp.float32(_cut_out(picture))
    return Portrait(small[..., :3], small[..., 3], jnp.asarray(colour), known)


def _cut_out(picture: Picture) -> bool:
    return bool((picture[..., 3] < 128).mean() > 0.02)


def _somebody(picture: Picture, colour: Float[np.ndarray, "3"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that are not the background's; a few astray do not make a row or column."""
    if _cut_out(picture):
        person = picture[..., 3] >= 128
    else:
        person = np.abs(picture[..., :3] / np.float32(255) - colour).max(-1) > 2 * _ALIKE
    rows, columns = (person.mean(axis) > 0.01 for axis in (1, 0))
    return person & rows[:, None] & columns


def _premultiplied(picture: Picture) -> Float[np.ndarray, "h w 4"]:
    rgba = picture.astype(np.float32) / 255
    return np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)


def _premultiplied_colour(rgba: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
    return np.append(rgba[:3] * rgba[3], rgba[3]).astype(np.float32)


def _square(picture: Float[np.ndarray, "h w 4"], outside: Float[np.ndarray, "4"]):
    """The picture in the middle of a square."""
    height, width, _ = picture.shape
    edge = max(height, width)
    square = np.broadcast_to(outside.astype(np.float32), (edge, edge, 4)).copy()
    top, left = (edge - height) // 2, (edge - width) // 2
    square[top : top + height, left : left + width] = picture
    return square
