r"""Diffusion upsampler: planes at the full size, given planes at the base size.

    python launch/main.py --config=configs/upsampler.py:nano --workdir=runs/nano/upsampler \
        --config.planes_dir=runs/nano/refit

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 30 s | it runs |
| nano | 2 CPU cores | about an hour | not measured to its end |
| small | one modern GPU | hours | not measured |
| paper | several large GPUs or a TPU pod | days | FID(CLIP) 26.1 with the paper's own data |

``paper`` follows 3.3 and supplement B.1: x0-prediction in 100 steps, AdamW 5e-5, batch 16, EMA
0.9999, patches of 112 x 112 of a 256 pixel view. The paper gives neither the width and depth of the
network nor the strengths of the degradations. Its image loss is perceptual, by VGG16: pass
``--config.vgg=FILE``. Without, the image tower of the clip stage serves (``--config.clip_dir``).

A word after the preset, as in ``configs/upsampler.py:nano,planes``, leaves out what the paper
ablates (table 3):

| word | trained by |
| --- | --- |
| planes | the error of the planes |
| images | and that of rendered patches |
| augmented | and on degraded low planes, as in all presets |
"""

import ml_collections

ABLATIONS = {
    "planes": {
        "image_loss": {"weight": 0.0, "perceptual": 0.0},
        "degrade": {"probability": 0.0},
    },
    "images": {"degrade": {"probability": 0.0}},
    "augmented": {},
}


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano, small or paper, then words of `ABLATIONS`."""
    name, preset = preset, preset.split(",")[0]
    config = ml_collections.ConfigDict()
    config.stage = "upsampler"
    config.preset = name
    config.planes_dir = ""  # workdir of the fit stage
    config.vgg = ""  # for the perceptual loss: VGG16's weights in torchvision's naming,
    config.clip_dir = ""  # or, without, the workdir of the clip stage, whose image tower serves
    config.eigenplanes_dir = ""  # workdir of the eigenplanes stage; "" has none
    config.start = ""  # workdir of an earlier run whose weights to go on from
    config.seed = 0

    config.base_size = 32
    config.mirror = True  # each subject also as its mirror image
    config.process = ml_collections.ConfigDict(
        {"schedule": "linear", "steps": 100, "prediction": "x0", "learned_variance": False}
    )
    config.model = ml_collections.ConfigDict(
        {
            "channels": 48,
            "blocks": 3,
            "factor": 2,
            "dropout": 0.0,
            "conv": "aware",
            "norm": "plane",
            "linear_path": True,
            "remat": False,
            "dtype": "float32",
        }
    )
    # Of low planes with unit variance. Blur in texels; each applies with this probability.
    config.degrade = ml_collections.ConfigDict(
        {"sizes": (24, 16), "blur": 0.8, "noise": 0.2, "probability": 0.5}
    )
    # Rendered patches of the first `subjects` of a batch; focal patches look at the face.
    config.image_loss = ml_collections.ConfigDict(
        {
            "weight": 4.0,
            "perceptual": 0.0,
            "subjects": 4,
            "patch": 16,
            "view": 96,
            "samples": 32,
            "focus": 0.5,
            "radius": 3.0,
            "fov": 40.0,
        }
    )

    config.steps = 2000
    config.batch_size = 16
    config.accumulate = 1  # micro-batches a step
    config.devices = 0  # that share a batch; 0: all
    config.fsdp = False  # divide the state, not only the batches, among the devices
    config.learning_rate = 4e-4
    config.warmup = 200
    config.decay = "cosine"  # or constant
    config.b2 = 0.999
    config.weight_decay = 0.0
    config.clip = 1.0  # of the gradient's norm; 0 leaves it alone
    config.ema_decay = 0.999
    config.log_every = 50
    config.checkpoint_every = 500
    config.preview = ml_collections.ConfigDict({"size": 64, "steps": 10})  # size 0: no pictures

    if preset == "smoke":
        config.base_size = 8
        config.process.steps = 20
        config.model.update(channels=16, blocks=1)
        config.degrade.sizes = (6, 4)
        config.image_loss.update(subjects=2, patch=4, view=32, samples=8, perceptual=0.1)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
        config.preview.update(size=16, steps=3)
    elif preset == "small":
        config.model.update(channels=128, blocks=6, factor=4, dtype="bfloat16")
        config.image_loss.update(subjects=8, patch=48, view=256, samples=64, perceptual=1.0)
        config.steps, config.batch_size, config.warmup = 100_000, 16, 1000
        config.learning_rate, config.ema_decay = 1e-4, 0.9999
        config.checkpoint_every = 5000
    elif preset == "paper":
        config.base_size = 64
        config.model.update(channels=192, blocks=8, factor=4, linear_path=False)
        config.model.update(remat=True, dtype="bfloat16")
        config.degrade.sizes = (48, 32)
        config.image_loss.update(subjects=16, patch=112, view=256, samples=96)
        config.image_loss.update(weight=0.0, perceptual=1.0)
        config.steps, config.batch_size, config.warmup = 500_000, 16, 0
        config.learning_rate, config.decay, config.ema_decay = 5e-5, "constant", 0.9999
        config.clip = 0.0
        config.mirror = False
        config.checkpoint_every = 10_000
        config.preview.update(size=128, steps=100)
    elif preset == "nano":
        # Pictures count for more than noise in the planes that nobody sees.
        config.image_loss.update(weight=30.0, subjects=8, focus=0.6)
        config.steps, config.learning_rate, config.warmup = 2000, 8e-4, 60
        config.ema_decay = 0.998
    else:
        raise ValueError(f"preset must be smoke, nano, small or paper, got {preset!r}")
    for word in name.split(",")[1:]:
        if word not in ABLATIONS:
            raise ValueError(f"after the preset expected one of {list(ABLATIONS)}, got {word!r}")
        config.update(ABLATIONS[word])
    return config
