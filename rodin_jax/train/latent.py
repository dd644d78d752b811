"""Diffusion of the latent z itself, for avatars out of nothing (suppl. B.4).

Most of what differs among latents lies along some dozens of axes, and noise of the size of the
others' variance is nothing to a network that sees all alike: what it samples is then nearly twice
as long. So it works on coordinates ``u`` of unit variance along each principal axis, ``z = u S``.
"""

import logging
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float

from rodin_jax.diffusion import process, schedules
from rodin_jax.nn import line as lines
from rodin_jax.nn.latent import LatentNet
from rodin_jax.train import export, fitted, latents, portraits, stage
from rodin_jax.train import state as train_state

PART = "latent"


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on the latents of ``config.data_dir``, or else of ``config.planes_dir``; exports."""
    z = training_latents(config)
    logging.info("%d latents of %d dimensions", *z.shape)
    model_options = {**config.model.to_dict(), "dim": z.shape[1]}
    model = LatentNet(**model_options)
    schedule = schedules.make(config.process.schedule, config.process.steps)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    params = stage.initial(model, init_key, jnp.asarray(z[:1]), jnp.zeros(1, jnp.int32))
    u, spread = whitened(z)
    counts = lines.emphasised(jnp.asarray((spread**2).sum(1)), config.emphasis)
    loss_fn = make_loss(model, schedule, config.process.prediction, config.loss, counts)
    done = stage.train(config, workdir, loss_fn, params, train_key, portraits.Rows(z=u))
    export.write_export(
        workdir,
        PART,
        model_options,
        done.weights,
        process=config.process.to_dict(),
        arrays={"spread": spread.astype(np.float16)},
        trained={**done.figures, "latents": len(z)},
    )


def training_latents(config: ml_collections.ConfigDict) -> Float[np.ndarray, "n d"]:
    """The z of every front view and of its mirror image.

    Raises:
      ValueError: the configuration names neither a data set nor fitted planes.
    """
    if not config.data_dir and not config.planes_dir:
        raise ValueError("config.data_dir and config.planes_dir are empty, expected one of them")
    encoder = latents.Encoder(config.clip_dir)
    if config.data_dir:
        source, views = portraits.open_subjects(config.data_dir), portraits.fronts
    else:
        source, views = fitted.open_store(config.planes_dir, []), fitted.front_views
    parts = [encoder.fronts(views(source, mirrored=mirrored)) for mirrored in (False, True)]
    return np.concatenate([np.asarray(part) for part in parts])


def whitened(
    z: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "d d"]]:
    """Coordinates of unit variance along the principal axes, and S, with ``z = u S``.

    Axes along which latents hardly differ keep a little variance, so that u stays finite.
    """
    spectrum, axes = np.linalg.eigh(np.cov(z, rowvar=False))
    deviation = np.sqrt(np.maximum(spectrum, 1e-4))
    u, spread = (z @ axes) / deviation, deviation[:, None] * axes.T
    return u.astype(np.float32), spread.astype(np.float32)


def make_loss(
    model: LatentNet,
    schedule: schedules.Schedule,
    prediction: str = "eps",
    loss: str = "l1",
    counts: Float[Array, "d"] | float = 1.0,
) -> train_state.LossFn:
    """Mean absolute (``l1``) or squared (``l2``) error at a uniform t; batches of ``z [b, d]``.

    ``counts`` says how much each coordinate counts.
    """
    if loss not in ("l1", "l2"):
        raise ValueError(f"config.loss must be 'l1' or 'l2', got {loss!r}")

    def loss_fn(params, batch, key):
        t_key, noise_key = jax.random.split(key)
        z = batch["z"]
        t = jax.random.randint(t_key, z.shape[:1], 0, schedule.steps)
        noise = jax.random.normal(noise_key, z.shape)
        z_t = process.q_sample(schedule, z, t, noise)
        error = model.apply({"params": params}, z_t, t)
        error = error - process.target(schedule, z, noise, t, prediction)
        return (counts * (jnp.abs(error) if loss == "l1" else error**2)).mean(), {}

    return loss_fn
