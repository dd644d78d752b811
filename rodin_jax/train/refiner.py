"""The convolutional refiner (paper 3.3, last paragraph): renderings to pictures of twice the size.

It learns from pairs of a rendering of a subject's planes and the true picture of the same camera
at twice the size, by mean square and perceptual error of patches. When it is used it sees planes
that the upsampler made. The paper trains both networks jointly, so that the refiner sees
renderings of the upsampler's predictions; here the upsampler is finished first, and a share of the
renderings shows its predictions (`view_pairs.upsampled_by`), the rest the fits: the same inputs,
but drawn once instead of in every step. The planes never learn to please the refiner.
"""

import functools
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, UInt8

from rodin_jax import metrics
from rodin_jax.data.images import on_white
from rodin_jax.nn.refiner import Refiner, enlarge
from rodin_jax.train import export, sharding, stage, view_pairs
from rodin_jax.train import image_loss as images
from rodin_jax.train import state as train_state

PART = "refiner"


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on renderings of ``config.planes_dir`` and pictures of ``config.data_dir``; exports.

    The pairs wait in ``workdir/pairs-*`` until the run is finished.
    """
    pairs, folder = view_pairs.draw_pairs(
        config.planes_dir, config.data_dir, workdir, subjects=config.subjects, views=config.views,
        samples=config.samples, upsampler_dir=config.upsampler_dir, upsampled=config.upsampled,
        seed=config.seed,
    )  # fmt: skip
    examples, unseen = pairs.split(config.held_out)
    low, high = pairs.low.shape[2], pairs.high.shape[2]
    logging.info("%d pairs, %d -> %d pixels; %d more are held out",
                 len(examples), low, high, len(unseen))  # fmt: skip

    psi, name = None, "none"
    if config.loss.perceptual:
        psi, name = images.load_features(config.vgg, config.clip_dir)
        logging.info("perceptual loss by %s", name)
    model = Refiner(**config.model.to_dict())
    loss_fn = make_loss(
        model.apply, features=psi, coloured=config.coloured, **config.loss.to_dict()
    )
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    params = stage.initial(model, init_key, jnp.zeros((1, 8, 8, 3)))
    cut = functools.partial(
        view_pairs.cut_patch, patch=config.patch, tries=config.tries, mirror=config.mirror
    )

    done = stage.train(
        config,
        workdir,
        loss_fn,
        params,
        train_key,
        examples,
        random_transform=cut,
        on_checkpoint=_preview(model, unseen if len(unseen) else examples, config.preview),
    )
    figures = quality(model, done.weights, unseen)
    for figure, value in figures.items():
        logging.info("%d unseen pairs: %s %.2f dB", len(unseen), figure, value)
    export.write_export(
        workdir,
        PART,
        config.model.to_dict(),
        done.weights,
        trained={
            **done.figures,
            "pairs": len(examples),
            "sizes": [low, high],
            "upsampled": config.upsampled,
            "perceptual": name,
            "unseen_pairs": len(unseen),
            **figures,
        },
    )
    if jax.process_index() == 0:
        shutil.rmtree(Path(folder), ignore_errors=True)


def make_loss(
    apply: Callable[..., Array],
    *,
    mse: float,
    perceptual: float = 0.0,
    features: images.Features | None = None,
    coloured: float = 0.0,
) -> train_state.LossFn:
    """``mse`` times the mean square error plus ``perceptual`` times the perceptual one (eq. 4).

    Its batch holds patches ``low`` uint8 ``[b, p, p, 4]`` and ``high`` ``[b, 2p, 2p, 4]``, straight
    RGBA.

    Args:
      apply: the network's.
      mse: weight.
      perceptual: weight.
      features: Psi of the perceptual error.
      coloured: share of the patches in front of a random colour; the others are on white.
    """

    def loss_fn(params, batch, key):
        background = random_backgrounds(key, len(batch["low"]), coloured)
        low, high = (over(batch[name], background) for name in ("low", "high"))
        refined = apply({"params": params}, low)
        error = jnp.mean((refined - high) ** 2)
        total, parts = mse * error, {"mse": error}
        if perceptual:
            parts["perceptual"] = images.perceptual_error(features, refined, high)
            total += perceptual * parts["perceptual"]
        return total, parts

    return loss_fn


def random_backgrounds(key: Array, count: int, coloured: float) -> Float[Array, "n 1 1 3"]:
    """White, or with probability ``coloured`` any colour; the key is consumed."""
    which_key, colour_key = jax.random.split(key)
    colours = jax.random.uniform(colour_key, (count, 1, 1, 3))
    return jnp.where(jax.random.bernoulli(which_key, coloured, (count, 1, 1, 1)), colours, 1.0)


def over(
    rgba: UInt8[Array, "b h w 4"], background: Float[Array, "b 1 1 3"]
) -> Float[Array, "b h w 3"]:
    """Straight RGBA in front of a colour each, in [0, 1]."""
    rgba = rgba.astype(jnp.float32) / 255
    alpha = rgba[..., 3:]
    return rgba[..., :3] * alpha + background * (1 - alpha)


def quality(model: Refiner, params, pairs: view_pairs.Pairs) -> dict[str, float]:
    """Mean PSNR of whole pictures on white, of a plain resize and of the refiner, in dB.

    Returns:
      ``psnr_resized`` and ``psnr_refined``; nothing without pairs.
    """
    if not len(pairs):
        return {}
    params = jax.tree.map(jnp.asarray, sharding.to_host(params))
    found = []
    for pair in pairs:
        resized, refined = _whole(model, params, on_white(pair["low"]))
        truth = on_white(pair["high"])
        errors = [metrics.mse(picture, truth) for picture in (resized, refined)]
        found.append([metrics.decibels(float(error)) for error in errors])
    resized, refined = np.mean(found, axis=0)
    return {"psnr_resized": round(float(resized), 3), "psnr_refined": round(float(refined), 3)}


@functools.partial(jax.jit, static_argnums=0)
def _whole(model: Refiner, params, picture):
    """A picture resized and refined, both ``[2h, 2w, 3]`` in [0, 1]."""
    both = enlarge(picture[None]), model.apply({"params": params}, picture[None])
    return tuple(jnp.clip(x[0], 0.0, 1.0) for x in both)


def _preview(model: Refiner, pairs: view_pairs.Pairs, count: int):
    """A callback: renderings, what the averaged weights make of them, and the truth, in rows."""
    chosen = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)

    def draw(state, step):
        params = jax.tree.map(jnp.asarray, sharding.to_host(state.ema))
        columns = [
            np.concatenate([*_whole(model, params, on_white(pair["low"])), on_white(pair["high"])])
            for pair in (pairs[int(i)] for i in chosen)
        ]
        sheet = np.concatenate(columns, axis=1)
        return {"samples": np.round(np.clip(sheet, 0, 1) * 255).astype(np.uint8)}

    return draw if count else None
