"""Fourier features: against float64, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.nn.fourier import fourier, sincospi


def test_features_and_their_order():
    y = np.array([[0.25, -0.5]], np.float32)
    expected = [0.25, -0.5]
    for octave in (1, 2):
        expected += list(np.sin(np.pi * octave * y[0])) + list(np.cos(np.pi * octave * y[0]))
    np.testing.assert_allclose(fourier(jnp.asarray(y), 2)[0], expected, atol=1e-6)
    np.testing.assert_array_equal(fourier(jnp.asarray(y), 0), y)


@pytest.mark.parametrize("reach", [1, 30])
def test_sine_and_cosine_are_those_of_float64(reach):
    x = np.linspace(-reach, reach, 20001).astype(np.float32)
    truth = np.pi * x.astype(np.float64)
    sin, cos = jax.jit(sincospi)(x)
    # Adding a half rounds x to its own precision.
    tolerance = 2e-7 + np.pi * np.spacing(np.float32(reach))
    np.testing.assert_allclose(sin, np.sin(truth), atol=2e-7)
    np.testing.assert_allclose(cos, np.cos(truth), atol=tolerance)


def test_derivatives_are_exact_too():
    x = jnp.linspace(-3, 3, 101)
    for i, derivative in enumerate((lambda x: jnp.cos(jnp.pi * x), lambda x: -jnp.sin(jnp.pi * x))):
        slope = jax.vmap(jax.grad(lambda x, i=i: sincospi(x)[i]))(x)
        np.testing.assert_allclose(slope, jnp.pi * derivative(x), atol=1e-5)
