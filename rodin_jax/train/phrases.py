"""Phrases of captions, which an embedding must be able to say.

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


def label(
    tokens: Int[np.ndarray, "n k l"], *, rarest: float = 0.005, commonest: float = 0.6
) -> Bool[np.ndarray, "n p"]:
    """Which phrases the captions of each subject hold.

    Args:
      tokens: of k captions of each subject, words only but for the special tokens.
      rarest: share of the subjects that a phrase is said of, at least.
      commonest: at most; what is said of everybody says nothing.
    """
    said = [np.unique(_phrases(rows)) for rows in tokens]
    every, counts = np.unique(np.concatenate(said), return_counts=True)
    share = counts / len(tokens)
    kept = every[(share >= rarest) & (share <= commonest)]
    return np.stack([np.isin(kept, one, assume_unique=True) for one in said])


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
    pairs = (rows[:, :-1] + 1 << 32) + rows[:, 1:]
    return np.concatenate([rows[words], pairs[words[:, :-1] & words[:, 1:]]])
