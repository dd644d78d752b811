"""Principal components of sets of planes, for whoever learns about many people from some."""

import numpy as np
from jaxtyping import Float

from rodin_jax.nn import weights


def components(planes: Float[np.ndarray, "n *m"], rank: int) -> dict[str, np.ndarray]:
    """The first principal components as they are stored, see `rodin_jax.nn.eigenplanes.unpack`.

    All examples must fit in memory; whatever else has numbers has components likewise.

    Raises:
      ValueError: fewer examples than components.
    """
    x = planes.reshape(len(planes), -1)
    mean = x.mean(0)
    centred = x - mean
    basis, scale = in_levels(directions(centred, rank))
    spectrum = (centred @ (basis * scale)).var(0)
    return {"basis": basis, "scale": scale, "spectrum": spectrum, **about(mean, basis * scale)}


def directions(centred: Float[np.ndarray, "n m"], rank: int) -> Float[np.ndarray, "m k"]:
    """The unit vectors along which centred examples vary most, from their inner products.

    Raises:
      ValueError: fewer examples than directions.
    """
    if len(centred) <= rank:
        raise ValueError(f"{len(centred)} examples have fewer than {rank} principal components")
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    return (centred.T @ vectors.astype(np.float32)) / np.sqrt(values).astype(np.float32)


def in_levels(
    basis: Float[np.ndarray, "m k"],
) -> tuple[np.ndarray, Float[np.ndarray, "k"]]:
    """Unit columns as int8, and scales by which they have that length again."""
    stored, _ = weights.levels(basis)
    # Of the components as they will be read, whose length rounding has changed a little.
    length = np.linalg.norm(stored.astype(np.float32), axis=0)
    return stored, (np.linalg.norm(basis, axis=0) / length).astype(np.float32)


def about(mean: Float[np.ndarray, "m"], basis: Float[np.ndarray, "m k"]) -> dict[str, np.ndarray]:
    """The coefficients of a set's mean, and what is outside of the basis' span."""
    c = mean @ basis
    return {"mean": c, "rest": (mean - basis @ c).astype(np.float16)}
