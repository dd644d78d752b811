"""Regression of coefficients on conditions, honest about people it has not seen."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular

from rodin_jax.nn import bend as bends

_RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
_PARTS = 8  # of the people, each foretold by the others
_SHARE = 3.0  # a bend's variance beforehand, against a line's
_JITTER = 1e-4  # of the bumps' covariance, which is nearly singular where people are alike

Rows = Float[np.ndarray, "_ _"]
Features = Callable[[Rows], Rows]


@dataclasses.dataclass(frozen=True)
class Followed:
    """How coefficients follow conditions.

    Attributes:
      arrays: a line's ``slope`` and variances ``told``, and perhaps a ``bend``, as stored.
      shown: what was shown of n people in v forms.
      errors: how far their coefficients are from what is foretold of them.
      strength: of the ridge.
    """

    arrays: dict[str, Any]
    shown: Float[np.ndarray, "n v f"]
    errors: Float[np.ndarray, "n v k"]
    strength: float

    def unseen_errors(self) -> Float[np.ndarray, "n v k"]:
        """Each person's errors had the regression not seen them, ``(1 - H)^-1`` times ``errors``.

        H is the person's block of the matrix that makes predictions of observations. This is what
        is left to learn of people: of those that a bend has seen next to nothing is left.
        """
        rows = as_rows(self.shown).astype(np.float64)
        root = cholesky(rows.T @ rows + self.strength * np.eye(rows.shape[1]), lower=True)
        part = solve_triangular(root, rows.T, lower=True).T.reshape(self.shown.shape)
        own = np.eye(part.shape[1]) - part @ part.swapaxes(1, 2)
        return np.linalg.solve(own, self.errors).astype(np.float32)


def follow(
    coefficients: Float[np.ndarray, "n v k"],
    z: Float[np.ndarray, "n v d"],
    mean: Float[np.ndarray, "k"],
    *,
    bumps: int = 0,
    coordinates: int = 64,
    counts: Float[np.ndarray, "k"] | None = None,
) -> Followed:
    """How coefficients follow conditions: a line's slope, and the variances that it leaves.

    A ridge regression without intercept, for conditions have the mean zero. Its strength is the one
    that foretells people best whom it has not seen, an eighth of them at a time; the errors then
    are the variances, for those of people it has seen would flatter it.

    With ``bumps`` likewise a line and a `rodin_jax.nn.bend.Bend` at once: the mean of a Gaussian
    process whose covariance is linear and squared exponential.

    Args:
      coefficients: of n people, each in v forms (as is, mirrored).
      z: what is known of each form.
      mean: what coefficients are measured from.
      bumps: at most so many; with 0 the line stays straight.
      coordinates: in which people are compared there.
      counts: how much the square of each coefficient's error counts; by default all alike.
    """
    unit = np.ones_like(mean) if counts is None else np.sqrt(counts)
    c, dim = (coefficients - mean) * unit, z.shape[-1]
    learn = _straight
    strength, told = _foretold(c, z, learn)
    if bumps:
        learn = functools.partial(_bent, strength=strength, count=bumps, coordinates=coordinates)
        strength, told = _foretold(c, z, learn)
    features = learn(as_rows(c), as_rows(z))
    shown = features(as_rows(z))
    weights = _ridge(as_rows(c), shown)(strength) / unit
    arrays = {
        "slope": weights[:dim].astype(np.float16),
        "told": np.maximum(told / unit**2, 1e-6).astype(np.float32),
    }
    if bumps:
        arrays["bend"] = features.stored(weights[dim:])
    errors = c / unit - (shown @ weights).reshape(c.shape)
    return Followed(arrays, shown.reshape(*z.shape[:2], -1), errors, strength)


def as_rows(x: Float[np.ndarray, "n v d"]) -> Rows:
    """Each person's forms after each other."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _foretold(
    c, z, learn: Callable[[Rows, Rows], Features]
) -> tuple[float, Float[np.ndarray, "k"]]:
    """The best strength, and squared errors ``[k]`` of people left out of what was learned."""
    errors = np.zeros((len(_RIDGES), c.shape[-1]))
    for part in np.array_split(np.random.default_rng(0).permutation(len(z)), min(_PARTS, len(z))):
        seen = np.setdiff1d(np.arange(len(z)), part)
        features = learn(as_rows(c[seen]), as_rows(z[seen]))
        weights = _ridge(as_rows(c[seen]), features(as_rows(z[seen])))
        shown, true = features(as_rows(z[part])), as_rows(c[part])
        errors += np.stack([np.square(true - shown @ weights(r)).sum(0) for r in _RIDGES])
    best = int(errors.sum(-1).argmin())
    return _RIDGES[best], errors[best] / (z.shape[0] * z.shape[1])


def _ridge(c: Rows, shown: Rows) -> Callable[[float], Rows]:
    """From a strength to the weights with the least squared errors and so much of their square."""
    shown = shown.astype(np.float64)
    values, vectors = np.linalg.eigh(shown.T @ shown)
    along = vectors.T @ (shown.T @ c)
    return lambda strength: vectors @ (along / (values + strength)[:, None])


def _straight(c: Rows, z: Rows) -> Features:
    """Conditions themselves."""
    return lambda z: z


@dataclasses.dataclass(frozen=True)
class _Bent:
    """Conditions, and whitened bumps about some of them: the features of a bent line."""

    measure: Rows
    centres: Rows
    whiten: Rows

    def __call__(self, z: Rows) -> Rows:
        return np.concatenate([z, _bumps(z @ self.measure, self.centres) @ self.whiten], axis=1)

    def stored(self, weights: Rows) -> dict[str, np.ndarray]:
        """The arrays of a `Bend`, given the weights of the whitened bumps."""
        arrays = {
            "measure": self.measure,
            "centres": self.centres,
            "heights": self.whiten @ weights,
        }
        return {name: value.astype(np.float16) for name, value in arrays.items()}


def _bent(c: Rows, z: Rows, *, strength: float, count: int, coordinates: int) -> _Bent:
    """Bumps among people who are as alike as what a line foretells of them.

    Its coefficients count with the square root of their deviations, so that the large ones do not
    decide alone. Bumps are as wide as people are apart from the mean, root mean square.
    """
    slope = _ridge(c, z)(strength)
    foretold = z @ slope
    measure = slope / np.sqrt(np.maximum(foretold.std(0), 1e-9))
    turn = np.linalg.eigh(np.cov(z @ measure, rowvar=False))[1]
    measure = measure @ turn[:, ::-1][:, :coordinates]
    measure /= np.sqrt(max(np.square(z @ measure).sum(1).mean(), 1e-12))
    # Rounded before anything is learned of them, as they will be read.
    measure = measure.astype(np.float16).astype(np.float32)
    some = np.random.default_rng(0).permutation(len(z))[:count]
    centres = (z[some] @ measure).astype(np.float16).astype(np.float32)
    covariance = _bumps(centres, centres) + _JITTER * np.eye(len(centres))
    root = cholesky(covariance, lower=True)
    whiten = solve_triangular(root, np.eye(len(root)), lower=True).T
    return _Bent(measure, centres, np.sqrt(_SHARE * z.shape[1]) * whiten)


def _bumps(x: Rows, centres: Rows) -> Rows:
    return np.asarray(bends.bumps(jnp.asarray(x), jnp.asarray(centres)), np.float64)
