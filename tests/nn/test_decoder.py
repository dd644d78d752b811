"""The decoder: density knows no direction, colours stay in range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes
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


def test_products_are_of_pairs_of_planes_and_the_colour_is_linear_in_the_direction():
    decoder = Decoder(octaves=0, form="products")
    planes = jax.random.normal(KEY, (3, 8, 8, 4))
    points = jax.random.uniform(KEY, (7, 3), minval=-1)
    assert decoder.inputs(4) == 12 and Decoder().inputs(4) == 4
    only = [planes.at[np.delete(np.arange(3), k)].set(0) for k in range(3)]
    uv, wu, vw = (triplanes.sample(one, points) for one in only)
    features = decoder.look_up(planes, points)
    np.testing.assert_allclose(
        features, jnp.concatenate([uv * wu, wu * vw, vw * uv], -1), atol=1e-6
    )
    params = decoder.init(KEY, features, points)["params"]

    def colour(direction):
        """Before the sigmoid."""
        directions = jnp.broadcast_to(jnp.array(direction, jnp.float32), (7, 3))
        density, rgb = field(decoder, params, planes)(points, directions)
        return density, jax.scipy.special.logit((rgb + 0.01) / 1.02)

    (at_a, a), (at_b, b) = colour((0, 0.6, 0.8)), colour((0, 0.6, -0.8))
    np.testing.assert_array_equal(at_a, at_b)
    np.testing.assert_allclose(colour((0, 0.6, 0))[1], (a + b) / 2, atol=1e-4)
    assert np.abs(a - b).max() > 1e-2
    still = Decoder(octaves=0, form="products", view_dependent=False)
    assert still.init(KEY, features, points)["params"]["fc1"]["kernel"].shape == (12, 4)
    with pytest.raises(ValueError, match="neither"):
        Decoder(form="neither")
