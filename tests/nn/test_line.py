"""Lines: Bayes' rule on coefficients, and what it leaves to a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.diffusion import schedules
from rodin_jax.nn import line as lines
from rodin_jax.nn.line import Line
from rodin_jax.nn.text import SentenceLine

RANK, DIM = 5, 3
SCHEDULE = schedules.linear(100)


@pytest.fixture(scope="module")
def line():
    rng = np.random.default_rng(0)
    return Line(
        jnp.asarray(rng.standard_normal(RANK), jnp.float32),
        jnp.asarray([9.0, 4.0, 1.0, 0.3, 0.1]),
        jnp.asarray(rng.standard_normal((DIM, RANK)), jnp.float32),
        jnp.asarray([2.0, 1.0, 0.8, 0.1, 0.1]),
    )


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("time", [5, 40, 95])
def test_gaussian_coefficients_leave_nothing_to_say(line, time, told):
    n = 20_000
    key, noise_key, z_key = jax.random.split(jax.random.key(time), 3)
    z = told * jax.random.normal(z_key, (n, DIM))
    c = jax.random.normal(key, (n, RANK))
    c = line.mean + z @ line.slope + jnp.sqrt(line.told if told else line.spectrum) * c
    t = jnp.full(n, time)
    seen, left = line.lesson(SCHEDULE, c, t, z, jax.random.normal(noise_key, c.shape))
    np.testing.assert_allclose(seen.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(seen.std(0), 1, atol=0.03)
    np.testing.assert_allclose(left.std(0), 1, atol=0.03)
    # Nothing that is linear in what is seen is left in what should be said.
    np.testing.assert_allclose((left * seen).mean(0), 0, atol=0.03)


def test_whoever_says_what_the_lesson_wants_finds_the_coefficients(line):
    keys = jax.random.split(jax.random.key(1), 3)
    c, noise = (jax.random.normal(k, (4, RANK)) for k in keys[:2])
    z, t = jax.random.normal(keys[2], (4, DIM)).at[0].set(0), jnp.array([0, 30, 60, 99])
    seen, wanted = line.lesson(SCHEDULE, c, t, z, noise)
    y = SCHEDULE.signal[t][:, None] * c + SCHEDULE.sigma[t][:, None] * noise

    def network(shown):
        np.testing.assert_allclose(shown, seen, atol=1e-5)
        return wanted

    np.testing.assert_allclose(line.denoise(network, y, t, z, SCHEDULE), c, atol=1e-4)


def test_weights_favour_what_varies(line):
    np.testing.assert_allclose(line.weights(0.0), 1, rtol=1e-5)
    np.testing.assert_allclose(line.weights(1.0), line.told / 0.8, rtol=1e-5)


def test_sentences_foretell_latents_about_their_centre(line):
    axes = jnp.linalg.qr(jax.random.normal(jax.random.key(2), (RANK, RANK)))[0]
    sentences = SentenceLine(axes, jnp.arange(3.0), line)
    embedding = jnp.array([[0.0, 0, 0], [0, 1, 2], [2, 0, 1]])
    found = sentences.latent(embedding) @ axes
    np.testing.assert_allclose(found[0], line.mean, atol=1e-5)
    np.testing.assert_allclose(found[1], line.mean, atol=1e-5)
    want = line.mean + (embedding[2] - jnp.arange(3.0)) @ line.slope
    np.testing.assert_allclose(found[2], want, atol=1e-5)
    # In the axes, and what the network is asked about is in them too.
    z_t, t = jax.random.normal(jax.random.key(3), (3, RANK)), jnp.array([9, 50, 80])
    text = jnp.zeros((3, 2, 4)), embedding, jnp.ones((3, 2), bool)
    said = sentences.denoise(lambda seen, t, *text: jnp.tanh(seen), z_t, t, text, SCHEDULE)
    heard = sentences.heard(embedding)
    want = line.denoise(jnp.tanh, z_t @ axes, t, heard, SCHEDULE)
    np.testing.assert_allclose(said @ axes, want, atol=1e-5)
    # A sentence like the average one is of somebody; no sentence is not.
    assert lines.somebody(embedding)[:, 0].tolist() == [False, True, True]


def test_a_damaged_line_is_refused(line):
    stored = {name: np.asarray(getattr(line, name)) for name in lines.FIELDS}
    found = lines.unpack(stored, RANK, DIM, "line")
    for name in lines.FIELDS:
        np.testing.assert_array_equal(getattr(found, name), stored[name])
    with pytest.raises(ValueError, match=r"'line/told' \[5\] is missing"):
        lines.unpack({**stored, "told": stored["told"][:-1]}, RANK, DIM, "line")
    with pytest.raises(ValueError, match="'line/spectrum' must be positive"):
        lines.unpack({**stored, "spectrum": -stored["spectrum"]}, RANK, DIM, "line")
    del stored["slope"]
    with pytest.raises(ValueError, match=r"'line/slope' \[3, 5\] is missing"):
        lines.unpack(stored, RANK, DIM, "line")
