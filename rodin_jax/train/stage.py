"""What the stages of training have in common: from a network, a loss and examples to weights."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Key, PyTree

from rodin_jax.data import loading
from rodin_jax.nn import weights as weight_files
from rodin_jax.train import export, loop, sharding
from rodin_jax.train import state as train_state
from rodin_jax.train.journal import Pictures


@dataclass(frozen=True)
class Trained:
    """What came out.

    Attributes:
      weights: the moving average of the parameters, whole.
      figures: steps, seconds, examples and batch size, as an export carries them.
    """

    weights: PyTree
    figures: dict[str, Any]


def initial(model: nn.Module, key: Key[Array, ""], *inputs: Any) -> PyTree:
    """A network's first parameters, for inputs like these; says how many. Takes the key."""
    params = jax.jit(model.init)(key, *inputs)["params"]
    millions = train_state.parameter_count(params) / 1e6
    logging.info("%s: %.2f M parameters", type(model).__name__, millions)
    return params


def continued(params: PyTree, directory: str | os.PathLike, part: str) -> PyTree:
    """The weights of an earlier run of the same stage instead of ``params``, if there is one.

    Args:
      params: fresh ones.
      directory: workdir of that run or its export; empty for none.
      part: what the export must hold.

    Raises:
      FileNotFoundError: nothing was exported there.
      ValueError: it is another part, or its network has other shapes.
    """
    if not str(directory):
        return params
    found = export.read_export(directory, part).params
    where = f"{directory}: its network has other sizes than config.model"
    weight_files.check_layout(found, params, where)
    return jax.tree.map(jnp.asarray, found)


def train(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    loss_fn: train_state.LossFn,
    params: PyTree,
    key: Key[Array, ""],
    examples: loading.Source,
    *,
    on_checkpoint: Callable[[Any, int], Pictures | None] | None = None,
    **reading: Any,
) -> Trained:
    """Trains as `rodin_jax.train.state.from_config` and `rodin_jax.train.loop.run` say.

    Args:
      config: a stage's.
      workdir: of the run.
      loss_fn: of parameters, a batch and a key.
      params: to start from.
      key: consumed.
      examples: what batches are drawn from.
      on_checkpoint: see `loop.run`.
      **reading: how examples become a batch, see `loading.batches`.
    """
    step, state = train_state.from_config(config, loss_fn, params, key)

    def batches_from(start):
        return loading.batches(
            examples, config.batch_size, config.seed, start_step=start, **reading
        )

    done = loop.run(
        step,
        state,
        batches_from,
        steps=config.steps,
        workdir=workdir,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        on_checkpoint=on_checkpoint,
    )
    weights = jax.tree.map(jnp.asarray, sharding.to_host(done.state.ema))
    return Trained(weights, {**done.trained(), "batch_size": config.batch_size})
