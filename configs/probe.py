r"""The attribute probe: a classifier of front views that evaluation judges text and edits with.

    python launch/main.py --config=configs/probe.py:nano --workdir=runs/nano/probe \
        --config.data_dir=data/nano

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 20 s | it runs |
| nano | 2 CPU cores | 10 min | see the model card |
| small | one modern GPU | minutes | not measured |

It needs front views only: ``rodin data --preset nano --subjects 2400 --views 1 --out data/nano``.
The paper has no such probe; it asks people.
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano or small."""
    config = ml_collections.ConfigDict()
    config.stage = "probe"
    config.preset = preset
    config.data_dir = ""  # written by `rodin data`
    config.seed = 0

    config.model = ml_collections.ConfigDict(
        {"image_size": 128, "width": 16, "colours": 32, "dropout": 0.3}
    )
    # What avatars are judged by; everything else is learned with less weight.
    config.major = (
        "hair_colour",
        "hair_style",
        "skin_group",
        "glasses",
        "headwear",
        "facial_hair_present",
        "expression",
        "clothing_colour",
    )
    config.minor_weight = 0.2
    config.smoothing = 0.05  # of labels
    config.augment = ml_collections.ConfigDict(
        {"shift": 0.032, "brightness": 0.06, "blur": 0.75, "widest": 0.03}
    )

    config.steps = 1300
    config.batch_size = 32
    config.accumulate = 1
    config.devices = 0  # that share a batch; 0: all
    config.fsdp = False  # divide the state, not only the batches, among the devices
    config.learning_rate = 1.5e-3
    config.warmup = 100
    config.decay = "cosine"  # or constant
    config.b2 = 0.999
    config.weight_decay = 0.05
    config.clip = 1.0  # of the gradient's norm; 0 leaves it alone
    config.ema_decay = 0.98
    config.log_every = 50
    config.checkpoint_every = 250

    if preset == "smoke":
        config.model.update(image_size=32, width=4, colours=8)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
    elif preset == "small":
        config.model.update(width=48, colours=64)
        config.steps, config.batch_size, config.ema_decay = 10_000, 256, 0.999
    elif preset != "nano":
        raise ValueError(f"preset must be smoke, nano or small, got {preset!r}")
    return config
