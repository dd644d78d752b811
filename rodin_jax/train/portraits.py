"""Front views and captions of a set of subjects, as the clip, latent and text stages read them."""

import os
from collections.abc import Iterator, Sequence
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from rodin_jax.data import builder
from rodin_jax.triplanes import resize_matrix

# Pictures are kept in memory up to this; larger sets are read from disk, batch by batch.
MEMORY_BYTES = 4 << 30
# True of everyone: what an edit starts from, and what a prompt without content says.
GENERIC = ("a person", "a photo of a person", "a portrait of a person", "an avatar", "someone")


def open_subjects(data_dir: str | os.PathLike, split: str = "train") -> builder.Subjects:
    """The subjects of a split, without their views.

    Raises:
      ValueError: no data set there, or no such split.
    """
    if not str(data_dir):
        raise ValueError("config.data_dir is empty, expected a folder written by `rodin data`")
    return builder.load_subjects(data_dir, split, views=False)


def fronts(subjects: Sequence, *, mirrored: bool = False) -> Iterator[UInt8[np.ndarray, "s s 4"]]:
    """Yields each front view, or what a mirror shows of it."""
    for i in range(len(subjects)):
        front = subjects[i].front
        yield front[:, ::-1] if mirrored else front


def token_table(encoded: Sequence[np.ndarray]) -> Int[np.ndarray, "n k l"]:
    """Tokens of each subject's captions, from ``[k_i, l]``; fewer than the most are repeated."""
    most = max(len(rows) for rows in encoded)
    return np.stack([rows[np.arange(most) % len(rows)] for rows in encoded])


def pick_captions(
    tokens: Int[Array, "b k l"],
    generic: Int[Array, "g l"],
    key: Array,
    share: float,
) -> Int[Array, "b l"]:
    """A random caption of each subject, with probability ``share`` a generic one. Takes the key."""
    own_key, generic_key, share_key = jax.random.split(key, 3)
    batch, count, _ = tokens.shape
    own = jax.random.randint(own_key, (batch,), 0, count)
    own = jnp.take_along_axis(tokens, own[:, None, None], axis=1)[:, 0]
    other = generic[jax.random.randint(generic_key, (batch,), 0, len(generic))]
    return jnp.where(jax.random.bernoulli(share_key, share, (batch, 1)), other, own)


class Rows(Sequence):
    """Training examples from arrays whose first axis is the subject."""

    def __init__(self, **arrays: np.ndarray):
        """Raises ValueError if the arrays disagree about the number of subjects."""
        if len({len(array) for array in arrays.values()}) != 1:
            raise ValueError(f"arrays of different lengths: {sorted(arrays)}")
        self._arrays = {name: np.asarray(array) for name, array in arrays.items()}

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        return {name: array[index] for name, array in self._arrays.items()}


class Portraits(Sequence):
    """Training examples ``{"image": premultiplied RGBA uint8 [s, s, 4], ...}``.

    Args:
      subjects: with ``front``.
      size: pictures are brought to this edge.
      memory_bytes: read everything at once when it takes no more than this.
      others: what else an example holds, arrays whose first axis is the subject.
    """

    def __init__(
        self,
        subjects: Sequence,
        size: int,
        memory_bytes: int = MEMORY_BYTES,
        **others: np.ndarray,
    ):
        self._subjects, self._size, self._others = subjects, size, Rows(**others)
        self._matrices: dict[int, np.ndarray] = {}
        self._cache = None
        if len(subjects) * size * size * 4 <= memory_bytes:
            self._cache = np.stack([self._read(i) for i in range(len(subjects))])

    def __len__(self) -> int:
        return len(self._subjects)

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        image = self._read(index) if self._cache is None else self._cache[index]
        return {"image": image, **self._others[index]}

    def _read(self, index):
        front = self._subjects[index].front
        edge = len(front)
        if edge not in self._matrices:
            self._matrices[edge] = resize_matrix(edge, self._size)
        return shrink(premultiply(front), self._matrices[edge])


def premultiply(image: UInt8[np.ndarray, "h w 4"]) -> Float[np.ndarray, "h w 4"]:
    """Straight RGBA -> RGBA in 0..255 with the colour weighted by its coverage."""
    image = image.astype(np.float32)
    return np.concatenate([image[..., :3] * (image[..., 3:] / 255), image[..., 3:]], axis=-1)


def shrink(
    image: Float[np.ndarray, "h h c"], matrix: Float[np.ndarray, "s h"]
) -> UInt8[np.ndarray, "s s c"]:
    """Resamples rows and columns with the same matrix."""
    rows = np.tensordot(matrix, image, axes=(1, 0))
    both = np.tensordot(matrix, rows, axes=(1, 1)).swapaxes(0, 1)
    return np.clip(np.round(both), 0, 255).astype(np.uint8)
