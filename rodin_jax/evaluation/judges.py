"""Who judges the pictures: a network that sees likeness, and the probe that names attributes."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from rodin_jax.bundle import Bundle
from rodin_jax.metrics import perceptual_distance
from rodin_jax.nn import clip as towers
from rodin_jax.nn.probe import Probe
from rodin_jax.nn.vgg import STAGES, Vgg16, load_vgg16
from rodin_jax.train import probe as probing
from rodin_jax.train.export import read_export
from rodin_jax.train.portraits import shrink
from rodin_jax.triplanes import resize_matrix

Pixels = UInt8[np.ndarray, "n s s 3"]
_AT_ONCE = 32  # pictures; fewer are filled up, so that one program does for all
# Questions the report is about: what people call them, and what the probe is asked.
JUDGED = {
    "hair colour": "hair_colour",
    "hair style": "hair_style",
    "skin": "skin_group",
    "glasses": "glasses",
    "headwear": "headwear",
    "facial hair": "facial_hair_present",
    "expression": "expression",
    "clothing colour": "clothing_colour",
}


@dataclasses.dataclass(frozen=True)
class Eye:
    """A network that sees how alike pictures are.

    Attributes:
      name: which one, printed beside every number that it gives.
      features: pictures -> features, one row for each.
      levels: pictures in [0, 1] -> feature maps, finest first.
    """

    name: str
    features: Callable[[Pixels], Float[np.ndarray, "n d"]]
    levels: Callable[[Float[Array, "n h w 3"]], Sequence[Array]]

    @functools.cached_property
    def _apart(self):
        return jax.jit(
            lambda a, b: perceptual_distance(self.levels, a / 255.0, b / 255.0),
        )

    def distance(self, a: Pixels, b: Pixels) -> Float[np.ndarray, "n"]:
        """The perceptual distance of each pair, see `metrics.perceptual_distance`."""
        return np.asarray(self._apart(a, b))


def tower(bundle: Bundle) -> Eye:
    """The bundle's own image tower; features of about unit size (`nn.clip.normalise`)."""
    part = bundle.parts["clip"]

    def features(pictures):
        found = [towers.encode_images(part.module, part.params, p) for p in _full(pictures)]
        return np.asarray(towers.normalise(jnp.concatenate(found)))[: len(pictures)]

    levels = functools.partial(towers.image_levels, part.module, part.params)
    return Eye(f"the bundle's own image tower ({part.module.dim} features)", features, levels)


def vgg16(path: str | os.PathLike) -> Eye:
    """VGG16 of a file in torchvision's layout: means of its last features, as `nn.vgg` has them.

    Raises:
      WeightsError: not such a file.
    """
    params = load_vgg16(path, stages=5)
    deep, shallow = Vgg16(stages=5), Vgg16()

    @jax.jit
    def pooled(pictures):
        return deep.apply(params, pictures / 255.0)[-1].mean((1, 2))

    def features(pictures):
        found = [np.asarray(pooled(part)) for part in _full(pictures)]
        return np.concatenate(found)[: len(pictures)]

    names = [f"conv_{number}" for stage in STAGES[: shallow.stages] for number, _ in stage]
    first = {"params": {name: params["params"][name] for name in names}}
    return Eye("VGG16 (512 features)", features, lambda x: shallow.apply(first, x))


def _full(pictures: Pixels) -> Iterator[np.ndarray]:
    """Parts of `_AT_ONCE` pictures; the last one is filled up with its last picture."""
    rows = np.arange(len(pictures) + -len(pictures) % _AT_ONCE).reshape(-1, _AT_ONCE)
    yield from (pictures[np.minimum(part, len(pictures) - 1)] for part in rows)


@dataclasses.dataclass(frozen=True)
class Reader:
    """The attribute probe.

    Attributes:
      probe: the network.
      params: its weights.
      unseen: its accuracy on people it has not met, by question: ``accuracy`` and ``people``.
      name: where it comes from.
    """

    probe: Probe
    params: Any
    unseen: Mapping[str, Mapping[str, float | int]]
    name: str

    def read(self, pictures: Pixels) -> list[dict[str, str]]:
        """What the probe says of each front view over white: question -> answer."""
        size = self.probe.image_size
        if pictures.shape[1] != size:
            matrix = resize_matrix(pictures.shape[1], size)
            pictures = np.stack([shrink(p.astype(np.float32), matrix) for p in pictures])
        said = probing.predict(self.probe, self.params, pictures, batch_size=_AT_ONCE)
        return [
            {name: answers[k] for (name, answers), k in zip(self.probe.questions, row, strict=True)}
            for row in said
        ]

    def held_out(self, question: str) -> float | None:
        """Its accuracy on people it has not met."""
        return self.unseen.get(question, {}).get("accuracy")


def find_reader(path: str | os.PathLike | None, bundle: Bundle) -> Reader | None:
    """The probe of a ``probe`` stage's work folder, else the bundle's own, else None.

    Raises:
      FileNotFoundError: nothing was exported there.
      ValueError: it is another part, or asks other questions.
    """
    if path is not None:
        export = read_export(path, "probe")
        found = Probe(**export.model), export.params, export.trained, str(path)
    elif "probe" in bundle.parts:
        part = bundle.parts["probe"]
        found = part.module, part.params, part.trained, "the bundle's own"
    else:
        return None
    probe, params, trained, name = found
    asked = {question for question, _ in probe.questions}
    if missing := sorted(set(JUDGED.values()) - asked):
        raise ValueError(f"{name}: the probe is not asked about {', '.join(missing)}")
    return Reader(probe, jax.tree.map(jnp.asarray, params), trained.get("unseen", {}), name)
