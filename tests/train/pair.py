"""A tiny stage for `rodin_jax.main`, alone or with others: linear regression with noisy inputs.

``$STOP_AT``: the last process sends itself SIGTERM before that step and takes its time afterwards.
"""

import itertools
import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax import main
from rodin_jax.data import loading
from rodin_jax.train import export, loop
from rodin_jax.train import state as train_state

FEATURES = 256  # squared, enough for the weights to be divided


def loss(params, batch, key):
    """A two-layer network."""
    x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    return jnp.mean((jnp.tanh(x @ params["a"]) @ params["b"] - 1) ** 2), {}


def run(config, workdir):
    """The stage."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(FEATURES, FEATURES)).astype(np.float32) / FEATURES**0.5
    params = {"a": a, "b": np.zeros((FEATURES, 1), np.float32)}
    step, state = train_state.from_config(config, loss, params, jax.random.key(1))
    source = [{"x": row} for row in rng.normal(size=(50, FEATURES)).astype(np.float32)]
    stop_at = int(os.environ.get("STOP_AT", 0))

    def batches_from(start):
        batches = loading.batches(source, config.batch_size, config.seed, start_step=start)
        for number in itertools.count(start + 1):
            if number == stop_at and jax.process_index() == jax.process_count() - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            if stop_at and number > stop_at:
                time.sleep(0.5)
            yield next(batches)

    done = loop.run(
        step,
        state,
        batches_from,
        steps=config.steps,
        workdir=workdir,
        log_every=1,
        checkpoint_every=config.checkpoint_every,
    )
    export.write_export(workdir, "latent", {}, done.state.ema, trained=done.trained())


if __name__ == "__main__":
    main.entry(run)
