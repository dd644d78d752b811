"""``transforms*.json``: which pictures there are, where they are, and what is said of each.

Nothing is decoded here, so a capture with a wrong path or a wrong matrix is refused at once. All
paths must end inside the capture's folder, whatever links and ``..`` say.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from rodin_jax.data.captures import framing
from rodin_jax.data.captures.fields import CaptureError, number, text, vector
from rodin_jax.data.captures.lens import focal_names

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
MAX_FRAMES = 20_000
_SPLITS = ("train", "val", "test")
_MAX_JSON_BYTES = 32_000_000  # parsed, some forty times as much
# Entries of R R^T - 1; a solver's rounding stays far below, a scaled or sheared matrix far above.
_ORTHONORMAL = 1e-3
_FARTHEST = 1e6
# What only one family of tools writes; the first that is there names the format.
_SIGNS = {
    "nerfstudio": ("camera_model", "applied_transform", "applied_scale", "ply_file_path",
                   "orientation_override", "train_filenames"),
    "instant-ngp": ("aabb_scale", "scale", "offset", "aabb", "x_fov", "is_fisheye", "k1"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture, before it is decoded.

    Attributes:
      where: file and place, "transforms.json: frames[3]", for error messages.
      name: the picture's path as the file has it.
      picture: its real path.
      mask: the real path of its mask, if there is one.
      pose: OpenGL camera-to-world matrix in the file's coordinates.
      fields: the file's fields, overridden by the frame's own.
      split: the file's split, or the one that ``<split>_filenames`` puts it in.
    """

    where: str
    name: str
    picture: pathlib.Path
    mask: pathlib.Path | None
    pose: Float[np.ndarray, "4 4"]
    fields: Mapping[str, Any]
    split: str


@dataclasses.dataclass(frozen=True)
class Transforms:
    """One ``transforms*.json``.

    Attributes:
      path: of the file.
      common: its fields but ``frames``.
      placement: what it says of the cube's place.
      frames: its frames.
    """

    path: pathlib.Path
    common: Mapping[str, Any]
    placement: framing.Placement | None
    frames: list[Frame]

    @property
    def format(self) -> str:
        """NeRF-synthetic, instant-ngp or nerfstudio: whose fields it has."""
        known = set(self.common) | {name for frame in self.frames for name in frame.fields}
        return next((f for f, signs in _SIGNS.items() if known & set(signs)), "NeRF-synthetic")


def read(root: pathlib.Path) -> list[Transforms]:
    """All files of a capture, training first.

    Those are ``transforms_train.json`` and its siblings if there is one of train, val and test,
    else ``transforms.json``.

    Raises:
      CaptureError: anything wrong in them, no picture to train on, or masks of some pictures only.
    """
    if not root.is_dir():
        raise CaptureError(f"{root}: is not a folder, expected a capture with transforms.json")
    found = [_read_file(path, root, split) for split, path in _paths(root).items()]
    frames = [frame for one in found for frame in one.frames]
    if not any(frame.split == "train" for frame in frames):
        raise CaptureError(f"{root}: transforms_train.json is missing, expected pictures to fit to")
    if len(frames) > MAX_FRAMES:
        raise CaptureError(f"{root}: {len(frames)} frames, expected at most {MAX_FRAMES}")
    masked = [frame.mask is not None for frame in frames]
    if any(masked) and not all(masked):
        frame, example = frames[masked.index(False)], frames[masked.index(True)]
        raise CaptureError(
            f"{frame.where}.mask_path: {frame.name!r} has no mask like "
            f"{example.mask.name!r}, expected a mask for each picture or for none"
        )
    return found


def _paths(root: pathlib.Path) -> dict[str, pathlib.Path]:
    parts = {path.stem.removeprefix("transforms_"): path for path in root.glob("transforms_*.json")}
    if set(_SPLITS) & set(parts):
        order = [*(s for s in _SPLITS if s in parts), *sorted(set(parts) - set(_SPLITS))]
        return {split: parts[split] for split in order}
    if not (root / "transforms.json").exists():
        raise CaptureError(f"{root}: holds no transforms.json and no transforms_<split>.json")
    return {"train": root / "transforms.json"}


def _read_file(path: pathlib.Path, root: pathlib.Path, split: str) -> Transforms:
    content = read_json(inside(path, root, str(path)))
    if not isinstance(content, dict):
        raise CaptureError(f"{path}: expected a JSON object, got {type(content).__name__}")
    entries = content.get("frames")
    if not isinstance(entries, list) or not entries:
        raise CaptureError(f"{path}: frames: expected a list of one frame or more")
    if len(entries) > MAX_FRAMES:
        raise CaptureError(f"{path}: frames: {len(entries)}, expected at most {MAX_FRAMES}")
    common = {name: value for name, value in content.items() if name != "frames"}
    _check_applied(common, path)
    placement = framing.given(common, path)
    splits = _named_splits(common, path)
    listed, rest = bool(splits), "" if "train_filenames" in common else "train"
    frames = []
    for i, entry in enumerate(entries):
        where = f"{path}: frames[{i}]"
        if not isinstance(entry, dict):
            raise CaptureError(f"{where}: expected an object, got {type(entry).__name__}")
        pose = _pose(entry.get("transform_matrix"), f"{where}.transform_matrix")
        if placement and np.abs(placement.place(pose[None])).max() > _FARTHEST:
            raise CaptureError(f"{where}: scale and offset put the camera more than 1e6 units away")
        name = text(entry.get("file_path"), f"{where}.file_path").replace("\\", "/")
        picture = _picture(name, root, f"{where}.file_path")
        mask = _mask(entry, picture, root, where)
        # What a frame says of its focal length outranks every way its file may say it.
        own = {axis for axis in "xy" if any(n in entry for n in focal_names(axis))}
        hidden = {n for axis in own for n in focal_names(axis)}
        inherited = {n: value for n, value in common.items() if n not in hidden}
        mine = splits.pop(_normal(name), rest) if listed else split
        frames.append(Frame(where, name, picture, mask, pose, {**inherited, **entry}, mine))
    if splits:
        name, mine = splits.popitem()
        raise CaptureError(f"{path}: {mine}_filenames: {name[:80]!r} is no frame's file_path")
    return Transforms(path, common, placement, [frame for frame in frames if frame.split])


