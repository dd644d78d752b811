"""Regression on conditions: lines, bends, and honesty about people it has not seen."""

import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.nn import line as lines
from rodin_jax.train.regression import follow

MEAN = np.arange(4, dtype=np.float32)


def people(count, views=2, dim=6, seed=0):
    return np.random.default_rng(seed).standard_normal((count, views, dim)).astype(np.float32)


def test_a_line_from_latents_foretells_coefficients():
    z, slope = people(400), people(6, 1, 4)[:, 0]
    noise = 0.5 * people(400, 2, 4, seed=1)
    followed = follow(MEAN + z @ slope + noise, z, MEAN)
    found, missed = followed.arrays, followed.unseen_errors()
    np.testing.assert_allclose(found["slope"], slope, atol=0.1)
    np.testing.assert_allclose(found["told"], 0.25, atol=0.04)
    np.testing.assert_allclose(missed, noise, atol=0.3)
    # Where there are as many latents as people, nothing is foretold of people it has not seen.
    wide, alone = people(40, 1, 80), people(40, 1, 4, seed=1)
    assert (follow(MEAN + alone, wide, MEAN).arrays["told"] > 0.5).all()


def test_what_is_missed_is_what_others_foretell():
    z = people(30)
    c = z @ people(6, 1, 4, seed=2)[:, 0] + 0.5 * people(30, 2, 4, seed=3)
    missed = follow(MEAN + c, z, MEAN).unseen_errors()

    def without(i, strength):
        x, y = (np.delete(a, i, 0).reshape(-1, a.shape[-1]) for a in (z, c))
        return c[i] - z[i] @ np.linalg.solve(x.T @ x + strength * np.eye(6), x.T @ y)

    # Which strength was the best is not said: one of them explains all.
    tried = [np.stack([without(i, r) for i in range(30)]) for r in (1.0, 3.0, 10.0, 30.0)]
    assert min(np.abs(missed - one).max() for one in tried) < 1e-4


@pytest.fixture(scope="module")
def curved():
    """What no line can say: whether two latents have the same sign."""
    z = people(500, 2, 3)
    c = np.stack([z[..., 0], np.tanh(3 * z[..., 0] * z[..., 1])], -1).astype(np.float32)
    return c, z


def test_bends_foretell_what_lines_cannot(curved):
    c, z = curved
    mean = np.zeros(2, np.float32)
    straight = follow(c, z, mean).arrays
    assert straight["told"][0] < 1e-3 and straight["told"][1] > 0.3
    # A line hears nothing of the second latent, so neither do bumps that compare what it foretells.
    foretold = np.concatenate([c, c[..., :1] * z[..., 1:2] + z[..., 1:2]], -1)
    mean = np.zeros(3, np.float32)
    straight = follow(foretold, z, mean).arrays
    followed = follow(foretold, z, mean, bumps=300, coordinates=3)
    bent, missed = followed.arrays, followed.unseen_errors()
    assert bent["told"][1] < 0.3 * straight["told"][1]
    np.testing.assert_allclose(np.square(missed).mean((0, 1)), bent["told"], rtol=0.6)
    stored = {**bent, "mean": mean, "spectrum": foretold.var((0, 1))}
    line = lines.unpack(stored, 3, 3, "test")
    fresh = people(200, 1, 3, seed=9)[:, 0]
    said = np.asarray(line.prior(jnp.asarray(fresh))[0])
    error = np.square(said[:, 1] - np.tanh(3 * fresh[:, 0] * fresh[:, 1])).mean()
    assert error < 1.3 * bent["told"][1]


def test_with_a_bump_for_everybody_it_is_the_mean_of_a_gaussian_process(curved):
    c, z = (x[:60] for x in curved)
    mean = np.zeros(2, np.float32)
    found = follow(c, z, mean, bumps=1000, coordinates=3).arrays
    stored = {**found, "mean": mean, "spectrum": np.ones(2)}
    line = lines.unpack(stored, 2, 3, "test")
    x, y = z.reshape(-1, 3).astype(np.float64), c.reshape(-1, 2)
    fresh = people(40, 1, 3, seed=5)[:, 0]
    measure = found["bend"]["measure"].astype(np.float64)

    def covariance(a, b):
        squares = np.square((a @ measure)[:, None] - (b @ measure)[None]).sum(-1)
        return a @ b.T + 3 * 3 * np.exp(-squares / 2)

    said, errors = np.asarray(line.prior(jnp.asarray(fresh))[0]), []
    for strength in (1.0, 3.0, 10.0, 30.0):
        solved = np.linalg.solve(covariance(x, x) + strength * np.eye(len(x)), y)
        errors.append(np.abs(said - covariance(fresh, x) @ solved).max())
    assert min(errors) < 0.02


def test_coefficients_count_as_they_are_told_to():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((80, 2, 5)).astype(np.float32)
    c = (z @ rng.standard_normal((5, 3)) + rng.standard_normal((80, 2, 3))).astype(np.float32)
    counts, mean = np.float32([0.01, 1.0, 25.0]), np.zeros(3, np.float32)
    for bumps in (0, 10):
        told = follow(c, z, mean, bumps=bumps, coordinates=3, counts=counts)
        scaled = follow(c * np.sqrt(counts), z, mean, bumps=bumps, coordinates=3)
        unit = np.sqrt(counts)
        assert told.strength == scaled.strength
        np.testing.assert_allclose(told.errors, scaled.errors / unit, atol=1e-5)
        np.testing.assert_allclose(told.arrays["told"], scaled.arrays["told"] / counts, rtol=1e-5)
        wanted = scaled.arrays["slope"].astype(np.float32) / unit
        np.testing.assert_allclose(told.arrays["slope"], wanted, rtol=2e-3, atol=2e-3)
