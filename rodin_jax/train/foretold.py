"""What latents foretell of fitted subjects' planes: where they are fitted again from."""

import dataclasses
import os
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rodin_jax import triplanes
from rodin_jax.data.planes import PlanesStore, PlaneStatistics
from rodin_jax.nn.eigenplanes import EigenPlanes
from rodin_jax.train import latents
from rodin_jax.train.eigenplanes import normalised
from rodin_jax.train.regression import follow


@dataclasses.dataclass(frozen=True)
class Foretold:
    """Calls with a subject's name give its planes ``[3, h, w, c]`` as they are foretold.

    Attributes:
      eigenplanes: along which people differ.
      scale: of the low planes.
      size: texels along an edge of full planes.
      coefficients: what is foretold of each subject.
      rows: which row of them is whose.
    """

    eigenplanes: EigenPlanes
    scale: PlaneStatistics
    size: int
    coefficients: Float[np.ndarray, "n k"]
    rows: Mapping[str, int]

    def __call__(self, name: str) -> Float[np.ndarray, "3 h w c"]:
        """Planes in feature units.

        Raises:
          ValueError: nothing is foretold of a subject of this name.
        """
        if name not in self.rows:
            raise ValueError(f"subject '{name}' was not among those that were fitted first")
        c = self.coefficients[self.rows[name]]
        return np.asarray(_planes(self.eigenplanes, self.scale, c, self.size))


@jax.jit(static_argnames="size")
def _planes(eigenplanes: EigenPlanes, scale: PlaneStatistics, c, size: int):
    channels = scale.mean.shape[-1]
    low = eigenplanes.low(c[None], channels)
    fine = eigenplanes.fine(low)
    return scale.denormalise(triplanes.resize(low, size) if fine is None else fine)[0]


def foretell(
    store: PlanesStore,
    eigenplanes: EigenPlanes,
    clip_dir: str | os.PathLike,
    *,
    size: int,
    mirrored: bool,
    bend: Mapping[str, int],
) -> Foretold:
    """What the latents of fitted subjects foretell of each, learned from the others alone.

    Args:
      store: the subjects as they were fitted first, with statistics of ``size``.
      eigenplanes: of them, at ``size`` texels.
      clip_dir: workdir of the clip stage.
      size: of low planes.
      mirrored: whether mirror images are people too.
      bend: options of `rodin_jax.train.regression.follow`.
    """
    scale = store.statistics(size)
    planes = normalised(store, scale, size, mirrored=mirrored)
    z = latents.subject_latents(store, clip_dir, mirrored=mirrored)
    c = np.asarray(eigenplanes.coefficients(jnp.asarray(planes)))
    followed = follow(c, z, np.asarray(eigenplanes.line.mean), **bend)
    told = (c - followed.unseen_errors())[:, 0]
    rows = {name: row for row, name in enumerate(store.ids())}
    return Foretold(eigenplanes, scale, store.shape[1], told, rows)
