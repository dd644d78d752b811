"""The decoder: density knows no direction, colours stay in range."""

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.nn.decoder import Decoder, field

KEY = jax.random.key(0)


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
