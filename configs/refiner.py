r"""Convolutional refiner: rendered views to pictures of twice their size.

    rodin data --preset nano --views 2 --size 256 --out data/nano_sharp
    python launch/main.py --config=configs/refiner.py:nano --workdir=runs/nano/refiner \
        --config.planes_dir=runs/nano/refit --config.data_dir=data/nano_sharp \
        --config.upsampler_dir=runs/nano/upsampler --config.clip_dir=runs/nano/clip

| preset | views | hardware | time | figure to expect |
| --- | --- | --- | --- | --- |
| smoke | 16 -> 32 | 2 CPU cores | a minute | it runs |
| nano | 128 -> 256 | 2 CPU cores | not measured | not measured |
| small | 256 -> 512 | one modern GPU | not measured | not measured |
| paper | 512 -> 1024 | GPUs | not measured | the paper gives no figure |

The truth is the pictures of ``data_dir`` at their stored size, an even number S; renderings have
S / 2. It must show people that were fitted, at whatever size: drawn people are the same for the
same seed (with the views and size above), for captures pass the data set that they were fitted to.
With another size than the table's the same preset trains a refiner for that size.

The paper (3.3, 4.1) gives the sizes and that refiner and upsampler are trained jointly, so
``paper`` has the upsampler's batch, rate and average, and ESRGAN's own network. The perceptual loss
is by VGG16, ``--config.vgg=FILE``, else by the image tower of the clip stage (``clip_dir``).
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano, small or paper."""
    config = ml_collections.ConfigDict()
    config.stage = "refiner"
    config.preset = preset
    config.planes_dir = ""  # workdir of the fit stage
    config.data_dir = ""  # pictures of the same people, twice as large as what is rendered
    config.upsampler_dir = ""  # workdir of the upsampler stage
    config.vgg = ""  # for the perceptual loss: VGG16's weights in torchvision's naming,
    config.clip_dir = ""  # or, without, the workdir of the clip stage, whose image tower serves
    config.seed = 0

    config.subjects = 0  # at most so many; 0: all that were fitted and are shown
    config.views = 2  # pictures of each; 0: all
    config.upsampled = 0.5  # share of renderings of upsampled planes; 0 needs no upsampler_dir
    config.samples = 16  # field evaluations a ray
    config.held_out = 10  # subjects that measure the result
    config.patch = 32  # pixels of a rendering's patch; the truth's has twice as many
    config.tries = 2  # places for a patch, of which the one with most of the subject is taken
    config.coloured = 0.25  # share of patches on a random colour, not on white
    config.mirror = True  # half of the patches are mirrored
    config.loss = ml_collections.ConfigDict({"mse": 1.0, "perceptual": 0.1})
    config.model = ml_collections.ConfigDict(
        {
            "channels": 24,
            "blocks": 3,
            "growth": 12,
            "residual_scale": 0.2,
            "remat": False,
            "dtype": "float32",
        }
    )

    config.steps = 3000
    config.batch_size = 16
    config.accumulate = 1  # micro-batches a step
    config.devices = 0  # that share a batch; 0: all
    config.fsdp = False  # divide the state, not only the batches, among the devices
    config.learning_rate = 1e-3
    config.warmup = 100
    config.decay = "cosine"  # or constant
    config.b2 = 0.999
    config.weight_decay = 0.0
    config.clip = 1.0  # of the gradient's norm; 0 leaves it alone
    config.ema_decay = 0.998
    config.log_every = 50
    config.checkpoint_every = 500
    config.preview = 4  # held-out pairs in a sample picture; 0: none

    if preset == "smoke":
        config.views, config.held_out, config.patch = 4, 1, 8
        config.model.update(channels=8, blocks=1, growth=4)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
        config.preview = 2
    elif preset == "small":
        config.views, config.held_out, config.patch = 4, 50, 48
        config.model.update(channels=64, blocks=8, growth=32, dtype="bfloat16")
        config.steps, config.warmup, config.learning_rate = 100_000, 1000, 2e-4
        config.ema_decay, config.checkpoint_every = 0.9999, 5000
    elif preset == "paper":
        config.subjects, config.views, config.held_out, config.patch = 2000, 8, 50, 64
        config.loss.perceptual = 1.0
        config.model.update(channels=64, blocks=23, growth=32, remat=True, dtype="bfloat16")
        config.steps, config.batch_size, config.warmup = 500_000, 16, 0
        config.learning_rate, config.decay, config.ema_decay = 5e-5, "constant", 0.9999
        config.clip = 0.0
        config.mirror = False
        config.checkpoint_every = 10_000
    elif preset != "nano":
        raise ValueError(f"preset must be smoke, nano, small or paper, got {preset!r}")
    return config
