"""What latents foretell of fitted subjects' planes: where they are fitted again from."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from rodin_jax import triplanes
from rodin_jax.data.planes import PlanesStore, PlaneStatistics
from rodin_jax.nn import weights
from rodin_jax.nn.eigenplanes import EigenPlanes
from rodin_jax.train import eigenplanes


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


def read(store: PlanesStore, eigenplanes_dir: str | os.PathLike, *, size: int) -> Foretold:
    """What the eigenplanes stage let latents foretell of each subject, from the others alone.

    Args:
      store: the subjects as they were fitted first, with statistics of ``size``.
      eigenplanes_dir: workdir of that stage, run on them.
      size: of low planes.

    Raises:
      FileNotFoundError: the stage has not been run there.
      ValueError: it was run on other subjects.
    """
    known = eigenplanes.load(eigenplanes_dir).eigenplanes
    shape = {"coefficients": (len(store), known.basis.shape[0])}
    told = weights.load_params(Path(eigenplanes_dir) / eigenplanes.FORETOLD)
    weights.check_shapes(told, shape, eigenplanes.FORETOLD)
    rows = {name: row for row, name in enumerate(store.ids())}
    c = np.asarray(told["coefficients"])
    return Foretold(known, store.statistics(size), store.shape[1], c, rows)
