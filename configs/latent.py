r"""Diffusion of the latent z, for avatars out of nothing.

    python launch/main.py --config=configs/latent.py:nano --workdir=runs/nano/latent \
        --config.data_dir=data/nano --config.clip_dir=runs/nano/clip

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 10 s | it runs |
| nano | 2 CPU cores | 7 min | loss 0.86; latents as far from the nearest person as people are |
| small | one modern GPU | half an hour | not measured |
| paper | one modern GPU | a day | not measured |

``paper`` follows supplement B.4: 20 layers of 2048, z of 512 dimensions, T = 1000, linear schedule,
AdamW 4e-5, batch 96, EMA 0.9999. The L1 error is that of the network's source (diffusion
autoencoders); the number of steps is not given. Unlike there latents are brought to unit variance
along each principal axis first, and axes count by their variance (`rodin_jax.train.latent`).

``nano`` predicts v and squares errors. Where all that is known is a Gaussian of unit variance v is
zero, so there is only to learn what people are and it is not: either a cap or none. The smallest
absolute error is made in between. With eps and L1, 21 of 100 latents of nobody were undecided about
sunglasses and 34 about hats; with v and squares 7 and 10; of people 0 and 3.
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano, small or paper."""
    config = ml_collections.ConfigDict()
    config.stage = "latent"
    config.preset = preset
    config.data_dir = ""  # written by `rodin data`
    config.planes_dir = ""  # workdir of the fit stage, instead of data_dir
    config.clip_dir = ""  # workdir of the clip stage
    config.seed = 0

    config.loss = "l1"  # or l2
    config.emphasis = 0.5  # power of a principal axis' variance that it weighs with
    config.process = ml_collections.ConfigDict(
        {"schedule": "linear", "steps": 1000, "prediction": "eps", "learned_variance": False}
    )
    config.model = ml_collections.ConfigDict({"width": 384, "depth": 8, "time_features": 64})

    config.steps = 4000
    config.batch_size = 96
    config.accumulate = 1
    config.fsdp = False  # divide the state, not only the batches, among the devices
    config.learning_rate = 4e-4
    config.warmup = 200
    config.decay = "cosine"  # or constant
    config.b2 = 0.999
    config.weight_decay = 0.01
    config.clip = 1.0  # of the gradient's norm; 0 leaves it alone
    config.ema_decay = 0.999
    config.log_every = 50
    config.checkpoint_every = 500

    if preset == "smoke":
        config.process.steps = 50
        config.model.update(width=32, depth=3, time_features=16)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
    elif preset == "small":
        config.model.update(width=1024, depth=12)
        config.steps, config.batch_size, config.ema_decay = 50_000, 256, 0.9999
        config.checkpoint_every = 5000
    elif preset == "paper":
        config.model.update(width=2048, depth=20)
        config.steps, config.batch_size, config.warmup = 500_000, 96, 0
        config.learning_rate, config.decay, config.ema_decay = 4e-5, "constant", 0.9999
        config.clip = 0.0
        config.checkpoint_every = 10_000
    elif preset == "nano":
        config.process.prediction, config.loss, config.emphasis = "v", "l2", 1.0
        config.steps, config.batch_size, config.learning_rate = 9000, 128, 1e-3
    else:
        raise ValueError(f"preset must be smoke, nano, small or paper, got {preset!r}")
    return config
