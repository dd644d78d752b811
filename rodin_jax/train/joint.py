"""The joint stage of fitting: one decoder learned with the planes of the first subjects (3.1).

The subjects are interleaved: a *visit* loads a random group of them, takes some steps and puts them
back on a `Shelf`, so that a thousand subjects need the memory of one group, and none is forgotten
while others are learned. Then the decoder is frozen and all subjects, these included, are fitted
to it.

A stopped run goes on. Each visit's outcome is written to ``visit.safetensors``, at once and whole,
before it reaches the shelf; going on starts by writing that file's rows to the shelf once more. So
the result does not depend on where a run was stopped.
"""

import dataclasses
import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Int, PyTree

from rodin_jax import triplanes
from rodin_jax.nn import decoder as decoders
from rodin_jax.nn import weights
from rodin_jax.train import fitting
from rodin_jax.train.scene import Scene
from rodin_jax.train.shelf import Shelf, make

_RECORD = "visit.safetensors"
_ONE, _MANY, _STEPS = PartitionSpec(), PartitionSpec("data"), PartitionSpec(None, "data")


def spread(function: Callable, sharded: tuple[bool, ...]) -> Callable:
    """``function`` of one subject, made a function of as many as a multiple of the devices.

    Args:
      function: takes and returns trees of arrays.
      sharded: for each argument, whether it has a leading axis of subjects or is shared by all.
    """
    many = jax.vmap(function, in_axes=tuple(0 if s else None for s in sharded))
    return _on_all_devices(many, tuple(_MANY if s else _ONE for s in sharded), _MANY)


def _on_all_devices(function, in_specs, out_specs):
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
    )


@dataclasses.dataclass(frozen=True)
class Level:
    """A stretch of the joint stage at one resolution: steps ``begin`` to ``end``."""

    resolution: int
    begin: int
    end: int


