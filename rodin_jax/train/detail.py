"""What of full planes low ones have no texels for, as it is stored; see `rodin_jax.nn.detail`."""

import numpy as np
from jaxtyping import Float, Int

from rodin_jax.train.components import in_levels


def learn(
    beyond: Float[np.ndarray, "m k"],
    mean: Float[np.ndarray, "3 h w c"],
    deviation: Float[np.ndarray, "k"],
    weight: Float[np.ndarray, "m"],
    *,
    rank: int,
    kept: float,
) -> dict[str, np.ndarray]:
    """The arrays of a `rodin_jax.nn.detail.Detail`: a matrix as the product of two narrow ones.

    Args:
      beyond: how the detail changes with each coefficient of the low planes.
      mean: the detail of everybody.
      deviation: of the coefficients.
      weight: how much each number of the detail counts.
      rank: of the product.
      kept: share of the variance, in places that vary most; the other places stay at the mean.
    """
    # The best product is of the first singular vectors, were coefficients and numbers all alike.
    even = beyond * deviation * weight[:, None]
    vectors = np.linalg.eigh((even.T @ even).astype(np.float64))[1][:, ::-1][:, :rank]
    vectors = vectors.astype(np.float32)
    basis = (beyond * deviation) @ vectors
    places = varying(basis * weight[:, None], kept)
    stored, scale = in_levels(basis[places])
    return {
        "mean": mean.astype(np.float16),
        "places": places,
        "basis": stored,
        "scale": scale,
        "slope": (vectors / deviation[:, None]).astype(np.float16),
    }


def varying(columns: Float[np.ndarray, "m k"], kept: float) -> Int[np.ndarray, "p"]:
    """The fewest rows that have the share ``kept`` of all squares, in rising order."""
    squares = np.square(columns).sum(1)
    order = np.argsort(squares)[::-1]
    enough = np.searchsorted(np.cumsum(squares[order]), kept * squares.sum()) + 1
    return np.sort(order[:enough]).astype(np.int32)
