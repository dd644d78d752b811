"""A folder of captures becomes a set of subjects, in the format that `rodin data` writes.

Each sub-folder is a capture (`rodin_jax.data.capture`) and its name the subject's id; names that
start with "." or "_" are left alone. Beside its transforms a capture may hold

- ``caption.txt``, a sentence a line, or ``captions.json``, a text or a list of texts;
- ``attributes.json``, an object of texts;
- ``front.png`` (or .jpg): a portrait from the front.

A ``captions.json`` beside the captures, name -> text or texts, serves those without their own; the
rest are called "a person". Without a portrait, the front is the view from nearest to -y.

All subjects have as many views, evenly spaced in the order of their files, of one size. Each is cut
out of its picture: the square in it that shows most of the cube, then resized. Nothing is added
around a picture, for what was not photographed is neither empty nor white.
"""

import contextlib
import pathlib
import tempfile
import time
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from tqdm import tqdm

from rodin_jax.cameras import Camera
from rodin_jax.data import images
from rodin_jax.data.builder import find_data_sets, quiet_tfds
from rodin_jax.data.capture import read_capture
from rodin_jax.data.captures import files
from rodin_jax.data.captures.fields import CaptureError, text
from rodin_jax.data.captures.pinholes import CORNERS, as_arrays, project

NOBODY = "a person"
_MAX_TEXT_BYTES, _MAX_CAPTIONS, _MAX_WORDS = 64_000, 64, 100


