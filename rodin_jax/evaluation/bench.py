"""What the sections share: a pipeline, people, judges, and how avatars are made and looked at."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from rodin_jax import avatar_programs
from rodin_jax.cameras import Camera
from rodin_jax.data import avatars
from rodin_jax.data.images import over_white
from rodin_jax.data.planes import PlanesStore
from rodin_jax.evaluation.judges import Eye, Reader
from rodin_jax.evaluation.people import Crowd
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.decoder import field as planes_field
from rodin_jax.occupancy import Occupancy, render_view
from rodin_jax.pipeline import RodinPipeline
from rodin_jax.rendering import over
from rodin_jax.sampling import Noise

Track = Callable[[Iterable, str], Iterable]
Planes = Float[Array, "3 h w c"]
# Seeds of avatars: each kind of set has a range of its own, and so has each seed of an evaluation.
_RANGE = 100_000
KINDS = ("samples", "photos", "prompts", "edits", "ends", "thoughts", "timing")
LARGEST_SEED = 2**32 // (_RANGE * 10) - 1
LARGEST_COUNT = _RANGE // 2
_SAMPLES = 16  # field evaluations a ray


@dataclasses.dataclass(frozen=True)
class Samples:
    """Uncurated avatars of nobody in particular, as pictures over white.

    Attributes:
      fronts: from the front.
      around: each from the camera of the person of the same number.
    """

    fronts: UInt8[np.ndarray, "n s s 3"]
    around: UInt8[np.ndarray, "n s s 3"]


@dataclasses.dataclass(frozen=True)
class Bench:
    """Everything that a section may look at.

    Attributes:
      pipeline: what is judged.
      crowd: the truth.
      eye: sees likeness.
      reader: names attributes; None without a probe.
      store: the planes that the bundle was trained on, None if unknown.
      rivals: other bundles, by name.
      count: avatars in a set; sections that make many of each take a share of it.
      seed: of everything random.
      batch: avatars made at once.
      track: wraps iterations, e.g. in a progress bar.
    """

    pipeline: RodinPipeline
    crowd: Crowd
    eye: Eye
    reader: Reader | None
    store: PlanesStore | None
    rivals: Mapping[str, RodinPipeline]
    count: int
    seed: int
    batch: int
    track: Track

    @property
    def size(self) -> int:
        """Pixels along an edge of the pictures."""
        return self.crowd.people[0].front.shape[0]

    @functools.cached_property
    def samples(self) -> Samples:
        """The pipeline's uncurated set, which several sections look at."""
        return self.sample(self.pipeline)

    @functools.cached_property
    def real(self) -> UInt8[np.ndarray, "m s s 3"]:
        """Front views of all people over white."""
        return np.stack([over_white(person.front) for person in self.crowd.people])

    @functools.cached_property
    def learned(self) -> UInt8[np.ndarray, "m s s 3"] | None:
        """Front views that were trained on, of the planes if they are known, over white."""
        store = self.store
        fronts = (store[i].front for i in range(len(store))) if store else self.crowd.learned
        found = [over_white(np.asarray(front)) for front in fronts]
        return np.stack(found) if found else None

    def seeds(self, kind: str, count: int) -> list[int]:
        """Seeds of ``count`` avatars of one of `KINDS`, the same in every run."""
        start = (self.seed * 10 + KINDS.index(kind)) * _RANGE
        return list(range(start, start + count))

    def sample(self, pipeline: RodinPipeline) -> Samples:
        """Uncurated avatars of a pipeline; of every pipeline from the same seeds."""
        people = self.crowd.people[: self.count]
        seeds = self.seeds("samples", len(people))
        z = jnp.concatenate([pipeline.latent(seed=seed) for seed in seeds])
        front = avatars.front_camera(self.size)
        fronts, around = [], []
        for person, planes in zip(people, self.make(z, alone(seeds), pipeline), strict=True):
            camera = jax.tree.map(lambda a, b: jnp.concatenate([a, b[:1]]), front, person.cameras)
            views = self.look(planes, camera, pipeline)
            fronts.append(views[0])
            around.append(views[1])
        return Samples(np.stack(fronts), np.stack(around))

    def make(
        self,
        z: Float[Array, "n d"],
        noise: Sequence[Noise],
        pipeline: RodinPipeline | None = None,
        *,
        guidance: float | int | None = None,
        what: str = "avatars",
    ) -> Iterator[Planes]:
        """Planes of each latent and noise, made ``batch`` at a time by one compiled program."""
        pipeline = pipeline or self.pipeline
        for start in self.track(range(0, len(noise), self.batch), what):
            rows = np.minimum(np.arange(start, start + self.batch), len(noise) - 1)
            made = pipeline.planes(z[rows], [noise[i] for i in rows], guidance=guidance)
            yield from made[: len(noise) - start]

    def look(
        self, planes: Planes, camera: Camera, pipeline: RodinPipeline | None = None
    ) -> UInt8[np.ndarray, "v s s 3"]:
        """Pictures of generated planes over white from v cameras, as avatars are drawn."""
        part = (pipeline or self.pipeline).bundle.parts["decoder"]
        grid = avatar_programs.survey(part.module, part.params, planes, whole=True)
        views = [jax.tree.map(lambda x, i=i: x[i], camera) for i in range(len(camera.pose))]
        drawn = [_view(part.module, part.params, planes, grid, v, self.size) for v in views]
        return np.stack([np.asarray(picture) for picture in drawn])

    def fronts(
        self, z: Float[Array, "n d"], noise: Sequence[Noise], what: str
    ) -> UInt8[np.ndarray, "n s s 3"]:
        """Front views of the avatars of these latents and noise."""
        return np.stack([self.front(planes) for planes in self.make(z, noise, what=what)])

    def front(self, planes: Planes) -> UInt8[np.ndarray, "s s 3"]:
        """The front view of planes."""
        return self.look(planes, avatars.front_camera(self.size))[0]


def alone(seeds: Iterable[int]) -> list[Noise]:
    """The noise of each seed."""
    return [((seed, 1.0),) for seed in seeds]


def sheet(pictures: UInt8[np.ndarray, "n s s 3"], columns: int) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures as one sheet, row after row; a last row that is not full ends in white."""
    missing = -len(pictures) % columns
    white = np.full((missing, *pictures.shape[1:]), 255, np.uint8)
    rows = np.concatenate([pictures, white]).reshape(-1, columns, *pictures.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


@functools.partial(jax.jit, static_argnums=(0, 5))
def _view(decoder: Decoder, params, planes: Planes, grid: Occupancy, camera: Camera, size: int):
    """One view, as `Avatar.render` draws it, from any camera; uint8."""
    field = planes_field(decoder, params, planes)
    picture = render_view(field, grid, camera, size, size, samples=_SAMPLES)
    return jnp.round(255 * jnp.clip(over(picture, 1.0), 0, 1)).astype(jnp.uint8)
