r"""Base diffusion: planes at the base size, given the latent of a front view.

    python launch/main.py --config=configs/base.py:nano --workdir=runs/nano/base \
        --config.planes_dir=runs/nano/refit --config.clip_dir=runs/nano/clip

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 30 s | it runs |
| nano | 2 CPU cores | about 4 hours | not measured to its end; loss of v 0.21 at 4200 |
| small | one modern GPU | hours | not measured |
| paper | several large GPUs or a TPU pod | days | FID(CLIP) 26.1 with the paper's own data |

``paper`` follows supplement B.1: 192 channels, 1000 steps, AdamW 5e-5, batch 48, EMA 0.9999, 20 %
latent dropout, attention at 8, 16 and 32. It says nothing of warm-up, decay or weight decay; those
are ADM's (none), like the dropout. It was chosen where the paper leaves a choice that only the
scales without attention see 3D-aware convolutions. All presets but nano predict eps, as the paper
does.

Words after the preset, as in ``configs/base.py:nano,A``, set what the paper ablates (table 2):

| word | network |
| --- | --- |
| A | 2D U-Net on planes concatenated as channels, deaf to the latent |
| B | the same with the latent |
| C | 2D convolution of the roll-out |
| D | 3D-aware convolution, as in all presets |
| plane, joint | normalisation of each plane, as in all presets, or of the three together |
"""

import ml_collections

ABLATIONS = {
    "A": {"conv": "concat", "latent": False},
    "B": {"conv": "concat"},
    "C": {"conv": "rolled"},
    "D": {"conv": "aware"},
    "plane": {"norm": "plane"},
    "joint": {"norm": "joint"},
}


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano, small or paper, then words of `ABLATIONS`."""
    name, preset = preset, preset.split(",")[0]
    config = ml_collections.ConfigDict()
    config.stage = "base"
    config.preset = name
    config.planes_dir = ""  # workdir of the fit stage
    config.clip_dir = ""  # workdir of the clip stage
    config.eigenplanes_dir = ""  # workdir of that stage, or none
    config.start = ""  # workdir of an earlier run whose weights to go on from
    config.seed = 0

    config.base_size = 32
    config.latent_dropout = 0.2
    config.mirror = True  # each subject also as its mirror image
    config.process = ml_collections.ConfigDict(
        {"schedule": "linear", "steps": 1000, "prediction": "eps", "learned_variance": True}
    )
    config.model = ml_collections.ConfigDict(
        {
            "channels": 64,
            "patch": 2,
            "multipliers": (1, 2),
            "blocks": 1,
            "attention": (8,),
            "head_channels": 32,
            "dropout": 0.0,
            "conv": "aware",
            "norm": "plane",
            "latent": True,
            "aware_everywhere": True,
            "linear_path": True,
            "position_embedding": True,
            "remat": False,
            "dtype": "float32",
        }
    )

    config.steps = 3000
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
    config.preview = ml_collections.ConfigDict({"size": 64, "steps": 25})  # size 0: no pictures

    if preset == "smoke":
        config.base_size = 8
        config.process.steps = 50
        config.model.update(channels=16, multipliers=(1,), attention=(4,), head_channels=16)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
        config.preview.update(size=16, steps=5)
    elif preset == "small":
        config.model.update(
            channels=128, patch=1, multipliers=(1, 2, 3), attention=(8, 16), dtype="bfloat16"
        )
        config.steps, config.batch_size, config.warmup = 200_000, 48, 1000
        config.learning_rate, config.ema_decay = 1e-4, 0.9999
        config.checkpoint_every = 5000
    elif preset == "paper":
        config.base_size = 64
        config.model.update(
            channels=192,
            patch=1,
            multipliers=(1, 2, 3, 4),
            blocks=3,
            attention=(8, 16, 32),
            head_channels=64,
            dropout=0.1,
            aware_everywhere=False,
            linear_path=False,
            position_embedding=False,
            remat=True,
            dtype="bfloat16",
        )
        config.steps, config.batch_size, config.warmup = 1_000_000, 48, 0
        config.learning_rate, config.decay, config.ema_decay = 5e-5, "constant", 0.9999
        config.clip = 0.0
        config.mirror = False
        config.checkpoint_every = 10_000
        config.preview.update(size=128, steps=100)
    elif preset == "nano":
        # With minutes instead of days, eps-prediction draws fog where v draws heads: at high noise
        # it has to be right to a part in a thousand before x0 means anything.
        config.process.prediction = "v"
        config.steps, config.warmup = 12_000, 60
    else:
        raise ValueError(f"preset must be smoke, nano, small or paper, got {preset!r}")
    for word in name.split(",")[1:]:
        if word not in ABLATIONS:
            raise ValueError(f"after the preset expected one of {list(ABLATIONS)}, got {word!r}")
        config.model.update(ABLATIONS[word])
    return config
