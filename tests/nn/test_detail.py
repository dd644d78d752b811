"""Detail foretold from coarse planes: found where a line tells it, and added where it belongs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes
from rodin_jax.nn import detail as details
from rodin_jax.nn import eigenplanes
from rodin_jax.train import detail, span

SHAPE, SMALL, RANK = (3, 8, 8, 2), (3, 4, 4, 2), 3


@pytest.fixture(scope="module")
def people():
    """Full planes of 60 people, each as two forms, spanned by as many components as there are."""
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((60, 2, RANK)).astype(np.float32)
    looks = rng.standard_normal((RANK, *SHAPE)).astype(np.float32)
    looks[:, :, :, 5:] = 0  # there everybody is alike
    full = np.einsum("nvk,kphwc->nvphwc", spread, looks) + rng.standard_normal(SHAPE)
    return full.astype(np.float32)


@pytest.fixture(scope="module")
def known(people):
    found = span.learn(
        people, np.ones(SHAPE, np.float32), size=4, rank=RANK, kept=1.0, finer=RANK, finer_kept=1.0
    )
    full = people.reshape(-1, *SHAPE)
    return full, np.asarray(triplanes.resize(jnp.asarray(full), 4)), found


def test_what_low_planes_tell_is_foretold(people, known):
    full, low, found = known
    assert found.explained(people) == pytest.approx(1, abs=1e-3)
    eigen = eigenplanes.unpack(found.arrays, low[0].size, RANK)
    fine = np.asarray(jax.jit(lambda e, x: e.fine(x))(eigen, jnp.asarray(low)))
    plain = np.asarray(triplanes.resize(jnp.asarray(low), 8))
    assert np.square(fine - full).mean() < 1e-3 * np.square(plain - full).mean()
    without = {name: x for name, x in found.arrays.items() if name != "detail"}
    assert eigenplanes.unpack(without, low[0].size, RANK).fine(jnp.asarray(low)) is None


def test_places_that_hardly_vary_are_left_at_the_mean(known):
    stored = known[2].arrays["detail"]
    varying = np.zeros(SHAPE, bool)
    varying.reshape(-1)[stored["places"]] = True
    assert not varying[:, :, 7:].any() and varying[:, :, :4].any()
    rng = np.random.default_rng(1)
    beyond = np.zeros((*SHAPE, RANK), np.float32)
    beyond[:] = rng.standard_normal(RANK)
    beyond[:, :, 1:] *= 0.01
    beyond = beyond.reshape(-1, RANK)
    even, mean = np.ones(RANK, np.float32), rng.standard_normal(SHAPE).astype(np.float32)
    fewer = detail.learn(beyond, mean, even, np.ones(len(beyond), np.float32), rank=1, kept=0.9)
    assert len(fewer["places"]) <= 3 * 8 * 2
    made = details.unpack(fewer, RANK)
    pictures = np.asarray(made(jnp.asarray(rng.standard_normal((60, RANK)), jnp.float32)))
    np.testing.assert_allclose(
        pictures[:, :, :, 1:], np.broadcast_to(made.mean, pictures.shape)[:, :, :, 1:]
    )


def test_a_narrow_product_keeps_what_weighs_most():
    rng = np.random.default_rng(0)
    beyond = rng.standard_normal((np.prod(SHAPE), 2)).astype(np.float32)
    weight = np.where(np.arange(len(beyond)) < 40, 10.0, 0.1).astype(np.float32)
    beyond[:40, 0] = 0  # where it counts the second coefficient alone changes anything
    mean, deviation = np.zeros(SHAPE, np.float32), np.float32([5.0, 1.0])
    stored = detail.learn(beyond, mean, deviation, weight, rank=1, kept=1.0)
    change = details.unpack(stored, 2).change(jnp.float32([[0.0, 1.0]])).reshape(-1)
    np.testing.assert_allclose(change[:40], beyond[:40, 1], atol=0.03)


def test_damaged_detail_is_refused(known):
    found = known[2].arrays["detail"]
    for name, change, message in (
        ("places", lambda x: x + 10_000, "reaches beyond the planes"),
        ("places", lambda x: x[:-1], r"detail/places' .* is missing"),
        ("slope", lambda x: x[:-1], r"detail/slope' \[3, 3\] is missing"),
        ("mean", lambda x: x[0], "are missing"),
    ):
        with pytest.raises(ValueError, match=message):
            details.unpack({**found, name: change(found[name])}, RANK)
