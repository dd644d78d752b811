"""The base diffusion model (paper 3.2): low-resolution planes given the latent of a front view.

Symbols: x0 normalised planes ``[b, 3, h, h, c]`` at the base size, x_t noised ones, z latents
``[b, d]`` of unit variance, zeros for the null condition.
"""

import logging
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array

from rodin_jax import triplanes
from rodin_jax.data.planes import PlaneStatistics
from rodin_jax.diffusion import process, samplers, schedules
from rodin_jax.nn.eigenplanes import Inside
from rodin_jax.nn.unet import UNet
from rodin_jax.train import eigenplanes, export, fitted, latents, sharding, stage
from rodin_jax.train import state as train_state

PART = "base"
PREVIEWS = 6  # subjects in a sample picture


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on the planes of ``config.planes_dir``, latents from ``config.clip_dir``; exports.

    With ``config.eigenplanes_dir``, the work folder of that stage, on what its eigenplanes leave.
    """
    store = fitted.open_store(config.planes_dir, [config.base_size])
    statistics = store.statistics(config.base_size)
    decoded = fitted.Decoded(config.planes_dir)
    z = latents.subject_latents(store, config.clip_dir, mirrored=config.mirror)
    logging.info("%d subjects, latents of %d dimensions", len(store), z.shape[-1])
    inside = eigenplanes.load(config.eigenplanes_dir) if config.eigenplanes_dir else None

    channels = store.shape[3]
    schedule = schedules.make(config.process.schedule, config.process.steps)
    model_options = {
        **config.model.to_dict(),
        "out_channels": channels * (2 if config.process.learned_variance else 1),
    }
    model = UNet(**model_options)
    apply = with_inside(
        model.apply,
        inside,
        schedule,
        prediction=config.process.prediction,
        learned_variance=config.process.learned_variance,
    )
    loss_fn = make_loss(
        apply,
        schedule,
        statistics,
        prediction=config.process.prediction,
        learned_variance=config.process.learned_variance,
        latent_dropout=config.latent_dropout,
        mirror=config.mirror,
    )

    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    x = jnp.zeros((1, 3, config.base_size, config.base_size, channels))
    params = stage.initial(model, init_key, x, jnp.zeros(1, jnp.int32), jnp.asarray(z[:1, 0]))

    def with_latent(example):
        return {"planes": example["planes"], "z": z[example["index"]]}

    done = stage.train(
        config,
        workdir,
        loss_fn,
        stage.continued(params, config.start, PART),
        train_key,
        fitted.Subjects(store, config.base_size),
        transform=with_latent,
        on_checkpoint=_preview(config, apply, schedule, store, statistics, decoded, z),
    )
    export.write_export(
        workdir,
        PART,
        model_options,
        done.weights,
        process=config.process.to_dict(),
        arrays=fitted.statistics_arrays(store, [config.base_size]),
        trained={**done.figures, "subjects": len(store)},
    )


def with_inside(
    apply: Callable[..., Array],
    inside: Inside | None,
    schedule: schedules.Schedule,
    *,
    prediction: str,
    learned_variance: bool,
) -> Callable[..., Array]:
    """The network, silent within the span of the eigenplanes, whose own network speaks there.

    So the base network has nothing to learn inside. Without ``inside`` it is left as it is.
    """
    if inside is None:
        return apply

    def composed(variables, x_t, t, z, **rest):
        output = apply(variables, x_t, t, z, **rest)
        return inside.speak(
            output, x_t, t, z, schedule, prediction=prediction, learned_variance=learned_variance
        )

    return composed


def make_loss(
    apply: Callable[..., Array],
    schedule: schedules.Schedule,
    statistics: PlaneStatistics,
    *,
    prediction: str = "eps",
    learned_variance: bool = True,
    latent_dropout: float = 0.2,
    mirror: bool = True,
) -> train_state.LossFn:
    """The hybrid loss at a uniform t, the latent zeroed with probability ``latent_dropout``.

    ``apply`` is the network's. The batch holds ``planes [b, 3, h, h, c]`` in feature units, and
    ``z [b, v, d]``: latents of the subject and, with ``mirror``, of the mirrored subject (v = 2).
    """

    def loss_fn(params, batch, key):
        flip_key, t_key, noise_key, null_key, dropout_key = jax.random.split(key, 5)
        planes, z = batch["planes"].astype(jnp.float32), batch["z"][:, 0]
        if mirror:
            planes, flipped = fitted.mirror_half(planes, flip_key)
            z = jnp.where(flipped[:, None], batch["z"][:, 1], z)
        x0 = statistics.normalise(planes)
        t = jax.random.randint(t_key, x0.shape[:1], 0, schedule.steps)
        noise = jax.random.normal(noise_key, x0.shape)
        x_t = process.q_sample(schedule, x0, t, noise)
        z = latents.drop_latents(z, null_key, latent_dropout)
        output = apply(
            {"params": params}, x_t, t, z, deterministic=False, rngs={"dropout": dropout_key}
        )
        losses = process.hybrid_loss(
            schedule,
            output,
            x0,
            x_t,
            t,
            noise,
            prediction=prediction,
            learned_variance=learned_variance,
        )
        return losses.total.mean(), {
            "simple": losses.simple.mean(),
            "variational": losses.variational.mean(),
        }

    return loss_fn


def _preview(config, apply, schedule, store, statistics, decoded, z):
    """A callback: above the fits at the base size, below samples given the same latents."""
    count = min(PREVIEWS, len(store))
    truth = np.stack([store.planes(i) for i in range(count)]).astype(np.float32)
    truth = triplanes.resize(jnp.asarray(truth), config.base_size)
    latent = jnp.asarray(z[:count, 0])

    @jax.jit
    def sample(params, key):
        noise_key, sample_key = jax.random.split(key)
        x = samplers.ddim(
            lambda x_t, t: apply({"params": params}, x_t, t, latent),
            jax.random.normal(noise_key, truth.shape),
            schedule,
            sample_key,
            steps=config.preview.steps,
            prediction=config.process.prediction,
            learned_variance=config.process.learned_variance,
            clip=statistics.bounds(),
        )
        return statistics.denormalise(x)

    def draw(state, step):
        params = jax.tree.map(jnp.asarray, sharding.to_host(state.ema))
        size = config.preview.size
        planes = sample(params, jax.random.key(config.seed))
        return {
            "samples": np.concatenate([decoded.strip(truth, size), decoded.strip(planes, size)])
        }

    return draw if config.preview.size else None