def build(
    source: str | pathlib.Path,
    out: str | pathlib.Path,
    *,
    size: int,
    views: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Writes the data set ``out/rodin_captures``, whole or not at all.

    Subjects are split in the order of their names as `presets.split_subjects` says.

    Args:
      source: a folder of captures.
      out: folder of data sets; must not hold one yet.
      size: pixels along an edge of the square views.
      views: of each subject; by default as many as the capture with the fewest has.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      subjects, views (in all), views_per_second, captioned (subjects with captions of their own)
      and out.

    Raises:
      CaptureError: anything wrong with a capture or its captions; nothing is written then.
      ValueError: ``out`` holds a data set, or a number below one.
    """
    root, out = pathlib.Path(source), pathlib.Path(out)
    for name, value in (("size", size), ("views", 1 if views is None else views)):
        if value < 1:
            raise ValueError(f"{name} must be positive, got {value}")
    if existing := find_data_sets(out):
        raise ValueError(f"{existing[0]}: holds a data set already, expected another folder")
    folders = _captures(root)
    # Words and transforms first: they are quick to read, and most mistakes are in them.
    captions = _all_captions(root, folders)
    attributes = [_attributes(folder) for folder in folders]
    counts = [sum(len(one.frames) for one in files.read(folder)) for folder in folders]
    fewest = int(np.argmin(counts))
    views = counts[fewest] if views is None else views
    if counts[fewest] < views:
        raise CaptureError(
            f"{folders[fewest]}: {counts[fewest]} pictures, expected {views} views or more"
        )
    names = [folder.name for folder in folders]
    bar = tqdm(total=len(names), unit="subject", desc="reading", disable=None if progress else True)

    def read(index):
        fields = _subject(folders[index], views, size)
        bar.update()
        words = captions[index] or (NOBODY,)
        own = {"id": names[index], "captions": list(words), "attributes": attributes[index]}
        return {**own, **fields}

    begin = time.perf_counter()
    with bar, _tidy(out), tempfile.TemporaryDirectory() as scratch:
        _write(out, names, read, views, size, scratch)
    total = len(names) * views
    return {
        "subjects": len(names),
        "views": total,
        "views_per_second": round(total / (time.perf_counter() - begin), 2),
        "captioned": sum(words is not None for words in captions),
        "out": str(out),
    }


def square(
    camera: Camera, width: int, height: int
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
    """Corner (x, y) and edge of the square in each picture that shows most of the cube.

    Args:
      camera: n cameras.
      width: of the pictures.
      height: of the pictures.
    """
    places, depth = project(*as_arrays(camera), CORNERS)
    ahead = (depth > 1e-3).all(1)
    low, high = places.min(1), places.max(1)
    size, whole = np.array([width, height]), min(width, height)
    edge = np.where(ahead, np.clip((high - low).max(1), min(16, whole), whole), whole)
    middle = np.where(ahead[:, None], (low + high) / 2, size / 2)
    corner = np.clip(middle - edge[:, None] / 2, 0, size - edge[:, None])
    # Whole pixels, so that a picture that needs no resizing is copied exactly.
    corner = np.floor(corner)
    return corner, np.minimum(np.ceil(edge), (size - corner).min(1))


def _captures(root: pathlib.Path) -> list[pathlib.Path]:
    if not root.is_dir():
        raise CaptureError(f"{root}: is not a folder, expected a folder of captures")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._")
    if not folders:
        raise CaptureError(f"{root}: has no sub-folders, expected one for each capture")
    for folder in folders:
        files.inside(folder, root, str(folder))
    return folders


def _subject(folder: pathlib.Path, views: int, size: int) -> dict[str, Any]:
    """Views, cameras and front of one capture; pictures as PNG bytes."""
    capture = read_capture(folder)
    count, height, width, _ = capture.images.shape
    corner, edge = square(capture.cameras, width, height)
    rows = np.linspace(0, count - 1, views).round().astype(int)
    pose, focal, centre = as_arrays(capture.cameras)
    factor = (size / edge[rows])[:, None]
    portrait = _portrait(folder, size)
    if portrait is None:
        nearest = int(np.argmax(_faces(pose)))
        portrait = _cut(capture.images[nearest], corner[nearest], edge[nearest], size)
    return {
        "views": [
            images.encode_png(_cut(capture.images[i], corner[i], edge[i], size)) for i in rows
        ],
        "pose": pose[rows].astype(np.float32),
        "focal": (focal[rows] * factor).astype(np.float32),
        "centre": ((centre[rows] - corner[rows]) * factor).astype(np.float32),
        "front": images.encode_png(portrait),
    }


def _faces(pose: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n"]:
    """Cosine of the angle between a camera's place, seen from the cube's centre, and -y."""
    eyes = pose[:, :3, 3]
    return -eyes[:, 1] / np.maximum(np.linalg.norm(eyes, axis=-1), 1e-9)


def _cut(
    picture: UInt8[np.ndarray, "h w 4"], corner: Float[np.ndarray, "2"], edge: float, size: int
) -> UInt8[np.ndarray, "s s 4"]:
    left, top, edge = int(corner[0]), int(corner[1]), int(edge)
    part = picture[top : top + edge, left : left + edge]
    if edge == size:
        return part
    # Premultiplied, so that colours under transparent pixels do not bleed.
    small = Image.fromarray(part).convert("RGBa").resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(small.convert("RGBA"))


def _portrait(folder: pathlib.Path, size: int) -> UInt8[np.ndarray, "s s 4"] | None:
    found = [path for end in files.EXTENSIONS if (path := folder / f"front{end}").is_file()]
    if not found:
        return None
    try:
        picture = images.read_image(files.inside(found[0], folder, str(found[0])), min_edge=8)
    except images.ImageError as error:
        raise CaptureError(str(error)) from error
    height, width = picture.shape[:2]
    edge = min(height, width)
    corner = np.array([(width - edge) // 2, (height - edge) // 2], float)
    return _cut(picture, corner, edge, size)


def _all_captions(root: pathlib.Path, folders: list[pathlib.Path]) -> list[tuple[str, ...] | None]:
    """Of each capture; None where there are none."""
    path, shared = root / "captions.json", {}
    if path.exists():
        shared = files.read_json(files.inside(path, root, str(path)))
        if not isinstance(shared, dict):
            raise CaptureError(f"{path}: expected an object, name of a capture -> captions")
        for name in set(shared) - {folder.name for folder in folders}:
            raise CaptureError(f"{path}: {name[:80]!r} is not the name of a capture in {root}")
    captions = []
    for folder in folders:
        own = _captions(folder)
        if own is None and folder.name in shared:
            own = _sentences(shared[folder.name], f"{path}: {folder.name}")
        captions.append(own)
    return captions


def _captions(folder: pathlib.Path) -> tuple[str, ...] | None:
    path = folder / "captions.json"
    if path.exists():
        content = files.read_json(files.inside(path, folder, str(path)), _MAX_TEXT_BYTES)
        return _sentences(content, f"{path}: captions")
    path = folder / "caption.txt"
    if not path.exists():
        return None
    real = files.inside(path, folder, str(path))
    if not real.is_file() or real.stat().st_size > _MAX_TEXT_BYTES:
        raise CaptureError(f"{path}: expected a text file of at most {_MAX_TEXT_BYTES} bytes")
    try:
        lines = real.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise CaptureError(f"{path}: cannot be read as UTF-8 text") from error
    return _sentences([line for line in lines if line.strip()], f"{path}: lines")


def _sentences(content: Any, where: str) -> tuple[str, ...]:
    if isinstance(content, str):
        content = [content]
    if not isinstance(content, list) or not 1 <= len(content) <= _MAX_CAPTIONS:
        raise CaptureError(f"{where}: expected a text or 1 to {_MAX_CAPTIONS} texts")
    sentences = [" ".join(text(x, f"{where}[{i}]").split()) for i, x in enumerate(content)]
    for i, sentence in enumerate(sentences):
        if not 1 <= len(sentence.split()) <= _MAX_WORDS or not sentence.isprintable():
            raise CaptureError(f"{where}[{i}]: expected a sentence of 1 to {_MAX_WORDS} words")
    return tuple(sentences)


def _attributes(folder: pathlib.Path) -> dict[str, str]:
    path = folder / "attributes.json"
    if not path.exists():
        return {}
    content = files.read_json(files.inside(path, folder, str(path)), _MAX_TEXT_BYTES)
    if not isinstance(content, dict):
        raise CaptureError(f"{path}: expected an object, name -> text")
    return {name: text(value, f"{path}: {name[:80]}") for name, value in content.items()}


def _write(out: pathlib.Path, names, read, views: int, size: int, scratch: str) -> None:
    with quiet_tfds():
        from rodin_jax.data.rodin_captures.builder import RodinCaptures

        RodinCaptures(names=names, read=read, views=views, size=size, data_dir=str(out)).write(
            scratch
        )


@contextlib.contextmanager
def _tidy(out: pathlib.Path):
    """Takes the folders made on the way to ``out`` away again if the block fails."""
    made = [p for p in (out / "rodin_captures", out, *out.parents) if not p.exists()]
    try:
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
