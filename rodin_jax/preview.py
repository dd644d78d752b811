"""Laying pictures out for people: backdrop and contact sheet."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

_CENTRE, _EDGE = np.array([1.0, 1.0, 1.0]), np.array([0.90, 0.92, 0.95])
_GAP = 8


def backdrop(size: int) -> Float[np.ndarray, "size size 3"]:
    """A soft studio background: white behind the head, cooler and darker towards the edge."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    distance = np.clip(np.hypot(x - 0.5, y - 0.45) / 0.75, 0, 1)[..., None] ** 2
    return (_CENTRE + (_EDGE - _CENTRE) * distance).astype(np.float32)


def over(
    rgba: Float[np.ndarray, "h w 4"], background: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "h w 3"]:
    """Straight-alpha RGBA in [0, 1] in front of a colour or a picture."""
    alpha = rgba[..., 3:]
    return rgba[..., :3] * alpha + background * (1 - alpha)


def to_bytes(picture: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """[0, 1] -> 0 ... 255, rounded."""
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def contact_sheet(
    portrait: UInt8[np.ndarray, "p p 4"], around: Sequence[UInt8[np.ndarray, "s s 4"]]
) -> UInt8[np.ndarray, "h w 3"]:
    """The portrait on the left, the other views in two rows beside it, on a common backdrop.

    A portrait of any size is scaled to the height of the two rows.
    """
    size = around[0].shape[0]
    columns = -(-len(around) // 2)
    height = 2 * size + _GAP
    sheet = np.ones((height + 2 * _GAP, height + columns * (size + _GAP) + 2 * _GAP, 3), np.float32)
    _paste(sheet, portrait, _GAP, _GAP, height)
    for i, view in enumerate(around):
        row, column = divmod(i, columns)
        left = 2 * _GAP + height + column * (size + _GAP)
        _paste(sheet, view, _GAP + row * (size + _GAP), left, size)
    return to_bytes(sheet)


def _paste(sheet, view, top: int, left: int, size: int) -> None:
    if view.shape[0] != size:
        scaled = (
            Image.fromarray(view).convert("RGBa").resize((size, size), Image.Resampling.BICUBIC)
        )
        view = np.asarray(scaled.convert("RGBA"))
    rgba = view.astype(np.float32) / 255
    sheet[top : top + size, left : left + size] = over(rgba, backdrop(size))
