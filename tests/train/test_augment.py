import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.train import augment as lib
from rodin_jax.train.augment import Augmentation, mirror_some

augment = jax.jit(lib.augment, static_argnums=(1, 3))

STILL = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def pictures(batch=6, size=24):
    """Opaque, smooth, different left and right."""
    y, x = jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij")
    rgb = jnp.stack([8 * x, 5 * y, 100 + 0 * x], -1)
    image = jnp.concatenate([rgb, jnp.full((size, size, 1), 255)], -1).astype(jnp.uint8)
    return jnp.broadcast_to(image, (batch, size, size, 4))


def test_without_options_it_resizes():
    out = augment(pictures(), 12, jax.random.key(0), STILL)
    plain = jax.image.resize(pictures()[..., :3] / 255, (6, 12, 12, 3), "linear")
    inner = (slice(1, -1), slice(1, -1))  # a Gaussian continues borders, a triangle is cut there
    for got, expected in zip(out, plain, strict=True):
        np.testing.assert_allclose(got[inner], expected[inner], atol=5e-3)


def test_half_of_the_pictures_are_mirrored():
    images = pictures(32)
    out = mirror_some(images, jax.random.key(0))
    as_they_were = (out == images).all((1, 2, 3))
    assert ((out == images[:, :, ::-1]).all((1, 2, 3)) == ~as_they_were).all()
    assert 4 < as_they_were.sum() < 28


def test_colours_change_little_and_places_within_bounds():
    options = Augmentation(background=0.0)
    out = np.asarray(augment(pictures(64), 12, jax.random.key(1), options))
    blue = out[..., 2] * 255 / 100  # constant in the source
    assert abs(blue - 1).max() <= options.brightness + options.tint + 1e-3
    assert blue.std() > 0.01
    still = dataclasses.replace(STILL, shift=0.1)
    moved = np.asarray(augment(pictures(64), 12, jax.random.key(2), still))
    rows = moved[:, 6, 6, 1] * 255 / 5  # which source row is seen at the middle
    assert abs(rows - 12.5).max() <= 0.1 * 24 + 0.1 and rows.std() > 0.5


def test_background_replaces_only_what_is_empty():
    half = pictures(32).at[:, :12].set(0)  # transparent above
    options = dataclasses.replace(STILL, background=0.5)
    out = np.asarray(augment(half, 24, jax.random.key(3), options))
    white = abs(out[:, 0] - 1).max(axis=(1, 2)) < 1e-3
    assert 4 < white.sum() < 28
    np.testing.assert_allclose(out[:, -2, :, 2], 100 / 255, atol=0.01)


def test_key_decides():
    key = jax.random.key(4)
    first, again = (augment(pictures(), 12, key, Augmentation()) for _ in range(2))
    np.testing.assert_array_equal(first, again)
