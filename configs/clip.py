r"""Image and text towers in one space, trained on front views and captions; scale of the latent z.

    python launch/main.py --config=configs/clip.py:nano --workdir=runs/nano/clip \
        --config.data_dir=data/nano

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 20 s | it runs |
| nano | 2 CPU cores | 14 min | top-1 of 120 unseen captions by their picture: 0.99 |
| nano, `steps` 2500 more with `start`, 7560 people | 2 CPU cores, busy | 29 min | see below |
| small | one modern GPU | an hour | not measured |
| paper | one modern GPU | a day | not measured |

The paper uses CLIP ViT-B/32, trained on pictures from the Web, frozen; z has 512 dimensions. Here
``paper`` keeps the 512 dimensions and trains its own towers, so that nothing need be downloaded.
``data_dir`` may be a set of many subjects with few views: only fronts and captions are read, and
more people are worth more than anything else. A linear reader of the latents of 840 people names
eight attributes of theirs in 88 % after 1500 steps on 2160 others (expressions 59, hair styles
85 %), and in 94 % after 2500 more on 7560 (75 and 95 %).
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke, nano, small or paper."""
    config = ml_collections.ConfigDict()
    config.stage = "clip"
    config.preset = preset
    config.data_dir = ""  # written by `rodin data`
    config.start = ""  # workdir of an earlier run whose towers and words to go on from
    config.seed = 0

    config.source_size = 128  # edge of the pictures that augmentation starts from
    config.generic_share = 0.03  # of captions that say nothing, like "a person"
    config.word_dropout = 0.02  # of words that become unknown
    config.augment = ml_collections.ConfigDict(
        {
            "shift": 0.06,
            "zoom": 0.12,
            "brightness": 0.08,
            "tint": 0.03,
            "blur": 0.25,
            "background": 0.3,
        }
    )
    # Looks that the latent must tell besides what captions say; weight 0: captions alone.
    config.appearance = ml_collections.ConfigDict(
        {"size": 48, "width": 512, "weight": 30.0, "noise": 0.1}
    )
    # Each phrase of the captions must be told too, words and pairs of words that between `rarest`
    # and `commonest` of the people are described with.
    config.phrases = ml_collections.ConfigDict({"weight": 0.05, "rarest": 0.005, "commonest": 0.6})
    config.model = ml_collections.ConfigDict(
        {
            "dim": 256,
            "image_size": 128,
            "image_width": 32,
            "image_blocks": (1, 1, 1),
            "image_patch": 4,
            "text_width": 64,
            "text_layers": 2,
            "text_heads": 4,
            "text_length": 56,  # the longest captions have 53 tokens
        }
    )

    config.steps = 1500
    config.batch_size = 64
    config.accumulate = 1
    config.fsdp = False  # divide the state, not only the batches, among the devices
    config.learning_rate = 1e-3
    config.warmup = 100
    config.decay = "cosine"  # or constant
    config.b2 = 0.999
    config.weight_decay = 0.05
    config.clip = 1.0  # of the gradient's norm; 0 leaves it alone
    config.ema_decay = 0.995
    config.log_every = 50
    config.checkpoint_every = 500

    if preset == "smoke":
        config.source_size = 32
        config.appearance.update(size=16, width=32)
        config.model.update(dim=16, image_size=16, image_width=8, image_blocks=(1,))
        config.model.update(text_width=16, text_layers=1, text_heads=2)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 30, 8, 5, 0.9
        config.log_every, config.checkpoint_every = 10, 30
    elif preset == "small":
        config.source_size = 192
        config.model.update(dim=256, image_size=128, image_width=64, image_blocks=(2, 2, 2, 2))
        config.model.update(text_width=256, text_layers=4)
        config.steps, config.batch_size, config.warmup, config.ema_decay = 20_000, 512, 1000, 0.999
        config.learning_rate = 5e-4
    elif preset == "paper":
        config.source_size = 256
        config.model.update(dim=512, image_size=224, image_width=128, image_blocks=(2, 2, 4, 2))
        config.model.update(text_width=512, text_layers=12, text_heads=8, text_length=77)
        config.steps, config.batch_size, config.warmup = 100_000, 1024, 2000
        config.learning_rate, config.weight_decay, config.ema_decay = 3e-4, 0.2, 0.9999
        config.checkpoint_every = 5000
    elif preset != "nano":
        raise ValueError(f"preset must be smoke, nano, small or paper, got {preset!r}")
    return config
