"""What the benchmarks share: the time of a compiled call."""

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
