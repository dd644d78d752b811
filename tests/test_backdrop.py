"""The picture behind the cube: where its texels are, and that it has no seam."""

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax import backdrop


def directions(longitude, z):
    across = jnp.sqrt(1 - z**2)
    return jnp.stack([across * jnp.cos(longitude), across * jnp.sin(longitude), z], -1)


def test_texels_are_found_at_their_centres():
    picture = jax.random.normal(jax.random.key(0), (4, 6, 3))
    row, column = np.mgrid[:4, :6]
    longitude = (column + 0.5) / 6 * 2 * np.pi
    seen = backdrop.look(picture, directions(longitude, (row + 0.5) / 2 - 1))
    np.testing.assert_allclose(seen, jax.nn.sigmoid(picture), atol=1e-5)


def test_it_is_continuous_all_round():
    picture = jax.random.normal(jax.random.key(1), (4, 6, 3))
    longitude = np.linspace(-np.pi, np.pi, 4001)
    for z in (-0.97, -0.6, 0.0, 0.3, 0.99):
        seen = backdrop.look(picture, directions(longitude, np.full_like(longitude, z)))
        assert np.isfinite(seen).all()
        assert np.abs(np.diff(seen, axis=0)).max() < 0.01
        np.testing.assert_allclose(seen[0], seen[-1], atol=1e-4)


def test_its_mean_over_the_sphere_is_that_of_its_texels():
    picture = jax.random.normal(jax.random.key(2), (8, 24, 3))
    everywhere = jax.random.normal(jax.random.key(3), (200_000, 3))
    everywhere /= jnp.linalg.norm(everywhere, axis=-1, keepdims=True)
    seen = backdrop.look(picture, everywhere)
    np.testing.assert_allclose(seen.mean(0), jax.nn.sigmoid(picture).mean((0, 1)), atol=0.05)


def test_a_new_one_is_grey():
    seen = backdrop.look(backdrop.start(), jnp.eye(3))
    np.testing.assert_array_equal(seen, 0.5)
