"""A tiny run in a process of its own that dies at a given moment; children of a fork server."""

import itertools
import json
import os
import signal
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.train import loop
from rodin_jax.train import state as train_state

STEPS, CHECKPOINT_EVERY = 36, 3


def train(workdir, step=None, delay=0.0):
    """Runs to the end; or is killed ``delay`` seconds after it asks for the batch of ``step``.

    Two checkpoints after that it waits for it: it is always killed, and where is left to chance, in
    the middle of a save as well as between two steps.
    """
    optimizer = train_state.adamw(0.05)

    def loss(params, batch, key):
        x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
        return jnp.mean((x @ params["w"] - 1) ** 2), {}

    def batches_from(start):
        doomed = None if step is None else max(step, start + 1)
        for number in itertools.count(start + 1):
            if number == doomed:
                threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            if doomed and number == doomed + 2 * CHECKPOINT_EVERY:
                time.sleep(60)
            rng = np.random.default_rng(number)
            yield {"x": rng.normal(size=(4, 64)).astype(np.float32)}

    state = train_state.create({"w": jnp.ones((64, 64))}, optimizer, jax.random.key(0))
    done = loop.run(
        train_state.make_step(loss, optimizer, ema_decay=0.99),
        state,
        batches_from,
        steps=STEPS,
        workdir=workdir,
        log_every=2,
        checkpoint_every=CHECKPOINT_EVERY,
    )
    trees = {"params": done.state.params, "ema": done.state.ema, "moments": done.state.opt_state}
    bits = {name: [np.asarray(x).tobytes().hex() for x in jax.tree.leaves(tree)]
            for name, tree in trees.items()}  # fmt: skip
    Path(workdir, "bits.json").write_text(json.dumps(bits))
