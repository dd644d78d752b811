"""One training step as a pure function, and where its arrays live.

A step is ``(state, batch) -> (state, metrics)``. It holds no collective: under `jit` with a batch
sharded over the ``data`` mesh axis the compiler inserts them, and a user may wrap the same function
in `jax.pmap`. Its randomness is ``fold_in(state.key, state.step)``, so a step depends on nothing
but the state and the batch, and a restored run repeats an uninterrupted one bit for bit.
"""

import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PyTree

from rodin_jax.types import pytree

# (params, batch, key) -> (scalar loss, scalar metrics by name); the mean over the batch.
LossFn = Callable[[Any, dict[str, Any], Any], tuple[Any, dict[str, Any]]]


@pytree
class TrainState:
    """Everything a run needs to continue.

    Attributes:
      step: updates done so far; also the position in the data.
      params: the weights being trained.
      ema: their exponential moving average, the weights a stage exports.
      ema_count: how many weights the average has seen; it sets the warm-up of the decay.
      opt_state: the optimiser's own state.
      key: constant; step n draws from ``fold_in(key, n)``.
    """

    step: Int[Array, "..."]
    params: PyTree
    ema: PyTree
    ema_count: Int[Array, "..."]
    opt_state: PyTree
    key: Key[Array, "..."]


def create(params: PyTree, optimizer: optax.GradientTransformation, key: Key[Array, ""]):
    """A state at step 0; the average starts at the weights themselves."""
    params = jax.tree.map(jnp.asarray, params)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params),  # its own buffers: the state is donated
        ema_count=jnp.zeros((), jnp.int32),
        opt_state=optimizer.init(params),
        key=key,
    )


def learning_rate(peak: float, *, steps: int, warmup: int = 0, decay: str = "constant"):
    """Linear warm-up from 0 to ``peak``, then constant, or a cosine to 0 at ``steps``."""
    if decay == "cosine":
        after = optax.cosine_decay_schedule(peak, max(steps - warmup, 1))
    elif decay == "constant":
        after = optax.constant_schedule(peak)
    else:
        raise ValueError(f"decay must be 'constant' or 'cosine', got {decay!r}")
    # From 1 / warmup, not from 0: the first update should not be thrown away.
    ramp = optax.linear_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1))
    return optax.join_schedules([ramp, after], [warmup])


def adamw(
    schedule: optax.Schedule | float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
) -> optax.GradientTransformation:
    """AdamW, with the gradient's global norm cut at ``clip`` before it (None: left alone)."""
    update = optax.adamw(schedule, b1=b1, b2=b2, weight_decay=weight_decay)
    return update if clip is None else optax.chain(optax.clip_by_global_norm(clip), update)


def ema_decay_at(count: Int[Array, "..."], decay: float) -> Float[Array, "..."]:
    """min(decay, (1 + n) / (10 + n)): a young average follows closely, an old one slowly."""
    n = count.astype(jnp.float32)
    return jnp.minimum(decay, (1 + n) / (10 + n))


