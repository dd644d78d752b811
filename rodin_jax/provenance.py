"""Where a picture, film or mesh comes from, written into the file itself.

The fields are the same everywhere: ``generator``, ``version``, ``prompt``, ``seed``, ``bundle``
(its hash) and ``notice``. Nothing depends on the time or the machine.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from rodin_jax import __version__, png

GENERATOR = f"rodin_jax {__version__}"
SYNTHETIC = "AI-generated"
# IPTC's term for media made by a trained model.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def fields(*, notice: str = SYNTHETIC, **known: object) -> dict[str, object]:
    """The provenance record; ``known`` (prompt, seed, bundle, ...) without its None values."""
    record: dict[str, object] = {"generator": GENERATOR, "version": __version__, "notice": notice}
    if notice == SYNTHETIC:
        record["digitalSourceType"] = SOURCE_TYPE
    return record | {name: value for name, value in known.items() if value is not None}


def save_png(path: str | Path, image: UInt8[np.ndarray, "h w c"], record: Mapping) -> Path:
    """Writes a PNG whose text chunks hold the record; equal input gives equal bytes."""
    Path(path).write_bytes(png.encode(image, record))
    return Path(path)


def save_video(
    path: str | Path, frames: Sequence[UInt8[np.ndarray, "h w 3"]], record: Mapping, *, fps: int
) -> Path:
    """Writes an H.264 film that browsers play; the record is JSON in its comment."""
    from imageio_ffmpeg import get_ffmpeg_exe

    height, width, _ = frames[0].shape
    if height % 2 or width % 2:
        raise ValueError(f"films need even sizes, got {width} x {height}")
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps)]
    codec = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "medium", "-crf", "18"]
    # One thread and no encoder stamps: the bytes depend on the frames only.
    exact = [
        "-threads",
        "1",
        "-fflags",
        "+bitexact",
        "-flags:v",
        "+bitexact",
        "-map_metadata",
        "-1",
    ]
    title = "".join(c for c in str(record.get("prompt") or "RODIN avatar") if c.isprintable())
    tags = ["-metadata", f"title={title}", "-metadata", f"comment={json.dumps(dict(record))}"]
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *source, "-i", "-", *codec, *exact, *tags]
    data = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    done = subprocess.run(
        [*command, "-movflags", "+faststart", str(path)], input=data, capture_output=True
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise OSError(f"{path}: the film could not be encoded ({reason[-1]})")
    return Path(path)


def read_png(path: str | Path) -> dict[str, str]:
    """The text chunks of a PNG."""
    with Image.open(path) as image:
        return dict(image.text)
