"""Reading pictures that strangers send, and PNG bytes for the ones made here.

A picture is ``uint8 [h, w, 4]``: straight (not premultiplied) RGBA, row 0 on top.
"""

import io
import pathlib
import warnings

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

Picture = UInt8[np.ndarray, "h w 4"]

# Decoders that are asked at all; Pillow's rarer ones are the ones with a history of holes.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 64_000_000


class ImageError(ValueError):
    """A picture that cannot be used; the message is one line that names the file and the reason."""


def read_image(
    path: str | pathlib.Path,
    *,
    max_pixels: int = MAX_PIXELS,
    min_edge: int = 1,
    as_stored: bool = False,
) -> Picture:
    """Reads a still picture of any common kind as RGBA, upright (EXIF rotation applied).

    Grey, palette, CMYK and 16-bit pictures are converted; the size is judged from the header,
    before any pixel is decoded.

    Args:
      path: a PNG, JPEG, WebP, BMP, TIFF or GIF file.
      max_pixels: the largest width x height that is decoded.
      min_edge: the smallest width and height that is accepted.
      as_stored: for pictures whose every pixel was measured: not turned by EXIF, and refused
        rather than converted if they have more than 8 bits a channel or inks instead of RGB.

    Raises:
      ImageError: missing, unreadable, truncated, animated, too large or too small.
    """
    path = pathlib.Path(path)
    try:
        if path.is_dir():
            raise ImageError(f"{path}: is a folder, expected a picture")
        if not path.exists():
            raise ImageError(f"{path}: no such file, expected a picture")
        if not path.is_file():  # a pipe or a device would be read for ever
            raise ImageError(f"{path}: is not a regular file, expected a picture")
        with path.open("rb") as file:
            return _decode(file, str(path), max_pixels, min_edge, as_stored)
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # a name too long, a null byte, no permission
        raise ImageError(f"{path}: cannot be opened ({_line(error)})") from error


def decode_image(
    data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS, min_edge: int = 1
) -> Picture:
    """`read_image` for bytes in memory; ``name`` stands for the file in error messages."""
    return _decode(io.BytesIO(data), name, max_pixels, min_edge)


def from_pixels(image: Image.Image | np.ndarray, *, min_edge: int = 1) -> Picture:
    """A picture in memory as RGBA: Pillow's, or ``uint8 [h, w]``, ``[h, w, 3]``, ``[h, w, 4]``.

    Raises:
      ImageError: of another shape or type, too large or too small.
    """
    if isinstance(image, Image.Image):
        _check_header(image, "image", MAX_PIXELS, min_edge)
        return np.array(_to_rgba(image, "image"))
    image = np.asarray(image)
    grey = image.ndim == 2
    if image.dtype != np.uint8 or not (grey or (image.ndim == 3 and image.shape[2] in (3, 4))):
        raise ImageError(
            f"image: {image.dtype} {list(image.shape)}, expected uint8 pixels [h, w, 3] or 4"
        )
    return from_pixels(Image.fromarray(np.ascontiguousarray(image)), min_edge=min_edge)


def encode_png(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """PNG bytes of an RGB or RGBA picture; equal pictures give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def over_white(image: UInt8[np.ndarray, "*n 4"]) -> UInt8[np.ndarray, "*n 3"]:
    """Composes straight RGBA over a white background, rounded to the nearest level."""
    alpha = image[..., 3:].astype(np.uint16)
    blended = image[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def on_white(image: UInt8[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 3"]:
    """The same in [0, 1] and not rounded, float32: what renderings are measured against."""
    rgba = image.astype(np.float32) / 255
    return rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]


def _decode(file, name: str, max_pixels: int, min_edge: int, as_stored: bool = False) -> Picture:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size limit below is the one that counts
            with Image.open(file, formats=FORMATS) as image:
                _check_header(image, name, max_pixels, min_edge)
                if as_stored:
                    _check_depth(image, name)
                    image.load()
                    return np.array(image.convert("RGBA"))
                image.load()
                return np.array(_to_rgba(ImageOps.exif_transpose(image), name))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: more than {max_pixels} pixels, refused unread") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: not a picture, expected PNG, JPEG, WebP, BMP, TIFF or GIF"
        ) from error
    except (MemoryError, OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError,
            AttributeError, ArithmeticError, EOFError, RuntimeError) as error:  # fmt: skip
        # Pillow's decoders report damaged files with any of these.
        raise ImageError(f"{name}: damaged or truncated picture ({_line(error)})") from error


def _check_header(image: Image.Image, name: str, max_pixels: int, min_edge: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"{name}: {width} x {height} pixels, expected at most {max_pixels} in all")
    if min(width, height) < min_edge:
        raise ImageError(f"{name}: {width} x {height} pixels, expected edges of {min_edge} or more")
    # A phone's MPO holds a second view behind an ordinary JPEG; the first is the picture.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise ImageError(f"{name}: has {image.n_frames} frames, expected a still picture")


def _check_depth(image: Image.Image, name: str) -> None:
    """Refuses what Pillow would convert with a loss; the file's own depth is in its raw mode."""
    raw = "".join(str(tile[3]) for tile in image.tile)
    if image.mode[0] in "IF" or ";16" in raw:
        raise ImageError(f"{name}: 16 or more bits a channel, expected 8")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"):
        raise ImageError(f"{name}: {image.mode} colours, expected RGB or RGBA")


def _to_rgba(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGBA")
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ImageError(f"{name}: {image.mode}-mode pixels, expected 8 or 16 bits a channel")
        grey = (values.astype(np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGBA")
    return image.convert("RGBA")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
