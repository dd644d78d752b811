"""Fitting subjects whose planes are nearly known: only what pictures ask for changes.

Three planes and a decoder leave much undecided: the same picture can be had in many ways. Fits from
nowhere settle on one by chance, and what they have by chance no latent foretells. From planes that
are foretold of a subject, the shortest way to its pictures is the same function of what it looks
like for all.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax.nn import decoder as decoders
from rodin_jax.occupancy import Occupancy, occupancy_of
from rodin_jax.train.fitting import FINAL, FitOptions, descend, look_closely
from rodin_jax.train.scene import Scene

# Where parts of the steps end, each with an occupancy of its own.
_PARTS = (1 / 4, 5 / 8, 1.0)


def refit_planes(
    start: Float[Array, "3 h w c"],
    params,
    scene: Scene,
    key: Array,
    *,
    decoder: decoders.Decoder,
    options: FitOptions,
    steps: int,
    rate: float = 3e-2,
):
    """Fits one subject with a frozen decoder from planes that are foretold of it.

    Args:
      start: what others like the subject let expect of it.
      params: the decoder's parameters.
      scene: the subject.
      key: consumed.
      decoder: the network.
      options: weights and sizes; variation and decay are those of the way from ``start``.
      steps: in all, at full resolution.
      rate: initial learning rate.

    Returns:
      The fitted planes and the mean MSE of the last part of the steps.
    """
    planes, done = start, 0
    for share in _PARTS:
        until = round(share * steps)
        # Also outside of the hull: what is never looked at would never go.
        occupancy = look_closely(planes, params, decoder=decoder, grid=options.grid)
        if not done:
            occupancy = _either(occupancy, scene.occupancy)
        here = dataclasses.replace(scene, occupancy=occupancy)
        planes, errors = descend(
            planes, params, here, jax.random.fold_in(key, done), decoder=decoder, options=options,
            steps=until - done, rate=rate * FINAL ** (done / steps),
            final=FINAL ** ((until - done) / steps), origin=start,
        )  # fmt: skip
        done = until
    return planes, errors.mean()


def _either(found: Occupancy, hull: Occupancy) -> Occupancy:
    """Where one of them has something: where they differ, one is wrong."""
    return occupancy_of(found.occupied | hull.occupied, jnp.maximum(found.density, 0.0))
