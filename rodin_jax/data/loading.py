"""Batches in a fixed order: the step alone says what is in them.

Every pass over the source is a new shuffle drawn from the seed, passes follow one another without
a gap, and batch ``i`` is always the same, so a run that resumes at step ``i`` sees what the
uninterrupted one would have seen.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import grain
import jax
import numpy as np


@runtime_checkable
class Source(Protocol):
    """Random access to elements, e.g. `PlanesStore` or `load_subjects`."""

    def __len__(self) -> int:
        """How many elements there are."""

    def __getitem__(self, index: int, /) -> Any:
        """The element of that index."""


def batches(
    source: Source,
    batch_size: int,
    seed: int,
    *,
    start_step: int = 0,
    transform: Callable[[Any], dict[str, np.ndarray]] | None = None,
    random_transform: Callable[[Any, np.random.Generator], dict[str, np.ndarray]] | None = None,
    process_index: int | None = None,
    process_count: int | None = None,
    threads: int = 2,
    prefetch: int = 4,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless shuffled batches.

    Args:
      source: the elements; dicts of arrays, or anything ``transform`` turns into one.
      batch_size: examples in a batch over all hosts.
      seed: of the shuffles and of ``random_transform``.
      start_step: the first batch to give; it costs no more than batch 0.
      transform: element -> dict of arrays, the same every time.
      random_transform: the same with a generator that depends on (seed, position in the stream);
        applied after ``transform``.
      process_index: this host's place; JAX's own by default.
      process_count: number of hosts; their parts, one after the other, are the global batch.
      threads: threads that read ahead; 0 reads in the caller's.
      prefetch: batches kept ready.

    Returns:
      An iterator of dicts with a leading axis of ``batch_size / process_count``.

    Raises:
      ValueError: an empty source, or a batch that the hosts cannot share evenly.
    """
    index = jax.process_index() if process_index is None else process_index
    count = jax.process_count() if process_count is None else process_count
    if len(source) == 0:
        raise ValueError("cannot draw batches from an empty source")
    if batch_size < 1 or batch_size % count:
        raise ValueError(f"batch_size {batch_size} must be a positive multiple of {count} hosts")
    if not 0 <= index < count:
        raise ValueError(f"process_index {index} is not one of {count} hosts")
    stream = grain.MapDataset.source(source).shuffle(seed=seed).repeat()
    if transform is not None:
        stream = stream.map(transform)
    if random_transform is not None:
        stream = stream.random_map(random_transform, seed=seed)
    if count > 1:
        stream = grain.MapDataset.source(_Share(stream, batch_size, index, count))
    local = stream.batch(batch_size // count)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch * bool(threads))
    iterator = iter(local.to_iter_dataset(options))
    iterator.set_state({"next_index": start_step})
    return iterator


@dataclass(frozen=True)
class _Share:
    """A host's elements of a stream: the ``index``-th of ``count`` equal parts of every batch.

    Consecutive parts, because an example's noise goes by its place in the global batch: however
    many hosts there are, each example meets the same.
    """

    stream: grain.MapDataset
    batch_size: int
    index: int
    count: int

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, i: int):
        size = self.batch_size // self.count
        batch, place = divmod(i, size)
        return self.stream[batch * self.batch_size + self.index * size + place]