def levels(size: int, steps: int, visit: int) -> list[Level]:
    """A quarter of the steps at a quarter and at half of the resolution, the rest at all of it.

    Every level has a whole number of visits, at least one.
    """
    quarter = max(steps // 4 // visit, 1) * visit
    rest = max((steps - 2 * quarter) // visit, 1) * visit
    sizes = max(size // 4, 2), max(size // 2, 2), size
    ends = np.cumsum([quarter, quarter, rest]).tolist()
    return [Level(s, b, e) for s, b, e in zip(sizes, [0, *ends], ends, strict=False)]


def fit_jointly(
    scene_of: Callable[[int], Scene],
    count: int,
    decoder: decoders.Decoder,
    key: Array,
    *,
    folder: Path,
    options: fitting.FitOptions,
    size: int,
    channels: int,
    steps: int,
    group: int,
    visit: int = 25,
    rate: float = 3e-2,
    decoder_rate: float = 5e-3,
    report: Callable[[int, float], None] = lambda step, mse: None,
):
    """Learns a decoder together with the planes of several subjects, coarse to fine.

    Args:
      scene_of: the i-th subject; all of the same shapes.
      count: how many there are.
      decoder: the network to train.
      key: consumed.
      folder: where subjects wait for their next visit; a stopped run goes on from it, and the
        caller deletes it when the decoder is safe.
      options: weights and sizes.
      size: texels along an edge of the planes.
      channels: features of a texel.
      steps: in all, see `levels`.
      group: subjects a visit; rounded up to a multiple of the devices.
      visit: steps of a visit.
      rate: learning rate of the planes at the start of each resolution.
      decoder_rate: learning rate of the decoder at the start.
      report: called after each visit with the steps done and the mean MSE.

    Returns:
      The decoder's parameters and the mean of the subjects' planes ``[3, size, size, channels]``.
    """
    group = -(-min(group, count) // jax.device_count()) * jax.device_count()
    planes_key, params_key, draw_key, steps_key = jax.random.split(key, 4)
    seed = int(jax.random.bits(draw_key))
    tuner = optax.adam(optax.exponential_decay(decoder_rate, steps, 0.1))
    params = decoders.initial(decoder, params_key, channels)
    tuning, done = tuner.init(params), 0
    if left := _recorded(folder):
        done = int(left["done"])
        params, tuning = _unleaved(left["shared"], (params, tuning))
    look = jax.jit(functools.partial(fitting.look_again, decoder=decoder, grid=options.grid))

    before, shelf = None, None
    for level in levels(size, steps, visit):
        here = folder / f"level-{level.begin}"
        optimizer = fitting.plane_optimizer(
            max((level.end - level.begin) * group // count, 1), rate
        )
        like = _tree(jnp.zeros(1), optimizer, fitting.whole_cube(1))
        if done >= level.end and not here.exists():
            continue  # the next level has taken its subjects over
        if not here.exists():
            if shelf is None:
                tree_of = _random(planes_key, level, channels, optimizer, scene_of)
            else:
                tree_of = _finer(shelf, level, params, optimizer, scene_of, look)
            make(here, count, tree_of)
        shelf = Shelf(here, like)
        if left and int(left["level"]) == level.begin:
            # The last visit's subjects perhaps never reached the shelf.
            shelf.write(np.asarray(left["rows"]), _unleaved(left["trees"], like))
        if before is not None:
            shutil.rmtree(before)
        before = here
        run = _visit(decoder, options, optimizer, tuner, level.resolution)
        while done < level.end:
            rows = _chosen(seed, done // visit, count, group)
            trees = shelf.read(rows)
            scenes = [scene_of(int(row)) for row in rows]
            scenes = jax.tree.map(lambda *x: jnp.stack(x), *scenes)
            keys = jax.random.split(jax.random.fold_in(steps_key, done), (visit, group))
            (params, tuning), trees, mse = run((params, tuning), trees, scenes, keys)
            done += visit
            _record(folder, done, level, (params, tuning), rows, trees)
            shelf.write(rows, trees)
            report(done, float(mse))
    planes = (shelf.read(np.array([i]))[0][0] for i in range(count))
    mean = sum(np.asarray(p, np.float64) for p in planes) / count
    return params, jnp.asarray(mean, jnp.float32)


def _visit(decoder, options, optimizer, tuner, resolution: int):
    """The compiled steps of one visit: (params, tuning), trees, scenes, keys ``[steps, g]``."""
    matrices = fitting.rescaling(resolution, options.lowest)
    loss = functools.partial(fitting.loss, decoder=decoder, options=options, matrices=matrices)
    gradient = jax.vmap(
        jax.value_and_grad(loss, argnums=(0, 1), has_aux=True), in_axes=(0, None, 0, 0)
    )

    def steps(shared, trees, scenes, keys):
        planes, moments, found = trees
        scenes = dataclasses.replace(scenes, occupancy=found)

        def step(carry, keys):
            (params, tuning), (planes, moments) = carry
            (_, mse), (of_planes, of_params) = gradient(planes, params, scenes, keys)
            changes, moments = jax.vmap(optimizer.update)(of_planes, moments)
            planes = optax.apply_updates(planes, changes)
            mean = jax.lax.pmean(jax.tree.map(lambda g: g.mean(0), of_params), "data")
            changes, tuning = tuner.update(mean, tuning)
            params = optax.apply_updates(params, changes)
            return ((params, tuning), (planes, moments)), jax.lax.pmean(mse.mean(), "data")

        carry, errors = jax.lax.scan(step, (shared, (planes, moments)), keys)
        shared, (planes, moments) = carry
        return shared, (planes, moments, found), errors.mean()

    return _on_all_devices(steps, (_ONE, _MANY, _MANY, _STEPS), (_ONE, _MANY, _ONE))


def _tree(planes, optimizer, found):
    """What waits on the shelf for a subject: planes, moments, and where its matter was found."""
    return planes, optimizer.init(planes), found


def _random(key, level, channels, optimizer, scene_of):
    def tree_of(i):
        planes = fitting.initial_planes(jax.random.fold_in(key, i), level.resolution, channels)
        return _tree(planes, optimizer, scene_of(i).occupancy)

    return tree_of


def _finer(shelf, level, params, optimizer, scene_of, look):
    """Subjects of the level before, their planes resized and their matter looked for again."""

    def tree_of(i):
        planes = jnp.asarray(shelf.read(np.array([i]))[0][0])
        found = look(planes, params, scene_of(i).occupancy)
        return _tree(triplanes.resize(planes, level.resolution), optimizer, found)

    return tree_of


def _chosen(seed: int, visit: int, count: int, group: int) -> Int[np.ndarray, "g"]:
    """The subjects of a visit: all are met once before any is met again."""
    turn, place = divmod(visit, -(-count // group))
    order = np.random.default_rng([seed, turn]).permutation(count)
    return np.resize(order, (place + 1) * group)[place * group :]


def _record(folder, done, level, shared, rows, trees) -> None:
    """Writes ``visit.safetensors``: the outcome of the visit that ended at step ``done``."""
    numbers = {"done": np.array(done), "level": np.array(level.begin), "rows": rows}
    outcome = {"shared": _leaves(shared), "trees": _leaves(trees)}
    weights.save_params(folder / _RECORD, numbers | outcome)


def _recorded(folder: Path) -> dict | None:
    """What `_record` wrote last, or None in a fresh folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return weights.load_params(folder / _RECORD) if (folder / _RECORD).exists() else None


def _leaves(tree: PyTree) -> dict[str, Array]:
    return {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _unleaved(leaves: dict[str, Array], like: PyTree) -> PyTree:
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[k] for k in sorted(leaves)])
