"""What the diffusion stages read from the stages before them: planes, decoder, front views.

``n`` subjects; planes are ``[3, H, H, c]`` as fitted and ``[3, h, h, c]`` at the base size.
"""

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from rodin_jax import cameras, rendering, triplanes
from rodin_jax.data.planes import PlanesStore, compute_statistics
from rodin_jax.nn import decoder as nn_decoder
from rodin_jax.train import export

# Planes are kept in memory up to this; larger stores are read from disk, batch by batch.
MEMORY_BYTES = 4 << 30


def open_store(planes_dir: str | os.PathLike, sizes: Sequence[int]) -> PlanesStore:
    """The planes of a fit's workdir (or a bare store), with statistics of ``sizes``.

    Measures the statistics when the fit left none of that size.

    Raises:
      ValueError: there is no store, or a size is larger than the fitted one.
    """
    if not str(planes_dir):
        raise ValueError("config.planes_dir is empty, expected the workdir of the fit stage")
    folder = Path(planes_dir)
    store = PlanesStore(folder / "planes" if (folder / "planes").is_dir() else folder)
    if max(sizes, default=0) > store.shape[1]:
        raise ValueError(
            f"{store.directory}: planes of {store.shape[1]} texels, size {max(sizes)} wanted"
        )
    try:
        for size in sizes:
            store.statistics(size)
    except ValueError:
        logging.info("measuring the statistics of %d fitted subjects ...", len(store))
        compute_statistics(store, sorted({*sizes, store.shape[1]}))
    return store


class Subjects(Sequence):
    """Training examples for `data.loading.batches`: ``{"planes", "index"}`` of each subject.

    Args:
      store: the fitted subjects.
      size: resizes the planes to this many texels; None leaves them as fitted.
      memory_bytes: read everything at once when it takes no more than this.
    """

    def __init__(
        self, store: PlanesStore, size: int | None = None, memory_bytes: int = MEMORY_BYTES
    ):
        self._store = store
        full = store.shape[1]
        self._shrink = None if size in (None, full) else triplanes.resize_matrix(full, size)
        side = size or full
        count = len(store) * 3 * side * side * store.shape[3]
        self._cache = None
        if 2 * count <= memory_bytes:
            self._cache = np.stack([self._read(i) for i in range(len(store))])

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        planes = self._read(index) if self._cache is None else self._cache[index]
        return {"planes": planes, "index": np.int32(index)}

    def _read(self, index):
        planes = self._store.planes(index)
        if self._shrink is None:
            return planes
        planes = np.einsum("ih,phwc->piwc", self._shrink, planes.astype(np.float32), optimize=True)
        return np.einsum("jw,piwc->pijc", self._shrink, planes, optimize=True).astype(np.float16)


def front_views(store: PlanesStore, *, mirrored: bool = False) -> Iterator[np.ndarray]:
    """Each subject's front view, RGBA uint8 ``[s, s, 4]``, or what a mirror shows of it."""
    for i in range(len(store)):
        front = store[i].front
        yield front[:, ::-1] if mirrored else front


def statistics_arrays(store: PlanesStore, sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """``statistics/<size>/mean|std|low|high``, as exports carry them."""
    return {
        f"statistics/{size}/{name}": np.asarray(getattr(store.statistics(size), name))
        for size in sizes
        for name in ("mean", "std", "low", "high")
    }


class Decoded:
    """The frozen decoder of a fit: planes to pictures.

    Args:
      planes_dir: the fit's workdir, which holds its export.
    """

    def __init__(self, planes_dir: str | os.PathLike):
        found = export.read_export(planes_dir)
        self.model, self.params = found.model, found.params
        self.decoder = nn_decoder.Decoder(**found.model)

    def field(self, planes: Float[Array, "3 h w c"]):
        """The radiance field of one subject."""
        return nn_decoder.field(self.decoder, self.params, planes)

    def strip(
        self, planes: Float[Array, "n 3 h w c"], size: int, samples: int = 48
    ) -> UInt8[np.ndarray, "s ns 3"]:
        """Front views of n subjects side by side on white, ``[size, n size, 3]``."""
        pictures = [np.asarray(self._front(p, size, samples)) for p in planes]
        return np.concatenate(pictures, axis=1)

    @functools.partial(jax.jit, static_argnums=(0, 2, 3))
    def _front(self, planes, size, samples):
        camera = cameras.orbit(0.0, 0.0, size)
        picture = rendering.render_image(self.field(planes), camera, size, size, samples=samples)
        return jnp.round(jnp.clip(rendering.over(picture, 1.0), 0, 1) * 255).astype(jnp.uint8)


def mirror_half(
    planes: Float[Array, "b 3 h w c"], key: Array
) -> tuple[Float[Array, "b 3 h w c"], Array]:
    """Each subject as it is or mirrored left to right, evens; and which ones were. Takes the key.

    A decoder evaluates points one by one, so mirrored planes are a mirrored subject.
    """
    flipped = jax.random.bernoulli(key, shape=planes.shape[:1])
    mirrored = triplanes.mirror(planes)
    return jnp.where(flipped[:, None, None, None, None], mirrored, planes), flipped
