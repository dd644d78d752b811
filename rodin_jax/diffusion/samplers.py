"""Samplers: from noise ``x_T`` to data ``x_0`` by calls of a denoiser.

Each is a function ``(denoise, x_T, schedule, key, *, ...) -> x_0`` around one `jax.lax.scan`, pure
in its arguments: the same key gives the same result. ``denoise(x_t, t)`` returns the model's
output for t ``[b]``, the *original* timesteps; ``steps`` respaces the schedule. Options shared by
all:

  steps: how many of the schedule's timesteps to visit, all by default.
  prediction, learned_variance, clip: as in `rodin_jax.diffusion.process.p_mean_variance`.
  trajectory: also return what x_0 was thought to be at each step, ``[steps, b, ...]``.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from rodin_jax.diffusion import process
from rodin_jax.diffusion.process import Denoiser
from rodin_jax.diffusion.schedules import Schedule, respace

Key = PRNGKeyArray | UInt32[Array, "2"]
Sample = Float[Array, "b *n"] | tuple[Float[Array, "b *n"], Float[Array, "s b *n"]]


def ancestral(
    denoise: Denoiser,
    x_T: Float[Array, "b *n"],
    schedule: Schedule,
    key: Key,
    *,
    steps: int | None = None,
    prediction: str = "eps",
    learned_variance: bool = False,
    clip: tuple | None = None,
    trajectory: bool = False,
) -> Sample:
    """Draws x_{t-1} ~ p(x_{t-1} | x_t), the paper's sampler (suppl. eq. 3). The key is consumed.

    The last step returns its mean.
    """
    schedule = _spaced(schedule, steps)

    def step(x, i, state):
        t = _batch(i, x)
        output = denoise(x, _batch(schedule.timesteps[i], x))
        posterior = process.p_mean_variance(
            schedule,
            output,
            x,
            t,
            prediction=prediction,
            learned_variance=learned_variance,
            clip=clip,
        )
        noise = jax.random.normal(jax.random.fold_in(key, i), x.shape, x.dtype)
        spread = jnp.where(i > 0, jnp.exp(0.5 * posterior.log_variance), 0)
        return posterior.mean + spread * noise, posterior.x0, state

    return _descend(step, x_T, schedule.steps, None, trajectory)


def ddim(
    denoise: Denoiser,
    x_T: Float[Array, "b *n"],
    schedule: Schedule,
    key: Key | None = None,
    *,
    steps: int | None = None,
    prediction: str = "eps",
    learned_variance: bool = False,
    clip: tuple | None = None,
    eta: float | int = 0.0,
    trajectory: bool = False,
) -> Sample:
    """DDIM (Song et al. 2021, eq. 12); eta = 0 is deterministic, eta = 1 as noisy as ancestral.

    The noise that carries x on is re-derived from the clipped x0. The key is consumed, and may be
    None if eta is zero.
    """
    if eta and key is None:
        raise ValueError("ddim with eta > 0 draws noise: it needs a key")
    schedule = _spaced(schedule, steps)
    abar = jnp.concatenate([jnp.ones(1), schedule.alphas_cumprod])

    def step(x, i, state):
        x0, eps = _predict(denoise, schedule, x, i, prediction, learned_variance, clip)
        before = abar[i]
        spread = eta * jnp.sqrt(schedule.posterior_variance[i])
        x = jnp.sqrt(before) * x0 + jnp.sqrt(jnp.maximum(1 - before - spread**2, 0)) * eps
        if eta:
            x = x + spread * jax.random.normal(jax.random.fold_in(key, i), x.shape, x.dtype)
        return x, x0, state

    return _descend(step, x_T, schedule.steps, None, trajectory)


def dpm_solver(
    denoise: Denoiser,
    x_T: Float[Array, "b *n"],
    schedule: Schedule,
    key: Key | None = None,
    *,
    steps: int | None = None,
    prediction: str = "eps",
    learned_variance: bool = False,
    clip: tuple | None = None,
    trajectory: bool = False,
) -> Sample:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order, good in 15 to 30 steps.

    Deterministic: the key is ignored, and there so that samplers are interchangeable. The first
    step and the last, which ends at infinite SNR, are of first order. The timesteps are spaced
    evenly in the log-SNR, as the paper does for data space: even steps in t make its last
    extrapolations overshoot.
    """
    del key
    schedule = _spaced(schedule, steps, "log_snr")
    half_log_snr = jnp.log(schedule.signal) - jnp.log(schedule.sigma)
    last = schedule.steps - 1

    def step(x, i, previous):
        x0, _ = _predict(denoise, schedule, x, i, prediction, learned_variance, clip)
        below = jnp.maximum(i - 1, 0)
        above = jnp.minimum(i + 1, last)
        h = half_log_snr[below] - half_log_snr[i]
        ratio = h / jnp.maximum(half_log_snr[i] - half_log_snr[above], 1e-8)
        second_order = (i < last) & (i > 0)
        data = x0 + jnp.where(second_order, ratio / 2, 0) * (x0 - previous)
        ahead = schedule.sigma[below] / schedule.sigma[i] * x
        ahead = ahead - schedule.signal[below] * jnp.expm1(-h) * data
        return jnp.where(i > 0, ahead, x0), x0, x0.astype(x.dtype)

    return _descend(step, x_T, schedule.steps, jnp.zeros_like(x_T), trajectory)


SAMPLERS = {"ancestral": ancestral, "ddim": ddim, "dpm_solver": dpm_solver}


def _descend(step, x, steps, state, trajectory):
    """Runs ``step(x, i, state) -> (x, x0, state)`` for i = steps - 1 .. 0."""

    def body(carry, i):
        x, state = carry
        new, x0, state = step(x, i, state)
        return (new.astype(x.dtype), state), (x0 if trajectory else None)

    (x, _), path = jax.lax.scan(body, (x, state), jnp.arange(steps - 1, -1, -1))
    return (x, path) if trajectory else x


def _predict(denoise, schedule, x, i, prediction, learned_variance, clip):
    """(x0, eps) at step i, eps re-derived from the clipped x0."""
    t = _batch(i, x)
    output = denoise(x, _batch(schedule.timesteps[i], x))
    output, _ = process.split_variance(output, x.shape[-1], learned_variance)
    x0 = process.clipped(process.predict_x0(schedule, output, x, t, prediction), clip)
    return x0, process.predict_eps(schedule, x0, x, t)


def _spaced(schedule, steps, spacing="timestep"):
    if steps is None or steps == schedule.steps:
        return schedule
    return respace(schedule, steps, spacing)


def _batch(value, x):
    return jnp.full((x.shape[0],), value, jnp.int32)
