"""Where a picture, film or mesh comes from, written into the file itself.

The fields are the same everywhere: ``generator``, ``version``, ``prompt``, ``seed``, ``bundle``
(its hash) and ``notice``. Nothing depends on the time or the machine.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, PngImagePlugin

from rodin_jax import __version__

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
    info = PngImagePlugin.PngInfo()
    for name, value in record.items():
        info.add_itxt(name, value if isinstance(value, str) else json.dumps(value))
    Image.fromarray(np.ascontiguousarray(image)).save(path, format="PNG", pnginfo=info)
    return Path(path)


def save_video(
    path: str | Path, frames: Sequence[UInt8[np.ndarray, "h w 3"]], record: Mapping, *, fps: int
) -> Path:
    """Writes an H.264 film that browsers play; the record is JSON in its comment."""
    import imageio_ffmpeg

    height, width, _ = frames[0].shape
    if height % 2 or width % 2:
        raise ValueError(f"films need even sizes, got {width} x {height}")
    options = ["-preset", "medium", "-crf", "20", "-movflags", "+faststart", "-threads", "1"]
    options += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"]
    options += ["-metadata", f"title={record.get('prompt') or 'RODIN avatar'}"]
    options += ["-metadata", f"comment={json.dumps(dict(record))}"]
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        quality=None,
        output_params=options,
        ffmpeg_log_level="error",
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()
    if not Path(path).is_file():
        raise OSError(f"{path}: the film could not be encoded")
    return Path(path)


def read_png(path: str | Path) -> dict[str, str]:
    """The text chunks of a PNG."""
    with Image.open(path) as image:
        return dict(image.text)
