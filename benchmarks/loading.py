"""Does the input pipeline keep up?   python benchmarks/loading.py [--subjects 256]

Batches a second of `rodin_jax.data.loading` alone, from memory and from disk, against the steps a
second of nano's base network, which needs as many. Training overlaps the two.
"""

import argparse
import itertools
import pathlib
import tempfile
import time

import jax
import numpy as np
from ablations import training_step
from networks import CHANNELS, LATENT, build, get_config
from timing import seconds

from rodin_jax import compile_cache
from rodin_jax.data import loading
from rodin_jax.data.planes import FittedSubject, PlanesStore, PlanesWriter
from rodin_jax.train import fitted


def store_of(folder: pathlib.Path, subjects: int, size: int, channels: int) -> PlanesStore:
    """Random planes on disk, as a fit leaves them."""
    rng = np.random.default_rng(0)
    front = rng.integers(0, 256, (128, 128, 4), dtype=np.uint8)
    with PlanesWriter(folder, decoder_hash="none") as writer:
        for i in range(subjects):
            planes = rng.normal(size=(3, size, size, channels)).astype(np.float16)
            writer.write(FittedSubject(f"s{i}", planes, ("a person",), {}, front, 30.0))
    return PlanesStore(folder)


def rate(examples, batch_size: int, count: int) -> float:
    """Batches a second, once the reading ahead is under way."""
    z = np.zeros((len(examples), 2, LATENT), np.float32)

    def with_latent(example):
        return {"planes": example["planes"], "z": z[example["index"]]}

    batches = loading.batches(examples, batch_size, 0, transform=with_latent)
    for _ in itertools.islice(batches, 8):
        pass
    begin = time.perf_counter()
    for _ in itertools.islice(batches, count):
        pass
    return count / (time.perf_counter() - begin)


def main() -> None:
    """Prints the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=256)
    parser.add_argument("--batches", type=int, default=100)
    a = parser.parse_args()
    compile_cache.enable()
    config = get_config("base", "nano")
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(pathlib.Path(folder) / "planes", a.subjects, 64, CHANNELS["nano"])
        rates = {
            "from memory": rate(
                fitted.Subjects(store, config.base_size), config.batch_size, a.batches
            ),
            "from disk, resized": rate(
                fitted.Subjects(store, config.base_size, memory_bytes=0),
                config.batch_size,
                max(a.batches // 5, 1),
            ),
        }
    net, _ = build("base", config)
    steps = 1 / seconds(training_step(config, net), repeat=5)
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, batches of {config.batch_size}")
    print(f"{'nano base, steps':24}{steps:10.2f} a second")
    for name, value in rates.items():
        print(f"{'batches ' + name:24}{value:10.2f} a second, {value / steps:.0f} for each step")


if __name__ == "__main__":
    main()
