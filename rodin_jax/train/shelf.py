"""One pytree for each of many subjects, on disk; a few at a time are in memory.

A thousand subjects with planes of 256x256x32 and their Adam moments take 75 GB. A shelf keeps each
leaf of the tree as one ``.npy`` file with a leading axis of subjects, mapped into memory.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, PyTree


class Shelf:
    """The folder ``directory``; a tree's leaves are ``0.npy``, ``1.npy``, ... in its order."""

    def __init__(self, directory: str | os.PathLike, like: PyTree):
        """Opens a shelf that `make` finished.

        Args:
          directory: its folder.
          like: a tree of the same structure as each subject's.
        """
        self._structure = jax.tree.structure(like)
        paths = [Path(directory) / f"{i}.npy" for i in range(self._structure.num_leaves)]
        self._files = [np.load(path, mmap_mode="r+", allow_pickle=False) for path in paths]

    def __len__(self) -> int:
        return len(self._files[0])

    def read(self, rows: Int[np.ndarray, "g"]) -> PyTree:
        """The trees of some subjects, stacked on a leading axis."""
        return jax.tree.unflatten(self._structure, [jnp.asarray(f[rows]) for f in self._files])

    def files(self) -> PyTree:
        """Every subject's tree, stacked, as arrays on disk that are read where they are looked at.

        What is written to them is written to disk.
        """
        return jax.tree.unflatten(self._structure, self._files)

    def write(self, rows: Int[np.ndarray, "g"], trees: PyTree) -> None:
        """Replaces the trees of some subjects."""
        for file, leaf in zip(self._files, jax.tree.leaves(trees), strict=True):
            file[rows] = np.asarray(leaf)


def make(directory: str | os.PathLike, count: int, tree_of: Callable[[int], PyTree]) -> None:
    """Makes a shelf of ``count`` subjects, the i-th with the tree ``tree_of(i)``.

    The folder appears under its name when it is complete; what a stopped call left is overwritten.
    """
    directory = Path(directory)
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    files = []
    for i in range(count):
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree_of(i))]
        if not files:
            files = [
                np.lib.format.open_memmap(
                    partial / f"{k}.npy", "w+", leaf.dtype, (count, *leaf.shape)
                )
                for k, leaf in enumerate(leaves)
            ]
        for file, leaf in zip(files, leaves, strict=True):
            file[i] = leaf
    for file in files:
        file.flush()
    os.replace(partial, directory)
