"""Training steps of the paper's base network on this machine:   python benchmarks/paper_step.py

The stage's own loss and step with ``configs/base.py:paper``: planes of 64² x 32, 192 channels,
rematerialised blocks, AdamW and the average of the weights. Only the batch is smaller, one subject,
and on a CPU the computation is in float32. Prints the loss, the seconds and the peak of the
process' memory; exits with 1 if a loss is not finite.
"""

import argparse
import math
import resource
import sys
import time

import jax
import numpy as np
from ablations import unit_statistics
from networks import CHANNELS, LATENT, build, cost, get_config

from rodin_jax.diffusion import schedules
from rodin_jax.train import base
from rodin_jax.train import state as train_state


def peak_gib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Prints a line a step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2, help="the first one compiles (%(default)s)")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", help="of the computation; float32 on a CPU, else bfloat16")
    a = parser.parse_args()
    config = get_config("base", "paper")
    config.batch_size, config.devices = a.batch, 1
    on_cpu = jax.default_backend() == "cpu"
    config.model.dtype = a.dtype or ("float32" if on_cpu else config.model.dtype)
    net, shapes = build("base", config)
    millions, gflop = cost(net, shapes)
    print(
        f"{millions:.1f} M parameters, {gflop:.0f} GFLOP forward, {config.model.dtype}", flush=True
    )

    channels, size = CHANNELS["paper"], config.base_size
    rng = np.random.default_rng(0)
    batch = {
        "planes": rng.normal(size=(a.batch, 3, size, size, channels)).astype(np.float32),
        "z": rng.normal(size=(a.batch, 1, LATENT)).astype(np.float32),
    }
    loss_fn = base.make_loss(
        net.apply,
        schedules.make(config.process.schedule, config.process.steps),
        unit_statistics(channels),
        prediction=config.process.prediction,
        learned_variance=config.process.learned_variance,
        latent_dropout=config.latent_dropout,
        mirror=config.mirror,
    )
    blank = [jax.numpy.zeros(s.shape, s.dtype) for s in shapes]
    params = jax.jit(net.init)(jax.random.key(0), *blank)["params"]
    step, state = train_state.from_config(config, loss_fn, params, jax.random.key(1))
    del params  # the state owns them: the step gives their memory to its result
    jax.block_until_ready(state)
    print(f"state of weights, average and two moments: {peak_gib():.1f} GiB so far", flush=True)
    for i in range(a.steps):
        begin = time.perf_counter()
        state, metrics = step(state, batch)
        loss, norm = float(metrics["loss"]), float(metrics["grad_norm"])
        seconds = time.perf_counter() - begin
        note = ", compilation included" if i == 0 else ""
        print(
            f"step {i + 1}: loss {loss:.4f}, gradient {norm:.3f}, {seconds:.1f} s{note}, "
            f"peak {peak_gib():.1f} GiB",
            flush=True,
        )
        if not math.isfinite(loss):
            sys.exit("the loss is not finite")


if __name__ == "__main__":
    main()
