"""A bundle of smoke size with random weights, and an avatar whose shape is known."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.assembly import assemble
from rodin_jax.avatar import Avatar, Recipe
from rodin_jax.nn import tokenizer, weights
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.eigenplanes import CoefficientNet
from rodin_jax.nn.latent import LatentNet
from rodin_jax.nn.refiner import Refiner
from rodin_jax.nn.text import TextPrior
from rodin_jax.nn.unet import UNet
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.nn.visage import Visage
from rodin_jax.train import phrases, span
from rodin_jax.train.export import read_export, write_export
from rodin_jax.train.regression import follow
from rodin_jax.train.text import straight

SIZE, BASE, CHANNELS, DIM, LENGTH = 16, 8, 4, 8, 12
BALL_RADIUS = 0.6
REFINER = {"channels": 4, "blocks": 1, "growth": 2}
CAPTIONS = ["a portrait of a person", "a smiling woman with curly red hair and round glasses"]
SAMPLING = {"base_steps": 3, "upsampler_steps": 2, "latent_steps": 3, "draws": 2}


def exports(folder: Path, seed: int = 0) -> list[Path]:
    """Exports of the six stages that a bundle needs, with random weights; their work folders."""
    words = tokenizer.train(CAPTIONS)
    t, z = jnp.zeros(1, jnp.int32), jnp.zeros((1, DIM))
    high, low = (jnp.zeros((1, 3, s, s, CHANNELS)) for s in (SIZE, BASE))
    clip = dict(vocabulary=len(words), dim=DIM, image_size=16, image_width=8, image_blocks=[1])
    clip |= dict(text_width=8, text_layers=1, text_heads=1, text_length=LENGTH)
    mask = jnp.ones((1, LENGTH), bool)
    text = (z, t, jnp.zeros((1, LENGTH, 8)), z, mask)
    unet = dict(out_channels=CHANNELS * 2, channels=8, multipliers=[1], blocks=1)
    unet |= dict(attention=[8], head_channels=8)
    base = dict(schedule="cosine", steps=20, prediction="eps", learned_variance=True)
    clean = dict(schedule="linear", steps=50, prediction="x0", learned_variance=False)
    free = dict(schedule="linear", steps=50, prediction="eps", learned_variance=False)
    scale = statistics(SIZE) | statistics(BASE)
    latent = {"latent_mean": np.full(DIM, 0.1, np.float32), "latent_std": np.ones(DIM, np.float32)}
    upsampler = dict(out_channels=CHANNELS, channels=8, blocks=1, factor=2)
    stages = {
        "decoder": (
            Decoder,
            dict(width=16),
            (jnp.zeros((1, CHANNELS)), jnp.zeros((1, 3))),
            None,
            {},
        ),
        "base": (UNet, unet, (low, t, z), base, scale),
        "upsampler": (Upsampler, upsampler, (high, low, t), clean, scale),
        "latent": (LatentNet, dict(dim=DIM, width=16, depth=3), (z, t), free, {}),
        "text": (TextPrior, dict(dim=DIM, width=8, layers=1, heads=1), text, clean, {}),
        "clip": (
            Clip,
            clip,
            (jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, LENGTH), int)),
            None,
            latent,
        ),
    }
    rng = np.random.default_rng(seed)
    for part, (module, model, inputs, process, arrays) in stages.items():
        kwargs = {k: tuple(v) if isinstance(v, list) else v for k, v in model.items()}
        shapes = jax.eval_shape(module(**kwargs).init, jax.random.key(0), *inputs)["params"]
        # Random everywhere, also where training starts at zero: every input must matter.
        params = jax.tree.map(lambda x: 0.3 * rng.standard_normal(x.shape, np.float32), shapes)
        write_export(folder / part, part, model, params, process, arrays, {"steps": 0})
    words.save(folder / "clip" / "export" / "tokenizer.json")
    return [folder / part for part in stages]


def add_line(run: Path) -> None:
    """Gives the text prior exported to ``run`` a line from sentences to latents."""
    export, rng = read_export(run, "text"), np.random.default_rng(0)
    z, said = (rng.standard_normal((60, 2, DIM)).astype(np.float32) for _ in range(2))
    arrays = {f"line/{name}": array for name, array in straight(z + said, said).items()}
    write_export(run, "text", export.model, export.params, export.process, arrays)


def add_phrases(run: Path, words) -> None:
    """Gives it a phrasebook too: entry i of a latent says if word i of ``words`` is said."""
    export = read_export(run, "text")
    rng, count = np.random.default_rng(0), len(words)
    labels = rng.random((400, count)) < 0.5
    z = rng.standard_normal((400, 1, DIM)).astype(np.float32)
    z[:, 0, :count] = np.where(labels, 1.0, -1.0)
    found = np.stack([np.zeros(count, np.int32), np.asarray(words, np.int32)], axis=1)
    book = {f"phrases/{name}": array for name, array in phrases.learn(found, labels, z).items()}
    write_export(run, "text", export.model, export.params, export.process, export.arrays | book)


def refiner() -> tuple[Refiner, dict]:
    """A small refiner with random weights, so that it changes every picture."""
    net = Refiner(**REFINER)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    rng = np.random.default_rng(0)
    draw = lambda x: jnp.asarray(0.2 * rng.standard_normal(x.shape, np.float32))  # noqa: E731
    return net, jax.tree.map(draw, shapes)


def refiner_export(folder: Path) -> Path:
    """Writes the export of `refiner`, a part that a bundle may have; returns its work folder."""
    write_export(folder, "refiner", REFINER, refiner()[1], trained={"sizes": [16, 32]})
    return folder


def eigenplanes_export(folder: Path) -> Path:
    """Writes the export of eigenplanes, which a bundle may have too; returns its work folder."""
    model, rng = dict(rank=3, width=8, depth=1), np.random.default_rng(0)
    inputs = jnp.zeros((1, 3)), jnp.zeros(1, jnp.int32), jnp.zeros((1, DIM))
    net = CoefficientNet(**model)
    shapes = jax.eval_shape(net.init, jax.random.key(0), *inputs)["params"]
    params = jax.tree.map(lambda x: 0.3 * rng.standard_normal(x.shape, np.float32), shapes)
    planes = rng.standard_normal((6, 1, 3, SIZE, SIZE, CHANNELS)).astype(np.float32)
    even = np.ones(planes.shape[2:], np.float32)
    found = span.learn(planes, even, size=BASE, rank=3, kept=0.9, finer=2, finer_kept=0.9)
    z = rng.standard_normal((6, 1, DIM))
    followed = follow(found.coefficients(planes), z, found.arrays["mean"], bumps=4)
    arrays = weights.flatten({"eigenplanes": found.arrays | followed.arrays})
    process = dict(schedule="cosine", steps=20, prediction="eps", learned_variance=False)
    write_export(folder, "eigenplanes", model, params, process, arrays)
    return folder


def visage_export(folder: Path) -> Path:
    """Writes the export of a visage, which a bundle may have too; returns its work folder."""
    net = Visage(DIM, size=32, top=6, left=8, height=16, width=16, rank=2, bumps=3, coordinates=2)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, DIM)))["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: 0.3 * rng.standard_normal(x.shape, np.float32), shapes)
    # Of one colour, as a field so small can be.
    plain = {
        name: np.broadcast_to(params[name][:1, :1], params[name].shape)
        for name in ("mean", "basis")
    }
    params |= {"mean": plain["mean"] + 0.5, "basis": plain["basis"]}
    params["doubt"] = np.abs(params["doubt"]) + 0.1
    fields = ("dim", "size", "top", "left", "height", "width", "rank", "bumps", "coordinates")
    write_export(folder, "visage", {name: getattr(net, name) for name in fields}, params)
    return folder


def statistics(size: int) -> dict[str, np.ndarray]:
    """Statistics under which normalised features are features, within [-2, 2]."""
    values = {"mean": 0.0, "std": 1.0, "low": -2.0, "high": 2.0}
    return {
        f"statistics/{size}/{name}": np.full((3, CHANNELS), value, np.float32)
        for name, value in values.items()
    }


def make(folder: Path, seed: int = 0) -> Path:
    """Writes a whole bundle; returns its folder."""
    return assemble(
        exports(folder / "runs", seed), folder / "bundle", preset="smoke", sampling=SAMPLING
    ).path


def ball(size: int = 32) -> Avatar:
    """A solid ball of radius `BALL_RADIUS`, red at the subject's front and blue behind.

    Channel 0 of the planes sums to x² + y² + z², channel 1 to y; the decoder's weights turn the
    one into density and the other into colour.
    """
    line = (np.arange(size) + 0.5) * (2 / size) - 1
    rows, columns = np.meshgrid(line, line, indexing="ij")
    planes = np.zeros((3, size, size, 2), np.float32)
    planes[..., 0] = (rows**2 + columns**2) / 2
    planes[0, ..., 1] = columns
    decoder = Decoder(width=4, octaves=0, view_dependent=False)
    shapes = decoder.init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros((1, 3)))["params"]
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)
    # The decoder shifts its pre-activation by a constant; put density 10 at the surface.
    nothing = decoder.apply({"params": params}, jnp.zeros((1, 2)), jnp.zeros((1, 3)))[0]
    at_surface, at_zero = (np.log(np.expm1(d / decoder.density_scale)) for d in (10, nothing[0]))
    params["fc2"]["kernel"][0, 0], params["fc2"]["bias"][0] = 1.0, -10 + at_surface - at_zero
    params["fc2"]["kernel"][1, 1] = 1.0
    params["fc1"]["kernel"][0, 0], params["fc1"]["bias"][0] = -40.0, 40 * BALL_RADIUS**2 + 10
    params["fc1"]["kernel"][1, 1], params["fc1"]["bias"][1] = 1.0, 2.0
    params["fc3"]["kernel"][0, 0], params["fc3"]["kernel"][0, 1] = 1.0, 0.0
    params["fc4"]["kernel"][0] = [-20.0, 0.0, 20.0]
    params["fc4"]["bias"][:] = [40.0, -4.0, -40.0]
    params = jax.tree.map(jnp.asarray, params)
    return Avatar(jnp.asarray(planes), decoder, params, Recipe("generate", prompt="a ball", seed=1))


def half_way(cosine):
    """Radius at which a ray that falls on `ball` under this cosine has lost half of its light.

    The ball's density is 40 softplus(40 (R^2 - r^2) + c), with c such that it is 10 at r = R.
    """
    r = np.linspace(0.8, 0.4, 4001)
    shift = np.log(np.expm1(10 / 40))
    density = 40 * np.logaddexp(0, 40 * (BALL_RADIUS**2 - r**2) + shift)
    return np.interp(np.log(2) * cosine, np.cumsum(density) * (r[0] - r[1]), r)
