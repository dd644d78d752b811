"""The diffusion upsampler (paper 3.3): high planes given low ones, trained on planes and pictures.

Symbols: y high planes ``[b, 3, H, H, c]`` and low planes ``[b, 3, h, h, c]``, both normalised, each
by the statistics of its own size; y_t noised high planes; T = 100 steps, the network predicts y.
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
from rodin_jax.nn.eigenplanes import EigenPlanes
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.train import eigenplanes, export, fitted, sharding, stage
from rodin_jax.train import image_loss as images
from rodin_jax.train import state as train_state
from rodin_jax.train.degrade import degrade

PART = "upsampler"
PREVIEWS = 6  # subjects in a sample picture


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on the planes of ``config.planes_dir`` with the decoder beside them; exports.

    With ``config.eigenplanes_dir``, the work folder of that stage, on what its detail leaves.
    """
    low_size = config.base_size
    high_size = low_size * config.model.factor
    store = fitted.open_store(config.planes_dir, [low_size, high_size])
    low_scale, high_scale = store.statistics(low_size), store.statistics(high_size)
    decoded = fitted.Decoded(config.planes_dir)
    logging.info("%d subjects, planes %d -> %d", len(store), low_size, high_size)

    eigen = None
    if config.eigenplanes_dir:
        eigen = eigenplanes.load(config.eigenplanes_dir).eigenplanes

    psi, name = None, "none"
    if config.image_loss.perceptual:
        psi, name = images.load_features(config.vgg, config.clip_dir)
        logging.info("perceptual loss by %s", name)

    channels = store.shape[3]
    schedule = schedules.make(config.process.schedule, config.process.steps)
    model_options = {**config.model.to_dict(), "out_channels": channels}
    model = Upsampler(**model_options)
    loss_fn = make_loss(
        model.apply,
        schedule,
        low_scale,
        high_scale,
        decoded,
        prediction=config.process.prediction,
        low_size=low_size,
        degradation=config.degrade.to_dict(),
        image_loss=config.image_loss.to_dict(),
        features=psi,
        mirror=config.mirror,
        eigen=eigen,
    )

    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    y = jnp.zeros((1, 3, high_size, high_size, channels))
    low = jnp.zeros((1, 3, low_size, low_size, channels))
    params = stage.initial(model, init_key, y, low, jnp.zeros(1, jnp.int32))
    done = stage.train(
        config,
        workdir,
        loss_fn,
        stage.continued(params, config.start, PART),
        train_key,
        fitted.Subjects(store, high_size),
        transform=_planes_only,
        on_checkpoint=_preview(
            config, model, schedule, store, low_scale, high_scale, decoded, eigen
        ),
    )
    export.write_export(
        workdir,
        PART,
        model_options,
        done.weights,
        process=config.process.to_dict(),
        arrays=fitted.statistics_arrays(store, [low_size, high_size]),
        trained={
            **done.figures,
            "subjects": len(store),
            "perceptual": name,
        },
    )


def make_loss(
    apply: Callable[..., Array],
    schedule: schedules.Schedule,
    low_scale: PlaneStatistics,
    high_scale: PlaneStatistics,
    decoded: fitted.Decoded,
    *,
    prediction: str,
    low_size: int,
    degradation: dict,
    image_loss: dict,
    features: images.Features | None = None,
    mirror: bool = True,
    eigen: EigenPlanes | None = None,
) -> train_state.LossFn:
    """Mean square error of the planes plus two errors of rendered patches (3.3, eq. 4).

    Its batch holds ``planes [b, 3, H, H, c]`` in feature units.

    Args:
      apply: the network's; predicts ``prediction``, without a variance.
      schedule: of the process.
      low_scale: statistics at the base size.
      high_scale: statistics at the full size.
      decoded: the frozen decoder.
      prediction: what the network predicts; x0 in the paper.
      low_size: the base size h.
      degradation: options of `degrade`.
      image_loss: ``weight`` of the patches' mean square error, ``perceptual`` of their perceptual
        one, and the options of `image_loss.rendered_patches`; with both 0 nothing is rendered.
      features: Psi of the perceptual error.
      mirror: mirror half of the subjects.
      eigen: what detail the low planes foretell.
    """
    patches = dict(image_loss)
    weight, perceptual = patches.pop("weight"), patches.pop("perceptual", 0.0)

    def loss_fn(params, batch, key):
        flip_key, degrade_key, t_key, noise_key, dropout_key, image_key = jax.random.split(key, 6)
        planes = batch["planes"].astype(jnp.float32)
        if mirror:
            planes, _ = fitted.mirror_half(planes, flip_key)
        y = high_scale.normalise(planes)
        low = low_scale.normalise(triplanes.resize(planes, low_size))
        low = degrade(low, degrade_key, **degradation)
        t = jax.random.randint(t_key, y.shape[:1], 0, schedule.steps)
        noise = jax.random.normal(noise_key, y.shape)
        y_t = process.q_sample(schedule, y, t, noise)
        fine = eigen and eigen.fine(low)
        output = apply(
            {"params": params}, y_t, low, t, fine=fine, deterministic=False,
            rngs={"dropout": dropout_key},
        )  # fmt: skip
        wanted = process.target(schedule, y, noise, t, prediction)
        plane_loss = jnp.mean((output - wanted) ** 2)
        total, metrics = plane_loss, {"planes": plane_loss}
        if weight or perceptual:
            guess = process.predict_x0(schedule, output, y_t, t, prediction)
            seen, truth = images.rendered_patches(
                decoded, high_scale.denormalise(guess), high_scale.denormalise(y), image_key,
                **patches,
            )  # fmt: skip
            metrics["image"] = jnp.mean((seen - truth) ** 2)
            total += weight * metrics["image"]
            if perceptual:
                metrics["perceptual"] = images.perceptual_error(features, seen, truth)
                total += perceptual * metrics["perceptual"]
        return total, metrics

    return loss_fn


def _planes_only(example):
    return {"planes": example["planes"]}


def _preview(config, model, schedule, store, low_scale, high_scale, decoded, eigen):
    """A callback: fits, their low planes, and what the averaged weights make of those."""
    count = min(PREVIEWS, len(store))
    truth = np.stack([store.planes(i) for i in range(count)]).astype(np.float32)
    truth = triplanes.resize(jnp.asarray(truth), config.base_size * config.model.factor)
    small = triplanes.resize(truth, config.base_size)
    low = low_scale.normalise(small)
    fine = eigen and eigen.fine(low)

    @jax.jit
    def sample(params, key):
        noise_key, sample_key = jax.random.split(key)
        y = samplers.ddim(
            lambda y_t, t: model.apply({"params": params}, y_t, low, t, fine=fine),
            jax.random.normal(noise_key, truth.shape),
            schedule,
            sample_key,
            steps=config.preview.steps,
            prediction=config.process.prediction,
            clip=high_scale.bounds(),
        )
        return high_scale.denormalise(y)

    def draw(state, step):
        params = jax.tree.map(jnp.asarray, sharding.to_host(state.ema))
        rows = [truth, small, sample(params, jax.random.key(config.seed))]
        return {
            "samples": np.concatenate([decoded.strip(row, config.preview.size) for row in rows])
        }

    return draw if config.preview.size else None
