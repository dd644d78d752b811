"""The diffusion process: noising, what a network may predict, one reverse step, the loss.

Symbols: ``x0`` data, ``x_t = alpha_t x0 + sigma_t eps`` its noised form, ``t`` an index into the
schedule (not the original timestep). Batches lead, any shape may follow: ``[b, 3, h, w, c]`` for
planes, ``[b, d]`` for latents. With a learned variance the model's last axis is twice as long:
first the prediction, then the interpolation weight v in [-1, 1] of eq. (15) of Nichol and
Dhariwal, ``log var = (v + 1) / 2 log beta_t + (1 - v) / 2 log betatilde_t``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree, Shaped

from rodin_jax.diffusion.schedules import Schedule
from rodin_jax.types import pytree

PREDICTIONS = ("eps", "x0", "v")

Denoiser = Callable[[Float[Array, "b *n"], Int[Array, "b"]], Float[Array, "b *m"]]


@pytree
class Posterior:
    """p(x_{t-1} | x_t) as the model sees it, each of the shape of x_t.

    Attributes:
      mean: of x_{t-1}.
      variance: of x_{t-1}; zero at t = 0 unless it is learned.
      log_variance: finite everywhere, see `Schedule.posterior_log_variance`.
      x0: the predicted data, clipped if asked for; the mean is derived from it.
    """

    mean: Float[Array, "b *n"]
    variance: Float[Array, "b *n"]
    log_variance: Float[Array, "b *n"]
    x0: Float[Array, "b *n"]


@pytree
class DiffusionLoss:
    """Losses per example.

    Attributes:
      total: ``simple + weight * variational``, what training minimises.
      simple: mean squared error of the prediction (eq. 2).
      variational: the term of the variational bound at t in nats per dimension, unweighted.
    """

    total: Float[Array, "b"]
    simple: Float[Array, "b"]
    variational: Float[Array, "b"]


def q_sample(
    schedule: Schedule,
    x0: Float[Array, "b *n"],
    t: Int[Array, "b"],
    noise: Float[Array, "b *n"],
) -> Float[Array, "b *n"]:
    """``x_t = alpha_t x0 + sigma_t noise``."""
    return _at(schedule.signal, t, x0) * x0 + _at(schedule.sigma, t, x0) * noise


def target(
    schedule: Schedule,
    x0: Float[Array, "b *n"],
    noise: Float[Array, "b *n"],
    t: Int[Array, "b"],
    prediction: str = "eps",
) -> Float[Array, "b *n"]:
    """What the network should say: ``eps``, ``x0`` or ``v = alpha_t eps - sigma_t x0``."""
    _check(prediction)
    if prediction == "eps":
        return noise
    if prediction == "x0":
        return x0
    return _at(schedule.signal, t, x0) * noise - _at(schedule.sigma, t, x0) * x0


def predict_x0(
    schedule: Schedule,
    output: Float[Array, "b *n"],
    x_t: Float[Array, "b *n"],
    t: Int[Array, "b"],
    prediction: str = "eps",
) -> Float[Array, "b *n"]:
    """The data that a prediction (without its variance half) stands for."""
    _check(prediction)
    if prediction == "x0":
        return output
    signal, sigma = _at(schedule.signal, t, x_t), _at(schedule.sigma, t, x_t)
    return (x_t - sigma * output) / signal if prediction == "eps" else signal * x_t - sigma * output


def predict_eps(
    schedule: Schedule,
    x0: Float[Array, "b *n"],
    x_t: Float[Array, "b *n"],
    t: Int[Array, "b"],
) -> Float[Array, "b *n"]:
    """The noise that leads from ``x0`` to ``x_t``."""
    return (x_t - _at(schedule.signal, t, x_t) * x0) / _at(schedule.sigma, t, x_t)


def p_mean_variance(
    schedule: Schedule,
    model_output: Float[Array, "b *m"],
    x_t: Float[Array, "b *n"],
    t: Int[Array, "b"],
    *,
    prediction: str = "eps",
    learned_variance: bool = False,
    clip: tuple | None = None,
) -> Posterior:
    """One reverse step p(x_{t-1} | x_t) from the network's output.

    Args:
      schedule: the process, respaced or not.
      model_output: of the shape of x_t, its last axis doubled if the variance is learned.
      x_t: the noised data.
      t: index into the schedule, of each example.
      prediction: what the output means: ``eps``, ``x0`` or ``v``.
      learned_variance: whether the output's second half interpolates the log-variance; otherwise
        the variance is the posterior's, ``betatilde_t``.
      clip: (low, high), numbers or arrays that broadcast against x_t, to hold x0 in the range of
        the data; the mean then follows from the clipped x0.
    """
    output, weight = split_variance(model_output, x_t.shape[-1], learned_variance)
    x0 = clipped(predict_x0(schedule, output, x_t, t, prediction), clip)
    low = _at(schedule.posterior_log_variance, t, x_t)
    if weight is None:
        log_variance = jnp.broadcast_to(low, x_t.shape)
        variance = jnp.broadcast_to(_at(schedule.posterior_variance, t, x_t), x_t.shape)
    else:
        share = (weight.astype(jnp.float32) + 1) / 2
        log_variance = share * jnp.log(_at(schedule.betas, t, x_t)) + (1 - share) * low
        variance = jnp.exp(log_variance)
    return Posterior(posterior_mean(schedule, x0, x_t, t), variance, log_variance, x0)


def posterior_mean(
    schedule: Schedule,
    x0: Float[Array, "b *n"],
    x_t: Float[Array, "b *n"],
    t: Int[Array, "b"],
) -> Float[Array, "b *n"]:
    """Mean of q(x_{t-1} | x_t, x0), Bayes' rule on two Gaussians."""
    x0_weight = _at(schedule.posterior_mean_x0, t, x_t)
    return x0_weight * x0 + _at(schedule.posterior_mean_xt, t, x_t) * x_t


