"""A divided state trains like a copied one and takes less room."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.train import checkpoints, sharding
from rodin_jax.train import state as train_state

OPTIMIZER = train_state.adamw(0.01)


def loss(params, batch, key):
    """A small network; noisy inputs, so that the random stream matters."""
    x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    hidden = jnp.tanh(x @ params["a"] + params["bias"])
    return jnp.mean((hidden @ params["b"] - 1) ** 2), {}


def fresh():
    """A new state; ``a`` and ``b`` are large enough to be divided."""
    a, b = (jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(20, 24), (24, 3)]))
    params = {"a": a / 5, "b": b / 5, "bias": jnp.zeros(24)}
    return train_state.create(params, OPTIMIZER, jax.random.key(3))


def layout(fsdp):
    """Four devices; arrays from 50 elements on are divided."""
    return sharding.Layout(sharding.data_mesh(8), fsdp=fsdp, smallest=50)


def train(fsdp, steps=5, accumulate=1):
    """Losses and the last state."""
    step = train_state.make_step(
        loss, OPTIMIZER, ema_decay=0.9, layout=layout(fsdp), accumulate=accumulate
    )
    state, losses = fresh(), []
    for n in range(steps):
        rng = np.random.default_rng(n)
        state, metrics = step(state, {"x": rng.normal(size=(8, 20)).astype(np.float32)})
        losses.append(float(metrics["loss"]))
    return losses, state


def close(a, b):
    """Asserts that two states agree to rounding."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(np.asarray(x), np.asarray(y), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_divided_state_trains_like_a_copied_one(accumulate):
    copied, whole = train(False, accumulate=accumulate)
    divided, parts = train(True, accumulate=accumulate)
    np.testing.assert_allclose(divided, copied, rtol=1e-6)
    close(parts, whole)


def test_it_takes_a_quarter_of_the_room_on_each_of_four_devices():
    whole, parts = layout(False).place(fresh()), layout(True).place(fresh())
    per_device = [
        sum(s.data.nbytes for x in jax.tree.leaves(state.params | {"m": state.opt_state})
            for s in x.addressable_shards if s.device == jax.devices()[0])
        for state in (whole, parts)
    ]  # fmt: skip
    large, small = 4 * (20 * 24 + 24 * 3), 4 * 24
    assert per_device[0] == 3 * (large + small) + 4  # parameters, two moments, Adam's counter
    assert per_device[1] == 3 * (large // 4 + small) + 4
    # The average is of the size of the parameters; the rest is step, counts and key.
    assert sharding.bytes_per_device(parts) == per_device[1] + large // 4 + small + 4 + 4 + 8


def test_it_stays_divided_and_along_the_longest_axis_that_divides():
    _, state = train(True, steps=1)
    specs = {name: tuple(x.sharding.spec) for name, x in state.params.items()}
    assert specs == {"a": (None, "data"), "b": ("data",), "bias": ()}
    moments = [x for x in jax.tree.leaves(state.opt_state) if x.shape == (20, 24)]
    assert len(moments) == 2
    assert all(x.sharding == state.ema["a"].sharding == state.params["a"].sharding for x in moments)
    assert layout(True).of((33, 7)).is_fully_replicated  # nothing divides
    assert layout(True).of((4, 6)).is_fully_replicated  # small


def test_the_parameters_are_gathered_and_the_rest_is_not():
    """The compiled step gathers two parameters; moments and average never travel."""
    places = layout(True)
    step = train_state.make_step(loss, OPTIMIZER, ema_decay=0.9, layout=places)
    state = places.place(fresh())
    leaves, structure = jax.tree.flatten(state)
    batch = places.shard({"x": np.zeros((8, 20), np.float32)})
    text = step._jit(leaves, structure).lower(leaves, batch).compile().as_text()
    assert text.count(" all-gather(") == 2


@pytest.mark.parametrize("fsdp", [True, False])
def test_a_checkpoint_is_restored_into_either_form(tmp_path, fsdp):
    _, whole = train(fsdp, steps=2)
    with checkpoints.Checkpoints(tmp_path) as saved:
        saved.save(whole, 2)
        saved.wait()
        restored, _ = saved.restore(layout(not fsdp).place(fresh()))
    assert restored.params["a"].sharding.is_fully_replicated == fsdp
    close(restored, whole)


def test_whole_arrays_come_back_to_the_host():
    state = fresh()
    params = sharding.to_host(layout(True).place(state).params)
    assert all(isinstance(x, np.ndarray) for x in params.values())
    np.testing.assert_array_equal(params["a"], state.params["a"])


def test_the_mesh_shrinks_to_a_divisor_of_the_batch(monkeypatch):
    assert sharding.data_mesh(6).size == 3
    assert sharding.data_mesh(8, devices=2).size == 2
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(ValueError, match="batch of 8 cannot be shared by 3 processes"):
        sharding.data_mesh(8)
