"""Fitting subjects of a data set to a frozen decoder, several at once on each device.

A `Fitter` holds all that a worker needs besides the data set's folder, so the same function serves
this process and the workers of a cluster: a subject's planes depend on its number alone.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from rodin_jax import metrics
from rodin_jax.cameras import Camera
from rodin_jax.data.builder import Subject, load_subjects
from rodin_jax.data.images import on_white
from rodin_jax.data.planes import FittedSubject
from rodin_jax.nn import decoder as decoders
from rodin_jax.occupancy import render_view
from rodin_jax.rendering import over
from rodin_jax.train import fitting
from rodin_jax.train.completion import completion_of
from rodin_jax.train.foretold import Foretold
from rodin_jax.train.joint import spread
from rodin_jax.train.refitting import refit_planes
from rodin_jax.train.scene import prepare

# Cells along an edge, at most and for each texel, and field evaluations a ray when a held-out view
# is drawn: more show no more.
_GRID, _CELLS, _SAMPLES = 128, 2, 32


@dataclasses.dataclass(frozen=True)
class Fitter:
    """Fits training subjects and measures each on its held-out view.

    From the same start for all by `fitting.fit_planes`, or from what is foretold of each by
    `refitting.refit_planes`.

    Attributes:
      data_dir: folder written by `rodin data`; on a cluster every worker must see it.
      decoder: the network.
      params: its frozen weights.
      start: planes that every fit starts from, or those that are foretold of each subject.
      options: of the fit.
      steps: of each fit.
      rate: initial learning rate.
      at_once: subjects on each device.
      seed: of the fits' random numbers.
      learned: what `completion.learn` knows of other subjects; None starts from ``start`` alone.
      fine_rate: initial learning rate after the completion.
    """

    data_dir: str
    decoder: decoders.Decoder
    params: PyTree
    start: Float[Array, "3 h w c"] | Float[np.ndarray, "3 h w c"] | Foretold
    options: fitting.FitOptions
    steps: int
    rate: float
    at_once: int
    seed: int
    learned: Mapping[str, Array | np.ndarray] | None = None
    fine_rate: float = 0.0

    @property
    def group(self) -> int:
        """Subjects that this process fits at a time."""
        return jax.device_count() * self.at_once

    def __call__(self, numbers: Sequence[int]) -> Iterator[FittedSubject]:
        """Fits the subjects of these numbers, in their order."""
        every = ((i, self._subjects[i]) for i in numbers)
        # Those of another data set may have another number of views, and need another program.
        for _, alike in itertools.groupby(every, lambda one: one[1].views.shape):
            while together := list(itertools.islice(alike, self.group)):
                yield from self._together(*zip(*together, strict=True))

    def _together(self, numbers, subjects):
        # The last group is filled up with its last subject, so that one program serves all.
        missing = self.group - len(subjects)
        padded = [*subjects, *[subjects[-1]] * missing]
        views, cameras = zip(*(training_views(s) for s in padded), strict=True)
        held_out = [jax.tree.map(lambda x: x[-1], s.cameras) for s in padded]
        seeds = jnp.asarray([*numbers, *[numbers[-1]] * missing])
        planes, pictures = jax.device_get(
            self._fit_many(
                self._starts(padded), self._complete, self.params, np.stack(views), _stack(cameras),
                _stack(held_out),
                jax.vmap(lambda i: jax.random.fold_in(jax.random.key(self.seed), i))(seeds),
            )
        )  # fmt: skip
        for subject, one, picture in zip(subjects, planes, pictures, strict=False):
            psnr = metrics.psnr(np.clip(picture, 0, 1), on_white(subject.views[-1]))
            yield FittedSubject(
                subject.id, one, subject.captions, subject.attributes, subject.front, float(psnr)
            )

    @functools.cached_property
    def _subjects(self) -> Sequence[Subject]:
        return load_subjects(self.data_dir, "train")

    @property
    def _again(self) -> bool:
        """Whether subjects are fitted again, each from where it is foretold to be."""
        return isinstance(self.start, Foretold)

    def _starts(self, subjects: Sequence[Subject]):
        """Where these subjects' fits start: one for all, or one for each."""
        if self._again:
            return np.stack([self.start(subject.id) for subject in subjects])
        return self.start

    @functools.cached_property
    def _complete(self):
        if self.learned is None:
            return None
        return completion_of(self.learned, self.start.shape, self.start.shape[-2] // 4)

    @functools.cached_property
    def _fit_many(self):
        return spread(self._fit_one, (self._again, False, False, True, True, True, True))

    def _fit_one(self, start, complete, params, images, camera, held_out, key):
        decoder, grid = self.decoder, self.options.grid
        scene = prepare(images, camera, grid=grid)
        known = dict(decoder=decoder, options=self.options, steps=self.steps, rate=self.rate)
        if self._again:
            planes, _ = refit_planes(start, params, scene, key, **known)
        else:
            planes, _ = fitting.fit_planes(
                start, params, scene, key, complete=complete, fine_rate=self.fine_rate, **known
            )
        # What is stored is measured: half precision, and the hull forgotten.
        planes = planes.astype(jnp.float16)
        whole = planes.astype(jnp.float32)
        cells = min(_GRID, _CELLS * whole.shape[1])
        found = fitting.look_closely(whole, params, decoder=decoder, grid=cells)
        field = decoders.field(decoder, params, whole)
        size = images.shape[-2]
        return planes, over(render_view(field, found, held_out, size, size, samples=_SAMPLES), 1.0)


def in_this_process(fitter: Fitter, numbers: Sequence[int]) -> Iterable[FittedSubject]:
    """The plain way to fit all subjects of these numbers."""
    return fitter(numbers)


def training_views(subject: Subject) -> tuple[np.ndarray, Camera]:
    """All views but the last, which is held out to measure the fit."""
    return subject.views[:-1], jax.tree.map(lambda x: x[:-1], subject.cameras)


def _stack(trees):
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)
