"""Noise schedules: how much of the data is left at each timestep (paper 3.2).

Symbols: ``beta_t`` the variance added at step t, ``abar_t = prod_{s<=t} (1 - beta_s)`` what is left
of the data's variance, so that ``x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps`` (the paper's
``alpha_t`` and ``sigma_t``), and log-SNR ``lambda_t = log(abar_t / (1 - abar_t))``.
Everything is derived in float64 from the betas and stored as float32.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rodin_jax.types import pytree

MAX_BETA = 0.999  # a beta of 1 would make abar zero, and eps-prediction undefined


@pytree
class Schedule:
    """A discrete diffusion process of T steps; index 0 is the least noisy.

    Attributes:
      betas: variance added by each step.
      alphas_cumprod: ``abar_t``.
      timesteps: what the network is told at each step: 0..T-1 of the process it was trained with.
      signal: ``sqrt(abar_t)``, the paper's alpha_t.
      sigma: ``sqrt(1 - abar_t)``.
      posterior_variance: variance of q(x_{t-1} | x_t, x_0); zero at t = 0.
      posterior_log_variance: its logarithm, with the value of t = 1 at t = 0.
      posterior_mean_x0: weight of x_0 in the mean of q(x_{t-1} | x_t, x_0).
      posterior_mean_xt: weight of x_t in it.
    """

    betas: Float[Array, "t"]
    alphas_cumprod: Float[Array, "t"]
    timesteps: Int[Array, "t"]
    signal: Float[Array, "t"]
    sigma: Float[Array, "t"]
    posterior_variance: Float[Array, "t"]
    posterior_log_variance: Float[Array, "t"]
    posterior_mean_x0: Float[Array, "t"]
    posterior_mean_xt: Float[Array, "t"]

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return self.betas.shape[0]


def linear(steps: int) -> Schedule:
    """Betas from 1e-4 to 0.02 at T = 1000; other T scale them by 1000 / T to reach the same noise.

    Without that factor a process of 100 steps would end at a log-SNR of -0.56: not noise at all.
    """
    _check(steps)
    scale = 1000 / steps
    return from_betas(np.minimum(np.linspace(1e-4 * scale, 0.02 * scale, steps), MAX_BETA))


def cosine(steps: int, offset: float = 0.008) -> Schedule:
    """``abar(u) = cos^2((u + s) / (1 + s) * pi / 2)`` (Nichol and Dhariwal 2021, eq. 17)."""
    _check(steps)
    u = np.arange(steps + 1) / steps
    left = np.cos((u + offset) / (1 + offset) * np.pi / 2) ** 2
    return from_betas(np.minimum(1 - left[1:] / left[:-1], MAX_BETA))


def log_snr_linear(steps: int, first: float = 10.0, last: float = -10.0) -> Schedule:
    """The log-SNR falls linearly with the timestep, as the paper's text has it (3.2)."""
    _check(steps)
    return from_betas(_betas(1 / (1 + np.exp(-np.linspace(first, last, steps)))))


_MAKERS = {"linear": linear, "cosine": cosine, "log_snr_linear": log_snr_linear}


def make(name: str, steps: int) -> Schedule:
    """The schedule called ``name``: ``linear``, ``cosine`` or ``log_snr_linear``."""
    if name not in _MAKERS:
        raise ValueError(f"schedule must be one of {sorted(_MAKERS)}, got {name!r}")
    return _MAKERS[name](steps)


def respace(schedule: Schedule, steps: int, spacing: str = "timestep") -> Schedule:
    """The process that visits only ``steps`` timesteps of ``schedule``.

    The betas are those between *kept* steps, ``1 - abar_i / abar_{i-1}``, so they are larger; the
    network still hears the original timesteps. The first and the last, noisiest step are kept; a
    single step is the last.

    Args:
      schedule: the full process.
      steps: how many timesteps to keep.
      spacing: ``timestep`` spaces them evenly in t, ``log_snr`` in the log-SNR as far as whole
        timesteps allow, which suits high-order solvers.

    Raises:
      ValueError: if ``steps`` is not between 1 and the schedule's own number of steps.
    """
    total = schedule.steps
    if not 1 <= steps <= total:
        raise ValueError(f"a process of {total} steps can be sampled in 1..{total}, got {steps}")
    # Both are float32: 1 - beta_t has its digits where beta_t is small, abar_t / abar_{t-1} where
    # it is large.
    betas, abar = (np.asarray(x, np.float64) for x in (schedule.betas, schedule.alphas_cumprod))
    abar = np.cumprod(1 - np.where(betas < 0.5, betas, _betas(abar)))
    if spacing == "timestep":
        kept = np.round(np.linspace(total - 1, 0, steps)).astype(int)[::-1]
    elif spacing == "log_snr":
        kept = _nearest(np.log(abar / (1 - abar)), steps)
    else:
        raise ValueError(f"spacing must be timestep or log_snr, got {spacing!r}")
    return from_betas(_betas(abar[kept]), np.asarray(schedule.timesteps)[kept])


def _nearest(falling, count):
    """``count`` different rising indices whose values are near an even division of their range."""
    wanted = np.linspace(falling[-1], falling[0], count)[::-1]
    kept = np.abs(falling[:, None] - wanted).argmin(axis=0)
    room = np.arange(count)
    kept = np.maximum.accumulate(kept - room) + room
    return np.minimum(kept, len(falling) - count + room)


def from_betas(betas: np.ndarray, timesteps: np.ndarray | None = None) -> Schedule:
    """A schedule from its betas, each between 0 and 1."""
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or not ((betas > 0) & (betas < 1)).all():
        raise ValueError("betas must be a vector of numbers between 0 and 1")
    abar = np.cumprod(1 - betas)
    before = np.concatenate([[1.0], abar[:-1]])
    variance = betas * (1 - before) / (1 - abar)
    floor = variance[min(1, len(betas) - 1)]
    arrays = {
        "betas": betas,
        "alphas_cumprod": abar,
        "timesteps": np.arange(len(betas)) if timesteps is None else timesteps,
        "signal": np.sqrt(abar),
        "sigma": np.sqrt(1 - abar),
        "posterior_variance": variance,
        "posterior_log_variance": np.log(np.maximum(variance, max(floor, 1e-20))),
        "posterior_mean_x0": betas * np.sqrt(before) / (1 - abar),
        "posterior_mean_xt": (1 - before) * np.sqrt(1 - betas) / (1 - abar),
    }
    # Constants even when built inside a traced function, so that they can be respaced there.
    with jax.ensure_compile_time_eval():
        return Schedule(
            **{
                name: jnp.asarray(x, jnp.int32 if name == "timesteps" else jnp.float32)
                for name, x in arrays.items()
            }
        )


def _betas(abar):
    return 1 - abar / np.concatenate([[1.0], abar[:-1]])


def _check(steps: int):
    if steps < 1:
        raise ValueError(f"a process needs at least one step, got {steps}")
