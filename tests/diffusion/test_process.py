import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.diffusion import process, schedules

SCHEDULE = schedules.linear(50)
T = jnp.array([0, 1, 25, 49])


def draw(shape=(4, 3, 2, 2, 5), seed=0):
    x0, noise = jax.random.normal(jax.random.key(seed), (2, *shape))
    return x0, noise, process.q_sample(SCHEDULE, x0, T, noise)


def test_q_sample_against_float64():
    x0, noise, x_t = draw()
    abar = np.cumprod(1 - np.asarray(SCHEDULE.betas, np.float64))[np.asarray(T)]
    abar = abar[:, None, None, None, None]
    expected = np.sqrt(abar) * np.asarray(x0) + np.sqrt(1 - abar) * np.asarray(noise)
    np.testing.assert_allclose(x_t, expected, rtol=1e-5, atol=1e-6)


def test_q_sample_composes_single_steps():
    """Variance after t single steps x <- sqrt(1 - beta) x + sqrt(beta) eps equals 1 - abar."""
    signal, variance = 1.0, 0.0
    for beta in np.asarray(SCHEDULE.betas, np.float64):
        signal, variance = signal * np.sqrt(1 - beta), variance * (1 - beta) + beta
    np.testing.assert_allclose(SCHEDULE.signal[-1], signal, rtol=1e-5)
    np.testing.assert_allclose(SCHEDULE.sigma[-1] ** 2, variance, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 3, 2, 2, 5), (4, 7)])
def test_the_three_predictions_agree(shape):
    x0, noise, x_t = draw(shape)
    posteriors = [
        process.p_mean_variance(
            SCHEDULE,
            process.target(SCHEDULE, x0, noise, T, kind),
            x_t,
            T,
            prediction=kind,
        )
        for kind in process.PREDICTIONS
    ]
    for posterior in posteriors:
        np.testing.assert_allclose(posterior.x0, x0, atol=2e-4)
        np.testing.assert_allclose(posterior.mean, posteriors[1].mean, atol=2e-4)
    np.testing.assert_allclose(process.predict_eps(SCHEDULE, x0, x_t, T), noise, atol=2e-3)


def test_mean_of_eps_prediction_is_the_supplements_formula():
    """Suppl. eq. (3): x_{t-1} = (x_t - beta_t / sigma_t eps) / sqrt(1 - beta_t)."""
    _, noise, x_t = draw((4, 7))
    beta = np.asarray(SCHEDULE.betas)[np.asarray(T)][:, None]
    sigma = np.asarray(SCHEDULE.sigma)[np.asarray(T)][:, None]
    mean = process.p_mean_variance(SCHEDULE, noise, x_t, T).mean
    np.testing.assert_allclose(
        mean, (x_t - beta / sigma * noise) / np.sqrt(1 - beta), rtol=1e-4, atol=1e-4
    )


def test_learned_variance_interpolates_logarithms():
    _, noise, x_t = draw((4, 6))
    for weight, expected in [(1.0, jnp.log(SCHEDULE.betas)), (-1.0, None), (0.0, "middle")]:
        output = jnp.concatenate([noise, jnp.full_like(noise, weight)], -1)
        got = process.p_mean_variance(SCHEDULE, output, x_t, T, learned_variance=True)
        low, high = SCHEDULE.posterior_log_variance[T], jnp.log(SCHEDULE.betas[T])
        if expected is None:
            wanted = low
        elif isinstance(expected, str):
            wanted = (low + high) / 2
        else:
            wanted = high
        np.testing.assert_allclose(got.log_variance[:, 0], wanted, rtol=1e-5)
        np.testing.assert_allclose(got.variance, jnp.exp(got.log_variance), rtol=1e-6)


def test_fixed_variance_is_the_posteriors():
    _, noise, x_t = draw((4, 6))
    got = process.p_mean_variance(SCHEDULE, noise, x_t, T)
    np.testing.assert_allclose(got.variance[:, 3], SCHEDULE.posterior_variance[T])
    assert np.isfinite(got.log_variance).all() and got.variance[0, 0] == 0


def test_clipping_rederives_the_mean():
    x0, _, x_t = draw((4, 6))
    limits = (jnp.full((6,), -0.3), jnp.full((6,), 0.3))
    got = process.p_mean_variance(SCHEDULE, x0, x_t, T, prediction="x0", clip=limits)
    assert jnp.abs(got.x0).max() <= 0.3
    held = process.p_mean_variance(SCHEDULE, jnp.clip(x0, -0.3, 0.3), x_t, T, prediction="x0")
    np.testing.assert_allclose(got.mean, held.mean)


def test_guidance_of_the_mean_only():
    cond, null = jax.random.normal(jax.random.key(1), (2, 4, 6))
    np.testing.assert_allclose(process.guide(cond, null, 1.0), cond, rtol=1e-5, atol=1e-6)
    both = process.guide(cond, null, 2.5, learned_variance=True)
    np.testing.assert_allclose(both[:, 3:], cond[:, 3:])
    np.testing.assert_allclose(
        both[:, :3], 2.5 * cond[:, :3] - 1.5 * null[:, :3], rtol=1e-4, atol=1e-5
    )


