"""Pictures that people send, as portraits that an avatar can be held against.

Who stands before nothing or before a plain colour is told apart from it, and brought to where the
heads and shoulders of training pictures are, so that the image tower and the camera see what they
know.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rodin_jax.data.images import Picture
from rodin_jax.types import pytree, static

SIZE = 128  # pixels along an edge of the portraits that are compared
# Where people are in training pictures, as shares of the edge: top and bottom rows, on average.
_TOP, _BOTTOM = 0.13, 0.98
_ALIKE = 0.08  # differences from the background that noise and compression make
_BORDER = 0.9  # share of the border that one colour must fill
_LEAST = 0.02  # share of a picture that anybody fills, and what is behind
# People whose height or place differs by no more than this are left where they are: hats do that.
_TOLERANCE = 0.25


@pytree
class Portrait:
    """Pixels of a picture of the front, to be resembled.

    Attributes:
      rgb: over white, in [0, 1].
      alpha: coverage.
      places: which pixels these are, ``row * size + column``.
      weight: how much each counts, one on average.
      size: pixels along an edge of the picture.
    """

    rgb: Float[Array, "*b p 3"]
    alpha: Float[Array, "*b p"]
    places: Int[Array, "*b p"]
    weight: Float[Array, "*b p"]
    size: int = static()


def cut_out(picture: Picture) -> Picture:
    """The picture with a plain background made transparent; others stay as they are.

    Background is what has the colour that lies along the top and the upper sides, and hangs
    together with the border: a badge of that colour is not.
    """
    if _is_cut_out(picture):
        return picture
    from scipy import ndimage  # only photos need it, and it takes a quarter of a second

    rgb = picture[..., :3].astype(np.float32) / 255
    sides = rgb[: max(len(rgb) // 2, 1)]
    border = np.concatenate([rgb[0], sides[:, 0], sides[:, -1]])
    colour = np.median(border, axis=0)
    if (np.abs(border - colour).max(-1) < _ALIKE).mean() <= _BORDER:
        return picture
    differs = np.abs(rgb - colour).max(-1)
    parts, _ = ndimage.label(differs < 2 * _ALIKE)
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    behind = np.isin(parts, edges[edges > 0])
    alpha = np.where(behind, np.clip(differs / _ALIKE - 1, 0, 1), 1)
    return np.concatenate([picture[..., :3], np.round(255 * alpha[..., None])], -1).astype(np.uint8)


def framed(picture: Picture) -> Picture:
    """A cut-out picture, square, with the person where training pictures have people.

    Somebody who is about there already stays, and so do pictures that are not cut out.
    """
    if not _has_somebody(picture):
        return picture
    person = picture[..., 3] >= 128
    # A few pixels astray do not make a row or column.
    rows, columns = (np.flatnonzero(person.mean(axis) > 0.01) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return picture
    edge = max(picture.shape[:2])
    margins = [(edge - n) // 2 for n in picture.shape[:2]]
    top, bottom = (rows[[0, -1]] + [0, 1] + margins[0]) / edge
    middle = (columns[[0, -1]] + [0, 1] + margins[1]).mean() / edge
    zoom = (_BOTTOM - _TOP) / (bottom - top)
    about = abs(np.log(zoom)) < _TOLERANCE and abs(middle - 0.5) < _TOLERANCE / 2
    if about and abs((top + bottom - _TOP - _BOTTOM) / 2) < _TOLERANCE / 2:
        return picture
    size = min(edge, 1024)
    scale = zoom * size / edge
    shift = size * np.array([_TOP - zoom * top, 0.5 - zoom * middle]) + scale * np.array(margins)
    # Weighted by coverage, so that what is behind does not bleed in.
    moved = jax.image.scale_and_translate(
        _premultiplied(picture), (size, size, 4), (0, 1), jnp.full(2, scale), jnp.asarray(shift),
        "linear",
    )  # fmt: skip
    moved = np.clip(np.asarray(moved), 0, 1)
    rgb = np.clip(moved[..., :3] / np.maximum(moved[..., 3:], 1e-3), 0, 1)
    return np.round(255 * np.concatenate([rgb, moved[..., 3:]], -1)).astype(np.uint8)


def portrait_of(picture: Picture) -> Portrait | None:
    """A cut-out picture as a portrait; None of others: nobody can tell the person from the rest."""
    if not _has_somebody(picture):
        return None
    height, width, _ = picture.shape
    edge = max(height, width)
    square = np.zeros((edge, edge, 4), np.float32)
    top, left = (edge - height) // 2, (edge - width) // 2
    square[top : top + height, left : left + width] = _premultiplied(picture)
    small = jax.image.resize(square, (SIZE, SIZE, 4), "linear", antialias=True)
    small = jnp.clip(small, 0, 1)
    small = small.reshape(-1, 4)
    every = jnp.arange(len(small))
    rgb = jnp.minimum(small[:, :3] + 1 - small[:, 3:], 1)
    return Portrait(rgb, small[:, 3], every, jnp.ones(len(small)), SIZE)


def _is_cut_out(picture: Picture) -> bool:
    return bool((picture[..., 3] < 128).mean() > _LEAST)


def _has_somebody(picture: Picture) -> bool:
    return _is_cut_out(picture) and bool((picture[..., 3] >= 128).mean() > _LEAST)


def _premultiplied(picture: Picture) -> Float[np.ndarray, "h w 4"]:
    rgba = picture.astype(np.float32) / 255
    return np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)
