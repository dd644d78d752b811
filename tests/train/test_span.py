"""The span of people's planes: it holds what counts, and low planes stand for full ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes
from rodin_jax.data.planes import PlanesStore
from rodin_jax.nn.eigenplanes import unpack
from rodin_jax.train import fitted, importance, span

SHAPE, LOW, RANK = (3, 8, 8, 2), 4, 3
OPTIONS = {"size": LOW, "rank": RANK, "kept": 1.0, "finer": RANK, "finer_kept": 1.0}


@pytest.fixture(scope="module")
def weight():
    """Of the first plane alone anything is seen."""
    weight = np.full(SHAPE, 0.01, np.float32)
    weight[0] = 1.0
    return weight


@pytest.fixture(scope="module")
def people():
    """Two hundred who differ a little in the first plane, in three ways, and much in the others."""
    rng = np.random.default_rng(0)
    ways = rng.standard_normal((2 * RANK, *SHAPE)).astype(np.float32)
    ways[:, :, ::2] = ways[:, :, 1::2]  # low planes show something of all of them
    ways[:RANK, 1:], ways[RANK:, 0] = 0, 0
    c = rng.standard_normal((200, 1, 2 * RANK)) * np.repeat([1, 5], RANK)
    return (np.einsum("nvk,kphwc->nvphwc", c, ways) + rng.standard_normal(SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def found(people, weight):
    return span.learn(people, weight, **OPTIONS)


def test_what_counts_is_held(people, weight, found):
    eigen = unpack(found.arrays, 3 * LOW * LOW * 2, RANK)
    c = jnp.asarray(found.coefficients(people)[:, 0])
    back = np.asarray(eigen.fine(eigen.low(c, 2)))[:, 0]
    first = people[:, 0, 0]
    assert np.square(back - first).mean() < 0.02 * first.var(0).mean()
    blind = span.learn(people, np.ones(SHAPE, np.float32), **OPTIONS)
    eigen = unpack(blind.arrays, 3 * LOW * LOW * 2, RANK)
    back = np.asarray(eigen.fine(eigen.low(jnp.asarray(blind.coefficients(people)[:, 0]), 2)))[:, 0]
    assert np.square(back - first).mean() > 0.3 * first.var(0).mean()


def test_shares_are_those_of_the_weighted_variance(people, weight, found):
    rows = ((people - people.mean(0)) * weight).reshape(200, -1)
    values = np.linalg.eigvalsh(rows @ rows.T)[::-1]
    wanted = values[:RANK].sum() / values.sum()
    assert found.explained(people) == pytest.approx(wanted, rel=1e-3)
    assert found.explained(people[:0]) == 0


def test_coefficients_are_uncorrelated_and_fall(people, found):
    c = found.coefficients(people)[:, 0]
    covariance = np.cov(c, rowvar=False, bias=True)
    np.testing.assert_allclose(np.diag(covariance), found.arrays["spectrum"], rtol=1e-3)
    assert (np.diff(found.arrays["spectrum"]) < 0).all()
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-3)
    eigen = unpack(found.arrays, 3 * LOW * LOW * 2, RANK)
    np.testing.assert_allclose(eigen.basis @ eigen.basis.T, np.eye(RANK), atol=0.02)


def test_low_planes_are_those_of_full_ones_and_the_mean_elsewhere(people, weight):
    some = span.learn(people, weight, **OPTIONS | {"kept": 0.9})
    eigen = unpack(some.arrays, 3 * LOW * LOW * 2, RANK)
    assert len(some.arrays["places"]) < 3 * LOW * LOW * 2
    there = np.zeros(3 * LOW * LOW * 2, bool)
    there[some.arrays["places"]] = True
    low_mean = triplanes.resize(jnp.asarray(people.mean((0, 1)))[None], LOW).ravel()
    low = np.asarray(eigen.low(jnp.asarray(some.coefficients(people[:20])[:, 0]), 2))
    np.testing.assert_allclose(
        low.reshape(20, -1)[:, ~there], np.broadcast_to(low_mean, (20, len(there)))[:, ~there],
        atol=5e-3,
    )  # fmt: skip
    # Full planes have there what they have: the detail knows.
    fine = np.asarray(eigen.fine(jnp.asarray(low)))[:, 0]
    first = people[:20, 0, 0]
    assert np.square(fine - first).mean() < 0.02 * people[:, 0, 0].var(0).mean()


def test_squared_columns_are_estimated_without_bias():
    a = jax.random.normal(jax.random.key(0), (5, 4))
    keys = jax.random.split(jax.random.key(1), 4000)
    found = jax.vmap(lambda k: importance.column_squares(lambda x: a @ x, jnp.ones(4), k))(keys)
    np.testing.assert_allclose(found.mean(0), (a**2).sum(0), rtol=0.1)


def test_importance_is_even_and_looks_at_the_window(fit_run):
    store = PlanesStore(fit_run / "planes")
    window = {"size": 16, "top": 3, "left": 4, "height": 5, "width": 8}
    known = fitted.Decoded(fit_run)
    weights = [
        importance.importance(
            store, known, store.statistics(8).std, window, people=3, emphasis=e, floor=0.02
        )
        for e in (0.0, 50.0)
    ]
    for weight in weights:
        assert weight.shape == store.shape and (weight**2 > 0.015).all()
        np.testing.assert_allclose(np.square(weight).mean(), 1, rtol=1e-4)
        np.testing.assert_allclose(triplanes.mirror(jnp.asarray(weight)), weight, rtol=1e-4)
    # A plane that is looked at from the front; below the window pictures show less of it.
    front = [np.square(w[1]).sum(-1) for w in weights]
    shares = [f[: len(f) // 2].sum() / f.sum() for f in front]
    assert abs(shares[1] - shares[0]) > 0.05
