"""Captures of one subject: a folder of pictures and ``transforms*.json``.

The NeRF-synthetic / instant-ngp form: camera-to-world OpenGL matrices; intrinsics from ``fl_x``,
``fl_y``, ``cx``, ``cy`` or ``camera_angle_x``, for all frames or one by one. World coordinates are
the cube's, [-1, 1]^3, unless the file has instant-ngp's ``scale``, ``offset`` or ``aabb_scale``:
then its box of edge ``aabb_scale`` around (0.5, 0.5, 0.5) becomes the cube. A capture may come from
a stranger: nothing outside its folder is read, and everything is checked before it is used.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from rodin_jax.cameras import Camera
from rodin_jax.data import images

_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
_MAX_JSON_BYTES = 64_000_000
_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "PERSPECTIVE")
# Entries of R R^T - 1; a solver's rounding stays far below, a scaled or sheared matrix far above.
_ORTHONORMAL = 1e-3


class CaptureError(ValueError):
    """A capture that cannot be used; one line that names the file, the field and the cure."""


@dataclasses.dataclass(frozen=True)
class Capture:
    """Pictures of one subject and the cameras that took them.

    Attributes:
      images: straight RGBA; alpha is 255 everywhere for pictures without it.
      cameras: one for each picture, in cube coordinates.
      splits: name (train, test, ...) -> indices of its pictures; ``train`` is always there.
    """

    images: UInt8[np.ndarray, "n h w 4"]
    cameras: Camera
    splits: dict[str, Int[np.ndarray, "_"]]

    @property
    def has_alpha(self) -> bool:
        """Whether any picture separates the subject from its background."""
        return bool((self.images[..., 3] < 255).any())


def read_capture(
    directory: str | pathlib.Path,
    *,
    max_pixels: int = images.MAX_PIXELS,
    max_total_pixels: int = 1_000_000_000,
) -> Capture:
    """Reads ``transforms_<split>.json`` files, or ``transforms.json`` as the split ``train``.

    Args:
      directory: the capture folder.
      max_pixels: the largest single picture.
      max_total_pixels: the largest sum over all pictures; 4 bytes each stay in memory.

    Raises:
      CaptureError: anything wrong with the files.
    """
    root = pathlib.Path(directory)
    if not root.is_dir():
        raise CaptureError(f"{root}: is not a folder, expected a capture with transforms.json")
    frames, splits = [], {}
    for split, path in _transforms(root).items():
        some = _read_frames(path, root)
        splits[split] = np.arange(len(frames), len(frames) + len(some))
        frames += some
    if "train" not in splits:
        raise CaptureError(f"{root}: transforms_train.json is missing, expected pictures to fit to")
    pictures, total = [], 0
    for frame in frames:
        try:
            picture = images.read_image(frame.image, max_pixels=max_pixels)
        except images.ImageError as error:
            raise CaptureError(f"{frame.where}.file_path: {error}") from error
        total += picture.shape[0] * picture.shape[1]
        if total > max_total_pixels:
            raise CaptureError(f"{root}: more than {max_total_pixels} pixels in all pictures")
        if pictures and picture.shape != pictures[0].shape:
            raise CaptureError(
                f"{frame.where}.file_path: {frame.image.name} is {_size(picture)} pixels, "
                f"expected {_size(pictures[0])} like the first picture"
            )
        pictures.append(picture)
    height, width = pictures[0].shape[:2]
    lenses = [frame.lens(width, height) for frame in frames]
    cameras = Camera(
        pose=jnp.asarray(np.stack([frame.pose for frame in frames]), jnp.float32),
        focal=jnp.asarray([focal for focal, _ in lenses], jnp.float32),
        centre=jnp.asarray([centre for _, centre in lenses], jnp.float32),
    )
    return Capture(np.stack(pictures), cameras, splits)


def write_capture(
    directory: str | pathlib.Path,
    pictures: UInt8[np.ndarray, "n h w 4"],
    cameras: Camera,
    splits: Mapping[str, Any] | None = None,
) -> None:
    """Writes a capture that `read_capture` gives back exactly.

    Args:
      directory: the folder; created.
      pictures: straight RGBA.
      cameras: one for each picture, in cube coordinates.
      splits: name -> indices; each becomes ``transforms_<name>.json``. All ``train`` by default.
    """
    root = pathlib.Path(directory)
    count, height, width = pictures.shape[:3]
    splits = {"train": range(count)} if splits is None else splits
    pose, focal, centre = (
        np.asarray(x, np.float64) for x in (cameras.pose, cameras.focal, cameras.centre)
    )
    for split, indices in splits.items():
        (root / split).mkdir(parents=True, exist_ok=True)
        frames = []
        for index in np.asarray(indices, int).tolist():
            name = f"{split}/r_{index:04d}"
            (root / f"{name}.png").write_bytes(images.encode_png(pictures[index]))
            frames.append(
                {
                    "file_path": f"./{name}",
                    "transform_matrix": pose[index].tolist(),
                    "fl_x": focal[index, 0],
                    "fl_y": focal[index, 1],
                    "cx": centre[index, 0],
                    "cy": centre[index, 1],
                }
            )
        first = focal[0, 0] if count else 1.0
        head = {"w": width, "h": height, "camera_angle_x": 2 * math.atan(width / (2 * first))}
        text = json.dumps({**head, "frames": frames}, indent=1)
        (root / f"transforms_{split}.json").write_text(text)


@dataclasses.dataclass(frozen=True)
class _Frame:
    where: str  # "transforms.json: frames[3]", for error messages
    image: pathlib.Path
    pose: np.ndarray
    fields: Mapping[str, Any]  # the file's fields, overridden by the frame's own

    def lens(self, width: int, height: int):
        """((fl_x, fl_y), (cx, cy)) in pixels of a picture of that size."""
        for name, actual in (("w", width), ("h", height)):
            if name in self.fields and self._number(name) != actual:
                raise CaptureError(
                    f"{self.where}.{name}: {self.fields[name]}, expected {actual} as in the picture"
                )
        if "fl_x" in self.fields:
            fl_x = self._number("fl_x")
            fl_y = self._number("fl_y") if "fl_y" in self.fields else fl_x
        elif "camera_angle_x" in self.fields:
            fl_x = fl_y = self._from_angle("camera_angle_x", width)
            if "camera_angle_y" in self.fields:
                fl_y = self._from_angle("camera_angle_y", height)
        else:
            raise CaptureError(f"{self.where}: has neither fl_x nor camera_angle_x, expected one")
        for name, value in (("fl_x", fl_x), ("fl_y", fl_y)):
            if not 1e-3 * width < value < 1e4 * width:
                raise CaptureError(
                    f"{self.where}.{name}: {value}, expected a focal length in pixels"
                )
        cx = self._number("cx") if "cx" in self.fields else width / 2
        cy = self._number("cy") if "cy" in self.fields else height / 2
        if not (0 <= cx <= width and 0 <= cy <= height):
            raise CaptureError(f"{self.where}.cx: ({cx}, {cy}), expected a point in the picture")
        return (fl_x, fl_y), (cx, cy)

    def _number(self, name: str) -> float:
        return _number(self.fields[name], f"{self.where}.{name}")

    def _from_angle(self, name: str, edge: int) -> float:
        angle = self._number(name)
        if not 0 < angle < math.pi:
            raise CaptureError(f"{self.where}.{name}: {angle}, expected radians between 0 and pi")
        return edge / 2 / math.tan(angle / 2)


def _transforms(root: pathlib.Path) -> dict[str, pathlib.Path]:
    parts = {path.stem.removeprefix("transforms_"): path for path in root.glob("transforms_*.json")}
    if parts:
        first = ("train", "val", "test")
        order = [*(s for s in first if s in parts), *sorted(set(parts) - set(first))]
        return {split: parts[split] for split in order}
    if not (root / "transforms.json").exists():
        raise CaptureError(f"{root}: holds no transforms.json and no transforms_<split>.json")
    return {"train": root / "transforms.json"}


def _read_frames(path: pathlib.Path, root: pathlib.Path) -> list[_Frame]:
    content = _read_json(_inside(path, root, str(path)))
    if not isinstance(content, dict):
        raise CaptureError(f"{path}: expected a JSON object, got {type(content).__name__}")
    entries = content.get("frames")
    if not isinstance(entries, list) or not entries:
        raise CaptureError(f"{path}: frames: expected a list of one frame or more")
    common = {name: value for name, value in content.items() if name != "frames"}
    placement = _placement(common, path)
    frames = []
    for i, entry in enumerate(entries):
        where = f"{path}: frames[{i}]"
        if not isinstance(entry, dict):
            raise CaptureError(f"{where}: expected an object, got {type(entry).__name__}")
        # A frame's own angle outranks the file's focal length.
        inherited = dict(common)
        if "camera_angle_x" in entry:
            inherited.pop("fl_x", None)
        fields = {**inherited, **entry}
        _refuse_distortion(fields, where)
        pose = _pose(entry.get("transform_matrix"), f"{where}.transform_matrix")
        pose[:3, 3] = placement(pose[:3, 3])
        image = _image(entry.get("file_path"), root, f"{where}.file_path")
        frames.append(_Frame(where, image, pose, fields))
    return frames


def _placement(common: Mapping[str, Any], path: pathlib.Path):
    """World coordinates of the file -> cube coordinates."""
    if not {"scale", "offset", "aabb_scale"} & set(common):
        return lambda point: point
    scale = _number(common.get("scale", 0.33), f"{path}: scale")
    edge = _number(common.get("aabb_scale", 1), f"{path}: aabb_scale")
    offset = common.get("offset", [0.5, 0.5, 0.5])
    if not isinstance(offset, list) or len(offset) != 3:
        raise CaptureError(f"{path}: offset: expected three numbers")
    offset = np.array([_number(x, f"{path}: offset") for x in offset])
    if scale <= 0 or edge <= 0:
        name = "scale" if scale <= 0 else "aabb_scale"
        raise CaptureError(f"{path}: {name}: {common[name]}, expected a positive number")
    return lambda point: (point * scale + offset - 0.5) * (2 / edge)


def _pose(value: Any, where: str) -> np.ndarray:
    rows = value if isinstance(value, list) else []
    if len(rows) not in (3, 4) or any(not isinstance(r, list) or len(r) != 4 for r in rows):
        raise CaptureError(f"{where}: expected a 4 x 4 camera-to-world matrix")
    pose = np.eye(4)
    for i, row in enumerate(rows):
        pose[i] = [_number(x, f"{where}[{i}]") for x in row]
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > _ORTHONORMAL:
        raise CaptureError(f"{where}: the rotation is not orthonormal, expected no scale or shear")
    if np.linalg.det(rotation) < 0:
        raise CaptureError(f"{where}: the rotation mirrors, expected determinant +1")
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise CaptureError(f"{where}: the last row is {pose[3].tolist()}, expected [0, 0, 0, 1]")
    if np.abs(pose[:3, 3]).max() > 1e6:
        raise CaptureError(f"{where}: the camera is more than 1e6 units away")
    return pose


def _image(value: Any, root: pathlib.Path, where: str) -> pathlib.Path:
    if not isinstance(value, str) or not value:
        raise CaptureError(f"{where}: expected the path of a picture, got {value!r}")
    shown = value if len(value) <= 80 else value[:80] + "..."
    if "\0" in value or "\\" in value:
        raise CaptureError(f"{where}: {shown!r}, expected a relative path with forward slashes")
    try:
        names = [root / value, *(root / (value + end) for end in _EXTENSIONS)]
        for name in names:
            inside = _inside(name, root, f"{where}: {shown!r}")
            if inside.is_file():
                return inside
    except OSError as error:  # e.g. a name too long
        raise CaptureError(f"{where}: {shown!r} cannot be a file ({error.strerror})") from error
    raise CaptureError(f"{where}: {shown!r} is missing, expected a picture in {root}")


def _inside(path: pathlib.Path, root: pathlib.Path, where: str) -> pathlib.Path:
    """The real path, which must lie in the capture folder whatever links and ``..`` say."""
    real = path.resolve()
    if not real.is_relative_to(root.resolve()):
        raise CaptureError(f"{where}: leaves the capture folder")
    return real


def _refuse_distortion(fields: Mapping[str, Any], where: str) -> None:
    for name in _DISTORTION:
        if name in fields and _number(fields[name], f"{where}.{name}") != 0:
            raise CaptureError(f"{where}.{name}: lens distortion, expected undistorted pictures")
    model = fields.get("camera_model", "PINHOLE")
    if model not in _PINHOLES or fields.get("is_fisheye"):
        name = "is_fisheye" if model in _PINHOLES else "camera_model"
        raise CaptureError(f"{where}.{name}: {fields[name]!r}, expected a pinhole camera")


def _read_json(path: pathlib.Path) -> Any:
    def no_constant(name):
        raise ValueError(f"{name} is not a number")

    try:
        if not path.is_file():
            raise CaptureError(f"{path}: is not a file")
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise CaptureError(f"{path}: larger than {_MAX_JSON_BYTES} bytes, refused unread")
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=no_constant)
    except CaptureError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CaptureError(f"{path}: cannot be read as JSON ({reason})") from error


def _number(value: Any, where: str) -> float:
    try:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, OverflowError):
        raise CaptureError(f"{where}: {str(value)[:40]!r}, expected a number") from None
    if not math.isfinite(number):
        raise CaptureError(f"{where}: {value}, expected a finite number")
    return number


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
