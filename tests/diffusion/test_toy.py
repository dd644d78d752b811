"""A distribution whose mean and covariance are known is learned, and every sampler gives it back.

Planes are functions of two latent numbers a and b: ``x0 = M + a P + b Q + a b R``. Both are of two
kinds with some play, ``+-sqrt(1 - s^2) + s n`` with n normal and s = 0.15: independent, with mean 0
and variance 1. As a, b and a b are uncorrelated, the mean is M and the covariance
``P P' + Q Q' + R R'``: four clouds in 24 dimensions. The network is the project's own MLP.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rodin_jax.diffusion import process, samplers, schedules
from rodin_jax.nn.latent import LatentNet

SHAPE = (3, 2, 2, 2)
DIM = int(np.prod(SHAPE))
SCHEDULE = schedules.linear(1000)
NET = LatentNet(DIM, width=128, depth=3)
SAMPLES = 8192
PLAY = 0.15
MEAN, P, Q, R = np.random.default_rng(0).normal(0, 3**-0.5, (4, DIM))
COVARIANCE = np.outer(P, P) + np.outer(Q, Q) + np.outer(R, R)
full_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 3})


def draw(key, count):
    kind, play = jax.random.split(key)
    a, b = (1 - PLAY**2) ** 0.5 * jax.random.rademacher(kind, (2, count, 1), jnp.float32)
    a, b = jnp.stack([a, b]) + PLAY * jax.random.normal(play, (2, count, 1))
    return MEAN + a * P + b * Q + a * b * R


def moments(x):
    x = np.asarray(x, np.float64).reshape(len(x), DIM)
    return x.mean(0), np.cov(x.T)


def frechet(mean_a, covariance_a, mean_b, covariance_b):
    """Distance of two Gaussians: sqrt(|m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2))."""
    values, vectors = np.linalg.eigh(covariance_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance_b @ root), 0)).sum()
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross
    return np.sqrt(np.sum((mean_a - mean_b) ** 2) + max(spread, 0))


@pytest.fixture(scope="module")
def params():
    """Trained by the hybrid loss' first part, v-prediction, 1200 batches of 256."""
    steps, batch = 1200, 256
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def loss_fn(params, key):
        data_key, t_key, noise_key = jax.random.split(key, 3)
        x0 = draw(data_key, batch)
        t = jax.random.randint(t_key, (batch,), 0, SCHEDULE.steps)
        noise = jax.random.normal(noise_key, x0.shape)
        x_t = process.q_sample(SCHEDULE, x0, t, noise)
        loss = process.hybrid_loss(
            SCHEDULE, NET.apply(params, x_t, t), x0, x_t, t, noise,
            prediction="v", learned_variance=False,
        )  # fmt: skip
        return loss.total.mean()

    @full_jit
    def train(key):
        init_key, key = jax.random.split(key)
        params = NET.init(init_key, jnp.zeros((1, DIM)), jnp.zeros(1, jnp.int32))

        def step(state, key):
            params, opt_state = state
            loss, grads = jax.value_and_grad(loss_fn)(params, key)
            updates, opt_state = optimizer.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), loss

        start = params, optimizer.init(params)
        (params, _), _ = jax.lax.scan(step, start, jax.random.split(key, steps))
        return params

    return train(jax.random.key(0))


@functools.cache
def sampler(name, steps, eta=None):
    """Compiled: ``(params, key) -> planes``."""
    options = {} if eta is None else {"eta": eta}

    def denoise(params, x, t):
        return NET.apply(params, x.reshape(len(x), DIM), t).reshape(x.shape)

    @full_jit
    def run(params, key):
        noise_key, key = jax.random.split(key)
        return samplers.SAMPLERS[name](
            functools.partial(denoise, params),
            jax.random.normal(noise_key, (SAMPLES, *SHAPE)),
            SCHEDULE,
            key,
            steps=steps,
            prediction="v",
            **options,
        )

    return run


@pytest.fixture(scope="module")
def reference(params):
    """What the paper's sampler, ancestral in 100 steps, makes of the network."""
    return moments(sampler("ancestral", 100)(params, jax.random.key(1)))


@pytest.mark.parametrize(
    ("name", "steps", "eta", "tolerance"),
    [
        ("ancestral", 100, None, 0.07),
        ("ddim", 20, 0.0, 0.13),
        ("ddim", 100, 1.0, 0.07),
        ("dpm_solver", 20, None, 0.05),
    ],
)
def test_mean_and_covariance_come_back(params, reference, name, steps, eta, tolerance):
    """Steps of first order shrink what they draw: twenty of DDIM by more than the others.

    ``tolerance`` is of the covariance, the Frobenius norm of the difference over that of the true
    one. Of the mean 3 % of the data's size, the root of its trace, are allowed, and 5 % of it for
    the Frechet distance to what ancestral sampling in 100 steps draws from the same network.
    """
    mean, covariance = moments(sampler(name, steps, eta)(params, jax.random.key(1)))
    size = np.trace(COVARIANCE) ** 0.5
    assert np.linalg.norm(mean - MEAN) < 0.03 * size
    off = np.linalg.norm(covariance - COVARIANCE) / np.linalg.norm(COVARIANCE)
    assert off < tolerance
    assert frechet(mean, covariance, *reference) < 0.05 * size
