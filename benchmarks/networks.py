"""What the networks of each configuration cost:   python benchmarks/networks.py [PRESET,WORD ...]

Parameters in millions, and the arithmetic in GFLOP of one evaluation for one subject, which is
what a sampling step costs. Nothing is computed: shapes are enough. By default all presets of the
base network and of the upsampler; words as in ``configs/base.py`` (``nano,A``).
"""

import argparse
import importlib.util
import math
import pathlib

import jax
import jax.numpy as jnp
import ml_collections

from rodin_jax.nn.unet import UNet
from rodin_jax.nn.upsampler import Upsampler

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
PRESETS = ("smoke", "nano", "small", "paper")
CHANNELS = {"smoke": 4, "nano": 8, "small": 16, "paper": 32}
LATENT = 512


def get_config(stage: str, preset: str) -> ml_collections.ConfigDict:
    """What ``--config=configs/<stage>.py:<preset>`` reads."""
    spec = importlib.util.spec_from_file_location(f"{stage}_config", CONFIGS / f"{stage}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(preset)


def planes(size: int, channels: int, batch: int = 1):
    """Shape of a batch of planes."""
    return jax.ShapeDtypeStruct((batch, 3, size, size, channels), jnp.float32)


def build(stage: str, config: ml_collections.ConfigDict):
    """(network, shapes of its inputs for one subject)."""
    channels, size = CHANNELS[config.preset.split(",")[0]], config.base_size
    t = jax.ShapeDtypeStruct((1,), jnp.int32)
    if stage == "base":
        out = channels * (2 if config.process.learned_variance else 1)
        z = jax.ShapeDtypeStruct((1, LATENT), jnp.float32)
        return UNet(out, **config.model.to_dict()), (planes(size, channels), t, z)
    high = planes(size * config.model.factor, channels)
    return Upsampler(channels, **config.model.to_dict()), (high, planes(size, channels), t)


def cost(net, shapes) -> tuple[float, float]:
    """(millions of parameters, GFLOP of one evaluation)."""
    params = jax.eval_shape(net.init, jax.random.key(0), *shapes)
    count = sum(math.prod(p.shape) for p in jax.tree.leaves(params))
    analysis = jax.jit(net.apply).lower(params, *shapes).cost_analysis()
    return count / 1e6, analysis["flops"] / 1e9


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="*", default=PRESETS)
    parser.add_argument("--stage", nargs="+", default=("base", "upsampler"))
    a = parser.parse_args()
    print(f"{'':24}{'planes':>10}{'parameters':>14}{'evaluation':>16}")
    for stage in a.stage:
        for preset in a.preset:
            net, shapes = build(stage, get_config(stage, preset))
            millions, gflop = cost(net, shapes)
            size = f"{shapes[0].shape[2]}² x {shapes[0].shape[4]}"
            print(f"{stage + ' ' + preset:24}{size:>10}{millions:12.2f} M{gflop:10.2f} GFLOP")


if __name__ == "__main__":
    main()
