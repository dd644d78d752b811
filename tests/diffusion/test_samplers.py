"""Samplers run with the exact denoiser of a Gaussian: they must give that Gaussian back."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rodin_jax.diffusion import process, samplers, schedules

SCHEDULE = schedules.linear(1000)
MEAN = jnp.array([0.7, -0.4])
COVARIANCE = jnp.array([[0.5, 0.2], [0.2, 0.3]])


def exact(prediction="eps", learned_variance=False):
    """E[x0 | x_t] = m + alpha S (alpha^2 S + sigma^2)^-1 (x_t - alpha m), as ``prediction``."""

    def denoise(x, t):
        alpha, sigma = SCHEDULE.signal[t][:, None, None], SCHEDULE.sigma[t][:, None, None]
        gain = alpha * COVARIANCE @ jnp.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * jnp.eye(2))
        x0 = MEAN + jnp.einsum("bij,bj->bi", gain, x - alpha[..., 0] * MEAN)
        noise = process.predict_eps(SCHEDULE, x0, x, t)
        output = process.target(SCHEDULE, x0, noise, t, prediction)
        return jnp.concatenate([output, jnp.zeros_like(x)], -1) if learned_variance else output

    return denoise


@functools.partial(jax.jit, static_argnames=("sampler", "count", "prediction", "options"))
def sample(key, sampler, count=8192, prediction="eps", options=()):
    noise_key, key = jax.random.split(key)
    options = dict(options)
    denoise = exact(prediction, options.get("learned_variance", False))
    start = jax.random.normal(noise_key, (count, 2))
    return samplers.SAMPLERS[sampler](
        denoise, start, SCHEDULE, key, prediction=prediction, **options
    )


@pytest.mark.parametrize(
    ("sampler", "prediction", "options"),
    [
        ("ancestral", "eps", (("steps", 200),)),
        ("ancestral", "v", (("steps", 200), ("learned_variance", True))),
        ("ddim", "x0", (("steps", 100),)),
        ("ddim", "eps", (("steps", 200), ("eta", 1.0))),
        ("dpm_solver", "eps", (("steps", 25),)),
    ],
)
def test_a_gaussian_comes_back(sampler, prediction, options):
    x = sample(jax.random.key(0), sampler, prediction=prediction, options=options)
    # Standard errors with 8192 samples are below 0.01; the rest is discretisation.
    np.testing.assert_allclose(x.mean(0), MEAN, atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), COVARIANCE, atol=0.03)


def test_dpm_solver_is_second_order():
    """Few of its steps come far closer to the flow's end point than as many DDIM steps."""
    end, euler, second = (
        sample(jax.random.key(1), name, 64, options=(("steps", steps),))
        for name, steps in (("ddim", 1000), ("ddim", 20), ("dpm_solver", 20))
    )
    assert jnp.abs(second - end).mean() < 0.3 * jnp.abs(euler - end).mean()


def test_same_key_same_sample_and_trajectory_ends_there():
    options = (("steps", 5), ("trajectory", True))
    key = jax.random.key(2)
    x, path = sample(key, "ancestral", 4, options=options)
    again, _ = sample(key, "ancestral", 4, options=options)
    other, _ = sample(jax.random.key(3), "ancestral", 4, options=options)
    np.testing.assert_array_equal(x, again)
    assert path.shape == (5, 4, 2) and (x != other).any()
    np.testing.assert_allclose(path[-1], x, atol=1e-5)  # the last step returns its mean: x0


@pytest.mark.parametrize(
    ("name", "options"),
    [("ancestral", {}), ("ddim", {"eta": 1.0}), ("dpm_solver", {})],
)
def test_the_same_key_gives_the_same_result_on_one_and_four_devices(name, options):
    """And so does its trajectory: noise depends on the key and the place in the batch alone."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    place = NamedSharding(mesh, PartitionSpec("data"))
    start, z = jax.random.normal(jax.random.key(1), (2, 8, 3, 2, 2, 2))

    def denoise(x, t, z):
        share = (t / 1000)[:, None, None, None, None]
        mixed = jnp.einsum("bphwc,dc->bphwd", x, COVARIANCE)
        return share * x + 0.1 * jnp.tanh(mixed + z)

    @jax.jit
    def run(start, z, key):
        guided = process.guided(denoise, z, jnp.zeros_like(z), 1.5)
        return samplers.SAMPLERS[name](
            guided, start, SCHEDULE, key, steps=10, trajectory=True, clip=(-3, 3), **options
        )

    one, path = run(start, z, jax.random.key(2))
    divided = run(jax.device_put(start, place), jax.device_put(z, place), jax.random.key(2))
    assert len(divided[0].sharding.device_set) == 4
    np.testing.assert_allclose(divided[0], one, atol=1e-5)
    np.testing.assert_allclose(divided[1], path, atol=1e-5)
    assert path.shape == (10, *one.shape)
    np.testing.assert_allclose(path[-1], one, atol=1e-5)  # all end at what they think x0 is


@pytest.mark.parametrize("name", list(samplers.SAMPLERS))
def test_original_timesteps_shape_and_clip(name):
    """The denoiser hears original timesteps, from the last to the first; x0 stays in range."""
    heard = []

    def denoise(x, t):
        jax.debug.callback(lambda t: heard.append(np.asarray(t)), t, ordered=True)
        return 5 * jnp.ones_like(x)

    start = jnp.zeros((2, 3, 2, 2, 1))
    x = samplers.SAMPLERS[name](
        denoise, start, SCHEDULE, jax.random.key(0), steps=4, prediction="x0", clip=(-1, 1)
    )
    jax.effects_barrier()
    visited = schedules.respace(SCHEDULE, 4, "log_snr" if name == "dpm_solver" else "timestep")
    assert visited.timesteps[-1] == 999
    assert [h.tolist() for h in heard] == [[t, t] for t in visited.timesteps[::-1].tolist()]
    np.testing.assert_allclose(x, np.ones((2, 3, 2, 2, 1)), atol=1e-5)


def test_ddim_needs_a_key_only_for_noise():
    start = jnp.ones((1, 2))
    assert samplers.ddim(exact(), start, SCHEDULE, steps=2).shape == (1, 2)
    with pytest.raises(ValueError, match="key"):
        samplers.ddim(exact(), start, SCHEDULE, steps=2, eta=0.5)
