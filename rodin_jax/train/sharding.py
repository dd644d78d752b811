"""Where a run's arrays live: batches divided over the devices, states copied or divided.

There is one mesh axis, ``data``. Every batch is divided along it. The state (parameters, their
average, the optimiser's moments) is by default the same on each device. *Fully sharded*, each
device keeps 1/n of every large array instead: the parameters are gathered for the computation,
which does not change, and the gradients come back divided, so that each device updates its part.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

# Smaller arrays are copied: 256 KB in float32 cost more to gather often than to keep.
SMALLEST = 2**16


@dataclass(frozen=True)
class Layout:
    """The places of states and batches on a mesh.

    Attributes:
      mesh: of one axis, ``data``.
      fsdp: divide the state too.
      smallest: elements from which an array of the state is divided.
    """

    mesh: Mesh
    fsdp: bool = False
    smallest: int = SMALLEST

    @property
    def everywhere(self) -> NamedSharding:
        """A copy on each device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def divided(self) -> NamedSharding:
        """Divided along the first axis: batches."""
        return NamedSharding(self.mesh, PartitionSpec("data"))

    def of(self, shape: tuple[int, ...]) -> NamedSharding:
        """Of an array of the state: divided along its longest axis that n divides, if large."""
        n = self.mesh.size
        axes = [axis for axis, size in enumerate(shape) if size % n == 0]
        if not self.fsdp or not axes or np.prod(shape) < self.smallest:
            return self.everywhere
        axis = max(axes, key=lambda a: shape[a])
        return NamedSharding(self.mesh, PartitionSpec(*[None] * axis, "data"))

    def of_all(self, leaves: Sequence[Any]) -> list[NamedSharding]:
        """`of` each array."""
        return [self.of(x.shape) for x in leaves]

    def place(self, state: PyTree) -> PyTree:
        """Puts a state, the same in every process, in its places; free where it is there."""
        leaves, structure = jax.tree.flatten(state)
        places = self.of_all(leaves)
        return structure.unflatten([_put(x, p) for x, p in zip(leaves, places, strict=True)])

    def shard(self, batch: dict[str, Any]) -> dict[str, jax.Array]:
        """The global batch of which ``batch``, host arrays, is this process' part."""
        put = jax.make_array_from_process_local_data
        return {name: put(self.divided, x) for name, x in batch.items()}

    def gathering(self, loss_fn: Callable) -> Callable:
        """``loss_fn``, whose parameters are gathered before and gradients divided after it."""
        if not self.fsdp:
            return loss_fn
        constrain = jax.lax.with_sharding_constraint

        @jax.custom_vjp
        def gather(params):
            return jax.tree.map(lambda x: constrain(x, self.everywhere), params)

        def backward(_, gradient):
            return (jax.tree.map(lambda x: constrain(x, self.of(x.shape)), gradient),)

        gather.defvjp(lambda params: (gather(params), None), backward)
        return lambda params, batch, key: loss_fn(gather(params), batch, key)


def _put(x, place: NamedSharding):
    """`jax.device_put`, also to devices of other processes, which do the same."""
    if isinstance(x, jax.Array) and x.sharding == place:
        return x
    if place.is_fully_addressable:
        return jax.device_put(x, place)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        impl = jax.random.key_impl(x)
        return jax.random.wrap_key_data(_put(jax.random.key_data(x), place), impl=impl)
    whole = np.asarray(x)
    return jax.make_array_from_callback(whole.shape, place, lambda part: whole[part])


def data_mesh(batch_size: int, devices: int | None = None) -> Mesh:
    """A mesh over the first ``devices`` devices (default: all), as many of each process.

    Falls back, with a warning, to as many devices as divide ``batch_size``.

    Raises:
      ValueError: not even one device of each process does.
    """
    available = jax.devices()
    processes = jax.process_count()
    most = max((devices or len(available)) // processes, 1)
    of_process = [[d for d in available if d.process_index == i] for i in range(processes)]
    most = each = min(most, *map(len, of_process))
    while each and batch_size % (each * processes):
        each -= 1
    if not each:
        raise ValueError(f"a batch of {batch_size} cannot be shared by {processes} processes")
    if each < most:
        logging.warning(
            "batch size %d uses %d of %d devices", batch_size, each * processes, most * processes
        )
    chosen = [device for row in of_process for device in row[:each]]
    # Auto axes: with Explicit ones, indexing a schedule with a sharded t is an error.
    return jax.make_mesh((len(chosen),), ("data",), axis_types=(AxisType.Auto,), devices=chosen)


def to_host(tree: PyTree) -> PyTree:
    """The whole arrays in NumPy; where several processes have parts of one, all must call this."""

    def fetch(x):
        if isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated):
            x = multihost_utils.process_allgather(x, tiled=True)
        return np.asarray(x)

    return jax.tree.map(fetch, tree)


def bytes_per_device(tree: PyTree) -> int:
    """What the arrays take on each device."""
    return sum(
        int(np.prod(x.sharding.shard_shape(x.shape))) * x.dtype.itemsize
        for x in jax.tree.leaves(tree)
    )
