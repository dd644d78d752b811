"""Making and reading a set of subjects: `generate` and `load_subjects`.

On disk it is the TFDS data set ``OUT/rodin_avatars/<preset>/<version>``. tensorflow_datasets is
slow to import, so that waits until one of the two is called.
"""

import bisect
import contextlib
import dataclasses
import io
import itertools
import json
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, SupportsIndex

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from rodin_jax.cameras import Camera
from rodin_jax.data import images
from rodin_jax.data.presets import PRESETS


@dataclasses.dataclass(frozen=True)
class Subject:
    """One person seen by many cameras.

    Attributes:
      id: unique in the data set.
      views: straight RGBA pictures.
      cameras: one for each view.
      front: the exact frontal view.
      captions: sentences about the subject; the first mentions everything.
      attributes: name -> value in short English words.
    """

    id: str
    views: UInt8[np.ndarray, "n s s 4"]
    cameras: Camera
    front: UInt8[np.ndarray, "s s 4"]
    captions: tuple[str, ...]
    attributes: dict[str, str]


def generate(
    preset: str,
    subjects: int | None,
    out: str | pathlib.Path,
    *,
    seed: int = 0,
    views: int | None = None,
    size: int | None = None,
    source: str = "jax",
    processes: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Renders a data set into ``out``; a killed run goes on where it stopped.

    The files depend on preset, subjects, seed, views, size and source, not on how many processes
    make them.

    Args:
      preset: smoke, nano, small or paper.
      subjects: people in all splits together; the preset's number if None.
      out: folder of data sets; this one is written to ``out/rodin_avatars/<preset>``.
      seed: of everything random.
      views: pictures of each subject; the preset's number by default.
      size: pixels along an edge; the preset's by default.
      source: what draws the people: jax, or blender, which `data.blender` describes.
      processes: see `render_subjects.render_all`.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      subjects, views (pictures in all), views_per_second (of those rendered by this call; 0 if
      nothing was left to render) and out.

    Raises:
      ValueError: an unknown preset or source, a number below one, ``bpy`` is not installed, or
        ``out`` holds this preset already with other numbers.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset: got {preset!r}, expected one of {', '.join(PRESETS)}")
    if source == "blender":
        from rodin_jax.data import blender

        blender.require()
    with quiet_tfds():
        from rodin_jax.data.rodin_avatars.builder import RodinAvatars

        builder = RodinAvatars(
            config=preset,
            data_dir=str(out),
            subjects=subjects,
            views=views,
            size=size,
            seed=seed,
            source=source,
            processes=processes,
            progress=progress,
        )
        begin = time.perf_counter()
        builder.make()
    plan, made = builder.plan, builder.rendered_now * builder.plan.views
    return {
        "subjects": plan.subjects,
        "views": plan.subjects * plan.views,
        "views_per_second": round(made / (time.perf_counter() - begin), 2),
        "out": str(out),
    }


def load_subjects(
    directory: str | pathlib.Path, split: str = "train", *, views: bool = True
) -> Sequence[Subject]:
    """Opens one split for random access; nothing is decoded before it is asked for.

    Args:
      directory: what `generate` was given as ``out``, or the data set's own folder; or several of
        them, separated by commas, whose subjects follow each other.
      split: train, validation or test.
      views: False leaves the views out (zero of them, zero cameras): reading fronts and captions
        alone is many times faster.

    Raises:
      ValueError: no data set, more than one in a folder, or no such split.
    """
    if len(folders := str(directory).split(",")) > 1:
        return Joined([load_subjects(folder, split, views=views) for folder in folders])
    found = find_data_sets(pathlib.Path(directory))
    if len(found) != 1:
        names = ", ".join(str(path) for path in found) or "none"
        raise ValueError(f"{directory}: expected one data set (features.json), found {names}")
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(found[0]))
    if split not in builder.info.splits:
        there = ", ".join(builder.info.splits)
        raise ValueError(f"{found[0]}: no split {split!r}, expected one of {there}")
    # TFDS would decode every picture of a subject at once; as text, PNG bytes are left alone.
    text, known = tfds.features.Text(), builder.info.features
    wanted = {"id": text, "captions": known["captions"], "attributes": text, "front": text}
    if views:
        wanted |= {name: known[name] for name in ("pose", "focal", "centre")}
        wanted["views"] = tfds.features.Sequence(text)
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    source = builder.as_data_source(split=split, deserialize_method=raw)
    return Subjects(source, tfds.features.FeaturesDict(wanted))


class Subjects(Sequence):
    """The subjects of one split, in the order of their indices."""

    def __init__(self, source, features):
        """Wraps a TFDS data source of undecoded records and the features to decode."""
        self._source, self._features = source, features

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> Subject:
        index = index.__index__()
        if not -len(self) <= index < len(self):
            raise IndexError(f"subject {index} of {len(self)}")
        fields = self._features.deserialize_example_np(self._source[index % len(self)])
        name = fields["id"].decode()
        front = images.decode_image(fields["front"], name=name)
        views = [images.decode_image(png, name=name) for png in fields.get("views", ())]
        lens = np.zeros((0, 2), np.float32)
        return Subject(
            id=name,
            views=np.stack(views) if views else np.zeros((0, *front.shape), np.uint8),
            cameras=Camera(
                pose=jnp.asarray(fields.get("pose", np.zeros((0, 4, 4), np.float32))),
                focal=jnp.asarray(fields.get("focal", lens)),
                centre=jnp.asarray(fields.get("centre", lens)),
            ),
            front=front,
            captions=tuple(caption.decode() for caption in fields["captions"]),
            attributes=json.loads(fields["attributes"]),
        )


class Joined(Sequence):
    """The subjects of several data sets, one set after the other."""

    def __init__(self, sets: Sequence[Sequence[Subject]]):
        """``sets`` are opened ones."""
        self._sets = sets
        self._ends = list(itertools.accumulate(len(subjects) for subjects in sets))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: SupportsIndex) -> Subject:
        index = range(len(self))[index]
        which = bisect.bisect_right(self._ends, index)
        return self._sets[which][index - self._ends[which]]


def find_data_sets(directory: pathlib.Path) -> list[pathlib.Path]:
    """The data sets in or under a folder, three levels deep; unfinished ones do not count."""
    patterns = ("features.json", "*/features.json", "*/*/features.json", "*/*/*/features.json")
    files = {file for pattern in patterns for file in directory.glob(pattern)}
    return sorted(file.parent for file in files if "incomplete." not in file.parent.name)


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Silences TFDS, which prints of downloads that there are none of to the caller's stdout."""
    with contextlib.redirect_stdout(io.StringIO()):
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()
        yield
