"""Diffusion within the span of a set's principal components: its *eigenplanes*.

Subjects that all stand alike have planes which nearly lie in a linear space of a few hundred
dimensions, and a convolutional network needs many thousand steps to find that out. Here it is
known: coefficients of the eigenplanes are denoised by a small network of their own, which trains in
minutes, and the base network speaks for what lies outside their span. The paper, with a hundred
thousand subjects and weeks of many GPUs, has no need of it.

Symbols: ``x0 = c B + rest`` with the eigenplanes ``B [k, n]``, orthonormal rows; the noised
coefficients ``y = x_t B^T``. How they follow the latent, and what is left to their network, is in
`rodin_jax.nn.line`.
"""

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from rodin_jax import triplanes
from rodin_jax.diffusion import process
from rodin_jax.diffusion.schedules import Schedule
from rodin_jax.nn import detail as details
from rodin_jax.nn import line as lines
from rodin_jax.nn import weights
from rodin_jax.nn.detail import Detail
from rodin_jax.nn.embedding import timestep_embedding
from rodin_jax.nn.line import Line
from rodin_jax.types import Planes, pytree, static


@pytree
class EigenPlanes:
    """The principal components of a set of normalised planes.

    Attributes:
      basis: one component a row, orthonormal, its numbers in the planes' order. (A processor reads
        rows so long from end to end four times as fast as across.)
      rest: what of the set's mean lies outside their span.
      line: how their coefficients are distributed and follow the latent; the spectrum falls.
      detail: what full planes have beyond low ones of these coefficients; None if unknown.
    """

    basis: Float[Array, "k n"]
    rest: Float[Array, "n"]
    line: Line
    detail: Detail | None = None

    @property
    def mean(self) -> Float[Array, "n"]:
        """The set's mean."""
        return self.line.mean @ self.basis + self.rest

    def coefficients(self, planes: Planes) -> Float[Array, "*b k"]:
        """``x B^T``, the mean included."""
        return jnp.einsum("...n,kn->...k", planes.reshape(*planes.shape[:-4], -1), self.basis)

    def low(self, c: Float[Array, "b k"], channels: int) -> Float[Array, "b 3 s s {channels}"]:
        """Low planes with these coefficients, and with the mean's ``rest`` outside of the span."""
        spanned = self._span(c, channels)
        return spanned + self.rest.reshape(spanned.shape[1:])

    def _span(self, c, channels):
        """``c B`` as low planes."""
        edge = math.isqrt(self.basis.shape[1] // (3 * channels))
        return (c @ self.basis).reshape(-1, 3, edge, edge, channels)

    def with_coefficients(
        self, planes: Float[Array, "b 3 h w c"], wanted: Float[Array, "b k"]
    ) -> Float[Array, "b 3 h w c"]:
        """The planes nearest to ``planes`` with these coefficients: what is outside stays."""
        change = (wanted - self.coefficients(planes)) @ self.basis
        return planes + change.reshape(planes.shape)

    def change(self, c: Float[Array, "b k"], size: int, channels: int) -> Float[Array, "b 3 s s c"]:
        """How full planes change with coefficients that change by so much, in low planes' units.

        What is outside of the span stays; detail changes along, if it is known.

        Args:
          c: changes of coefficients.
          size: texels along an edge of full planes.
          channels: features of a texel.
        """
        full = triplanes.resize(self._span(c, channels), size)
        return full if self.detail is None else full + self.detail.change(c)

    def calm(
        self,
        low: Float[Array, "b 3 h w c"],
        z: Float[Array, "b d"],
        spread: float | Float[Array, ""],
    ) -> Float[Array, "b 3 h w c"]:
        """Planes of which only the share ``spread`` of what latents did not foretell is left."""
        foretold = self.line.prior(z)[0]
        wanted = foretold + spread * (self.coefficients(low) - foretold)
        return self.with_coefficients(low, wanted)

    def fine(self, low: Float[Array, "b 3 h w c"]) -> Float[Array, "b 3 H W c"] | None:
        """Low planes resized to the full size, with the detail that they foretell, if known."""
        if self.detail is None:
            return None
        foretold = self.detail(self.coefficients(low) - self.line.mean)
        return triplanes.resize(low, foretold.shape[-2]) + foretold


def unpack(stored: Mapping[str, Any], numbers: int, rank: int, dim: int = 1) -> EigenPlanes:
    """Eigenplanes from a file's arrays, the ``basis`` as int8.

    Files have one component a column, with a ``scale`` of its own. That loses about two per cent of
    a typical number, which no direction among some ten thousand dimensions notices, and saves three
    quarters. Where there are ``places``, files have rows for those numbers of the planes alone.

    Args:
      stored: what `rodin_jax.train.span` learned, and `follow` of `rodin_jax.train.regression`.
        Without what the second made, latents say nothing.
      numbers: of a set of planes.
      rank: how many components there should be.
      dim: of the latents.

    Raises:
      ValueError: an array is missing, of another shape, a variance not positive, or a place outside
        of the planes.
    """
    places = stored.get("places")
    rows = numbers if places is None else np.size(places)
    shapes = {"basis": (rows, rank), "scale": (rank,), "rest": (numbers,)}
    weights.check_shapes(stored, shapes, "eigenplanes")
    basis = np.ascontiguousarray(np.transpose(stored["basis"])) * stored["scale"][:, None]
    if places is not None:
        weights.check_places(places, numbers, "eigenplanes/places")
        whole = np.zeros((rank, numbers), np.float32)
        whole[:, np.asarray(places)] = basis
        basis = whole
    if not stored.keys() & {"slope", "told"} and "spectrum" in stored:
        stored = {**stored, "slope": np.zeros((dim, rank)), "told": stored["spectrum"]}
    return EigenPlanes(
        jnp.asarray(basis, jnp.float32),
        jnp.asarray(stored["rest"], jnp.float32),
        lines.unpack(stored, rank, dim, "eigenplanes"),
        details.unpack(weights.group(stored, "detail"), rank) if "detail" in stored else None,
    )


class CoefficientNet(nn.Module):
    """What is not Gaussian in the coefficients, of unit variance: a residual MLP.

    Its last layer starts at zero, so an untrained network is the Gaussian posterior.

    Attributes:
      rank: number of coefficients, k.
      width: of the hidden layers.
      depth: residual layers, modulated by t and z.
      dropout: probability in each; needs a 'dropout' key when training.
      time_features: width of the sinusoids of t.
    """

    rank: int
    width: int = 384
    depth: int = 2
    dropout: float = 0.1
    time_features: int = 64

    @nn.compact
    def __call__(
        self,
        u: Float[Array, "b k"],
        t: Int[Array, "b"],
        z: Float[Array, "b d"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "b k"]:
        """The clean coefficients' distance from `Line.posterior`'s mean over its deviation.

        Args:
          u: standardised noised coefficients.
          t: original diffusion time, 0 ... T - 1.
          z: latents of unit variance; zeros are the null condition.
          deterministic: False enables dropout.
        """
        time = nn.Dense(self.width, name="time")(timestep_embedding(t, self.time_features))
        told = nn.silu(time + nn.Dense(self.width, name="latent")(z))
        h = time + nn.Dense(self.width, name="input")(jnp.concatenate([u, z], axis=-1))
        for i in range(self.depth):
            gain, offset = jnp.split(
                nn.Dense(2 * self.width, name=f"modulation_{i}")(told), 2, axis=-1
            )
            y = nn.LayerNorm(name=f"norm_{i}")(h) * (1 + gain) + offset
            y = nn.silu(nn.Dense(2 * self.width, name=f"hidden_{i}")(y))
            y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
            h = h + nn.Dense(self.width, kernel_init=nn.initializers.zeros, name=f"out_{i}")(y)
        h = nn.LayerNorm(name="norm_out")(h)
        return nn.Dense(self.rank, kernel_init=nn.initializers.zeros, name="output")(h)


@pytree
class Inside:
    """What speaks for the span of the eigenplanes: them, and the network of their coefficients.

    Attributes:
      eigenplanes: the components.
      params: of the network.
      net: the network.
      outside: how far the base network's word counts outside, from 0, where everybody has the
        mean's ``rest`` there, to 1. A base network of few steps says more there than it knows.
    """

    eigenplanes: EigenPlanes
    params: PyTree
    net: CoefficientNet = static()
    outside: float | Float[Array, ""] = 1.0

    def speak(
        self,
        output: Float[Array, "b 3 h w o"],
        x_t: Float[Array, "b 3 h w c"],
        t: Int[Array, "b"],
        z: Float[Array, "b d"],
        schedule: Schedule,
        *,
        prediction: str,
        learned_variance: bool,
    ) -> Float[Array, "b 3 h w o"]:
        """The base network's ``output``, replaced within the span; no gradient comes to this.

        Args:
          output: a prediction, and a variance if it is learned, which stays as it is.
          x_t: noised planes.
          t: original diffusion times.
          z: latents, zeros where there is none.
          schedule: of all original times.
          prediction: what the output means.
          learned_variance: whether it has a second half.
        """
        said, variance = process.split_variance(output, x_t.shape[-1], learned_variance)
        inside = self.eigenplanes.line.denoise(
            lambda seen: self.net.apply({"params": self.params}, seen, t, z),
            self.eigenplanes.coefficients(x_t), t, z, schedule,
        )  # fmt: skip

        rest = self.eigenplanes.rest.reshape(x_t.shape[1:])
        x0 = process.predict_x0(schedule, said, x_t, t, prediction)
        x0 = rest + self.outside * (x0 - rest)
        x0 = self.eigenplanes.with_coefficients(x0, jax.lax.stop_gradient(inside))
        eps = process.predict_eps(schedule, x0, x_t, t)
        said = process.target(schedule, x0, eps, t, prediction)
        return said if variance is None else jnp.concatenate([said, variance], axis=-1)
