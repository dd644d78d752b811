"""The decoder: density knows no direction, colours stay in range, Fourier features are right."""

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.nn.decoder import Decoder, field, fourier

KEY = jax.random.key(0)


def test_fourier_features():
    y = np.array([[0.25, -0.5]], np.float32)
    expected = [0.25, -0.5]
    for octave in (1, 2):
        expected += list(np.sin(np.pi * octave * y[0])) + list(np.cos(np.pi * octave * y[0]))
    np.testing.assert_allclose(fourier(jnp.asarray(y), 2)[0], expected, atol=1e-6)


def test_direction_reaches_the_colour_only():
    decoder = Decoder(width=16)
    features = jax.random.normal(KEY, (7, 4))
    params = decoder.init(KEY, features, features[:, :3])["params"]
    assert set(params) == {"fc1", "fc2", "fc3", "fc4"}
    front, side = (
        jnp.broadcast_to(jnp.array(d, jnp.float32), (7, 3)) for d in ((0, 1, 0), (1, 0, 0))
    )
    planes = jax.random.normal(KEY, (3, 8, 8, 4))
    points = jax.random.uniform(KEY, (7, 3))
    a, b = (
        field(decoder, params, planes)(points, front),
        field(decoder, params, planes)(points, side),
    )
    np.testing.assert_array_equal(a[0], b[0])
    assert not np.allclose(a[1], b[1])
    assert (a[0] >= 0).all() and (jnp.abs(a[1] - 0.5) <= 0.51).all()
