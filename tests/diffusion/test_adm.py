"""Agreement with the published ADM code: schedules, respacing, one reverse step, loss, chains.

The golden file holds what guided-diffusion (commit 22e0df8) computes when its coefficients stay in
float64: ``get_named_beta_schedule``, ``space_timesteps``, ``SpacedDiffusion``, ``p_mean_variance``,
``p_sample``, ``ddim_sample``, ``training_losses`` and ``_vb_terms_bpd``, from inputs that are in
the file too.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.diffusion import process, samplers, schedules

with np.load(Path(__file__).parent / "golden" / "adm.npz", allow_pickle=False) as file:
    GOLDEN = dict(file)
SCHEDULES = sorted({key.rsplit("/", 1)[0] for key in GOLDEN if key.startswith("schedule/")})
FULL = schedules.linear(1000)
T = jnp.asarray(GOLDEN["step/t"], jnp.int32)
CLIPS = {"free": None, "clipped": (-1.0, 1.0)}


def given(*names):
    return [jnp.asarray(GOLDEN[f"step/{name}"]) for name in names]


def agree(ours, golden):
    """To 1e-5 of one, or of a row's largest number where that is more."""
    scale = np.maximum(1, np.abs(golden).max(-1, keepdims=True))
    np.testing.assert_allclose(ours / scale, golden / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("key", SCHEDULES)
def test_schedules_posteriors_and_kept_timesteps(key):
    _, name, steps, keep = key.split("/")
    schedule = schedules.make(name, int(steps))
    if keep != steps:
        schedule = schedules.respace(schedule, int(keep))
    assert schedule.steps == int(keep)
    at = GOLDEN[f"{key}/at"]
    np.testing.assert_array_equal(schedule.timesteps[at], GOLDEN[f"{key}/timesteps"])
    for field in ("betas", "alphas_cumprod", "posterior_variance", "posterior_log_variance",
                  "posterior_mean_x0", "posterior_mean_xt"):  # fmt: skip
        ours = np.asarray(getattr(schedule, field), np.float64)[at]
        np.testing.assert_allclose(ours, GOLDEN[f"{key}/{field}"], rtol=1e-5, err_msg=field)


def answer(prediction, learned):
    """A network that is off by a known error, x_t, and the schedule's part that asks it."""
    x0, noise, error, weight = given("x0", "noise", "error", "weight")
    output = (noise if prediction == "eps" else x0) + error
    x_t = process.q_sample(FULL, x0, T, noise)
    return jnp.concatenate([output, weight], -1) if learned else output, x_t


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("variance", ["learned", "fixed"])
@pytest.mark.parametrize("prediction", ["eps", "x0"])
def test_one_reverse_step(prediction, variance, clip):
    learned = variance == "learned"
    output, x_t = answer(prediction, learned)
    key = f"step/{prediction}/{variance}/{clip}"
    options = dict(prediction=prediction, learned_variance=learned, clip=CLIPS[clip])
    got = process.p_mean_variance(FULL, output, x_t, T, **options)
    agree(got.mean, GOLDEN[f"{key}/mean"])
    agree(got.log_variance, GOLDEN[f"{key}/log_variance"])
    agree(got.x0, GOLDEN[f"{key}/x0"])


@pytest.mark.parametrize("prediction", ["eps", "x0"])
def test_the_variational_term_and_the_hybrid_loss(prediction):
    """For t > 0: at t = 0 ADM has the likelihood of 8-bit pixels. Its terms are in bits."""
    output, x_t = answer(prediction, learned=True)
    x0, noise = given("x0", "noise")
    loss = process.hybrid_loss(
        FULL, output, x0, x_t, T, noise, prediction=prediction, vlb_weight=1 / np.log(2)
    )
    later = np.asarray(T) > 0
    key = f"step/{prediction}"
    bits = np.asarray(loss.variational) / np.log(2)
    for ours, name in ((bits, "vb"), (loss.total, "loss")):
        golden = GOLDEN[f"{key}/{name}"][later]
        np.testing.assert_allclose(ours[later], golden, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loss.simple, GOLDEN[f"{key}/mse"], rtol=1e-5)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(
    ("name", "sampler", "options"),
    [
        ("ancestral", samplers.ancestral, {}),
        ("ddim0", samplers.ddim, {"eta": 0.0}),
        ("ddim1", samplers.ddim, {"eta": 1.0}),
    ],
)
def test_whole_chains_of_twenty_steps(name, sampler, options, clip, monkeypatch):
    """The same noise at every step, and a denoiser that is a formula in x and t."""
    noises = jnp.asarray(GOLDEN["chain/noises"])
    monkeypatch.setattr(samplers.jax.random, "fold_in", lambda key, i: i)
    monkeypatch.setattr(samplers.jax.random, "normal", lambda i, shape, dtype: noises[i])

    def denoise(x, t):
        share = t[:, None] / 1000
        return jnp.concatenate([share * x + 0.1 * jnp.sin(3 * x), jnp.tanh(x)], -1)

    x = sampler(
        denoise,
        jnp.asarray(GOLDEN["chain/x_T"]),
        FULL,
        jax.random.key(0),
        steps=20,
        learned_variance=True,
        clip=CLIPS[clip],
        **options,
    )
    agree(x, GOLDEN[f"chain/{clip}/{name}"])