def hybrid_loss(
    schedule: Schedule,
    model_output: Float[Array, "b *m"],
    x0: Float[Array, "b *n"],
    x_t: Float[Array, "b *n"],
    t: Int[Array, "b"],
    noise: Float[Array, "b *n"],
    *,
    prediction: str = "eps",
    learned_variance: bool = True,
    vlb_weight: float | int | None = None,
) -> DiffusionLoss:
    """``L_simple + w L_vlb`` (paper 3.2 after Nichol and Dhariwal), per example.

    The variational term is KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)), and at t = 0 the Gaussian
    negative log-likelihood of x0 (features are not 8-bit pixels). It trains the variance only: its
    mean is detached. Its weight defaults to T / 1000. All in float32.
    """
    output, weight = split_variance(model_output, x_t.shape[-1], learned_variance)
    wanted = target(schedule, x0, noise, t, prediction)
    simple = _mean((output.astype(jnp.float32) - wanted.astype(jnp.float32)) ** 2)
    if weight is None:
        return DiffusionLoss(simple, simple, jnp.zeros_like(simple))
    frozen = jnp.concatenate([jax.lax.stop_gradient(output), weight], -1).astype(jnp.float32)
    variational = _variational(schedule, frozen, x0, x_t, t, prediction)
    vlb_weight = schedule.steps / 1000 if vlb_weight is None else vlb_weight
    return DiffusionLoss(simple + vlb_weight * variational, simple, variational)


def _variational(schedule, model_output, x0, x_t, t, prediction):
    model = p_mean_variance(
        schedule, model_output, x_t, t, prediction=prediction, learned_variance=True
    )
    true_log = _at(schedule.posterior_log_variance, t, x_t)
    error = (posterior_mean(schedule, x0, x_t, t) - model.mean) ** 2
    ratio = jnp.exp(true_log - model.log_variance)
    divergence = 0.5 * (
        model.log_variance - true_log + ratio - 1 + error * jnp.exp(-model.log_variance)
    )
    likelihood = 0.5 * (
        jnp.log(2 * jnp.pi)
        + model.log_variance
        + (x0 - model.mean) ** 2 * jnp.exp(-model.log_variance)
    )
    return jnp.where(t == 0, _mean(likelihood), _mean(divergence))


def guide(
    cond: Float[Array, "b *n"],
    null: Float[Array, "b *n"],
    scale: float | int | Array,
    learned_variance: bool = False,
) -> Float[Array, "b *n"]:
    """Classifier-free guidance ``scale * cond + (1 - scale) * null``; a scale of 1 is plain.

    Of an output with a learned variance only the prediction is guided; the variance half is that
    of the conditional branch.
    """
    if not learned_variance:
        return null + scale * (cond - null)
    cond, variance = jnp.split(cond, 2, axis=-1)
    null = null[..., : cond.shape[-1]]
    return jnp.concatenate([null + scale * (cond - null), variance], axis=-1)


def guided(
    denoise: Callable[..., Array],
    cond: PyTree[Shaped[Array, "b ..."]],
    null: PyTree[Shaped[Array, "b ..."]],
    scale: float | int | Array,
    learned_variance: bool = False,
) -> Denoiser:
    """A denoiser whose two branches are one batch of ``denoise(x_t, t, condition)``, see `guide`.

    Branches take turns along the batch, so that a batch divided among devices stays in its place.

    Args:
      denoise: the network, given a condition for each example.
      cond: conditions, arrays or a tree of them.
      null: the null condition of the same shape.
      scale: of the guidance.
      learned_variance: as in `guide`.
    """
    both = jax.tree.map(_take_turns, cond, null)

    def denoise_guided(x_t, t):
        output = denoise(_take_turns(x_t, x_t), _take_turns(t, t), both)
        output = output.reshape(-1, 2, *output.shape[1:])
        return guide(output[:, 0], output[:, 1], scale, learned_variance)

    return denoise_guided


def _take_turns(a, b):
    """``a_0, b_0, a_1, b_1, ...`` along the first axis."""
    return jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])


def split_variance(
    model_output: Float[Array, "b *m"], channels: int, learned_variance: bool
) -> tuple[Array, Array | None]:
    """The prediction and, if learned, the variance's interpolation weight."""
    expected = channels * (2 if learned_variance else 1)
    if model_output.shape[-1] != expected:
        raise ValueError(
            f"the model's last axis has {model_output.shape[-1]} entries, expected {expected} "
            f"({channels} channels, learned variance: {learned_variance})"
        )
    if not learned_variance:
        return model_output, None
    return model_output[..., :channels], model_output[..., channels:]


def clipped(x0: Float[Array, "b *n"], clip: tuple | None) -> Float[Array, "b *n"]:
    """``x0`` held in (low, high); None leaves it alone."""
    return x0 if clip is None else jnp.clip(x0, clip[0], clip[1])


def _at(values, t, like):
    """``values[t]`` with trailing axes to broadcast against ``like``."""
    return values[t].reshape(t.shape + (1,) * (like.ndim - t.ndim))


def _mean(x):
    return x.reshape(x.shape[0], -1).mean(axis=1)


def _check(prediction: str):
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction must be one of {PREDICTIONS}, got {prediction!r}")
