"""The training step against closed forms, and on one device against four."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rodin_jax.train import sharding
from rodin_jax.train import state as train_state


def quadratic(params, batch, key):
    """Mean squared error of a linear model."""
    error = batch["x"] @ params["w"] + params["b"] - batch["y"]
    return jnp.mean(error**2), {"bias": params["b"][0]}


def noisy(params, batch, key):
    """The same with noisy inputs, so that the random stream matters."""
    x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    return quadratic(params, {**batch, "x": x}, key)


def example_batch(seed=0, size=8):
    """One batch of a linear problem."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, 3)).astype(np.float32)
    return {"x": x, "y": (x @ [[1.0], [-2.0], [0.5]]).astype(np.float32)}


def fresh(optimizer):
    """A new state."""
    params = {"w": jnp.ones((3, 1)), "b": jnp.zeros((1,))}
    return train_state.create(params, optimizer, jax.random.key(3))


def close(a, b, atol=1e-6):
    """Asserts that two trees of arrays agree."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), atol=atol, rtol=1e-5)


def test_one_step_of_adamw_is_its_formula():
    rate, decay = 0.1, 0.01
    optimizer = train_state.adamw(rate, weight_decay=decay, clip=None)
    state = fresh(optimizer)
    batch = example_batch()
    gradient = jax.grad(lambda p: quadratic(p, batch, None)[0])(state.params)
    # In the first step Adam's bias-corrected moments are g and g²: the update is the sign of g.
    expected = jax.tree.map(
        lambda p, g: p - rate * (g / (jnp.abs(g) + 1e-8) + decay * p), state.params, gradient
    )
    state, metrics = train_state.make_step(quadratic, optimizer, ema_decay=0.9)(state, batch)
    close(state.params, expected)
    assert int(state.step) == 1
    np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(gradient), rtol=1e-5)


def test_the_gradients_norm_is_cut_before_the_optimiser_and_reported_as_it_was():
    optimizer = train_state.adamw(0.1, clip=0.5)
    state, batch = fresh(optimizer), example_batch()
    gradient = jax.grad(lambda p: quadratic(p, batch, None)[0])(state.params)
    norm = optax.tree.norm(gradient)
    assert norm > 1
    state, metrics = train_state.make_step(quadratic, optimizer, ema_decay=0.9)(state, batch)
    first_moment = state.opt_state[1][0].mu  # (1 - b1) times the gradient that it was given
    close(first_moment, jax.tree.map(lambda g: 0.1 * g * 0.5 / norm, gradient))
    np.testing.assert_allclose(metrics["grad_norm"], norm, rtol=1e-5)


def test_moving_average_warms_up_in_closed_form():
    optimizer = optax.sgd(0.05)
    state = fresh(optimizer)
    step = train_state.make_step(quadratic, optimizer, ema_decay=0.3)
    average = np.asarray(state.params["w"])
    for n in range(6):
        state, _ = step(state, example_batch(n))
        d = min(0.3, (1 + n) / (10 + n))
        average = d * average + (1 - d) * np.asarray(state.params["w"])
        np.testing.assert_allclose(state.ema["w"], average, atol=1e-6)
    assert int(state.ema_count) == 6


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_micro_batches_equal_the_whole_batch(accumulate):
    optimizer = train_state.adamw(0.1)
    batch = example_batch()
    whole = train_state.make_step(quadratic, optimizer, ema_decay=0.9)
    parts = train_state.make_step(quadratic, optimizer, ema_decay=0.9, accumulate=accumulate)
    (a, metrics_a), (b, metrics_b) = whole(fresh(optimizer), batch), parts(fresh(optimizer), batch)
    close(a, b)
    close(metrics_a, metrics_b)


def test_uneven_micro_batches_are_refused():
    optimizer = optax.sgd(0.1)
    step = train_state.make_step(quadratic, optimizer, ema_decay=0.9, accumulate=3)
    with pytest.raises(ValueError, match="does not split into 3"):
        step(fresh(optimizer), example_batch())


def test_one_device_and_four_devices_agree():
    assert jax.device_count() == 4
    optimizer = train_state.adamw(0.1)
    final = []
    for devices in (1, 4):
        layout = sharding.Layout(sharding.data_mesh(8, devices))
        step = train_state.make_step(noisy, optimizer, ema_decay=0.9, accumulate=2, layout=layout)
        state = fresh(optimizer)
        for n in range(3):
            state, _ = step(state, example_batch(n))
        assert len(state.params["w"].sharding.device_set) == devices
        final.append(state)
    close(*final)


def test_a_step_works_under_pmap():
    """Each replica makes the step it would make alone; a mean over replicas is the big batch."""
    optimizer = train_state.adamw(0.1)
    update = train_state.update_fn(quadratic, optimizer, ema_decay=0.9)
    states = jax.tree.map(lambda *x: jnp.stack(x), *[fresh(optimizer)] * 4)
    whole = example_batch()
    shards = {k: v.reshape(4, 2, *v.shape[1:]) for k, v in whole.items()}
    alone, _ = jax.pmap(update)(states, shards)
    for i in range(4):
        expected, _ = update(fresh(optimizer), {k: v[i] for k, v in shards.items()})
        close(jax.tree.map(lambda x, i=i: x[i], alone), expected)

    average = optax.stateless(lambda g, _: jax.lax.pmean(g, "data"))
    together = optax.chain(average, optimizer)
    update = train_state.update_fn(quadratic, together, ema_decay=0.9)
    states = jax.tree.map(lambda *x: jnp.stack(x), *[fresh(together)] * 4)
    synced, _ = jax.pmap(update, axis_name="data")(states, shards)
    single = train_state.make_step(quadratic, optimizer, ema_decay=0.9)
    expected, _ = single(fresh(optimizer), whole)
    close(jax.tree.map(lambda x: x[0], synced).params, expected.params)


def test_learning_rate_warms_up_then_falls_to_zero():
    rate = train_state.learning_rate(1.0, steps=110, warmup=10, decay="cosine")
    np.testing.assert_allclose([rate(0), rate(4), rate(9)], [0.1, 0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose([rate(60), rate(110)], [0.5, 0.0], atol=1e-6)
    constant = train_state.learning_rate(2.0, steps=5)
    assert float(constant(0)) == float(constant(1000)) == 2.0
    with pytest.raises(ValueError, match="cosine"):
        train_state.learning_rate(1.0, steps=5, decay="linear")
