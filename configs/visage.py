r"""The face that a latent foretells, as a picture; planes are corrected toward it.

    python launch/main.py --config=configs/visage.py:nano --workdir=runs/nano/visage \
        --config.data_dir=data/nano --config.clip_dir=runs/nano/clip

| preset | hardware | time | figure to expect |
| --- | --- | --- | --- |
| smoke | 2 CPU cores | 10 s | it runs |
| nano | 2 CPU cores | 8 min | 19.7 dB of the faces of people it has not seen |

That is with 8413 people; 1231 give 19.5 dB where 8791 give 20.6 (of the face without the hair).
For small sets, as `eigenplanes` is; ``small`` and ``paper`` have none.
"""

import ml_collections


def get_config(preset: str = "nano") -> ml_collections.ConfigDict:
    """The configuration of ``preset``: smoke or nano."""
    config = ml_collections.ConfigDict()
    config.stage = "visage"
    config.preset = preset
    config.data_dir = ""  # written by `rodin data`; several, separated by commas
    config.clip_dir = ""  # workdir of the clip stage
    config.unseen = 0.05  # of the subjects, kept apart to be measured on

    # Of the front, brought to `size` pixels: where the face is.
    config.window = ml_collections.ConfigDict(
        {"size": 128, "top": 28, "left": 36, "height": 52, "width": 56}
    )
    config.rank = 160
    config.some = 1500  # people whom components are taken of
    config.bend = ml_collections.ConfigDict({"bumps": 2048, "coordinates": 64})

    if preset == "smoke":
        config.unseen = 0.25
        config.window.update(size=16, top=3, left=4, height=7, width=8)
        config.rank = 4
        config.bend.update(bumps=6, coordinates=3)
    elif preset != "nano":
        raise ValueError(f"preset must be smoke or nano, got {preset!r}")
    return config
