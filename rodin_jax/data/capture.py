"""Captures of one subject: a folder of pictures and ``transforms*.json``.

Read are the forms of NeRF-synthetic, instant-ngp and nerfstudio: camera-to-world OpenGL matrices;
intrinsics for all frames or one by one, with OpenCV's lens distortion, which is undone
(`captures.lens`); RGBA pictures, or RGB ones with masks (`captures.files` says where they are
looked for), or neither. Positions become those of the cube [-1, 1]^3 (`captures.framing` says how).

Pictures are taken as stored, with 8 bits a channel: EXIF rotation is not applied, for the tools
that find camera poses do not apply it either. A mask is bright where the subject is, and multiplies
the picture's own alpha. instant-ngp's ``white_transparent`` and ``black_transparent`` are heeded.

A capture may come from a stranger: nothing outside its folder is read, and everything is checked
before it is used.
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
from rodin_jax.data.captures import files, framing
from rodin_jax.data.captures.fields import CaptureError, flag
from rodin_jax.data.captures.lens import read_lens, undistort
from rodin_jax.data.captures.pinholes import as_arrays

__all__ = ["Capture", "CaptureError", "Source", "read_capture", "write_capture"]


@dataclasses.dataclass(frozen=True)
class Source:
    """What a capture was before it was read.

    Attributes:
      format: NeRF-synthetic, instant-ngp or nerfstudio.
      names: paths of the pictures, as their files have them.
      masks: whether alpha came from pictures of its own.
      lenses: of each picture, in words.
      placement: how the file's coordinates became the cube's.
    """

    format: str
    names: tuple[str, ...]
    masks: bool
    lenses: tuple[str, ...]
    placement: framing.Placement


@dataclasses.dataclass(frozen=True)
class Capture:
    """Pictures of one subject and the cameras that took them.

    Attributes:
      images: straight RGBA, undistorted; alpha is 255 everywhere for pictures without it.
      cameras: one for each picture, pinholes in cube coordinates.
      splits: name (train, test, ...) -> indices of its pictures; ``train`` is always there.
      source: what it was read from, if it was read.
    """

    images: UInt8[np.ndarray, "n h w 4"]
    cameras: Camera
    splits: dict[str, Int[np.ndarray, "_"]]
    source: Source | None = None

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
    """Reads ``transforms_<split>.json`` files, or ``transforms.json``.

    The latter is all ``train``, unless it has nerfstudio's ``train_filenames`` and siblings.

    Args:
      directory: the capture folder.
      max_pixels: the largest single picture.
      max_total_pixels: the largest sum over all pictures; 4 bytes each stay in memory.

    Raises:
      CaptureError: anything wrong with the files.
    """
    root = pathlib.Path(directory)
    found = files.read(root)
    placements = [one.placement for one in found]
    frames = [frame for one in found for frame in one.frames]
    if any(placements) and not all(placements):
        missing = found[placements.index(None)].path
        raise CaptureError(f"{missing}: has no scale and offset, expected them as in its siblings")
    # The first decoded picture fixes the size of all, so that memory is claimed once.
    first = _read_picture(frames[0], max_pixels)
    height, width = first.shape[:2]
    if height * width * len(frames) > max_total_pixels:
        raise CaptureError(f"{root}: more than {max_total_pixels} pixels in all pictures")
    pictures = np.empty((len(frames), height, width, 4), np.uint8)
    pinholes, lenses = [], []
    for i, frame in enumerate(frames):
        picture = first if i == 0 else _read_picture(frame, max_pixels, first)
        lens = read_lens(frame.fields, frame.where, width, height)
        pictures[i], pinhole = undistort(picture, lens, frame.where)
        pinholes.append(pinhole)
        lenses.append(lens.describe())
    pose = np.stack([frame.pose for frame in frames])
    focal = np.array([pinhole.focal for pinhole in pinholes])
    centre = np.array([pinhole.centre for pinhole in pinholes])
    if any(placements):
        each = np.repeat(np.arange(len(found)), [len(one.frames) for one in found])
        placed = np.concatenate([p.place(pose[each == i]) for i, p in enumerate(placements)])
        placement = placements[0]
    else:
        alpha = framing.silhouettes(pictures[..., 3])
        placement = framing.automatic(framing.Views(pose, focal, centre, alpha, width, height))
        placed = placement.place(pose)
    cameras = Camera(
        pose=jnp.asarray(placed, jnp.float32),
        focal=jnp.asarray(focal, jnp.float32),
        centre=jnp.asarray(centre, jnp.float32),
    )
    names = [frame.split for frame in frames]
    splits = {
        split: np.flatnonzero([name == split for name in names]) for split in dict.fromkeys(names)
    }
    source = Source(
        format=found[0].format,
        names=tuple(frame.name for frame in frames),
        masks=frames[0].mask is not None,
        lenses=tuple(lenses),
        placement=placement,
    )
    return Capture(pictures, cameras, splits, source)


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
    pose, focal, centre = as_arrays(cameras)
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
        head = {
            "w": width,
            "h": height,
            "camera_angle_x": 2 * math.atan(width / (2 * first)),
            # instant-ngp's words for: these coordinates are the cube's.
            "scale": 0.5,
            "offset": [0.5, 0.5, 0.5],
            "aabb_scale": 1,
        }
        text = json.dumps({**head, "frames": frames}, indent=1)
        (root / f"transforms_{split}.json").write_text(text)


def _read_picture(
    frame: files.Frame, max_pixels: int, like: UInt8[np.ndarray, "h w 4"] | None = None
) -> UInt8[np.ndarray, "h w 4"]:
    """The picture of a frame, its mask applied; of the size of ``like``."""
    picture = _decode(frame.picture, f"{frame.where}.file_path", max_pixels)
    if like is not None and picture.shape != like.shape:
        raise CaptureError(
            f"{frame.where}.file_path: {frame.picture.name} is {_size(picture)} pixels, "
            f"expected {_size(like)} like the first picture"
        )
    for name, colour in (("white_transparent", 255), ("black_transparent", 0)):
        if flag(frame.fields.get(name, False), f"{frame.where}.{name}"):
            picture[(picture[..., :3] == colour).all(-1)] = 0
    if frame.mask is not None:
        mask = _decode(frame.mask, f"{frame.where}.mask_path", max_pixels)
        if mask.shape != picture.shape:
            raise CaptureError(
                f"{frame.where}.mask_path: {frame.mask.name} is {_size(mask)} pixels, "
                f"expected {_size(picture)} like its picture"
            )
        bright = mask[..., :3].max(-1).astype(np.uint16) * mask[..., 3] // 255
        if bright.max() == 1:  # written as 0 and 1 instead of black and white
            bright *= 255
        picture[..., 3] = (picture[..., 3] * bright + 127) // 255
    return picture


def _decode(path: pathlib.Path, where: str, max_pixels: int) -> UInt8[np.ndarray, "h w 4"]:
    try:
        return images.read_image(path, max_pixels=max_pixels, as_stored=True)
    except images.ImageError as error:
        raise CaptureError(f"{where}: {error}") from error


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
