"""The 3D-aware convolution, factorised against literal:   python benchmarks/aware_conv.py

One convolution and one residual block (two of them, normalisation, modulation) of planes of 64² x
64 channels, forward and in training: of the convolution its gradient, of the block a whole step
with AdamW and the average of the weights. The two forms take turns, and their values are compared.
Exits with 1 if the factorised block is not twice as fast forward and 1.5 times in a step.
"""

import argparse
import contextlib
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from timing import race, ratio

from rodin_jax import compile_cache
from rodin_jax.nn import aware_conv as operators
from rodin_jax.nn.blocks import ResBlock
from rodin_jax.train import state as train_state

FORMS = {"factorised": operators.aware_conv, "literal": operators.aware_conv_literal}
TARGETS = {"block, forward": 2.0, "block, training step": 1.5}


@contextlib.contextmanager
def form(name: str):
    """Layers that are traced inside use this form."""
    operators.aware_conv = FORMS[name]
    try:
        yield
    finally:
        operators.aware_conv = FORMS["factorised"]


def convolution(name: str, planes, kernel):
    """(forward, gradient), each ``() -> arrays``."""
    operator = FORMS[name]
    forward = jax.jit(operator)
    gradient = jax.jit(jax.grad(lambda p, k: jnp.sum(jnp.square(operator(p, k))), (0, 1)))
    return lambda: forward(planes, kernel), lambda: gradient(planes, kernel)


def block(name: str, planes, channels: int):
    """(forward, training step), each ``() -> arrays``."""
    net = ResBlock(channels)
    embedding = jax.random.normal(jax.random.key(1), (len(planes), 3, 4 * channels))
    params = net.init(jax.random.key(2), planes, embedding)
    noise = iter(jax.random.split(jax.random.key(3), 99))
    params = jax.tree.map(lambda p: p + 0.02 * jax.random.normal(next(noise), p.shape), params)

    def loss_fn(params, batch, key):
        return jnp.mean(jnp.square(net.apply(params, batch["planes"], embedding))), {}

    optimizer = train_state.adamw(1e-4)
    step = train_state.update_fn(loss_fn, optimizer, ema_decay=0.999)
    state = train_state.create(params, optimizer, jax.random.key(4))
    forward, step, batch = jax.jit(net.apply), jax.jit(step), {"planes": planes}
    with form(name):  # traced by the first call
        jax.block_until_ready((forward(params, planes, embedding), step(state, batch)))
    return (
        lambda: forward(params, planes, embedding),
        # What Adam makes of a gradient near zero is all or nothing: its own average says more.
        lambda: step(state, batch)[0].opt_state,
    )


def difference(a, b) -> float:
    """The largest, over the largest value of each array."""
    worst = 0.0
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        worst = max(worst, float(np.abs(x - y).max() / max(np.abs(y).max(), 1e-30)))
    return worst


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--report", type=pathlib.Path, help="JSON file to write")
    a = parser.parse_args()
    compile_cache.enable()
    planes = jax.random.normal(jax.random.key(0), (a.batch, 3, a.size, a.size, a.channels))
    kernel = jax.random.normal(jax.random.key(5), (3, 3, 3 * a.channels, a.channels)) / 40
    made = {name: (*convolution(name, planes, kernel), *block(name, planes, a.channels))
            for name in FORMS}  # fmt: skip
    tasks = ("convolution, forward", "convolution, gradient", "block, forward",
             "block, training step")  # fmt: skip
    report, missed = {}, []
    print(f"{'':24}{'factorised':>12}{'literal':>12}{'ratio':>8}{'difference':>12}")
    for i, task in enumerate(tasks):
        calls = {name: made[name][i] for name in FORMS}
        times = race(calls, a.repeat)
        gap = difference(calls["factorised"](), calls["literal"]())
        gain = ratio(times, "literal", "factorised")
        ms = {name: 1e3 * float(np.median(t)) for name, t in times.items()}
        report[task] = ms | {"ratio": gain, "difference": gap}
        print(f"{task:24}{ms['factorised']:9.1f} ms{ms['literal']:9.1f} ms{gain:8.2f}{gap:12.1e}")
        if gain < TARGETS.get(task, 0):
            missed.append(task)
    if a.report:
        a.report.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(f"slower than it should be: {missed}" if missed else 0)


if __name__ == "__main__":
    main()
