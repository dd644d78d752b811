"""Principal components of sets of planes, for whoever learns about many people from some."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rodin_jax.nn.eigenplanes import EigenPlanes

_LEVELS = 127  # of int8, to either side


def components(planes: Float[np.ndarray, "n *m"], rank: int) -> dict[str, np.ndarray]:
    """The first principal components as they are stored, see `rodin_jax.nn.eigenplanes.unpack`.

    From the eigenvectors of the n x n matrix of inner products, so n planes must fit in memory.
    Whatever else has numbers has components likewise.

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


def explained(eigen: EigenPlanes, planes: Float[np.ndarray, "*n 3 h w c"]) -> float:
    """Share of the planes' variance about the set's mean that the components hold; 0 of none."""
    if not planes.size:
        return 0.0
    c = np.asarray(eigen.coefficients(jnp.asarray(planes)))
    within = np.square(c - np.asarray(eigen.line.mean)).sum()
    whole = planes.reshape(-1, eigen.basis.shape[0])
    return float(within / np.square(whole - np.asarray(eigen.mean)).sum())
