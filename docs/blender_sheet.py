"""Makes the picture of Blender's people that README shows:   python docs/blender_sheet.py

``docs/blender.png``: the first people of seed 0 with each hair style, then with headwear as far as
there is room, none picked by hand. It needs ``pip install 'rodin_jax[blender]'``.
"""

import argparse
from pathlib import Path

import numpy as np
from gallery import sheet

from rodin_jax.cameras import orbit
from rodin_jax.data import avatars
from rodin_jax.data.avatars.spec import HAIR_STYLE, HEADWEAR
from rodin_jax.data.blender.render import render
from rodin_jax.data.images import over_white

HERE = Path(__file__).parent


def cast(count: int):
    """The first of seed 0 with each hair style, bareheaded, then with headwear."""
    world = [avatars.sample_spec(0, index) for index in range(400)]
    chosen = []

    def first(wanted):
        found = next(s for s in world if s not in chosen and wanted(s))
        chosen.append(found)

    for style in HAIR_STYLE:
        first(lambda s, style=style: s.hair_style == style and s.headwear == "none")
    for hat in HEADWEAR[1:]:
        if len(chosen) < count:
            first(lambda s, hat=hat: s.headwear == hat)
    return chosen[:count]


def main():
    """Writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--size", type=int, default=176, help="pixels along an edge of a portrait")
    parser.add_argument("--samples", type=int, default=32, help="rays through each pixel")
    parser.add_argument("--out", type=Path, default=HERE / "blender.png")
    options = parser.parse_args()
    pictures = []
    for i, spec in enumerate(cast(options.columns * options.rows)):
        # Each looks to a slightly different side.
        turn, size = np.array([(-28.0, 12.0, 30.0)[i % 3]]), options.size
        camera = orbit(turn, np.array([6.0]), size, fov=37.0, target=(0.0, 0.0, 0.02))
        view = render(spec, camera, size, samples=options.samples, threads=0)
        pictures.append(over_white(view[0]))
    sheet(np.stack(pictures), options.columns).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
