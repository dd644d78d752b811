"""Learning the face that a latent foretells from everybody of whom there is a front.

In closed form: principal components of a window of the front, and the regression of their
coefficients on the latent (`rodin_jax.train.regression`), which also says how far it may be off.
"""

import logging
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Float, UInt8

from rodin_jax.nn.visage import Visage
from rodin_jax.train import export, latents, portraits
from rodin_jax.train.components import components
from rodin_jax.train.regression import follow
from rodin_jax.triplanes import resize_matrix

PART = "visage"


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Learns from the fronts of ``config.data_dir`` and their mirror images; exports."""
    encoder = latents.Encoder(config.clip_dir)
    subjects = portraits.open_subjects(config.data_dir)
    window = Window(**config.window.to_dict())
    z = latents.portrait_latents(encoder, subjects)
    views = (portraits.fronts(subjects, mirrored=m) for m in (False, True))
    faces = np.stack([[window(front) for front in fronts] for fronts in views], axis=1)
    unseen = round(config.unseen * len(subjects))
    seen = slice(None, len(subjects) - unseen)
    logging.info("%d faces of %d x %d pixels", len(faces[seen]), *faces.shape[2:4])
    params = learn(
        faces[seen], z[seen], rank=config.rank, some=config.some, **config.bend.to_dict()
    )
    model = {
        "dim": z.shape[-1],
        **config.window.to_dict(),
        "rank": config.rank,
        "bumps": len(params["centres"]),
        "coordinates": params["centres"].shape[1],
    }
    figures = {"subjects": len(faces[seen])}
    if unseen:
        known = {"params": jax.tree.map(jnp.asarray, params)}
        told, _ = Visage(**model).apply(known, jnp.asarray(z[-unseen:, 0]))
        figures["psnr_unseen"] = round(_psnr(np.asarray(told), faces[-unseen:, 0]), 2)
        logging.info("faces of %d people it has not seen: %s", unseen, figures)
    export.write_export(workdir, PART, model, params, trained=figures)


class Window:
    """Reads a window of fronts, as `rodin_jax.nn.visage.Visage` says it.

    Attributes are those of that class.
    """

    def __init__(self, size: int, top: int, left: int, height: int, width: int):
        self.size = size
        self._rows, self._columns = slice(top, top + height), slice(left, left + width)

    def __call__(self, front: UInt8[np.ndarray, "s s 4"]) -> Float[np.ndarray, "h w 4"]:
        """Colour over white and coverage of the window."""
        image = portraits.premultiply(front)
        if len(image) != self.size:
            image = portraits.shrink(image, resize_matrix(len(image), self.size))
        image = image[self._rows, self._columns].astype(np.float32) / 255
        image[..., :3] += 1 - image[..., 3:]
        return image


def learn(
    faces: Float[np.ndarray, "n v h w 4"],
    z: Float[np.ndarray, "n v d"],
    *,
    rank: int,
    some: int,
    bumps: int,
    coordinates: int,
) -> dict[str, np.ndarray]:
    """The parameters of a `Visage`.

    Args:
      faces: windows of n people in v views.
      z: their latents.
      rank: principal components.
      some: people whom components are taken of, and whose errors are measured.
      bumps: see `follow`.
      coordinates: likewise.
    """
    count, views, *window = faces.shape
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:some])
    packed = components(faces[chosen].reshape(-1, *window), rank)
    basis = packed["basis"] * packed["scale"]
    mean = basis @ packed["mean"] + packed["rest"]
    c = (faces.reshape(count, views, -1) - mean) @ basis
    followed = follow(c, z, np.zeros(rank, np.float32), bumps=bumps, coordinates=coordinates)
    foretold = (c - followed.unseen_errors())[chosen] @ basis.T + mean
    errors = np.square(foretold.reshape(-1, *window) - faces[chosen].reshape(-1, *window)).mean(0)
    return {
        "mean": mean.reshape(window),
        "basis": basis.reshape(*window, rank),
        "slope": followed.arrays["slope"].astype(np.float32),
        "doubt": errors[..., :3].mean(-1) + errors[..., 3],
        **{name: x.astype(np.float32) for name, x in followed.arrays["bend"].items()},
    }


def _psnr(foretold: Float[np.ndarray, "n h w 4"], faces: Float[np.ndarray, "n h w 4"]) -> float:
    """Mean over people, of colour over white."""
    errors = np.square(np.clip(foretold, 0, 1) - faces)[..., :3].mean((1, 2, 3))
    return float(-10 * np.log10(errors).mean())
