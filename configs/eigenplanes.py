r"""Principal components of the planes and the diffusion of their coefficients, given the latent.

    python launch/main.py --config=configs/eigenplanes.py:nano --workdir=runs/nano/eigenplanes \
        --config.planes_dir=runs/nano/fit --config.clip_dir=runs/nano/clip

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 20 s | it runs |
| nano | 2 CPU cores | 4 minutes | see below |

Of planes whose numbers count as pictures show them, nano's 300 components hold 80 % of the variance
of the 1231 people they were learned from and 69 % of that of 65 others; the latent leaves 14 % of
what they hold to be guessed.

For small sets and short trainings: what the base model needs days to learn of the whole person is
linear for the most part, and is learned here in minutes (see `rodin_jax.nn.eigenplanes`). A bundle
without this part samples as the paper does, and ``small`` and ``paper`` have none.
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke or nano."""
    config = ml_collections.ConfigDict()
    config.stage = "eigenplanes"
    config.preset = preset
    config.planes_dir = ""  # workdir of the fit stage
    config.clip_dir = ""  # workdir of the clip stage
    config.seed = 0

    config.base_size = 32
    config.mirror = True  # each subject also as its mirror image
    config.unseen = 0.05  # of the subjects, kept apart to be measured on
    config.latent_dropout = 0.2
    config.latent_noise = 0.5  # in standard deviations of the latents
    config.emphasis = 0.5  # power of a coefficient's variance that it weighs with
    # Beside the line from the latent bumps at some people, who are compared in some coordinates.
    config.bend = ml_collections.ConfigDict({"bumps": 1024, "coordinates": 64})
    # Numbers of planes count as pictures show them: those of so many people, from all round and, so
    # much more, of a window of the front, where the face is.
    config.importance = ml_collections.ConfigDict(
        {
            "people": 100,
            "emphasis": 2.0,
            "floor": 0.02,
            "window": {"size": 64, "top": 14, "left": 18, "height": 28, "width": 28},
        }
    )
    # Places that vary least are left at the mean, until so much is kept, of low planes and of what
    # full ones have beyond them, which is the product of two matrices of width `finer`.
    config.span = ml_collections.ConfigDict({"kept": 0.995, "finer": 100, "finer_kept": 0.98})
    config.process = ml_collections.ConfigDict(
        {"schedule": "linear", "steps": 1000, "prediction": "v", "learned_variance": False}
    )
    config.model = ml_collections.ConfigDict(
        {"rank": 300, "width": 256, "depth": 2, "dropout": 0.3, "time_features": 64}
    )

    config.steps = 600
    config.batch_size = 256
    config.accumulate = 1  # micro-batches a step
    config.devices = 0  # that share a batch; 0: all
    config.fsdp = False  # divide the state, not only the batches, among the devices
    config.learning_rate = 1e-3
    config.warmup = 50
    config.decay = "cosine"  # or constant
    config.b2 = 0.999
    config.weight_decay = 0.05
    config.clip = 1.0  # of the gradient's norm; 0 leaves it alone
    config.ema_decay = 0.998
    config.log_every = 100
    config.checkpoint_every = 500

    if preset == "smoke":
        config.base_size = 8
        config.unseen = 0.25
        config.bend.update(bumps=6, coordinates=3)
        config.importance.update(people=3, window=dict(size=16, top=3, left=4, height=7, width=8))
        config.span.finer = 3
        config.process.steps = 50
        config.model.update(rank=4, width=16, depth=1, time_features=16)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
    elif preset != "nano":
        raise ValueError(f"preset must be smoke or nano, got {preset!r}")
    return config