def update_fn(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float,
    accumulate: int = 1,
    schedule: optax.Schedule | None = None,
) -> Callable[[TrainState, dict[str, Any]], tuple[TrainState, dict[str, Any]]]:
    """The pure, collective-free step; `make_step` compiles it.

    Args:
      loss_fn: ``(params, batch, key) -> (loss, metrics)``, means over the batch.
      optimizer: see `adamw`.
      ema_decay: the decay d of the moving average, reached after its warm-up.
      accumulate: micro-batches a step is cut into; the batch size must be a multiple.
      schedule: when given, ``learning_rate`` joins the metrics.

    Returns:
      ``step(state, batch)`` whose metrics hold ``loss``, ``grad_norm`` (before clipping) and
      whatever the loss reports.
    """
    gradient = jax.value_and_grad(loss_fn, has_aux=True)

    def mean_gradient(params, batch, key):
        if accumulate == 1:
            return gradient(params, batch, key)

        def add(total, part):
            return jax.tree.map(jnp.add, total, gradient(params, *part)), None

        parts = _split(batch, accumulate), jax.random.split(key, accumulate)
        first = jax.tree.map(lambda x: x[0], parts)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient, params, *first)
        )
        total, _ = jax.lax.scan(add, zeros, parts)
        return jax.tree.map(lambda x: x / accumulate, total)

    def step(state, batch):
        key = jax.random.fold_in(state.key, state.step)
        (loss, metrics), grads = mean_gradient(state.params, batch, key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = ema_decay_at(state.ema_count, ema_decay)
        new = TrainState(
            step=state.step + 1,
            params=params,
            ema=jax.tree.map(lambda e, p: e + (1 - decay) * (p - e), state.ema, params),
            ema_count=state.ema_count + 1,
            opt_state=opt_state,
            key=state.key,
        )
        metrics = metrics | {"loss": loss, "grad_norm": optax.tree.norm(grads)}
        if schedule is not None:
            metrics["learning_rate"] = jnp.asarray(schedule(state.step), jnp.float32)
        return new, metrics

    return step


def make_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float,
    accumulate: int = 1,
    schedule: optax.Schedule | None = None,
    mesh: Mesh | None = None,
) -> Callable[[TrainState, dict[str, Any]], tuple[TrainState, dict[str, Any]]]:
    """`update_fn`, compiled; the state passed in is donated, i.e. gone afterwards.

    With a ``mesh`` the state is replicated and the batch, which holds this process' share as host
    arrays, is sharded over the ``data`` axis. The global batch must be a multiple of the devices.
    """
    update = update_fn(
        loss_fn, optimizer, ema_decay=ema_decay, accumulate=accumulate, schedule=schedule
    )
    if mesh is None:
        return jax.jit(update, donate_argnums=0)
    everywhere = NamedSharding(mesh, PartitionSpec())
    sharded = NamedSharding(mesh, PartitionSpec("data"))
    compiled = jax.jit(
        update,
        in_shardings=(everywhere, sharded),
        out_shardings=(everywhere, everywhere),
        donate_argnums=0,
    )

    def step(state, batch):
        if state.step.sharding != everywhere:  # a fresh state, once
            state = jax.device_put(state, everywhere)
        batch = {k: jax.make_array_from_process_local_data(sharded, v) for k, v in batch.items()}
        return compiled(state, batch)

    return step


def from_config(config, loss_fn: LossFn, params: PyTree, key: Key[Array, ""]):
    """(compiled step, fresh state) from a stage's configuration.

    It reads ``steps, batch_size, accumulate, ema_decay``, the optimiser's ``learning_rate, warmup,
    decay, b2, weight_decay, clip``, and ``devices`` if it is there (0: all of them).
    """
    schedule = learning_rate(
        config.learning_rate, steps=config.steps, warmup=config.warmup, decay=config.decay
    )
    optimizer = adamw(
        schedule, b2=config.b2, weight_decay=config.weight_decay, clip=config.clip or None
    )
    step = make_step(
        loss_fn,
        optimizer,
        ema_decay=config.ema_decay,
        accumulate=config.accumulate,
        schedule=schedule,
        mesh=data_mesh(config.batch_size, config.get("devices")),
    )
    return step, create(params, optimizer, key)


def data_mesh(batch_size: int, devices: int | None = None) -> Mesh:
    """A one-axis mesh ``data`` over the first ``devices`` devices (default: all).

    Falls back, with a warning, to as many devices as divide ``batch_size``.
    """
    available = jax.devices()[:devices] if devices else jax.devices()
    count = len(available)
    while batch_size % count:
        count -= 1
    if count < len(available):
        logging.warning("batch size %d uses %d of %d devices", batch_size, count, len(available))
    # Auto axes: with Explicit ones, indexing a schedule with a sharded t is an error.
    return jax.make_mesh(
        (count,), ("data",), axis_types=(AxisType.Auto,), devices=available[:count]
    )


def parameter_count(params: PyTree) -> int:
    """How many numbers the weights are."""
    return int(sum(np.prod(x.shape) for x in jax.tree.leaves(params)))


def _split(batch, parts: int):
    """``[b, ...] -> [parts, b / parts, ...]``; part i takes every parts-th example, from the i-th.

    Strided, because consecutive blocks would move a batch sharded over its first axis.
    """

    def cut(x):
        if x.shape[0] % parts:
            raise ValueError(f"a batch of {x.shape[0]} does not split into {parts} equal parts")
        return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(cut, batch)
