"""Eigenplanes: the division of labour between the networks of the coefficients and the base."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import awake

from rodin_jax.diffusion import process, schedules
from rodin_jax.nn.eigenplanes import CoefficientNet, EigenPlanes, Inside
from rodin_jax.nn.line import Line

SHAPE, RANK, DIM = (3, 4, 4, 2), 5, 3
SCHEDULE = schedules.linear(100)


def eigenplanes(seed=0):
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((int(np.prod(SHAPE)), RANK)))
    return EigenPlanes(
        jnp.asarray(basis.T, jnp.float32),
        jnp.asarray((np.eye(len(basis)) - basis @ basis.T) @ np.ones(len(basis)), jnp.float32),
        Line(
            jnp.asarray(rng.standard_normal(RANK), jnp.float32),
            jnp.asarray([9.0, 4.0, 1.0, 0.3, 0.1]),
            jnp.asarray(rng.standard_normal((DIM, RANK)), jnp.float32),
            jnp.asarray([2.0, 1.0, 0.8, 0.1, 0.1]),
        ),
    )


@pytest.fixture(scope="module")
def inside():
    net = CoefficientNet(RANK, width=8, depth=1)
    params = awake(net, jnp.zeros((1, RANK)), jnp.zeros(1, jnp.int32), jnp.zeros((1, DIM)))
    return Inside(eigenplanes(), params["params"], net)


def test_an_untrained_network_is_the_gaussian_posterior():
    net = CoefficientNet(RANK, width=8)
    shapes = jnp.ones((2, RANK)), jnp.ones(2, jnp.int32), jnp.ones((2, DIM))
    params = net.init(jax.random.key(0), *shapes)
    assert not np.any(net.apply(params, *shapes))


@pytest.mark.parametrize("prediction", process.PREDICTIONS)
def test_each_speaks_for_its_own_part(inside, prediction):
    keys = jax.random.split(jax.random.key(1), 4)
    x_t = jax.random.normal(keys[0], (2, *SHAPE))
    output = jax.random.normal(keys[1], (2, *SHAPE[:-1], 4))
    z, t = jax.random.normal(keys[2], (2, DIM)), jnp.array([7, 60])

    def speak(output):
        return inside.speak(
            output, x_t, t, z, SCHEDULE, prediction=prediction, learned_variance=True
        )

    said, eigen = speak(output), inside.eigenplanes
    np.testing.assert_array_equal(said[..., 2:], output[..., 2:])  # the variance

    def outside(planes):
        return eigen.with_coefficients(planes, jnp.zeros((2, RANK)))

    np.testing.assert_allclose(outside(said[..., :2]), outside(output[..., :2]), atol=2e-3)

    # Whatever the prediction means, the clean coefficients that it stands for are the same.
    x0 = process.predict_x0(SCHEDULE, said[..., :2], x_t, t, prediction)
    want = eigen.line.denoise(
        lambda seen: inside.net.apply({"params": inside.params}, seen, t, z),
        eigen.coefficients(x_t), t, z, SCHEDULE,
    )  # fmt: skip
    np.testing.assert_allclose(eigen.coefficients(x0), want, atol=2e-3)

    # So the base network is asked for nothing inside.
    weights = jax.random.normal(keys[3], said.shape)
    slope = jax.grad(lambda o: jnp.sum(weights * speak(o)))(output)
    np.testing.assert_allclose(eigen.coefficients(slope[..., :2]), 0, atol=2e-3)
    assert np.abs(slope[..., :2]).max() > 0.1


def test_a_silenced_base_network_leaves_the_mean_outside(inside):
    x_t = jax.random.normal(jax.random.key(3), (2, *SHAPE))
    t, z = jnp.array([20, 70]), jnp.zeros((2, DIM))

    def speak(outside, output):
        return dataclasses.replace(inside, outside=outside).speak(
            output, x_t, t, z, SCHEDULE, prediction="x0", learned_variance=False
        )

    silent, half, heard = (speak(share, 3 * x_t) for share in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(silent, speak(0.0, -x_t))
    np.testing.assert_allclose(half, (silent + heard) / 2, atol=1e-4)
    eigen = inside.eigenplanes
    nothing = eigen.with_coefficients(silent, jnp.zeros((2, RANK)))
    np.testing.assert_allclose(nothing.reshape(2, -1), jnp.stack([eigen.rest] * 2), atol=1e-4)
