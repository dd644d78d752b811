"""The networks that the paper ablates (table 2), at nano:   python benchmarks/ablations.py

Parameters, the arithmetic of one evaluation for one subject, and the time of a training step
against that of D, the 3D-aware network. Steps take turns, so ratios hold on a busy machine.
"""

import argparse
import json
import pathlib

import jax
import numpy as np
from networks import CHANNELS, LATENT, build, cost, get_config
from timing import race, ratio

from rodin_jax import compile_cache
from rodin_jax.data.planes import PlaneStatistics
from rodin_jax.diffusion import schedules
from rodin_jax.train import base
from rodin_jax.train import state as train_state

ROWS = {
    "A": "2D, planes on channels",
    "B": "A + latent",
    "C": "B + roll-out",
    "D": "C + 3D-aware",
    "D,joint": "D, joint normalisation",
}


def unit_statistics(channels: int) -> PlaneStatistics:
    """Of features that are normalised already."""
    ones = np.ones((3, channels), np.float32)
    return PlaneStatistics(0 * ones, ones, -4 * ones, 4 * ones)


def training_step(config, net):
    """``() -> state``: a step of the stage from the same state and batch each time."""
    channels, size, count = CHANNELS["nano"], config.base_size, config.batch_size
    rng = np.random.default_rng(0)
    batch = {
        "planes": rng.normal(size=(count, 3, size, size, channels)).astype(np.float32),
        "z": rng.normal(size=(count, 2, LATENT)).astype(np.float32),
    }
    loss_fn = base.make_loss(
        net.apply,
        schedules.make(config.process.schedule, config.process.steps),
        unit_statistics(channels),
        prediction=config.process.prediction,
    )
    optimizer = train_state.adamw(config.learning_rate)
    shapes = batch["planes"][:1], np.zeros(1, np.int32), batch["z"][:1, 0]
    params = jax.jit(net.init)(jax.random.key(0), *shapes)["params"]
    state = train_state.create(params, optimizer, jax.random.key(1))
    step = jax.jit(train_state.update_fn(loss_fn, optimizer, ema_decay=config.ema_decay))
    return lambda: step(state, batch)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--batch", type=int, help="the configuration's by default")
    parser.add_argument("--report", type=pathlib.Path, help="JSON file to write")
    a = parser.parse_args()
    compile_cache.enable()
    report, calls = {}, {}
    for words in ROWS:
        config = get_config("base", f"nano,{words}")
        config.batch_size = a.batch or config.batch_size
        net, shapes = build("base", config)
        millions, gflop = cost(net, shapes)
        report[words] = {"parameters": millions * 1e6, "gflop": gflop}
        calls[words] = training_step(config, net)
    times = race(calls, a.repeat)
    print(f"{'':34}{'parameters':>12}{'evaluation':>14}{'step':>10}{'of D':>7}{'fastest':>9}")
    for words, title in ROWS.items():
        row = report[words]
        row["step_ms"] = 1e3 * float(np.median(times[words]))
        row["ratio"] = ratio(times, words, "D")
        row["fastest_ratio"] = float(times[words].min() / times["D"].min())
        print(
            f"{words:9} {title:24}{row['parameters'] / 1e6:10.2f} M{row['gflop']:8.3f} GFLOP"
            f"{row['step_ms']:7.0f} ms{row['ratio']:7.2f}{row['fastest_ratio']:9.2f}"
        )
    if a.report:
        a.report.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
