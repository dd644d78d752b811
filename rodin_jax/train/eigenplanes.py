"""The eigenplanes of a set of fits, and the network that denoises their coefficients."""

import logging
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Float

from rodin_jax import triplanes
from rodin_jax.data.planes import PlanesStore, PlaneStatistics
from rodin_jax.diffusion import schedules
from rodin_jax.nn import weights
from rodin_jax.nn.eigenplanes import CoefficientNet, Inside, unpack
from rodin_jax.nn.line import Line, somebody
from rodin_jax.train import export, fitted, latents, portraits, span, stage
from rodin_jax.train import state as train_state
from rodin_jax.train.importance import importance
from rodin_jax.train.regression import as_rows, follow

PART = "eigenplanes"
FORETOLD = "foretold.safetensors"  # what latents foretell of each subject, in its store's order


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Takes the components of ``config.planes_dir``'s planes and trains on their coefficients.

    Besides the export, `FORETOLD` has what latents foretell of everybody, learned from the others.
    """
    size = config.base_size
    store = fitted.open_store(config.planes_dir, [size])
    scale = store.statistics(size)
    planes = normalised(store, scale, mirrored=config.mirror)
    z = latents.subject_latents(store, config.clip_dir, mirrored=config.mirror)
    unseen = round(config.unseen * len(store))
    seen = slice(None, len(store) - unseen)
    weight = importance(
        store, fitted.Decoded(config.planes_dir), scale.std, **config.importance.to_dict()
    )
    found = span.learn(
        planes[seen], weight, size=size, rank=config.model.rank, **config.span.to_dict()
    )
    shares = found.explained(planes[seen]), found.explained(planes[len(store) - unseen :])
    logging.info("%d eigenplanes hold %.1f %% of what is seen", config.model.rank, 100 * shares[0])

    coefficients = found.coefficients(planes)
    del planes
    packed = found.arrays
    followed = follow(
        coefficients[seen], z[seen], packed["mean"], counts=found.counts(), **config.bend.to_dict()
    )
    packed |= followed.arrays
    numbers = 3 * size**2 * store.shape[-1]
    line = unpack(packed, numbers, config.model.rank, z.shape[-1]).line
    left = float(line.told.sum() / line.spectrum.sum())
    logging.info("latents leave %.1f %% of that to be guessed", 100 * left)
    foretold = np.array(line.prior(jnp.asarray(as_rows(z)))[0])
    foretold = foretold.reshape(coefficients.shape)
    # As far from it as if the line had not seen them; what is left is foretold by the others.
    left_out = followed.unseen_errors()
    examples = portraits.Rows(coefficients=as_rows(foretold[seen] + left_out), z=as_rows(z[seen]))
    foretold[seen] = coefficients[seen] - left_out
    weights.save_params(Path(workdir) / FORETOLD, {"coefficients": foretold[:, 0]}, dtype="float16")
    schedule = schedules.make(config.process.schedule, config.process.steps)
    model_options = config.model.to_dict()
    net = CoefficientNet(**model_options)
    loss_fn = make_loss(
        net,
        line,
        schedule,
        latent_dropout=config.latent_dropout,
        latent_noise=config.latent_noise,
        emphasis=config.emphasis,
    )
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    one = (jnp.zeros((1, net.rank)), jnp.zeros(1, jnp.int32), jnp.zeros((1, z.shape[-1])))
    params = stage.initial(net, init_key, *one)
    done = stage.train(config, workdir, loss_fn, params, train_key, examples)
    figures = {
        "subjects": len(store) - unseen,
        "variance_held": round(shares[0], 4),
        "left_by_latents": round(left, 4),
    }
    if unseen:
        rest = [jnp.asarray(as_rows(x[-unseen:])) for x in (coefficients, z)]
        figures["variance_held_unseen"] = round(shares[1], 4)
        figures["loss_unseen"] = round(unseen_loss(net, done.weights, line, schedule, *rest), 4)
        logging.info("of %d people it has not seen: %s", unseen, figures)
    export.write_export(
        workdir,
        PART,
        model_options,
        done.weights,
        process=config.process.to_dict(),
        arrays=weights.flatten({PART: packed}),
        trained={**done.figures, **figures},
    )


def load(directory: str | os.PathLike) -> Inside:
    """What the stage exported.

    Raises:
      FileNotFoundError: nothing was exported there.
      ValueError: it is the export of another stage.
    """
    found = export.read_export(directory, PART)
    stored = weights.unflatten(found.arrays)[PART]
    params = jax.tree.map(jnp.asarray, found.params)
    net = CoefficientNet(**found.model)
    dim = len(params["latent"]["kernel"])  # there is no slope in exports of before there was one
    return Inside(unpack(stored, len(stored["rest"]), net.rank, dim), params, net)


def normalised(
    store: PlanesStore, statistics: PlaneStatistics, *, mirrored: bool
) -> Float[np.ndarray, "n v 3 h w c"]:
    """All planes of a store by these statistics; also mirrored if asked."""

    @jax.jit
    def read(planes):
        views = [planes, triplanes.mirror(planes)] if mirrored else [planes]
        return jnp.stack([statistics.normalise(v) for v in views])

    every = (store.planes(i).astype(np.float32) for i in range(len(store)))
    return np.stack([np.asarray(read(planes)) for planes in every])


def make_loss(
    net: CoefficientNet,
    line: Line,
    schedule: schedules.Schedule,
    *,
    latent_dropout: float,
    latent_noise: float,
    emphasis: float,
) -> train_state.LossFn:
    """Mean squared error of what is not Gaussian in the coefficients, each in its own spread.

    Coefficients weigh as `Line.weights` says.

    Its batch holds ``coefficients [b, k]`` and ``z [b, d]``. Noise is added to the latents, because
    a few hundred of them are easily learned by heart; and they are zeroed as for the base model.
    """
    weights = line.weights(emphasis)

    def loss_fn(params, batch, key):
        t_key, noise_key, null_key, blur_key, drop_key = jax.random.split(key, 5)
        c, z = batch["coefficients"], batch["z"]
        t = jax.random.randint(t_key, c.shape[:1], 0, schedule.steps)
        z = latents.drop_latents(z, null_key, latent_dropout)
        u, wanted = line.lesson(schedule, c, t, z, jax.random.normal(noise_key, c.shape))
        blurred = z + latent_noise * jax.random.normal(blur_key, z.shape)
        heard = jnp.where(somebody(z), blurred, z)
        said = net.apply(
            {"params": params}, u, t, heard, deterministic=False, rngs={"dropout": drop_key}
        )
        return jnp.mean(weights * (said - wanted) ** 2), {}

    return loss_fn


def unseen_loss(
    net: CoefficientNet, params, line: Line, schedule: schedules.Schedule, c, z
) -> float:
    """The loss, with latents as they are, at eight times from the least to the most noisy."""

    @jax.jit
    def at(t):
        t = jnp.full(c.shape[:1], t)
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), t[0]), c.shape)
        u, wanted = line.lesson(schedule, c, t, z, noise)
        return jnp.mean((net.apply({"params": params}, u, t, z) - wanted) ** 2)

    times = np.linspace(0, schedule.steps - 1, 8).astype(int)
    return float(np.mean([at(t) for t in times]))
