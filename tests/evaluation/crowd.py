"""Unseen people whose pictures tell them apart at a glance, without a renderer, and a probe."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.data import avatars
from rodin_jax.data.builder import Subject
from rodin_jax.evaluation.people import WORLD, Crowd
from rodin_jax.nn.probe import Probe
from rodin_jax.train import probe as probing
from rodin_jax.train.export import write_export

SIZE = 32


def person(index: int, views: int = 1) -> Subject:
    """Person ``index``, a face of one colour on nothing."""
    spec = avatars.sample_spec(WORLD, index)
    front = np.zeros((SIZE, SIZE, 4), np.uint8)
    front[4:28, 8:24] = [*np.random.default_rng(index).integers(0, 256, 3), 255]
    return Subject(
        id=f"{WORLD}-{index:06d}",
        views=np.stack([front] * views),
        cameras=avatars.training_cameras(WORLD, index, views, SIZE),
        front=front,
        captions=("a person",),
        attributes=avatars.attributes(spec),
    )


def make(count: int, around: int, views: int) -> Crowd:
    """So many people, of whom some are seen all round."""
    people = [person(i) for i in range(count)]
    learned = [person(1000 + i).front for i in range(6)]
    return Crowd(people, [person(i, views) for i in range(around)], "made of colours", learned)


def write_probe(folder: Path) -> Path:
    """Exports an untrained probe that is asked about everything."""
    known = [probing.answers(person(i).attributes) for i in range(60)]
    model = {"questions": probing.ask(known), "image_size": SIZE, "width": 4, "colours": 4}
    net = Probe(**model)
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))["params"]
    unseen = {name: {"accuracy": 0.5, "people": 10} for name, _ in model["questions"]}
    write_export(folder, "probe", model, params, trained={"unseen": unseen})
    return folder
