"""What the benchmarks share: times of compiled calls."""

import time

import jax
import numpy as np


def seconds(function, *arguments, repeat: int = 3) -> float:
    """The median time of a call, after one that compiles."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def race(calls: dict, repeat: int = 5) -> dict[str, np.ndarray]:
    """Seconds of each call, ``[repeat]``, after one that compiles.

    They take turns, so that what else the machine does hits all alike: compare round by round.
    """
    for call in calls.values():
        jax.block_until_ready(call())
    times = {name: [] for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - begin)
    return {name: np.array(t) for name, t in times.items()}


def ratio(times: dict[str, np.ndarray], slow: str, quick: str) -> float:
    """The median over rounds of how many times longer ``slow`` takes than ``quick``."""
    return float(np.median(times[slow] / times[quick]))
