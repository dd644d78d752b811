r"""The text prior: diffusion of the latent z given a sentence.

    python launch/main.py --config=configs/text.py:nano --workdir=runs/nano/text \
        --config.data_dir=data/nano --config.clip_dir=runs/nano/clip

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 20 s | it runs |
| nano | 2 CPU cores | 5 min | see below |
| small | one modern GPU | an hour | not measured |
| paper | one modern GPU | days | not measured |

With 2160 people a line from the sentence leaves 61 % of the latent's variance; the network takes
1.5 % of what the line leaves within 400 steps, and no more within 600 of a longer schedule. Of the
latents it gives at guidance 3, a linear classifier reads what short sentences ask for in 90 %;
without the line it was 71 %.

``paper`` follows supplement B.5: DALL-E 2's prior, T = 1000, linear schedule, AdamW 4e-5, batch 96,
EMA 0.9999. It trained on 100 000 portraits of LAION-400M; here the captions of the data set serve.
The size of the transformer and the number of steps are not given; DALL-E 2's own is far larger.
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano, small or paper."""
    config = ml_collections.ConfigDict()
    config.stage = "text"
    config.preset = preset
    config.data_dir = ""  # written by `rodin data`
    config.clip_dir = ""  # workdir of the clip stage
    config.seed = 0

    config.null_share = 0.2  # of examples without a sentence, for guidance
    config.generic_share = 0.03  # of captions that say nothing, like "a person"
    config.emphasis = 0.5  # power of a coordinate's variance that it weighs with
    config.process = ml_collections.ConfigDict(
        {"schedule": "linear", "steps": 1000, "prediction": "x0", "learned_variance": False}
    )
    # Phrases by which latents are changed: said of a share of people between `rarest` and
    # `commonest`, of whose variance latents must foretell `least`.
    config.phrases = ml_collections.ConfigDict({"rarest": 0.01, "commonest": 0.6, "least": 0.1})
    config.model = ml_collections.ConfigDict({"width": 96, "layers": 3, "heads": 4})

    config.steps = 400
    config.batch_size = 96
    config.accumulate = 1
    config.fsdp = False  # divide the state, not only the batches, among the devices
    config.learning_rate = 5e-4
    config.warmup = 60
    config.decay = "cosine"  # or constant
    config.b2 = 0.999
    config.weight_decay = 0.02
    config.clip = 1.0  # of the gradient's norm; 0 leaves it alone
    config.ema_decay = 0.998
    config.log_every = 50
    config.checkpoint_every = 500

    if preset == "smoke":
        config.process.steps = 50
        config.model.update(width=16, layers=1, heads=2)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
    elif preset == "small":
        config.model.update(width=512, layers=6, heads=8)
        config.steps, config.batch_size, config.ema_decay = 50_000, 256, 0.9999
        config.learning_rate, config.warmup, config.checkpoint_every = 2e-4, 200, 5000
    elif preset == "paper":
        config.model.update(width=1024, layers=12, heads=16)
        config.steps, config.batch_size, config.warmup = 500_000, 96, 0
        config.learning_rate, config.decay, config.ema_decay = 4e-5, "constant", 0.9999
        config.clip = 0.0
        config.checkpoint_every = 10_000
    elif preset != "nano":
        raise ValueError(f"preset must be smoke, nano, small or paper, got {preset!r}")
    return config
