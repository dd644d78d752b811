r"""Fits a data set's subjects to tri-planes that share one decoder.

    python launch/main.py --config=configs/fit.py:nano --workdir=runs/nano/fit \
        --config.data_dir=data/nano

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 40 s | it runs |
| nano | 2 CPU cores, busy | 4 s a subject, the first 512 twice | held-out view 27.0 dB |
| small | one modern GPU | not measured | not measured |
| paper | GPUs | not measured | the paper gives no figure |

``paper`` follows supplement B.2: planes 256x256x32, random rescaling in [64, 256], a 4-layer
decoder learned on the first 1000 subjects and then frozen.
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano, small or paper."""
    config = ml_collections.ConfigDict()
    config.stage = "fit"
    config.preset = preset
    config.data_dir = ""  # written by `rodin data`
    config.seed = 0
    config.device_per_core = True  # on a CPU, subjects are spread over its cores
    config.subjects = 0  # how many of the data set's; 0: all

    config.size = 64
    config.base_size = 32
    config.channels = 16
    config.steps = 700  # of each subject with the frozen decoder
    config.rate = 3e-2
    config.at_once = 2  # subjects on each device
    config.shard_size = 32
    config.joint = ml_collections.ConfigDict(
        {"subjects": 32, "group": 8, "visit": 25, "steps": 1600, "rate": 5e-3}
    )
    # Every fit starts from what the first ones know about it; rank 0 starts all from the mean.
    config.completion = ml_collections.ConfigDict(
        {"rank": 256, "subjects": 512, "steps": 400, "rate": 1.5e-2}
    )
    config.options = ml_collections.ConfigDict(
        {
            "rays": 512,
            "samples": 8,
            "empty_points": 256,
            "alpha": 0.5,
            "sparsity": 5e-5,
            "smoothness": 3e-5,
            "distortion": 1e-3,
            "variation": 0.5,
            "decay": 1e-4,
            "reach": 0.02,
            "lowest": 32,
            "grid": 48,
        }
    )
    config.model = ml_collections.ConfigDict(
        {"width": 32, "octaves": 1, "density_scale": 40.0, "view_dependent": True}
    )

    if preset == "smoke":
        config.size, config.base_size, config.channels = 16, 8, 4
        config.steps, config.at_once = 40, 1
        config.joint.update(subjects=4, group=4, visit=15, steps=60)
        config.completion.update(rank=8, subjects=4, steps=40)
        config.options.update(rays=128, empty_points=64, lowest=8, grid=16)
        config.model.update(width=16)
    elif preset == "small":
        config.size, config.base_size, config.channels = 128, 32, 16
        config.steps, config.at_once = 1500, 8
        config.joint.update(subjects=200, group=8, visit=50, steps=20_000)
        config.completion.rank = 0
        config.options.update(rays=2048, samples=16, empty_points=2048, lowest=32, grid=96)
        config.model.update(width=64, octaves=2)
    elif preset == "paper":
        config.size, config.base_size, config.channels = 256, 64, 32
        config.steps, config.at_once = 3000, 4
        config.joint.update(subjects=1000, group=8, visit=50, steps=200_000)
        config.completion.rank = 0
        config.options.update(rays=4096, samples=24, empty_points=4096, lowest=64, grid=128)
        config.model.update(width=128, octaves=2)
    elif preset != "nano":
        raise ValueError(f"preset is {preset!r}, expected smoke, nano, small or paper")
    return config
