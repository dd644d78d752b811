"""Fine planes guessed from coarse ones: the posterior mean of a Gaussian, and a better start."""

import jax.numpy as jnp
import numpy as np

from rodin_jax import triplanes
from rodin_jax.nn.eigenplanes import unpack
from rodin_jax.train import completion

SHAPE, COARSE, RANK = (3, 16, 16, 2), 4, 3


def people(count, seed=0):
    """A mean and sums of three patterns, which each have a coarse and a fine side."""
    rng = np.random.default_rng(7)
    coarse = rng.standard_normal((RANK + 1, 3, COARSE, COARSE, SHAPE[-1]))
    patterns = 2 * np.asarray(triplanes.resize(jnp.asarray(coarse), SHAPE[1]))
    patterns = patterns + rng.standard_normal((RANK + 1, *SHAPE))
    strength = np.random.default_rng(seed).standard_normal((count, RANK)) * [4, 2, 1]
    return (patterns[0] + np.tensordot(strength, patterns[1:], 1)).astype(np.float32)


def test_planes_of_known_patterns_come_back_from_their_coarse_side():
    # Mirrored people have patterns of their own, hence twice the rank.
    complete = completion.completion_of(completion.learn(people(40), 2 * RANK + 1), SHAPE, COARSE)
    for planes in people(3, seed=1):
        coarse = triplanes.resize(jnp.asarray(planes), COARSE)
        guess = np.asarray(complete(coarse))
        unguessed = np.square(planes - np.asarray(complete.mean)).mean()
        assert np.square(guess - planes).mean() < 0.25 * unguessed
        assert (
            np.square(guess - planes).mean()
            < 0.25 * np.square(np.asarray(triplanes.resize(coarse, SHAPE[1])) - planes).mean()
        )


def test_the_guess_is_the_posterior_mean():
    learned = completion.learn(people(40), RANK)
    complete = completion.completion_of(learned, SHAPE, COARSE)
    eigen = unpack(learned, int(np.prod(SHAPE)), RANK)
    shrink = triplanes.resize_matrix(SHAPE[1], COARSE)
    low = np.einsum("ih,jw,phwck->pijck", shrink, shrink, eigen.basis.T.reshape(*SHAPE, RANK))
    low = low.reshape(-1, RANK)
    # By the joint covariance of coefficients and what is seen of them.
    prior = np.diag(eigen.line.spectrum)
    noise = completion._NOISE * np.sum(eigen.line.spectrum) / np.prod(SHAPE)
    seen = low @ prior @ low.T + noise * np.eye(len(low))
    gain = prior @ low.T @ np.linalg.inv(seen)
    np.testing.assert_allclose(complete.solve, gain, atol=1e-4 * np.abs(gain).max())
    nothing_new = complete(complete.coarse_mean)
    np.testing.assert_allclose(nothing_new, complete.mean, atol=1e-5)


def test_few_people_give_fewer_patterns():
    assert len(completion.learn(people(2), 10)["spectrum"]) == 3
