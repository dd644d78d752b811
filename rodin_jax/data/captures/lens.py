"""Lenses: intrinsics and distortion of a frame, and pictures with the distortion undone.

Image coordinates have pixel centres at half-integers (COLMAP's and instant-ngp's convention), so
the principal point of a centred lens is (w / 2, h / 2). Distortion is OpenCV's, undone by OpenCV:

- ``opencv``: radial k1, k2, k3 and tangential p1, p2; with ``camera_model`` FULL_OPENCV also the
  rational k4, k5, k6;
- ``fisheye``: equidistant with k1 ... k4, if ``camera_model`` says OPENCV_FISHEYE or ``is_fisheye``
  is true.

An undone picture keeps its size. Its lens is a pinhole with the widest view that every pixel can be
filled for, but no wider than 126 degrees from corner to corner: beyond, a flat picture is all edge.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from rodin_jax.data.captures.fields import CaptureError, flag, number, text

_PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")
_OPENCV = ("SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
_FISHEYES = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
# OpenCV's own order of coefficients.
_POLYNOMIAL, _RATIONAL = ("k1", "k2", "p1", "p2", "k3"), ("k4", "k5", "k6")
_FISHEYE = ("k1", "k2", "k3", "k4")
_OTHER_LENSES = ("ftheta_p0", "latlong", "equirectangular")
_WIDEST = 2.0  # tangent of the half angle to a corner
_MAX_EDGE = 32_000  # OpenCV's maps address pixels with 16 bits


@dataclasses.dataclass(frozen=True)
class Lens:
    """Intrinsics in pixels.

    Attributes:
      focal: (x, y).
      centre: principal point (x, y).
      model: pinhole, opencv or fisheye.
      coefficients: of the distortion, in OpenCV's order.
    """

    focal: tuple[float, float]
    centre: tuple[float, float]
    model: str = "pinhole"
    coefficients: tuple[float, ...] = ()

    def describe(self) -> str:
        """Model and coefficients in words."""
        shown = ", ".join(f"{x:.4g}" for x in self.coefficients)
        return f"{self.model} ({shown})" if shown else self.model


def read_lens(fields: Mapping[str, Any], where: str, width: int, height: int) -> Lens:
    """The lens of a picture of that size.

    Focal lengths are ``fl_x``, else ``x_fov`` in degrees, else ``camera_angle_x`` in radians, and
    the same for y; a missing axis is like the other. ``cx``, ``cy`` default to the middle.

    Raises:
      CaptureError: a field that is wrong or missing, or a lens that is not known here.
    """
    for name, actual in (("w", width), ("h", height)):
        if name in fields and number(fields[name], f"{where}.{name}") != actual:
            raise CaptureError(
                f"{where}.{name}: {fields[name]}, expected {actual} as in the picture (as stored, "
                "not turned by EXIF)"
            )
    fl_x = _focal(fields, "x", width, where)
    fl_y = _focal(fields, "y", height, where)
    if fl_x is None and fl_y is None:
        raise CaptureError(f"{where}: has neither fl_x nor camera_angle_x, expected one")
    fl_x, fl_y = fl_y if fl_x is None else fl_x, fl_x if fl_y is None else fl_y
    cx = number(fields["cx"], f"{where}.cx") if "cx" in fields else width / 2
    cy = number(fields["cy"], f"{where}.cy") if "cy" in fields else height / 2
    for name, value, edge in (("cx", cx, width), ("cy", cy, height)):
        if not 0 <= value <= edge:
            raise CaptureError(f"{where}.{name}: {value}, expected a point in the picture")
    return Lens((fl_x, fl_y), (cx, cy), *_distortion(fields, where))


def focal_names(axis: str) -> tuple[str, ...]:
    """The fields that say the focal length along x or y; the first that is there counts."""
    return f"fl_{axis}", f"{axis}_fov", f"camera_angle_{axis}"


def undistort(
    picture: UInt8[np.ndarray, "h w 4"], lens: Lens, where: str
) -> tuple[UInt8[np.ndarray, "h w 4"], Lens]:
    """The picture a pinhole would have taken, and that pinhole; a pinhole's is returned as it is.

    Colours are interpolated premultiplied, so nothing of what lies under transparent pixels shows.

    Raises:
      CaptureError: the lens folds the picture over itself, so that it cannot be undone.
    """
    if lens.model == "pinhole":
        return picture, lens
    import cv2

    height, width = picture.shape[:2]
    try:
        pinhole, x, y = _maps(lens, width, height)
    except (ValueError, cv2.error) as error:
        raise CaptureError(f"{where}.k1: {lens.describe()} cannot be undone ({error})") from error

    def warp(values):
        return cv2.remap(values, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    if (picture[..., 3] == 255).all():
        return np.dstack([warp(picture[..., :3].copy()), picture[..., 3]]), pinhole
    alpha = picture[..., 3:].astype(np.float32)
    premultiplied = np.concatenate([picture[..., :3] * (alpha / 255), alpha], axis=-1)
    warped = np.clip(warp(premultiplied), 0, 255)
    colour = warped[..., :3] * 255 / np.maximum(warped[..., 3:], 1e-3)
    straight = np.concatenate([colour, warped[..., 3:]], axis=-1)
    straight[warped[..., 3] < 0.5] = 0
    return np.round(np.clip(straight, 0, 255)).astype(np.uint8), pinhole


def distort(lens: Lens, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Image coordinates of rays (x, y, 1), y down, through the lens; arrays of one shape."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if lens.model != "pinhole":
        import cv2

        points = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
        coefficients = np.array(lens.coefficients)
        if lens.model == "fisheye":
            points = cv2.fisheye.distortPoints(points, np.eye(3), coefficients)
        else:
            rays = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
            still = np.zeros(3)
            points, _ = cv2.projectPoints(rays, still, still, np.eye(3), coefficients)
        x, y = points[:, 0, 0].reshape(x.shape), points[:, 0, 1].reshape(x.shape)
    return x * lens.focal[0] + lens.centre[0], y * lens.focal[1] + lens.centre[1]


def _focal(fields: Mapping[str, Any], axis: str, edge: int, where: str) -> float | None:
    name = next((n for n in focal_names(axis) if n in fields), None)
    if name is None:
        return None
    value = number(fields[name], f"{where}.{name}")
    if not name.startswith("fl_"):
        unit, most = ("degrees", 180.0) if name.endswith("fov") else ("radians", math.pi)
        if not 0 < value < most:
            raise CaptureError(f"{where}.{name}: {value}, expected {unit} between 0 and {most:.5g}")
        value = edge / 2 / math.tan(value / most * math.pi / 2)
    if not 1e-3 * edge < value < 1e4 * edge:
        raise CaptureError(f"{where}.{name}: {value}, expected a focal length in pixels")
    return value


def _distortion(fields: Mapping[str, Any], where: str) -> tuple[str, tuple[float, ...]]:
    """(model, coefficients); a lens whose coefficients are all zero is what it is without them."""
    for name in _OTHER_LENSES:
        if fields.get(name):
            raise CaptureError(f"{where}.{name}: expected a pinhole, OPENCV or OPENCV_FISHEYE lens")
    model = "OPENCV"
    if "camera_model" in fields:
        model = text(fields["camera_model"], f"{where}.camera_model")
    if model not in _PINHOLES + _OPENCV + _FISHEYES:
        raise CaptureError(
            f"{where}.camera_model: {model[:80]!r}, expected PINHOLE, OPENCV or OPENCV_FISHEYE"
        )
    value = {
        name: number(fields.get(name, 0), f"{where}.{name}") for name in (*_POLYNOMIAL, *_RATIONAL)
    }
    if model in _FISHEYES or flag(fields.get("is_fisheye", False), f"{where}.is_fisheye"):
        for name in ("p1", "p2"):
            if value[name]:
                raise CaptureError(f"{where}.{name}: {value[name]}, expected 0 for a fisheye")
        return "fisheye", tuple(value[name] for name in _FISHEYE)
    names = _POLYNOMIAL
    if any(value[name] for name in _RATIONAL):
        # nerfstudio's fourth radial term and OpenCV's rational one have the same name.
        if model != "FULL_OPENCV":
            name = next(n for n in _RATIONAL if value[n])
            raise CaptureError(
                f"{where}.{name}: {value[name]}, expected camera_model FULL_OPENCV "
                "or OPENCV_FISHEYE with it"
            )
        names += _RATIONAL
    coefficients = tuple(value[name] for name in names)
    return ("opencv", coefficients) if any(coefficients) else ("pinhole", ())


@functools.lru_cache(maxsize=2)  # most captures have one lens
def _maps(lens: Lens, width: int, height: int):
    """(pinhole, x, y): for each pixel of the pinhole's picture, where to look in the lens's."""
    if max(width, height) > _MAX_EDGE:
        raise ValueError(f"an edge of {max(width, height)} pixels, expected at most {_MAX_EDGE}")
    (fl_x, fl_y), centre = lens.focal, lens.centre
    corner = math.hypot(max(centre[0], width - centre[0]) / fl_x,
                        max(centre[1], height - centre[1]) / fl_y)  # fmt: skip
    narrowest, widest = max(3.0, 2 * corner / _WIDEST), max(0.5, corner / _WIDEST)

    def pinhole(zoom):
        return Lens((fl_x * zoom, fl_y * zoom), centre)

    if not _fills(lens, pinhole(narrowest), width, height):
        raise ValueError("no part of the picture is left when it is undone")
    low, high = math.log(widest), math.log(narrowest)
    for _ in range(30):
        middle = (low + high) / 2
        if _fills(lens, pinhole(math.exp(middle)), width, height):
            high = middle
        else:
            low = middle
    flat = pinhole(math.exp(high))
    import cv2

    make = cv2.fisheye.initUndistortRectifyMap if lens.model == "fisheye" else None
    make = make or cv2.initUndistortRectifyMap
    x, y = make(
        _matrix(lens), np.array(lens.coefficients), np.eye(3), _matrix(flat), (width, height),
        cv2.CV_32FC1,
    )  # fmt: skip
    return flat, x, y


def _matrix(lens: Lens) -> np.ndarray:
    """OpenCV's intrinsic matrix; it counts from the centre of the first pixel."""
    (fl_x, fl_y), (cx, cy) = lens.focal, lens.centre
    return np.array([[fl_x, 0, cx - 0.5], [0, fl_y, cy - 0.5], [0, 0, 1]])


def _fills(lens: Lens, flat: Lens, width: int, height: int, steps: int = 49) -> bool:
    """Whether each pixel of ``flat`` has its own place in the lens's picture."""
    u, v = np.meshgrid(np.linspace(0, width, steps), np.linspace(0, height, steps))
    centre, focal = flat.centre, flat.focal
    x, y = distort(lens, (u - centre[0]) / focal[0], (v - centre[1]) / focal[1])
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return False
    slack = 1e-6 * max(width, height)
    seen = (x.min() >= -slack and x.max() <= width + slack
            and y.min() >= -slack and y.max() <= height + slack)  # fmt: skip
    turn = np.diff(x, axis=1)[1:] * np.diff(y, axis=0)[:, 1:] - (
        np.diff(x, axis=0)[:, 1:] * np.diff(y, axis=1)[1:]
    )
    return bool(seen and (turn > 0).all())