def test_guidance_asks_the_network_once_for_both_branches():
    """One batch of twice the size says what two calls say."""
    _, noise, x_t = draw((4, 3, 2, 2, 5))
    shapes = []

    def denoise(x, t, condition):
        shapes.append(x.shape)
        z, shift = condition["z"], condition["shift"]
        out = x * z[:, None, None, None] + t[:, None, None, None, None] + shift
        return jnp.concatenate([jnp.sin(out), jnp.cos(out)], -1)

    cond = {"z": noise[:, 0, 0, 0], "shift": x_t}
    null = jax.tree.map(jnp.zeros_like, cond)
    for learned in (True, False):
        got = process.guided(denoise, cond, null, 2.5, learned)(x_t, T)
        apart = process.guide(denoise(x_t, T, cond), denoise(x_t, T, null), 2.5, learned)
        np.testing.assert_allclose(got, apart, atol=1e-6)
    assert [shape[0] for shape in shapes] == [8, 4, 4, 8, 4, 4]


def test_hybrid_loss_closed_forms():
    x0, noise, x_t = draw((4, 6))
    # The perfect mean with the true posterior's variance: nothing to gain for t > 0.
    perfect = jnp.concatenate([noise, -jnp.ones_like(noise)], -1)
    loss = process.hybrid_loss(SCHEDULE, perfect, x0, x_t, T, noise)
    np.testing.assert_allclose(loss.simple, 0, atol=1e-6)
    np.testing.assert_allclose(loss.variational[1:], 0, atol=1e-4)
    # At t = 0 the density of x0 under N(x0, var): its peak, log sqrt(2 pi var).
    peak = 0.5 * (np.log(2 * np.pi) + float(SCHEDULE.posterior_log_variance[0]))
    np.testing.assert_allclose(loss.variational[0], peak, rtol=1e-3)
    np.testing.assert_allclose(loss.total, loss.simple + 0.05 * loss.variational, rtol=1e-5)
    # Variance beta instead: KL of two Gaussians of one mean, (log r + 1 / r - 1) / 2.
    wide = jnp.concatenate([noise, jnp.ones_like(noise)], -1)
    ratio = np.asarray(SCHEDULE.betas / SCHEDULE.posterior_variance)[np.asarray(T)][1:]
    loss = process.hybrid_loss(SCHEDULE, wide, x0, x_t, T, noise)
    np.testing.assert_allclose(
        loss.variational[1:], (np.log(ratio) + 1 / ratio - 1) / 2, rtol=2e-2, atol=1e-4
    )


def test_variational_error_term_is_scaled_eps_error():
    """With the posterior's variance the KL is |mean error|^2 / (2 var) of eq. (8) of DDPM."""
    x0, noise, x_t = draw((4, 6))
    shift = 0.5
    output = jnp.concatenate([noise + shift, -jnp.ones_like(noise)], -1)
    loss = process.hybrid_loss(SCHEDULE, output, x0, x_t, T, noise)
    np.testing.assert_allclose(loss.simple, shift**2, rtol=1e-5)
    beta, sigma, variance = (
        np.asarray(x, np.float64)[np.asarray(T)][1:]
        for x in (SCHEDULE.betas, SCHEDULE.sigma, SCHEDULE.posterior_variance)
    )
    expected = (beta / sigma * shift) ** 2 / (1 - beta) / (2 * variance)
    np.testing.assert_allclose(loss.variational[1:], expected, rtol=1e-2)


def test_variational_term_trains_the_variance_alone():
    x0, noise, x_t = draw((4, 6))
    output = jnp.concatenate([noise + 0.3, jnp.zeros_like(noise)], -1)

    def variational(output):
        return process.hybrid_loss(SCHEDULE, output, x0, x_t, T, noise).variational.sum()

    gradient = jax.grad(variational)(output)
    np.testing.assert_array_equal(gradient[:, :6], 0)
    assert (jnp.abs(gradient[:, 6:]) > 0).all()


def test_hybrid_loss_is_float32_and_without_variance_is_simple():
    x0, noise, x_t = draw((4, 6))
    half = noise.astype(jnp.bfloat16)
    loss = process.hybrid_loss(SCHEDULE, half, x0, x_t, T, noise, learned_variance=False)
    assert loss.total.dtype == jnp.float32
    np.testing.assert_array_equal(loss.total, loss.simple)
    np.testing.assert_array_equal(loss.variational, 0)


def test_errors():
    _, noise, x_t = draw((4, 6))
    with pytest.raises(ValueError, match="prediction"):
        process.predict_x0(SCHEDULE, noise, x_t, T, "score")
    with pytest.raises(ValueError, match="expected 12"):
        process.p_mean_variance(SCHEDULE, noise, x_t, T, learned_variance=True)
