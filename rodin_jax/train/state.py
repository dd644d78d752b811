"""One training step as a pure function, and its compiled form.

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
from jaxtyping import Array, Float, Int, Key, PyTree

from rodin_jax.train import flops, sharding
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


class Step:
    """``step(state, batch) -> (state, metrics)``, compiled when it is first called.

    The state passed in is donated, i.e. gone afterwards.

    Attributes:
      flops: operations of a step over all devices, see `flops.count`; None before the first call.
      devices: how many share a step.
    """

    def __init__(self, update: Callable[..., Any], layout: sharding.Layout | None):
        """Of `update_fn`'s function; without a layout everything is on one device."""
        self._update, self._layout, self._compiled = update, layout, None
        self.flops: float | None = None
        self.devices = layout.mesh.size if layout else 1

    def __call__(
        self, state: TrainState, batch: dict[str, Any]
    ) -> tuple[TrainState, dict[str, Any]]:
        """One update. ``batch`` holds this process' share as host arrays."""
        first = self._compiled is None
        if self._layout is not None:
            if first:
                state = self._layout.place(state)
            batch = self._layout.shard(batch)
        leaves, structure = jax.tree.flatten(state)
        if first:
            self._compiled = self._jit(leaves, structure)
            # The trace is kept: the call below does not trace again.
            self.flops = flops.count(self._compiled.trace(leaves, batch).jaxpr)
        leaves, metrics = self._compiled(leaves, batch)
        return structure.unflatten(leaves), metrics

    def _jit(self, leaves, structure):
        def update(leaves, batch):
            state, metrics = self._update(structure.unflatten(leaves), batch)
            return jax.tree.leaves(state), metrics

        if self._layout is None:
            return jax.jit(update, donate_argnums=0)
        places = self._layout.of_all(leaves)
        return jax.jit(
            update,
            in_shardings=(places, self._layout.divided),
            out_shardings=(places, self._layout.everywhere),
            donate_argnums=0,
        )


def make_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float,
    accumulate: int = 1,
    schedule: optax.Schedule | None = None,
    layout: sharding.Layout | None = None,
) -> Step:
    """`update_fn`, compiled.

    With a ``layout`` the state and the batch are spread over its devices; the global batch must be
    a multiple of them.
    """
    update = update_fn(
        layout.gathering(loss_fn) if layout else loss_fn,
        optimizer,
        ema_decay=ema_decay,
        accumulate=accumulate,
        schedule=schedule,
    )
    return Step(update, layout)


def from_config(
    config, loss_fn: LossFn, params: PyTree, key: Key[Array, ""]
) -> tuple[Step, TrainState]:
    """(compiled step, fresh state, in its places) from a stage's configuration.

    It reads ``steps, batch_size, accumulate, ema_decay``, the optimiser's ``learning_rate, warmup,
    decay, b2, weight_decay, clip``, and, if they are there, ``devices`` (0: all of them) and
    ``fsdp`` (the state is divided among them).
    """
    schedule = learning_rate(
        config.learning_rate, steps=config.steps, warmup=config.warmup, decay=config.decay
    )
    optimizer = adamw(
        schedule, b2=config.b2, weight_decay=config.weight_decay, clip=config.clip or None
    )
    mesh = sharding.data_mesh(config.batch_size, config.get("devices"))
    layout = sharding.Layout(mesh, fsdp=bool(config.get("fsdp")))
    step = make_step(
        loss_fn,
        optimizer,
        ema_decay=config.ema_decay,
        accumulate=config.accumulate,
        schedule=schedule,
        layout=layout,
    )
    state = layout.place(create(params, optimizer, key))
    logging.info(
        "state: %.1f MB on each of %d devices", sharding.bytes_per_device(state) / 1e6, mesh.size
    )
    return step, state


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
