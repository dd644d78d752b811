"""Pairs of pictures that the refiner learns from: a rendering, and the truth at twice its size.

A subject's planes and its pictures are joined by its id, so the data set may be another one than
the planes were fitted to: the same people at a larger size. The truth is its pictures as they are
stored, ``S`` pixels along an edge, the rendering has ``S / 2`` of the same cameras. Everything is
drawn once, before training, and kept on disk; a picture is straight RGBA, so that training may
put it in front of any colour.

The paper trains the refiner jointly with the upsampler (3.3): it sees renderings of what the
upsampler predicts. `upsampled_by` gives those predictions of a trained upsampler.
"""

import functools
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from rodin_jax import triplanes
from rodin_jax.cameras import Camera
from rodin_jax.data.builder import load_subjects
from rodin_jax.data.planes import PlaneStatistics
from rodin_jax.diffusion import process, schedules
from rodin_jax.nn.decoder import Decoder, density, field
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.occupancy import Occupancy, render_view, survey_closely
from rodin_jax.train import export, fitted, shelf

_GRID = 128

Upsampling = Callable[[Float[Array, "3 h w c"], Array], Float[Array, "3 h w c"]]


class Pairs(Sequence):
    """Examples ``{"low": uint8 [s, s, 4], "high": uint8 [2s, 2s, 4]}``, read when looked at.

    Args:
      low: renderings of n subjects, ``[n, v, s, s, 4]``.
      high: the truth, ``[n, v, 2s, 2s, 4]``.
    """

    def __init__(self, low: UInt8[np.ndarray, "n v s s 4"], high: UInt8[np.ndarray, "n v S S 4"]):
        self.low, self.high = low, high

    def __len__(self) -> int:
        return self.low.shape[0] * self.low.shape[1]

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        place = divmod(index.__index__() % len(self), self.low.shape[1])
        return {"low": self.low[place], "high": self.high[place]}

    def split(self, held_out: int) -> tuple["Pairs", "Pairs"]:
        """(all subjects but the last ``held_out``, those); at least one stays on the left."""
        cut = max(len(self.low) - held_out, 1)
        return Pairs(self.low[:cut], self.high[:cut]), Pairs(self.low[cut:], self.high[cut:])


