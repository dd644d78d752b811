"""The linear space that people's planes nearly lie in: eigenplanes and the detail that is theirs.

Components are those of full planes, whose numbers count as pictures show them
(`rodin_jax.train.importance`): without weights they say where air is dense. A base model draws low
planes, so each component has a low part; these parts, made orthonormal, are the eigenplanes, and
what full planes have beyond the low ones follows from the same coefficients.

Symbols: full planes ``x = mean + D a``, with weights w of their numbers, ``D^T w^2 D = 1``; low
planes ``B c``, orthonormal columns, with ``c = M a`` uncorrelated and of falling variance.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rodin_jax import triplanes
from rodin_jax.train import components, detail

_AT_ONCE = 16  # components that are resized together

_resize = jax.jit(triplanes.resize, static_argnums=1)


@dataclasses.dataclass(frozen=True)
class Span:
    """What was learned.

    Attributes:
      arrays: as they are stored, see `rodin_jax.nn.eigenplanes.unpack`.
      mean: of full planes.
      readers: how much each number of full planes says of each coefficient.
      within: coefficients to components of unit weight, M^-1.
      weight: of the numbers of full planes.
    """

    arrays: dict[str, Any]
    mean: Float[np.ndarray, "m"]
    readers: Float[np.ndarray, "m k"]
    within: Float[np.ndarray, "k k"]
    weight: Float[np.ndarray, "m"]

    def coefficients(self, planes: Float[np.ndarray, "n v 3 h w c"]) -> Float[np.ndarray, "n v k"]:
        """Those that come nearest to full planes, where their numbers count."""
        rows = planes.reshape(*planes.shape[:2], -1)
        return np.stack([(row - self.mean) @ self.readers for row in rows]) + self.arrays["mean"]

    def counts(self) -> Float[np.ndarray, "k"]:
        """How much the square of each coefficient counts: the weight of its planes."""
        return np.square(self.within).sum(0)

    def explained(self, planes: Float[np.ndarray, "n v 3 h w c"]) -> float:
        """Share of the weighted variance about the mean that is in the span; 0 of nobody."""
        held, whole = 0.0, 0.0
        for person in planes:
            rows = person.reshape(len(person), -1) - self.mean
            held += np.square(rows @ self.readers @ self.within.T).sum()
            whole += np.square(rows * self.weight).sum()
        return float(held / whole) if whole else 0.0


def learn(
    planes: Float[np.ndarray, "n v 3 h w c"],
    weight: Float[np.ndarray, "3 h w c"],
    *,
    size: int,
    rank: int,
    kept: float,
    finer: int,
    finer_kept: float,
) -> Span:
    """The span of full planes.

    Args:
      planes: normalised, of n people in v forms.
      weight: how much each number counts.
      size: texels along an edge of low planes.
      rank: how many components, k.
      kept: share of the low planes' weighted variance, in the places that vary most; in the others
        everybody has the mean.
      finer: components of the detail.
      finer_kept: share of its variance likewise.

    Raises:
      ValueError: fewer examples than components.
    """
    shape = planes.shape[2:]
    rows = planes.reshape(len(planes) * planes.shape[1], -1)
    mean, w = rows.mean(0), weight.reshape(-1)
    centred = (rows - mean) * w
    unit = components.directions(centred, rank)
    a, full = centred @ unit, unit / w[:, None]
    del centred  # as large as all planes

    low = _resized(full, shape, size)
    low_weight = np.sqrt(_resized(w[:, None] ** 2, shape, size))
    places = detail.varying(low * a.std(0) * low_weight, kept)
    mixing = _upright(low[places], a)
    within, deviation = np.linalg.inv(mixing), (a @ mixing.T).std(0)
    stored, scale = components.in_levels(low[places] @ within)
    basis = np.zeros_like(low)
    basis[places] = stored * scale

    low_shape, low_mean = (3, size, size, shape[-1]), _resized(mean[:, None], shape, size)
    beyond = full @ within - _resized(basis, low_shape, shape[1])
    beyond_mean = mean - _resized(low_mean, low_shape, shape[1])[:, 0]
    arrays = {
        "basis": stored,
        "scale": scale,
        "places": places,
        "spectrum": deviation**2,
        **components.about(low_mean[:, 0], basis),
        "detail": detail.learn(
            beyond, beyond_mean.reshape(shape), deviation, w, rank=finer, kept=finer_kept
        ),
    }
    return Span(arrays, mean, unit * w[:, None] @ mixing.T, within, w)


def _upright(
    low: Float[np.ndarray, "o k"], a: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "k k"]:
    """M, after which low parts ``low M^-1`` are orthonormal, and ``M a`` uncorrelated and falls."""
    mixing = np.linalg.qr(low, mode="r")
    turned = a @ mixing.T
    turn = np.linalg.eigh((turned.T @ turned).astype(np.float64))[1][:, ::-1]
    return (turn.T @ mixing).astype(np.float32)


def _resized(
    columns: Float[np.ndarray, "m k"], shape: tuple[int, ...], size: int
) -> Float[np.ndarray, "o k"]:
    """Planes of a shape in columns, brought to another size."""
    parts = [
        np.asarray(_resize(jnp.asarray(columns[:, i : i + _AT_ONCE].T.reshape(-1, *shape)), size))
        for i in range(0, columns.shape[1], _AT_ONCE)
    ]
    return np.concatenate(parts).reshape(columns.shape[1], -1).T
