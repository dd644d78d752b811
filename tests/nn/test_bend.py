"""Bends: sums of bumps beside a line."""

import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.nn import bend as bends
from rodin_jax.nn.line import Line

DIM, COORDINATES, COUNT, RANK = 5, 3, 7, 4


@pytest.fixture(scope="module")
def stored():
    rng = np.random.default_rng(0)
    shapes = {"measure": (DIM, COORDINATES), "centres": (COUNT, COORDINATES),
              "heights": (COUNT, RANK)}  # fmt: skip
    return {name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}


def test_bumps_one_by_one(stored):
    bend = bends.unpack(stored, RANK, DIM, "bend")
    z = np.random.default_rng(1).standard_normal((3, DIM))
    want = np.zeros((3, RANK))
    for i in range(3):
        for centre, height in zip(stored["centres"], stored["heights"], strict=True):
            apart = z[i] @ stored["measure"].astype(float) - centre
            want[i] += np.exp(-(apart @ apart) / 2) * height
    np.testing.assert_allclose(bend(jnp.asarray(z)), want, atol=1e-4)


def test_far_from_everybody_the_line_remains_and_nobody_is_left_alone(stored):
    bend = bends.unpack(stored, RANK, DIM, "bend")
    rng = np.random.default_rng(2)
    slope = jnp.asarray(rng.standard_normal((DIM, RANK)), jnp.float32)
    straight = Line(jnp.arange(4.0), jnp.ones(4), slope, jnp.full(4, 0.5))
    bent = Line(straight.mean, straight.spectrum, slope, straight.told, bend)
    z = jnp.asarray(0.3 * rng.standard_normal((2, DIM)), jnp.float32).at[0].set(0)
    near, far = bent.prior(z), bent.prior(100 * z)
    np.testing.assert_allclose(near[0][0], straight.mean)
    np.testing.assert_allclose(near[0][1], straight.prior(z)[0][1] + bend(z)[1], rtol=1e-5)
    assert np.abs(bend(z)[1]).max() > 1e-2
    np.testing.assert_allclose(far[0], straight.prior(100 * z)[0], rtol=1e-5)
    np.testing.assert_allclose(near[1], straight.prior(z)[1])


@pytest.mark.parametrize("name", ["measure", "centres", "heights"])
def test_damaged_bends_are_refused(stored, name):
    with pytest.raises(ValueError, match=r"'bend/\w+' \[\d+, \d+\] is missing"):
        bends.unpack({**stored, name: stored[name][:-1]}, RANK, DIM, "bend")
    with pytest.raises(ValueError, match="is missing"):
        bends.unpack({k: v for k, v in stored.items() if k != name}, RANK, DIM, "bend")