def _check_applied(common: Mapping[str, Any], path: pathlib.Path) -> None:
    """Nerfstudio's record of what was done to the poses already: checked, and not done again."""
    if "applied_transform" in common:
        rows = common["applied_transform"]
        if not isinstance(rows, list) or len(rows) not in (3, 4):
            raise CaptureError(f"{path}: applied_transform: expected a 3 x 4 matrix")
        for i, row in enumerate(rows):
            vector(row, 4, f"{path}: applied_transform[{i}]")
    if "applied_scale" in common and number(common["applied_scale"], f"{path}: applied_scale") <= 0:
        raise CaptureError(f"{path}: applied_scale: expected a positive number")


def _named_splits(common: Mapping[str, Any], path: pathlib.Path) -> dict[str, str]:
    """File name -> split, of nerfstudio's ``train_filenames`` and siblings."""
    splits = {}
    for split in _SPLITS:
        names = common.get(f"{split}_filenames", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CaptureError(f"{path}: {split}_filenames: expected a list of paths")
        for name in names:  # a file in two lists is one to learn from
            splits.setdefault(_normal(name), split)
    return splits


def _normal(name: str) -> str:
    return str(pathlib.PurePosixPath(name.replace("\\", "/")))


def _pose(value: Any, where: str) -> Float[np.ndarray, "4 4"]:
    rows = value if isinstance(value, list) else []
    if len(rows) not in (3, 4) or any(not isinstance(r, list) or len(r) != 4 for r in rows):
        raise CaptureError(f"{where}: expected a 4 x 4 camera-to-world matrix")
    pose = np.eye(4)
    for i, row in enumerate(rows):
        pose[i] = vector(row, 4, f"{where}[{i}]")
    if np.abs(pose).max() > _FARTHEST:
        raise CaptureError(f"{where}: the camera is more than 1e6 units away")
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > _ORTHONORMAL:
        raise CaptureError(f"{where}: the rotation is not orthonormal, expected no scale or shear")
    if np.linalg.det(rotation) < 0:
        raise CaptureError(f"{where}: the rotation mirrors, expected determinant +1")
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise CaptureError(f"{where}: the last row is {pose[3].tolist()}, expected [0, 0, 0, 1]")
    return pose


def _picture(name: str, root: pathlib.Path, where: str) -> pathlib.Path:
    shown = repr(name if len(name) <= 80 else name[:80] + "...")
    if "\0" in name:
        raise CaptureError(f"{where}: {shown}, expected the path of a picture")
    try:
        for path in (root / name, *(root / (name + end) for end in EXTENSIONS)):
            real = inside(path, root, f"{where}: {shown}")
            if real.is_file():
                return real
    except (OSError, RuntimeError) as error:  # a name too long, links in a circle
        reason = getattr(error, "strerror", None) or error
        raise CaptureError(f"{where}: {shown} cannot be a file ({reason})") from error
    raise CaptureError(f"{where}: {shown} is missing, expected a picture in {root}")


def _mask(
    entry: Mapping[str, Any], picture: pathlib.Path, root: pathlib.Path, where: str
) -> pathlib.Path | None:
    """Nerfstudio's ``mask_path``, instant-ngp's ``X.alpha.png``, or the same stem in ``masks/``."""
    if entry.get("mask_path") is not None:
        name = text(entry["mask_path"], f"{where}.mask_path").replace("\\", "/")
        return _picture(name, root, f"{where}.mask_path")
    stem, full = picture.stem, picture.name
    beside = [picture.with_name(f"{name}.alpha{picture.suffix}") for name in (stem, full)]
    folder, real = picture.parent, root.resolve()
    folders = [folder / "masks", real / "masks" / folder.relative_to(real), real / "masks"]
    if folder != real:
        folders.insert(1, folder.parent / "masks")
    names = [stem + end for end in EXTENSIONS] + [full + ".png"]
    some = [place / name for place in dict.fromkeys(folders) if place.is_dir() for name in names]
    for path in beside + some:
        if path.is_file():
            return inside(path, root, f"{where}.file_path: mask {path.name!r}")
    return None


def inside(path: pathlib.Path, root: pathlib.Path, where: str) -> pathlib.Path:
    """The real path of ``path``.

    Raises:
      CaptureError: it is not in the folder ``root``.
    """
    real = path.resolve()
    if not real.is_relative_to(root.resolve()):
        raise CaptureError(f"{where}: leaves the capture folder")
    return real


def read_json(path: pathlib.Path, max_bytes: int = _MAX_JSON_BYTES) -> Any:
    """The content of a JSON file; NaN and infinities are not numbers.

    Raises:
      CaptureError: not JSON, too large, too deep, or unreadable.
    """

    def no_constant(name):
        raise ValueError(f"{name} is not a number")

    try:
        if not path.is_file():
            raise CaptureError(f"{path}: is not a file")
        if path.stat().st_size > max_bytes:
            raise CaptureError(f"{path}: larger than {max_bytes} bytes, refused unread")
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=no_constant)
    except CaptureError:
        raise
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CaptureError(f"{path}: cannot be read as JSON ({reason})") from error
