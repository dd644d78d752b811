"""Detail foretold from coarse planes: found where a line tells it, and added where it belongs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes
from rodin_jax.nn import detail as details
from rodin_jax.nn import eigenplanes
from rodin_jax.train import detail
from rodin_jax.train.components import components

SHAPE, SMALL, RANK = (3, 8, 8, 2), (3, 4, 4, 2), 3


@pytest.fixture(scope="module")
def people():
    """Full planes of 60 people, each as two forms, spanned by as many components as there are."""
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((60, 2, RANK)).astype(np.float32)
    looks = rng.standard_normal((RANK, *SHAPE)).astype(np.float32)
    looks[:, :, :, 5:] = 0  # there everybody is alike
    return np.einsum("nvk,kphwc->nvphwc", spread, looks) + rng.standard_normal(SHAPE)


@pytest.fixture(scope="module")
def known(people):
    full = people.reshape(-1, *SHAPE).astype(np.float32)
    low = np.asarray(triplanes.resize(jnp.asarray(full), 4))
    beyond = full - np.asarray(triplanes.resize(jnp.asarray(low), 8))
    stored = components(low, RANK)
    eigen = eigenplanes.unpack(stored, low[0].size, RANK)
    c = np.asarray(eigen.coefficients(jnp.asarray(low))) - stored["mean"]
    found, share = detail.learn(
        beyond.reshape(people.shape).astype(np.float32), c.reshape(60, 2, RANK), rank=RANK, kept=1.0
    )
    return full, low, stored, found, share


def test_what_a_line_tells_is_foretold(known):
    full, low, stored, found, share = known
    assert share == pytest.approx(1, abs=0.02)
    eigen = eigenplanes.unpack({**stored, "detail": found}, low[0].size, RANK)
    fine = np.asarray(jax.jit(lambda e, x: e.fine(x))(eigen, jnp.asarray(low)))
    plain = np.asarray(triplanes.resize(jnp.asarray(low), 8))
    assert np.square(fine - full).mean() < 0.01 * np.square(plain - full).mean()
    assert eigenplanes.unpack(stored, low[0].size, RANK).fine(jnp.asarray(low)) is None


def test_places_that_hardly_vary_are_left_at_the_mean(people, known):
    found = known[3]
    varying = np.zeros(SHAPE, bool)
    varying.reshape(-1)[found["places"]] = True
    assert not varying[:, :, 7:].any() and varying[:, :, :4].any()
    c = np.random.default_rng(1).standard_normal((60, 2, RANK)).astype(np.float32)
    beyond = np.einsum("nvk,kphwc->nvphwc", c, np.ones((RANK, *SHAPE), np.float32))
    beyond[:, :, :, 1:] *= 0.01
    fewer, _ = detail.learn(beyond, c, rank=RANK, kept=0.9)
    assert len(fewer["places"]) <= 3 * 8 * 2
    made = details.unpack(fewer, RANK)
    pictures = np.asarray(made(jnp.asarray(c.reshape(-1, RANK))))
    np.testing.assert_allclose(
        pictures[:, :, 1:], np.broadcast_to(made.mean, pictures.shape)[:, :, 1:]
    )


def test_nothing_is_foretold_of_noise():
    rng = np.random.default_rng(0)
    beyond = rng.standard_normal((60, 1, *SHAPE)).astype(np.float32)
    c = rng.standard_normal((60, 1, RANK)).astype(np.float32)
    assert detail.learn(beyond, c, rank=RANK, kept=0.9)[1] < 0.02


def test_damaged_detail_is_refused(known):
    found = known[3]
    for name, change, message in (
        ("places", lambda x: x + 10_000, "reaches beyond the planes"),
        ("places", lambda x: x[:-1], r"detail/places' .* is missing"),
        ("slope", lambda x: x[:-1], r"detail/slope' \[3, 3\] is missing"),
        ("mean", lambda x: x[0], "are missing"),
    ):
        with pytest.raises(ValueError, match=message):
            details.unpack({**found, name: change(found[name])}, RANK)
