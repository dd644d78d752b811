"""People that no model has learned from: the truth that avatars are held against."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.cameras import Camera
from rodin_jax.compile_cache import user_cache
from rodin_jax.data import builder, images, render_subjects
from rodin_jax.data.builder import Subject

# Data sets are drawn from small seeds; from this one on they are kept for evaluation.
WORLD = 4_000_000_000


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Ground truth.

    Attributes:
      people: with one view each, at least.
      around: some of them, with many views from all round.
      origin: where they come from, for people to read.
      learned: front views of people that were trained on, RGBA; empty if none are known.
    """

    people: Sequence[Subject]
    around: Sequence[Subject]
    origin: str
    learned: Sequence[np.ndarray] = ()


def made_up(
    count: int,
    around: int,
    views: int,
    *,
    size: int,
    seed: int,
    cache: str | os.PathLike | None = None,
    processes: int | None = None,
) -> Crowd:
    """Drawn people of a world that no data set uses; rendered once and kept.

    Args:
      count: people with one view.
      around: how many of them are seen all round.
      views: pictures of those.
      size: pixels along an edge.
      seed: another seed, other people.
      cache: where pictures are kept; by default in the user's cache folder.
      processes: as in `render_subjects.render_all`.
    """
    folder = _kept_in() if cache is None else Path(cache)
    world = WORLD + seed

    def drawn(subjects, views):
        plan = render_subjects.RenderPlan(world, subjects, views, size, captions=1)
        place = folder / f"{world}-{subjects}-{views}-{size}"
        render_subjects.render_all(plan, place, processes=processes)
        found = render_subjects.rendered(plan, place)
        return [_subject(found[i]) for i in range(subjects)]

    origin = f"drawn people 0 to {count - 1} of seed {world}, which no data set uses"
    return Crowd(drawn(count, 1), drawn(around, views), origin)


def from_data(data_dir: str | os.PathLike, count: int, around: int, views: int) -> Crowd:
    """The validation and test people of a data set, and the fronts of those it trains on.

    Args:
      data_dir: written by `rodin data`.
      count: at most so many people.
      around: how many of them are seen all round.
      views: of those, evenly spaced among their own.

    Raises:
      ValueError: no data set there, or one without people kept from training.
    """
    found = []
    for split in ("validation", "test"):
        try:
            subjects = builder.load_subjects(data_dir, split)
        except ValueError:
            if split == "test" and not found:
                raise
            continue
        found += [subjects[i] for i in range(min(len(subjects), count - len(found)))]
    learned = builder.load_subjects(data_dir, "train", views=False)
    return Crowd(
        [_fewer(subject, 1) for subject in found],
        [_fewer(subject, views) for subject in found[:around]],
        f"{len(found)} people of the validation and test splits of {data_dir}",
        [learned[i].front for i in range(len(learned))],
    )


def _kept_in() -> Path:
    """The user's cache folder or, where that cannot be written, a temporary one."""
    try:
        folder = user_cache("people")
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        pass
    return Path(tempfile.mkdtemp(prefix="rodin_jax-people-"))


def _subject(fields) -> Subject:
    """From a record of `render_subjects`."""
    read = lambda png: images.decode_image(png, name=fields["id"])  # noqa: E731
    return Subject(
        id=fields["id"],
        views=np.stack([read(png) for png in fields["views"]]),
        cameras=Camera(*(jnp.asarray(fields[name]) for name in ("pose", "focal", "centre"))),
        front=read(fields["front"]),
        captions=tuple(fields["captions"]),
        attributes=fields["attributes"],
    )


def _fewer(subject: Subject, views: int) -> Subject:
    """The same with some of its views, evenly spaced."""
    there = len(subject.views)
    kept = np.linspace(0, there - 1, min(views, there)).round().astype(int)
    cameras = jax.tree.map(lambda x: x[kept], subject.cameras)
    return dataclasses.replace(subject, views=subject.views[kept], cameras=cameras)
