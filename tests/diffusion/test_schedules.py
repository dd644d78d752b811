import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.diffusion import schedules

ALL = ["linear", "cosine", "log_snr_linear"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("steps", [7, 100, 1000])
def test_signal_falls_to_noise(name, steps):
    schedule = schedules.make(name, steps)
    abar = np.asarray(schedule.alphas_cumprod, np.float64)
    assert schedule.steps == steps and (np.diff(abar) < 0).all() and (abar > 0).all()
    assert np.log(abar[-1] / (1 - abar[-1])) < -4
    assert (np.asarray(schedule.betas) < 1).all()
    np.testing.assert_allclose(schedule.signal**2 + schedule.sigma**2, 1, rtol=1e-6)
    np.testing.assert_allclose(schedule.timesteps, np.arange(steps))
    assert all(np.isfinite(x).all() for x in vars(schedule).values())


@pytest.mark.parametrize("name", ALL)
def test_posterior_is_bayes_rule(name):
    """q(x_{t-1} | x_t, x_0) by completing the square in float64, from the betas alone."""
    schedule = schedules.make(name, 50)
    beta = np.asarray(schedule.betas, np.float64)
    abar = np.cumprod(1 - beta)
    t = np.arange(1, 50)
    # Product of N(x_t; sqrt(1 - beta) x, beta) and N(x; sqrt(abar') x0, 1 - abar') in x.
    precision = (1 - beta[t]) / beta[t] + 1 / (1 - abar[t - 1])
    np.testing.assert_allclose(schedule.posterior_variance[1:], 1 / precision, rtol=1e-5)
    np.testing.assert_allclose(
        schedule.posterior_mean_xt[1:], np.sqrt(1 - beta[t]) / beta[t] / precision, rtol=1e-5
    )
    np.testing.assert_allclose(
        schedule.posterior_mean_x0[1:],
        np.sqrt(abar[t - 1]) / (1 - abar[t - 1]) / precision,
        rtol=1e-5,
    )
    assert schedule.posterior_variance[0] == 0 and schedule.posterior_mean_x0[0] == 1
    np.testing.assert_allclose(
        schedule.posterior_log_variance[0], np.log(schedule.posterior_variance[1]), rtol=1e-6
    )


def test_linear_reaches_the_same_noise_at_any_length():
    ends = [float(schedules.linear(n).alphas_cumprod[-1]) for n in (100, 250, 1000)]
    assert max(ends) < 6e-5
    full = schedules.linear(1000)
    np.testing.assert_allclose(full.betas[jnp.array([0, -1])], [1e-4, 0.02], rtol=1e-6)
    snr = full.alphas_cumprod / (1 - full.alphas_cumprod)
    np.testing.assert_allclose(np.log([snr[0], snr[-1]]), [9.2, -10.1], atol=0.05)


def test_log_snr_linear_is_linear():
    abar = np.asarray(schedules.log_snr_linear(101).alphas_cumprod, np.float64)
    np.testing.assert_allclose(np.log(abar / (1 - abar)), np.linspace(10, -10, 101), atol=0.01)


@pytest.mark.parametrize("name", ALL)
def test_respacing_keeps_abar_and_recomputes_betas(name):
    full = schedules.make(name, 1000)
    short = schedules.respace(full, 100)
    kept = np.asarray(short.timesteps)
    assert kept[-1] == 999 and kept[0] == 0 and (np.diff(kept) >= 10).all()
    np.testing.assert_allclose(short.alphas_cumprod, full.alphas_cumprod[kept], rtol=2e-5)


@pytest.mark.parametrize("steps", [2, 30, 100])
def test_spacing_by_log_snr(steps):
    full = schedules.linear(100)
    short = schedules.respace(full, steps, "log_snr")
    kept = np.asarray(short.timesteps)
    assert kept[0] == 0 and kept[-1] == 99 and (np.diff(kept) > 0).all()
    np.testing.assert_allclose(short.alphas_cumprod, full.alphas_cumprod[kept], rtol=2e-5)


def test_log_snr_spacing_is_more_even():
    full = schedules.linear(1000)

    def gaps(spacing):
        abar = np.asarray(schedules.respace(full, 25, spacing).alphas_cumprod, np.float64)
        return -np.diff(np.log(abar / (1 - abar)))

    assert gaps("log_snr").max() < 1.5 * gaps("log_snr").mean()  # t = 0 and 1 are 1.1 apart
    assert gaps("timestep").max() > 3 * gaps("log_snr").max()


def test_respaced_beta_of_the_middle():
    short = schedules.respace(schedules.linear(1000), 100)
    middle = int(np.abs(np.asarray(short.timesteps) - 505).argmin())
    assert abs(float(short.betas[middle]) - 0.105) < 0.004  # not the 0.0102 of the long schedule


def test_respacing_edges():
    full = schedules.linear(20)
    same = schedules.respace(full, 20)
    np.testing.assert_allclose(same.betas, full.betas, rtol=1e-5)
    one = schedules.respace(full, 1)
    assert one.timesteps.tolist() == [19]
    np.testing.assert_allclose(one.alphas_cumprod, full.alphas_cumprod[-1:], rtol=1e-4)
    twice = schedules.respace(schedules.respace(full, 10), 5)
    assert twice.timesteps.shape == (5,) and twice.timesteps[-1] == 19
    with pytest.raises(ValueError, match="spacing"):
        schedules.respace(full, 3, "karras")
    for steps in (0, 21):
        with pytest.raises(ValueError, match=r"1\.\.20"):
            schedules.respace(full, steps)


def test_made_and_respaced_inside_a_traced_function():
    @jax.jit
    def last_beta(scale):
        return scale * schedules.respace(schedules.linear(50), 5).betas[-1]

    expected = schedules.respace(schedules.linear(50), 5).betas[-1]
    np.testing.assert_allclose(last_beta(2.0), 2 * expected, rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="cosine"):
        schedules.make("quadratic", 10)
    with pytest.raises(ValueError, match="at least one"):
        schedules.linear(0)
    with pytest.raises(ValueError, match="between"):
        schedules.from_betas(np.array([0.1, -0.1]))
