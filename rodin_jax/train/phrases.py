"""Phrases of captions, which an embedding must be able to say, and what can be read of them.

Telling whole captions apart asks little of an embedding: of a hundred people only one has red hair
*and* a green shirt *and* a beard, so that a few of the words are enough, and nothing is learned of
the others. A sentence of a single word then says nothing. So each phrase has to be read off by
itself: words alone ("hoodie") and pairs of neighbours ("green hoodie", "red hair").
"""

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn.tokenizer import SPECIAL
from rodin_jax.train.regression import follow

# Phrases exclude each other if people have both less than so often as by chance, which would have
# been so many people at least.
_SELDOM, _EXPECTED = 0.1, 5


def label(
    tokens: Int[np.ndarray, "n k l"], *, rarest: float = 0.005, commonest: float = 0.6
) -> tuple[Int[np.ndarray, "p 2"], Bool[np.ndarray, "n p"]]:
    """The phrases that captions have, and which of them those of each subject hold.

    Phrases are tokens of two neighbouring words; a single word stands behind a zero.

    Args:
      tokens: of k captions of each subject, words only but for the special tokens.
      rarest: share of the subjects that a phrase is said of, at least.
      commonest: at most; what is said of everybody says nothing.
    """
    said = [np.unique(_phrases(rows)) for rows in tokens]
    every, counts = np.unique(np.concatenate(said), return_counts=True)
    share = counts / len(tokens)
    kept = every[(share >= rarest) & (share <= commonest)]
    labels = np.stack([np.isin(kept, one, assume_unique=True) for one in said])
    return np.stack(np.divmod(kept, 1 << 32), axis=-1).astype(np.int32), labels


def learn(
    phrases: Int[np.ndarray, "p 2"],
    labels: Bool[np.ndarray, "n p"],
    z: Float[np.ndarray, "n v d"],
    *,
    least: float = 0.1,
) -> dict[str, np.ndarray]:
    """The arrays of a `rodin_jax.nn.phrasebook.Phrasebook`.

    Args:
      phrases: of `label`.
      labels: likewise.
      z: latents of the same n people in v views.
      least: share of the variance of whether a phrase is said that latents must foretell, of people
        left out of the regression; other phrases are left out.
    """
    usual = labels.mean(0, dtype=np.float32)
    said = np.repeat(labels[:, None].astype(np.float32), z.shape[1], axis=1)
    line = follow(said, z, usual).arrays
    told = line["told"] < (1 - least) * usual * (1 - usual)
    usual, kept = usual[told], labels[:, told].astype(np.float32)
    # Pairs that would have been seen some times by chance, and hardly ever were.
    chance = len(kept) * np.outer(usual, usual)
    excluded = (kept.T @ kept < _SELDOM * chance) & (chance >= _EXPECTED)
    return {
        "phrases": phrases[told],
        "usual": usual,
        "reader": line["slope"][:, told],
        "excluded": np.packbits(excluded, axis=1),
    }


def reader(labels: Bool[np.ndarray, "n p"], dim: int) -> PyTree:
    """A linear layer that tells phrases; at first as likely as each is of anybody."""
    share = labels.mean(0)
    usual = np.log(share / (1 - share)).astype(np.float32)
    return {"kernel": jnp.zeros((dim, len(usual))), "bias": jnp.asarray(usual)}


def unsaid(
    params: PyTree, embedding: Float[Array, "b d"], labels: Bool[Array, "b p"]
) -> Float[Array, ""]:
    """Cross-entropy of phrases that a linear layer reads off embeddings, summed over phrases.

    A sentence, too, is asked for all that is true of its person: where it leaves something open it
    learns how likely each answer is.
    """
    said = clip_lib.normalise(embedding) @ params["kernel"] + params["bias"]
    return optax.sigmoid_binary_cross_entropy(said, labels.astype(said.dtype)).sum(-1).mean()


def _phrases(rows: Int[np.ndarray, "k l"]) -> Int[np.ndarray, "m"]:
    """A number for each word, and one for each pair of neighbours."""
    rows = rows.astype(np.int64)
    words = rows >= len(SPECIAL)
    pairs = (rows[:, :-1] << 32) + rows[:, 1:]
    return np.concatenate([rows[words], pairs[words[:, :-1] & words[:, 1:]]])