def draw_pairs(
    planes_dir: str | os.PathLike,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    *,
    subjects: int = 0,
    views: int = 0,
    samples: int = 16,
    upsampler_dir: str | os.PathLike = "",
    upsampled: float = 0.0,
    seed: int = 0,
) -> tuple[Pairs, Path]:
    """The pairs and the folder in ``workdir`` that holds them; drawn unless they are there.

    Args:
      planes_dir: workdir of the fit stage.
      data_dir: written by `rodin data`; its training subjects that were fitted count.
      workdir: where to draw; on several hosts a folder that all of them see.
      subjects: at most so many; 0 takes all.
      views: pictures of each, evenly spaced among its own; 0 takes all.
      samples: field evaluations a ray.
      upsampler_dir: workdir of the upsampler stage; may be empty if ``upsampled`` is 0.
      upsampled: share of the views, at random, that show what `upsampled_by` makes of the planes.
      seed: of everything random.

    Raises:
      ValueError: no data set or store there, none of its subjects was fitted, or its pictures
        have an odd size.
    """
    if not str(data_dir):
        raise ValueError("config.data_dir is empty, expected a folder written by `rodin data`")
    store, decoded = fitted.open_store(planes_dir, []), fitted.Decoded(planes_dir)
    fits = {name: i for i, name in enumerate(store.ids())}
    names = load_subjects(data_dir, "train", views=False)
    chosen = [(i, fits[s.id]) for i, s in enumerate(names) if s.id in fits]
    chosen = chosen[: subjects or None]
    if not chosen:
        raise ValueError(
            f"{data_dir}: shows none of the people in {store.directory}; expected their pictures, "
            "perhaps at another size (`rodin data` with the same seed)"
        )
    pictures = load_subjects(data_dir, "train")
    count, size = pictures[0].views.shape[:2]
    if size % 2:
        raise ValueError(f"{data_dir}: pictures of {size} pixels, expected an even number")
    upsampling = upsampled_by(upsampler_dir) if upsampled else None
    kept = np.linspace(0, count - 1, min(views or count, count)).round().astype(int)

    def tree_of(n):
        subject, planes = pictures[chosen[n][0]], store.planes(chosen[n][1])
        return {
            "high": subject.views[kept],
            "low": _draw(
                decoded, planes, jax.tree.map(lambda x: x[kept], subject.cameras), size // 2,
                samples, upsampling, upsampled, np.random.default_rng((seed, n)),
            ),
        }  # fmt: skip

    places = [store.decoder_hash, str(data_dir), str(upsampler_dir) if upsampled else ""]
    plan = [chosen, kept.tolist(), size, samples, upsampled, seed, *places]
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()[:8]
    folder = Path(workdir) / f"pairs-{digest}"
    if jax.process_index() == 0 and not folder.exists():
        logging.info("drawing %d pictures of %d pixels", len(chosen) * len(kept), size // 2)
        with tqdm(total=len(chosen), unit="subject", desc="drawing", disable=None) as bar:

            def counted(n):
                tree = tree_of(n)
                bar.update()
                return tree

            shelf.make(folder, len(chosen), counted)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(folder.name)
    found = shelf.Shelf(folder, {"high": 0, "low": 0}).files()
    return Pairs(found["low"], found["high"]), folder


def half(camera: Camera) -> Camera:
    """The same view with half as many pixels along each edge."""
    return Camera(camera.pose, camera.focal / 2, camera.centre / 2)


def upsampled_by(upsampler_dir: str | os.PathLike) -> Upsampling:
    """What a trained upsampler predicts of a subject's planes: x0 from y_t at a random t.

    Its condition is the subject's own planes at the low size, not degraded. These are the planes
    that the paper's joint training renders; at small t they are nearly the fit, at large t all
    that the low planes tell.

    Args:
      upsampler_dir: workdir of the upsampler stage.

    Returns:
      ``(planes, key) -> planes``, both in feature units; it consumes the key.

    Raises:
      FileNotFoundError: nothing was exported there.
      ValueError: it is the export of another stage.
    """
    found = export.read_export(upsampler_dir, "upsampler")
    model, options = Upsampler(**found.model), found.process
    schedule = schedules.make(options["schedule"], options["steps"])
    size = max(int(name.split("/")[1]) for name in found.arrays)
    low_scale, high_scale = (
        PlaneStatistics(
            *(
                jnp.asarray(found.arrays[f"statistics/{s}/{field}"])
                for field in ("mean", "std", "low", "high")
            )
        )
        for s in (size // model.factor, size)
    )

    @jax.jit
    def predict(planes, key):
        t_key, noise_key = jax.random.split(key)
        low = low_scale.normalise(triplanes.resize(planes, size // model.factor))[None]
        y = high_scale.normalise(triplanes.resize(planes, size))[None]
        t = jax.random.randint(t_key, (1,), 0, schedule.steps)
        y_t = process.q_sample(schedule, y, t, jax.random.normal(noise_key, y.shape))
        output = model.apply({"params": found.params}, y_t, low, t)
        x0 = process.predict_x0(schedule, output, y_t, t, options["prediction"])
        return high_scale.denormalise(jnp.clip(x0, *high_scale.bounds()))[0]

    return predict


def cut_patch(
    pair: dict[str, np.ndarray],
    rng: np.random.Generator,
    *,
    patch: int,
    tries: int = 2,
    mirror: bool = True,
) -> dict[str, np.ndarray]:
    """A random patch of a pair: ``{"low": uint8 [p, p, 4], "high": uint8 [2p, 2p, 4]}``.

    Args:
      pair: see `Pairs`.
      rng: draws the place.
      patch: pixels along an edge of the rendering's part, at most its size.
      tries: random places, of which the one with most of the subject is taken; the background
        teaches little.
      mirror: half of the patches are shown as a mirror shows them.
    """
    room = pair["low"].shape[0] - patch + 1
    if room < 1:
        raise ValueError(f"patches of {patch} pixels from renderings of {room + patch - 1}")
    corners = rng.integers(0, room, (tries, 2))
    covered = [pair["low"][y : y + patch, x : x + patch, 3].sum(dtype=int) for y, x in corners]
    y, x = corners[int(np.argmax(covered))]
    flip = slice(None, None, -1 if mirror and rng.random() < 0.5 else 1)

    def cut(picture, k):
        part = picture[k * y : k * (y + patch), k * x : k * (x + patch)]
        return np.array(part[:, flip], order="C", subok=False)

    return {"low": cut(pair["low"], 1), "high": cut(pair["high"], 2)}


def _draw(decoded, planes, cameras: Camera, size: int, samples: int, upsampling, share, rng):
    """Views of one subject, some of them of its upsampled planes, uint8 ``[v, size, size, 4]``."""
    upsampled = (rng.random(len(cameras.pose)) < share).tolist()
    shown = {False: jnp.asarray(planes, jnp.float32)}
    if any(upsampled):
        shown[True] = upsampling(shown[False], jax.random.key(rng.integers(2**31)))
    grids = {k: _survey(decoded.decoder, decoded.params, p) for k, p in shown.items()}
    return np.stack(
        [
            _view(
                decoded.decoder, decoded.params, shown[which], grids[which],
                half(jax.tree.map(lambda x, i=i: x[i], cameras)), size, samples,
            )
            for i, which in enumerate(upsampled)
        ]
    )  # fmt: skip


@functools.partial(jax.jit, static_argnums=0)
def _survey(decoder: Decoder, params, planes) -> Occupancy:
    return survey_closely(functools.partial(density, decoder, params, planes), _GRID)


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def _view(decoder: Decoder, params, planes, grid, camera, size: int, samples: int):
    """Straight RGBA, as `Avatar.render` draws it."""
    found = render_view(field(decoder, params, planes), grid, camera, size, size, samples=samples)
    alpha = found.alpha[..., None]
    rgba = jnp.concatenate([found.rgb / jnp.maximum(alpha, 1e-3), alpha], axis=-1)
    return jnp.round(jnp.clip(rgba, 0.0, 1.0) * 255).astype(jnp.uint8)
