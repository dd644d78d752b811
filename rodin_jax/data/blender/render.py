"""Pictures of a person by Cycles."""

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from rodin_jax.cameras import Camera
from rodin_jax.data import images
from rodin_jax.data.avatars.spec import AvatarSpec
from rodin_jax.data.blender import person, require
from rodin_jax.data.blender.camera import place

SAMPLES = 24


def render(
    spec: AvatarSpec,
    cameras: Camera,
    size: int,
    *,
    samples: int | None = None,
    threads: int = 1,
) -> UInt8[np.ndarray, "n size size 4"]:
    """Straight RGBA pictures of ``spec`` from a batch of n cameras.

    Args:
      spec: who.
      cameras: as `rodin_jax.cameras` defines them, square pixels.
      size: pixels along an edge.
      samples: rays through each pixel; ``SAMPLES`` by default.
      threads: of the renderer, 0 for every core; the bytes do not depend on it.

    Raises:
      BlenderMissingError: bpy is not installed.
    """
    require()
    from rodin_jax.data.blender import scene

    parts, strands = person.build(spec)
    with _quiet():
        stage = scene.empty(SAMPLES if samples is None else samples, threads)
        for part in parts:
            scene.add_part(stage, part)
        for group in strands:
            scene.add_strands(stage, group)
        return shoot(stage, cameras, size)


def shoot(stage, cameras: Camera, size: int) -> UInt8[np.ndarray, "n size size 4"]:
    """Pictures of Blender's scene ``stage``, as `render` gives them."""
    import bpy

    stage.render.resolution_x = stage.render.resolution_y = size
    pictures = []
    lenses = zip(*map(np.asarray, (cameras.pose, cameras.focal, cameras.centre)), strict=True)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        # The only road from Blender's renderer to an array is a file.
        file = pathlib.Path(folder) / "view.png"
        stage.render.filepath = str(file)
        for pose, focal, centre in lenses:
            place(stage.camera, pose, focal, centre, size)
            bpy.ops.render.render(write_still=True)
            pictures.append(images.decode_image(file.read_bytes(), name=str(file)))
    return np.stack(pictures)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Sends what Blender prints, on the process's own stdout and stderr, to nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
