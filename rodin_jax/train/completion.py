"""Fine planes guessed from coarse ones, by what other subjects' planes look like.

A fit that starts from the mean of all subjects wanders: where pictures say little, each ends
somewhere else, and that noise is a good part of what a diffusion model must learn. Subjects already
fitted span a linear space. The point of it that explains a coarse fit best is a far better start; a
fit from there at a lower rate changes only what pictures ask for.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax import triplanes
from rodin_jax.nn.eigenplanes import unpack
from rodin_jax.train.components import components
from rodin_jax.types import pytree

# Variance of a coarse fit's features about the truth's: about that of the features themselves, for
# it is noisy, and the eigenplanes do not hold all.
_NOISE = 1.4


@pytree
class Completion:
    """The most probable planes given coarse ones, under a Gaussian prior of their eigenplanes.

    With the eigenplanes ``B``, made coarse ``A``, and their variances ``L``: coefficients
    ``c = (A A^T + noise L^-1)^-1 A (coarse - mean)``, planes ``mean + c B``.

    Attributes:
      mean: of the subjects' planes.
      coarse_mean: made coarse.
      basis: B, rows are the components.
      solve: the matrix that gives c.
    """

    mean: Float[Array, "3 h w c"]
    coarse_mean: Float[Array, "3 l l c"]
    basis: Float[Array, "k n"]
    solve: Float[Array, "k m"]

    def __call__(self, coarse: Float[Array, "3 l l c"]) -> Float[Array, "3 h w c"]:
        """The most probable planes."""
        c = self.solve @ (coarse - self.coarse_mean).reshape(-1)
        return self.mean + (c @ self.basis).reshape(self.mean.shape)


def learn(planes: Float[np.ndarray, "n 3 h w c"], rank: int) -> dict[str, np.ndarray]:
    """What `completion_of` needs, small enough to store: at most ``rank`` components of planes.

    Mirrored planes are subjects too.
    """
    both = np.concatenate([planes, np.asarray(triplanes.mirror(jnp.asarray(planes)))])
    return components(both.astype(np.float32), min(rank, len(both) - 1))


def completion_of(
    learned: Mapping[str, Array | np.ndarray], shape: tuple[int, ...], coarse: int
) -> Completion:
    """Prepares the completion of planes ``shape = [3, h, w, c]`` from ``coarse`` texels."""
    rank = len(learned["spectrum"])
    eigen = unpack(learned, int(np.prod(shape)), rank)
    mean = eigen.mean.reshape(shape)

    def small(row):
        return triplanes.resize(row.reshape(shape), coarse).reshape(-1)

    low = jax.lax.map(small, eigen.basis)
    noise = _NOISE * eigen.line.spectrum.sum() / eigen.basis.shape[1]
    normal = low @ low.T + jnp.diag(noise / eigen.line.spectrum)
    return Completion(
        mean, triplanes.resize(mean, coarse), eigen.basis, jnp.linalg.solve(normal, low)
    )
