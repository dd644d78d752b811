"""PNG files in memory: pictures, and maps of depth and normals as pictures.

Depth is 16-bit grey, `DEPTH_SCALE` levels a world unit, 0 where there is nothing. Normals are 8-bit
RGB of the world's (x, y, z), 128 + 127 n, and (128, 128, 128) where there is nothing.
"""

import io
import json
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, PngImagePlugin

DEPTH_SCALE = 10_000
_MIDDLE, _REACH = 128, 127


def encode(image: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w"], record: Mapping) -> bytes:
    """The picture's file, with the record in its text chunks; equal input gives equal bytes."""
    info = PngImagePlugin.PngInfo()
    for name, value in record.items():
        text = value if isinstance(value, str) else json.dumps(value)
        info.add_itxt(name, text.encode("utf-8", "replace").decode())
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def depth(distances: Float[np.ndarray, "h w"], record: Mapping) -> bytes:
    """A depth map's file; the record is joined by ``depth``, which says how to read it.

    Args:
      distances: along the rays, in world units; infinite where there is nothing.
      record: provenance.

    Raises:
      ValueError: a distance is beyond 6.5535 world units.
    """
    levels = np.where(np.isfinite(distances), np.round(distances * DEPTH_SCALE), 0)
    if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
        raise ValueError(
            f"a depth map reaches from 0 to {65535 / DEPTH_SCALE} world units, "
            f"got {levels.min() / DEPTH_SCALE:g} to {levels.max() / DEPTH_SCALE:g}"
        )
    note = f"distance along the ray, {DEPTH_SCALE} levels a world unit, 0 is nothing"
    return encode(levels.astype(np.uint16), {**record, "depth": note})


def normals(vectors: Float[np.ndarray, "h w 3"], record: Mapping) -> bytes:
    """A normal map's file; the record is joined by ``normals``, which says how to read it.

    Args:
      vectors: unit vectors in the world's axes; zero where there is nothing.
      record: provenance.
    """
    levels = np.round(vectors * _REACH + _MIDDLE).astype(np.uint8)
    note = f"world x, y, z = (level - {_MIDDLE}) / {_REACH}, {_MIDDLE} each is nothing"
    return encode(levels, {**record, "normals": note})
