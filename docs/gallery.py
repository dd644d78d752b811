"""Makes the pictures that README shows:   python docs/gallery.py [--bundle DIR | --data-only]

``docs/data.png``: people of the data engine, as the model learns from them.
``docs/gallery.png``: sentences and the avatars that the bundle makes of them, fixed seeds, none
picked by hand.
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rodin_jax import RodinPipeline, compile_cache
from rodin_jax.cameras import orbit
from rodin_jax.data import avatars
from rodin_jax.data.images import over_white

HERE = Path(__file__).parent
PROMPTS = (
    "a smiling woman with curly red hair and round glasses",
    "an old man with a white beard and a blue suit",
    "a girl with long blond hair and a pink t-shirt",
    "a man with dark skin, a black afro and sunglasses",
    "a boy with short brown hair and a green hoodie",
    "a woman with a blue bob and square glasses",
    "an angry man with a moustache and a red cap",
    "a surprised lady with a bun and a yellow turtleneck",
)


def sheet(pictures: np.ndarray, columns: int) -> Image.Image:
    """Pictures of one size side by side, row after row."""
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    return Image.fromarray(np.concatenate(rows))


def data_sheet(columns: int = 12, rows: int = 5, size: int = 128) -> Image.Image:
    """The first people of seed 0, each from a slightly different side."""
    pictures = []
    for index in range(columns * rows):
        camera = orbit(np.array([25.0 * (index % 3 - 1)]), np.array([8.0]), size, fov=36.0)
        pictures.append(over_white(avatars.render(avatars.sample_spec(0, index), camera, size)[0]))
    return sheet(np.stack(pictures), columns)


def gallery(pipeline: RodinPipeline, columns: int = 4, size: int = 224) -> Image.Image:
    """Each prompt with two views of its avatar; seed 1 for all."""
    font, cells = ImageFont.load_default(15), []
    for prompt in PROMPTS:
        (avatar,) = pipeline.generate(prompt, seed=1)
        views = [avatar.render(azimuth=a, elevation=8, size=size) for a in (15, 75)]
        cell = Image.new("RGB", (2 * size, size + 44), "white")
        for i, view in enumerate(views):
            cell.paste(Image.fromarray(np.asarray(view)[..., :3]), (i * size, 0))
        words = textwrap.fill(prompt, 2 * size // 9)
        ImageDraw.Draw(cell).multiline_text(
            (size, size + 22), words, "black", font=font, anchor="mm", align="center"
        )
        cells.append(np.asarray(cell))
    return sheet(np.stack(cells), columns)


def main():
    """Writes both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--data-only", action="store_true", help="leave the model out")
    options = parser.parse_args()
    compile_cache.enable()
    data_sheet().save(HERE / "data.png", optimize=True)
    if not options.data_only:
        pipeline = RodinPipeline.from_pretrained(options.bundle)
        gallery(pipeline).save(HERE / "gallery.png", optimize=True)


if __name__ == "__main__":
    main()
