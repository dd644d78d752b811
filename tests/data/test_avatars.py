"""Synthetic avatars: the same seed, the same person; no holes."""

import jax.numpy as jnp
import numpy as np

from rodin_jax import cameras
from rodin_jax.data import avatars
from rodin_jax.data.avatars import distance, shape
from rodin_jax.data.avatars import spec as words


def test_specs_are_functions_of_seed_and_index():
    assert avatars.sample_spec(3, 5) == avatars.sample_spec(3, 5)
    people = {avatars.sample_spec(3, i) for i in range(50)}
    assert len(people) == 50
    assert avatars.sample_spec(4, 5) != avatars.sample_spec(3, 5)


def test_attributes_speak_the_vocabulary_and_all_of_it_occurs():
    seen = {}
    for i in range(600):
        for name, value in avatars.attributes(avatars.sample_spec(0, i)).items():
            seen.setdefault(name, set()).add(value)
    assert seen["hair_style"] == set(words.HAIR_STYLE)
    assert seen["hair_colour"] == set(words.HAIR_COLOUR)
    assert seen["facial_hair"] == set(words.FACIAL_HAIR)
    assert seen["expression"] == set(words.EXPRESSION)
    assert seen["glasses"] == set(words.GLASSES)
    assert seen["headwear"] == set(words.HEADWEAR)
    assert seen["clothing_colour"] == set(words.CLOTHING_COLOUR)


def test_every_avatar_fits_the_fixed_counts_and_the_cube():
    for i in range(40):
        sculpture = shape.sculpt(avatars.sample_spec(7, i))
        near = np.abs(sculpture.start) < 5
        assert np.abs(sculpture.start[near]).max() < 1.2


def test_pictures_are_deterministic_and_have_a_subject_with_clean_borders():
    spec = avatars.sample_spec(0, 1)
    first, second = (avatars.render(spec, avatars.front_camera(48), 48) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    alpha = first[0, ..., 3]
    assert 0.1 < (alpha == 255).mean() < 0.7
    assert (alpha[0] == 0).all() and (alpha[:, 0] == 0).all() and (alpha[:, -1] == 0).all()


def test_marching_meets_the_same_silhouette_as_dense_sampling():
    spec = avatars.sample_spec(0, 14)
    camera = cameras.orbit(np.array([25.0]), np.array([10.0]), 40, radius=3.0, fov=40.0)
    alpha = avatars.render(spec, camera, 40)[0, ..., 3] > 127
    rays = cameras.image_rays(camera, 40, 40)
    t = np.linspace(1.7, 4.3, 400)
    sculpture = avatars.sculpt(spec)
    points = np.asarray(
        rays.origins[0, ..., None, :] + t[:, None] * rays.directions[0, ..., None, :]
    )
    distances = [distance.solid(sculpture, jnp.asarray(row.reshape(-1, 3))) for row in points]
    # Half covered means passing within half a pixel.
    clearance = np.asarray(distances).reshape(-1, 400) - 0.5 * t / np.asarray(camera.focal)[0, 0]
    dense = clearance.min(-1) < 0
    assert (alpha.reshape(-1) == dense).mean() >= 0.985
