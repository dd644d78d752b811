"""Learning the detail of full planes that the coefficients of low ones foretell."""

import numpy as np
from jaxtyping import Float

from rodin_jax.train.components import components
from rodin_jax.train.regression import follow


def learn(
    beyond: Float[np.ndarray, "n v 3 h w c"],
    coefficients: Float[np.ndarray, "n v k"],
    *,
    rank: int,
    kept: float,
) -> tuple[dict[str, np.ndarray], float]:
    """The arrays of a `rodin_jax.nn.detail.Detail`, and the share of the detail that they foretell.

    Args:
      beyond: full planes less the resized low ones, normalised, of n people in v views.
      coefficients: of their low planes, about the mean.
      rank: components of the detail.
      kept: share of what is foretold, in places that vary most; the other places stay at the mean.
    """
    every = beyond.reshape(-1, *beyond.shape[2:])
    packed = components(every, rank)
    basis = packed["basis"] * packed["scale"]
    mean = basis @ packed["mean"] + packed["rest"]
    seen = (beyond.reshape(*beyond.shape[:2], -1) - mean) @ basis
    line = follow(seen, coefficients, np.zeros(rank, np.float32)).arrays
    slope = line["slope"].astype(np.float32)
    rows = coefficients.reshape(-1, coefficients.shape[-1]) @ slope
    varies = np.einsum("mr,rs,ms->m", basis, rows.T @ rows / len(rows), basis, optimize=True)
    order = np.argsort(varies)[::-1]
    enough = np.searchsorted(np.cumsum(varies[order]), kept * varies.sum()) + 1
    places = np.sort(order[:enough])
    arrays = {
        "mean": mean.reshape(every.shape[1:]).astype(np.float16),
        "places": places.astype(np.int32),
        "basis": packed["basis"][places],
        "scale": packed["scale"],
        "slope": line["slope"],
    }
    whole = np.square(every.reshape(len(every), -1) - mean).sum() / len(every)
    return arrays, float((seen.var((0, 1)).sum() - line["told"].sum()) / whole)
