"""Linear regression of coefficients on conditions, honest about people it has not seen."""

import numpy as np
from jaxtyping import Float

_RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
_PARTS = 8  # of the people, each foretold by the others


def follow(
    coefficients: Float[np.ndarray, "n v k"],
    z: Float[np.ndarray, "n v d"],
    mean: Float[np.ndarray, "k"],
) -> dict[str, np.ndarray]:
    """How coefficients follow conditions: a line's ``slope`` and variances ``told``, as stored.

    A ridge regression without intercept, for conditions have the mean zero. Its strength is the one
    that foretells people best whom it has not seen, an eighth of them at a time; the errors then
    are the variances, for those of people it has seen would flatter it.

    Args:
      coefficients: of n people, each in v forms (as is, mirrored).
      z: what is known of each form.
      mean: what coefficients are measured from.
    """
    c = coefficients - mean
    parts = np.array_split(np.random.default_rng(0).permutation(len(z)), min(_PARTS, len(z)))
    tried = sum(_unseen_errors(c, z, part) for part in parts) / (z.shape[0] * z.shape[1])
    best = int(tried.sum(-1).argmin())
    slope = _ridge(c, z)(_RIDGES[best])
    return {
        "slope": slope.astype(np.float16),
        "told": np.maximum(tried[best], 1e-6).astype(np.float32),
    }


def _ridge(c, z):
    """From a strength to the slope with the least squared errors and so much of its own square."""
    rows = z.reshape(-1, z.shape[-1]).astype(np.float64)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    along = vectors.T @ (rows.T @ c.reshape(len(rows), -1))
    return lambda strength: vectors @ (along / (values + strength)[:, None])


def _unseen_errors(c, z, part):
    """Summed squared errors ``[r, k]`` of people left out of regressions of all strengths."""
    seen = np.setdiff1d(np.arange(len(z)), part)
    slope = _ridge(c[seen], z[seen])
    return np.stack([np.square(c[part] - z[part] @ slope(r)).sum((0, 1)) for r in _RIDGES])
