"""The joint stage of fitting: one decoder learned with the planes of the first subjects (3.1).

A step visits a random group of the subjects, so that none is forgotten while others are learned;
then the decoder is frozen and all subjects, these included, are fitted to it.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array

from rodin_jax import triplanes
from rodin_jax.nn.decoder import Decoder
from rodin_jax.train import fitting


def spread(function: Callable, sharded: tuple[bool, ...]) -> Callable:
    """``function`` of one subject, made a function of as many as a multiple of the devices.

    Args:
      function: takes and returns trees of arrays.
      sharded: for each argument, whether it has a leading axis of subjects or is shared by all.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    specs = tuple(PartitionSpec("data") if s else PartitionSpec() for s in sharded)
    many = jax.vmap(function, in_axes=tuple(0 if s else None for s in sharded))
    return jax.jit(
        jax.shard_map(
            many, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("data"), check_vma=False
        )
    )


def fit_jointly(
    scenes: fitting.Scene,
    decoder: Decoder,
    key: Array,
    *,
    options: fitting.FitOptions,
    size: int,
    channels: int,
    steps: int,
    group: int,
    rate: float = 3e-2,
    decoder_rate: float = 5e-3,
    report: Callable[[int, float], None] = lambda step, mse: None,
):
    """Learns a decoder together with the planes of several subjects, coarse to fine.

    Args:
      scenes: the subjects, stacked on a leading axis.
      decoder: the network to train.
      key: consumed.
      options: weights and sizes.
      size: texels along an edge of the planes.
      channels: features of a texel.
      steps: in all, over three resolutions.
      group: subjects a step; rounded up to a multiple of the devices.
      rate: learning rate of the planes at the start of each resolution.
      decoder_rate: learning rate of the decoder at the start.
      report: called with the step and the mean MSE every fiftieth of the way.

    Returns:
      The decoder's parameters and the planes ``[n, 3, size, size, channels]``.
    """
    count = scenes.count.shape[0]
    group = -(-min(group, count) // jax.device_count()) * jax.device_count()
    planes_key, params_key, steps_key = jax.random.split(key, 3)
    dummy = jnp.zeros((1, channels)), jnp.zeros((1, 3))
    params = decoder.init(params_key, *dummy)["params"]
    coarse = max(size // 4, 2)
    planes = jax.vmap(lambda k: fitting.initial_planes(k, coarse, channels))(
        jax.random.split(planes_key, count)
    )
    tuner = optax.adam(optax.exponential_decay(decoder_rate, steps, 0.1))
    tuning = tuner.init(params)
    draw = np.random.default_rng(int(jax.random.randint(steps_key, (), 0, 2**31 - 1)))
    allowed, found = scenes.occupancy, scenes.occupancy
    survey = spread(
        lambda p, params, o: fitting.look_again(
            p, params, o, decoder=decoder, grid=options.grid
        ),
        (True, False, True),
    )  # fmt: skip

    done = 0
    for resolution, part in ((coarse, steps // 4), (max(size // 2, 2), steps // 4),
                             (size, steps - 2 * (steps // 4))):  # fmt: skip
        planes = triplanes.resize(planes, resolution)
        optimizer = fitting.plane_optimizer(max(part * group // count, 1), rate)
        moments = jax.vmap(optimizer.init)(planes)
        matrices = jnp.asarray(fitting.rescaling(resolution, min(options.lowest, resolution)))
        gradient = spread(
            jax.value_and_grad(
                functools.partial(
                    fitting.loss, decoder=decoder, options=options, matrices=matrices
                ),
                argnums=(0, 1),
                has_aux=True,
            ),
            (True, False, True, True),
        )

        @jax.jit
        def update(planes, params, moments, tuning, chosen, grads, optimizer=optimizer):
            plane_grads, param_grads = grads
            rows = jax.tree.map(lambda x: x[chosen], (planes, moments))
            changes, state = jax.vmap(optimizer.update)(plane_grads, rows[1])
            fresh = optax.apply_updates(rows[0], changes), state
            planes, moments = jax.tree.map(
                lambda old, new: old.at[chosen].set(new), (planes, moments), fresh
            )
            mean = jax.tree.map(lambda g: g.mean(0), param_grads)
            changes, tuning = tuner.update(mean, tuning)
            return planes, optax.apply_updates(params, changes), moments, tuning

        for _ in range(part):
            # With fewer subjects than a group holds, some are visited twice in a step.
            chosen = draw.permutation(np.resize(draw.permutation(count), max(count, group)))[:group]
            here = fitting.Scene(
                scenes.images[chosen],
                jax.tree.map(lambda x, chosen=chosen: x[chosen], scenes.camera),
                scenes.active[chosen],
                scenes.count[chosen],
                jax.tree.map(lambda x, chosen=chosen: x[chosen], found),
            )
            keys = jax.random.split(jax.random.fold_in(steps_key, done), group)
            (_, mse), grads = gradient(planes[chosen], params, here, keys)
            planes, params, moments, tuning = update(
                planes, params, moments, tuning, jnp.asarray(chosen), grads
            )
            # The cores of one CPU share a pool of threads: with several steps under way, those of
            # a later one can take the threads that an earlier one's all-reduce is waiting for.
            jax.block_until_ready(params)
            done += 1
            if done % max(steps // 50, 1) == 0:
                report(done, float(mse.mean()))
        found = _in_groups(lambda p, o, params=params: survey(p, params, o), planes, allowed)
    return params, planes


def _in_groups(function, planes, occupancy):
    """Applies ``function`` to as many subjects at a time as there are devices."""
    many = jax.device_count()
    count = planes.shape[0]
    pieces = []
    for start in range(0, count, many):
        rows = np.minimum(np.arange(start, start + many), count - 1)
        pieces.append(function(planes[rows], jax.tree.map(lambda x, rows=rows: x[rows], occupancy)))
    return jax.tree.map(lambda *x: jnp.concatenate(x)[:count], *pieces)
