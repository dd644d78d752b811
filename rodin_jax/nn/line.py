"""Gaussian coefficients that follow a condition by a line, and their diffusion.

Of a few thousand people a linear map is learned well, and a network only by heart: so the line
comes first, perhaps bent about people it has seen (`rodin_jax.nn.bend`), and a network says the
rest. Symbols: coefficients ``c``, condition ``z``; ``alpha, sigma`` as in
`rodin_jax.diffusion.schedules`; noised coefficients ``y = alpha c + sigma eps``. Of nobody in
particular c has the mean ``mean`` and the variances ``spectrum``; of somebody whose condition is z,
``m = mean + z W + bend(z)`` and the variances ``told`` that z leaves. With whichever of them is
lambda, and were c Gaussian, its posterior given y would be

    mean  m + lambda alpha / total (y - alpha m),   variance  lambda sigma^2 / total,
    total = alpha^2 lambda + sigma^2.

The network sees and predicts what is left when that is taken out, in units of its spread: both of
unit variance, whatever the coefficient and the noise. A network that says nothing leaves the
Gaussian posterior.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rodin_jax.diffusion import process
from rodin_jax.diffusion.schedules import Schedule
from rodin_jax.nn import bend as bends
from rodin_jax.nn import weights
from rodin_jax.nn.bend import Bend
from rodin_jax.types import pytree

FIELDS = ("mean", "spectrum", "slope", "told")


@pytree
class Line:
    """How coefficients are distributed, in general and given a condition.

    Attributes:
      mean: of the coefficients.
      spectrum: their variances, positive.
      slope: W, how they follow the condition.
      told: their variances about what the condition says, positive.
      bend: what the line misses of how they follow the condition; None if unknown.
    """

    mean: Float[Array, "k"]
    spectrum: Float[Array, "k"]
    slope: Float[Array, "d k"]
    told: Float[Array, "k"]
    bend: Bend | None = None

    def prior(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
        """Mean and variance of the coefficients, given conditions; zeros are the null condition."""
        known = somebody(z)
        change = z @ self.slope
        if self.bend is not None:
            change += jnp.where(known, self.bend(z), 0)
        return self.mean + change, jnp.where(known, self.told, self.spectrum)

    def standardise(
        self,
        y: Float[Array, "b k"],
        alpha: Float[Array, "b 1"],
        sigma: Float[Array, "b 1"],
        z: Float[Array, "b d"],
    ) -> Float[Array, "b k"]:
        """Noised coefficients in units of their spread: what the network sees."""
        mean, variance = self.prior(z)
        return (y - alpha * mean) / jnp.sqrt(alpha**2 * variance + sigma**2)

    def posterior(
        self,
        y: Float[Array, "b k"],
        alpha: Float[Array, "b 1"],
        sigma: Float[Array, "b 1"],
        z: Float[Array, "b d"],
    ) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
        """Mean and standard deviation of clean coefficients, were they Gaussian."""
        mean, variance = self.prior(z)
        total = alpha**2 * variance + sigma**2
        seen = y - alpha * mean
        return mean + alpha * variance / total * seen, sigma * jnp.sqrt(variance / total)

    def denoise(
        self,
        network: Callable[[Float[Array, "b k"]], Float[Array, "b k"]],
        y: Float[Array, "b k"],
        t: Int[Array, "b"],
        z: Float[Array, "b d"],
        schedule: Schedule,
    ) -> Float[Array, "b k"]:
        """Clean coefficients: the Gaussian posterior, bent by what the network says.

        Args:
          network: from `standardise`'s result to the clean coefficients' distance from
            `posterior`'s mean over its deviation.
          y: noised coefficients.
          t: original diffusion times.
          z: conditions, zeros where there is none.
          schedule: of all original times.
        """
        levels = schedule.signal[t][:, None], schedule.sigma[t][:, None]
        mean, deviation = self.posterior(y, *levels, z)
        return mean + deviation * network(self.standardise(y, *levels, z))

    def lesson(
        self,
        schedule: Schedule,
        c: Float[Array, "b k"],
        t: Int[Array, "b"],
        z: Float[Array, "b d"],
        noise: Float[Array, "b k"],
    ) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
        """What the network of `denoise` sees of noised coefficients, and what it should say."""
        y = process.q_sample(schedule, c, t, noise)
        levels = schedule.signal[t][:, None], schedule.sigma[t][:, None]
        mean, deviation = self.posterior(y, *levels, z)
        return self.standardise(y, *levels, z), (c - mean) / deviation

    def weights(self, emphasis: float) -> Float[Array, "k"]:
        """How much each coefficient counts in training, see `emphasised`."""
        return emphasised(self.told, emphasis)


def emphasised(variance: Float[Array, "k"], emphasis: float) -> Float[Array, "k"]:
    """How much numbers of such variances count in training: their variance to a power; mean one.

    Of numbers that hardly change anything a network of few examples only learns its examples.
    """
    counts = variance**emphasis
    return counts / counts.mean()


def somebody(z: Float[Array, "b d"]) -> Bool[Array, "b 1"]:
    """Which conditions are of somebody; zeros are the null condition."""
    return jnp.any(z != 0, axis=-1, keepdims=True)


def unpack(stored: Mapping[str, Any], rank: int, dim: int, where: str) -> Line:
    """A line from a file's arrays of the names `FIELDS`, and those of its ``bend`` if it has one.

    Args:
      stored: what `rodin_jax.train.regression.follow` made, with ``mean`` and ``spectrum``.
      rank: how many coefficients there should be.
      dim: of the condition.
      where: names the arrays in errors.

    Raises:
      ValueError: an array is missing, of another shape, or a variance not positive.
    """
    shapes = {"mean": (rank,), "spectrum": (rank,), "slope": (dim, rank), "told": (rank,)}
    weights.check_shapes(stored, shapes, where)
    for name in ("spectrum", "told"):
        if not (stored[name] > 0).all():
            raise ValueError(f"tensor '{where}/{name}' must be positive")
    bend = None
    if "bend" in stored:
        bend = bends.unpack(weights.group(stored, "bend"), rank, dim, f"{where}/bend")
    return Line(*(jnp.asarray(stored[name], jnp.float32) for name in FIELDS), bend)
