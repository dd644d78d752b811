"""Views a second of the data engine:   python benchmarks/avatars.py [--size 128] [--subjects 4]

Prints the time of a subject's views, split into tabulating its distances and tracing, and beside
it the same work measured to every rod instead of the nearby ones.
"""

import argparse
import time

import jax
import numpy as np
from timing import seconds

from rodin_jax import compile_cache
from rodin_jax.data import avatars
from rodin_jax.data.avatars import distance


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--subjects", type=int, default=4)
    options = parser.parse_args()
    compile_cache.enable()

    specs = [avatars.sample_spec(0, i) for i in range(options.subjects)]
    cameras = [
        avatars.training_cameras(0, i, options.views, options.size) for i in range(len(specs))
    ]
    begin = time.perf_counter()
    avatars.render(specs[0], cameras[0], options.size)
    compiled = time.perf_counter() - begin
    begin, busy = time.perf_counter(), time.process_time()
    for spec, camera in zip(specs, cameras, strict=True):
        avatars.render(spec, camera, options.size)
    wall, busy = time.perf_counter() - begin, time.process_time() - busy
    views = options.views * len(specs)
    print(f"{jax.devices()[0].device_kind}, {options.size} x {options.size}, {views} views")
    print(f"first call, compiling     {compiled:8.2f} s")
    print(
        f"views a second            {views / wall:8.2f}   (of processor time: {views / busy:.2f})"
    )

    sculpture = avatars.sculpt(specs[0])
    tabulate = seconds(jax.jit(distance.tabulate), sculpture)
    print(f"tabulating a subject      {tabulate:8.3f} s")
    grid = jax.jit(distance.tabulate)(sculpture)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (8192, 3)).astype(np.float32)

    def near(points):
        found = distance.nearby(sculpture, points, distance.primitives_near(grid, points))
        return distance.union(sculpture, found, points)

    quick = seconds(jax.jit(near), points)
    full = seconds(jax.jit(lambda p: distance.solid(sculpture, p)), points)
    print(f"distance to nearby rods   {8192 / quick / 1e6:8.3f} M points/s")
    rate = 8192 / full / 1e6
    print(f"distance to all rods      {rate:8.3f} M points/s, {full / quick:.1f} x slower")


if __name__ == "__main__":
    main()
