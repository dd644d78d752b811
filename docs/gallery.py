"""Makes the pictures that README shows:   python docs/gallery.py [--bundle DIR | --data-only]

``docs/avatars.png``: people of the data engine, as a model learns from them.
``docs/one_avatar_360.png``: one of them from all round, with normals, depth and parts.
``docs/gallery.png``: sentences and the avatars that the bundle makes of them, fixed seeds, none
picked by hand.
``docs/photos.png``: people that nothing has learned, the avatars made of their front alone, and
below them the people themselves.
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rodin_jax import RodinPipeline, compile_cache
from rodin_jax.cameras import FOV, RADIUS, orbit
from rodin_jax.data import avatars
from rodin_jax.data.images import over_white

HERE = Path(__file__).parent
_UNSEEN = 987_654
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


def save(picture: Image.Image, name: str):
    """Writes a picture with 256 colours: a third of the bytes, and no eye misses them."""
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(HERE / name, optimize=True)


def people(columns: int = 12, rows: int = 8, size: int = 128) -> Image.Image:
    """The first people of seed 0, each from a slightly different side."""
    pictures = []
    for index in range(columns * rows):
        camera = orbit(np.array([25.0 * (index % 3 - 1)]), np.array([8.0]), size, fov=36.0)
        pictures.append(over_white(avatars.render(avatars.sample_spec(0, index), camera, size)[0]))
    return sheet(np.stack(pictures), columns)


def all_round(seed: int = 0, index: int = 16, size: int = 192) -> Image.Image:
    """One person from eight sides, and what the renderer knows of the first four: colour,
    normals, depth and parts."""
    camera = orbit(np.arange(8) * 45.0, np.full(8, 8.0), size, fov=36.0)
    layers = avatars.render_layers(avatars.sample_spec(seed, index), camera, size)
    views = np.stack([over_white(view) for view in np.asarray(layers.rgba)])
    seen = np.asarray(layers.parts)[..., None] >= 0
    normals = np.where(seen, 127.5 * (1 + np.asarray(layers.normals)), 255)
    near, far = np.quantile(np.asarray(layers.depth)[seen[..., 0]], (0, 1))
    depth = np.clip(230 * (far - np.asarray(layers.depth)) / (far - near), 0, 230)[..., None]
    depth = np.where(seen, np.repeat(depth, 3, -1), 255)
    colours = np.random.default_rng(3).integers(60, 240, (len(avatars.PART_NAMES), 3))
    parts = np.where(seen, colours[np.asarray(layers.parts)], 255)
    rows = [views[:4], views[4:], normals[:4], depth[:4], parts[:4]]
    return sheet(np.concatenate(rows).astype(np.uint8), 4)


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


def photos(pipeline: RodinPipeline, count: int = 4, size: int = 144) -> Image.Image:
    """The first people of a seed that no data set uses: what is given, and what is made of it."""
    turns = np.array([0.0, 55.0, 160.0, 290.0])
    cells = []
    for index in range(count):
        spec = avatars.sample_spec(_UNSEEN, index)
        (front,) = avatars.render(spec, avatars.front_camera(size), size)
        (avatar,) = pipeline.generate(image=front, seed=1)
        made = avatar.render(turns, 5.0, size)
        camera = orbit(turns, np.full(len(turns), 5.0), size, radius=RADIUS, fov=FOV)
        true = over_white(avatars.render(spec, camera, size))
        nothing = np.full_like(made[0], 255)
        rows = [[over_white(front), *made], [nothing, *true]]
        cells.append(np.concatenate([np.concatenate(row, 1) for row in rows]))
    return sheet(np.stack(cells), 2)


def main():
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--data-only", action="store_true", help="leave the model out")
    options = parser.parse_args()
    compile_cache.enable()
    save(people(), "avatars.png")
    save(all_round(), "one_avatar_360.png")
    if not options.data_only:
        pipeline = RodinPipeline.from_pretrained(options.bundle)
        gallery(pipeline).save(HERE / "gallery.png", optimize=True)
        save(photos(pipeline), "photos.png")


if __name__ == "__main__":
    main()
