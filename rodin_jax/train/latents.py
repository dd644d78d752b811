"""The trained towers as every later stage uses them: pictures to z, sentences to features."""

import functools
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from rodin_jax.data.planes import PlanesStore
from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn import tokenizer as tokenizer_lib
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.tokenizer import WordTokenizer
from rodin_jax.train import fitted, portraits
from rodin_jax.train.export import FOLDER, read_export

TOKENIZER = "tokenizer.json"


class Encoder:
    """The frozen towers that the clip stage exported, with the scale of the latent.

    Attributes:
      clip: the two towers.
      params: their weights.
      mean: of normalised image embeddings over the training set, ``[d]``.
      std: likewise.
    """

    def __init__(self, clip_dir: str | os.PathLike):
        """Reads the clip stage's workdir, or the export inside it.

        Raises:
          FileNotFoundError: nothing was exported there.
          ValueError: it is the export of another stage.
        """
        if not str(clip_dir):
            raise ValueError("config.clip_dir is empty, expected the workdir of the clip stage")
        export = read_export(clip_dir, "clip")
        folder = Path(clip_dir)
        folder = folder / FOLDER if (folder / FOLDER).is_dir() else folder
        self.clip, self.params = Clip(**export.model), export.params
        self.mean = jnp.asarray(export.arrays["latent_mean"])
        self.std = jnp.asarray(export.arrays["latent_std"])
        self._folder = folder

    @functools.cached_property
    def tokenizer(self) -> WordTokenizer:
        """Words to numbers.

        Raises:
          TokenizerError: its file is missing or damaged.
        """
        return tokenizer_lib.load(self._folder / TOKENIZER)

    def fronts(
        self, fronts: Iterable[UInt8[np.ndarray, "s s c"]], *, batch_size: int = 128
    ) -> Float[Array, "n d"]:
        """Latents z of RGB or RGBA pictures of one size, read as they come."""
        embeddings = encode_fronts(self.clip, self.params, fronts, batch_size=batch_size)
        return clip_lib.standardise(embeddings, self.mean, self.std)

    def levels(self, images: Float[Array, "n h w 3"]) -> tuple[Float[Array, "n _h _w _c"], ...]:
        """Feature maps of the image tower's stages, for pictures in [0, 1]; differentiable."""
        return clip_lib.image_levels(self.clip, self.params, images)

    def tokens(self, captions: list[str]) -> Int[np.ndarray, "n l"]:
        """Sentences as tokens, filled up to the text tower's length."""
        return self.tokenizer.encode(captions, self.clip.text_length)

    def texts(
        self, captions: list[str]
    ) -> tuple[Float[Array, "n l w"], Float[Array, "n d"], Bool[Array, "n l"]]:
        """(features, normalised embeddings, mask) of sentences, as `TextPrior` wants them."""
        tokens = self.tokens(captions)
        features, embeddings = clip_lib.encode_texts(self.clip, self.params, tokens)
        return features, clip_lib.normalise(embeddings), jnp.asarray(tokens != clip_lib.PAD)

    def captions(
        self, tokens: Int[np.ndarray, "n k l"], *, at_once: int = 64
    ) -> Float[np.ndarray, "n k d"]:
        """Normalised embeddings of k captions of each of n people, so many people at once."""
        count, each, length = tokens.shape
        parts = [
            clip_lib.encode_texts(
                self.clip, self.params, part.reshape(-1, length), batch_size=at_once * each
            )[1]
            for part in np.split(tokens, range(at_once, count, at_once))
        ]
        found = np.asarray(clip_lib.normalise(jnp.concatenate(parts)))
        return found.reshape(count, each, -1)


def portrait_latents(encoder: Encoder, subjects: Sequence) -> Float[np.ndarray, "n 2 d"]:
    """The latent of each subject's front view and of its mirror image."""
    seen = (portraits.fronts(subjects, mirrored=m) for m in (False, True))
    return np.stack([np.asarray(encoder.fronts(views)) for views in seen], axis=1)


def subject_latents(
    store: PlanesStore, clip_dir: str | os.PathLike, *, mirrored: bool
) -> Float[np.ndarray, "n views d"]:
    """The latent of each subject's front view and, if ``mirrored``, of its mirror image."""
    encoder = Encoder(clip_dir)
    seen = (False, True) if mirrored else (False,)
    z = [encoder.fronts(fitted.front_views(store, mirrored=m)) for m in seen]
    return np.stack([np.asarray(v) for v in z], axis=1)


def drop_latents(z: Float[Array, "b d"], key: Array, probability: float) -> Float[Array, "b d"]:
    """Zeros, the null condition, with ``probability`` for each example; the key is consumed."""
    dropped = jax.random.bernoulli(key, probability, z.shape[:1])
    return jnp.where(dropped[:, None], 0.0, z)


def encode_fronts(
    clip: Clip, params, fronts: Iterable[UInt8[np.ndarray, "s s c"]], *, batch_size: int = 128
) -> Float[Array, "n d"]:
    """Image embeddings, not normalised; holds one batch of pictures at a time."""
    fronts, parts = iter(fronts), []
    while batch := list(itertools.islice(fronts, batch_size)):
        parts.append(clip_lib.encode_images(clip, params, np.stack(batch), batch_size=batch_size))
    if not parts:
        raise ValueError("no pictures to encode")
    return jnp.concatenate(parts)
