"""Principal components of sets of planes, for whoever learns about many people from some."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rodin_jax.nn.eigenplanes import EigenPlanes

_LEVELS = 127  # of int8, to either side
_RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_PARTS = 8  # of the people, each foretold by the others


def components(planes: Float[np.ndarray, "n 3 h w c"], rank: int) -> dict[str, np.ndarray]:
    """The first principal components as they are stored, see `rodin_jax.nn.eigenplanes.unpack`.

    From the eigenvectors of the n x n matrix of inner products, so n planes must fit in memory.

    Raises:
      ValueError: fewer planes than components.
    """
    if len(planes) <= rank:
        raise ValueError(f"{len(planes)} planes have fewer than {rank} principal components")
    x = planes.reshape(len(planes), -1)
    mean = x.mean(0)
    centred = x - mean
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    basis = (centred.T @ vectors.astype(np.float32)) / np.sqrt(values).astype(np.float32)
    scale = np.abs(basis).max(0) / _LEVELS
    stored = np.round(basis / scale).astype(np.int8)
    # Of the components as they will be read, whose length rounding has changed a little.
    scale = scale / np.linalg.norm(stored * scale, axis=0)
    read = (stored * scale).astype(np.float32)
    rest = mean - read @ (mean @ read)
    return {
        "basis": stored,
        "scale": scale.astype(np.float32),
        "mean": mean @ read,
        "spectrum": (centred @ read).var(0),
        "rest": rest.astype(np.float16),
    }


def follow(
    coefficients: Float[np.ndarray, "n v k"],
    z: Float[np.ndarray, "n v d"],
    mean: Float[np.ndarray, "k"],
) -> dict[str, np.ndarray]:
    """How coefficients follow latents: the ``slope`` and the variances ``told``, as stored.

    A ridge regression without intercept, for latents have the mean zero. Its strength is the one
    that foretells people best whom it has not seen, an eighth of them at a time; the errors then
    are the variances, for those of people it has seen would flatter it.

    Args:
      coefficients: of n people, each in v views of one person (as is, mirrored).
      z: their latents.
      mean: what coefficients are measured from.
    """
    parts = np.array_split(np.random.default_rng(0).permutation(len(z)), min(_PARTS, len(z)))
    tried = {r: _unseen_errors(coefficients - mean, z, r, parts) for r in _RIDGES}
    best = min(tried, key=lambda r: tried[r].sum())
    slope = _slope(coefficients - mean, z, best)
    return {"slope": slope.astype(np.float16), "told": np.maximum(tried[best], 1e-6)}


def _slope(c, z, ridge):
    """The ``[d, k]`` with the least squared errors and ``ridge`` times its own square."""
    rows = z.reshape(-1, z.shape[-1])
    normal = rows.T @ rows + ridge * np.eye(rows.shape[1], dtype=rows.dtype)
    return np.linalg.solve(normal, rows.T @ c.reshape(len(rows), -1))


def _unseen_errors(c, z, ridge, parts):
    """Mean squared error of each coefficient, of people left out of the regression."""
    total = 0.0
    for part in parts:
        seen = np.setdiff1d(np.arange(len(z)), part)
        total += np.square(c[part] - z[part] @ _slope(c[seen], z[seen], ridge)).sum((0, 1))
    return (total / (z.shape[0] * z.shape[1])).astype(np.float32)


def explained(eigen: EigenPlanes, planes: Float[np.ndarray, "*n 3 h w c"]) -> float:
    """Share of the planes' variance about the mean that the components hold; 0 of no planes."""
    if not planes.size:
        return 0.0
    c = np.asarray(eigen.coefficients(jnp.asarray(planes)))
    within = np.square(c - np.asarray(eigen.mean)).sum()
    whole = planes.reshape(-1, eigen.basis.shape[0])
    return float(within / np.square(whole - whole.mean(0)).sum())
