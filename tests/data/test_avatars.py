"""Synthetic avatars: the same seed, the same person; no holes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax import cameras
from rodin_jax.data import avatars
from rodin_jax.data.avatars import distance
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
    for name, values in seen.items():
        assert values == set(getattr(words, name.upper())), name


def test_there_are_more_than_a_billion_of_them():
    tables = (
        words.AGE, words.PRESENTATION, words.SKIN, words.HAIR_STYLE, words.HAIR_COLOUR,
        words.EYE_COLOUR, words.EYE_SHAPE, words.NOSE, words.EXPRESSION, words.GLASSES,
        words.HEADWEAR, words.EARRINGS, words.CLOTHING, words.CLOTHING_COLOUR,
    )  # fmt: skip
    assert np.prod([len(table) for table in tables], dtype=float) > 1e9
    assert sorted(sum(words.SKIN_GROUP.values(), ())) == sorted(words.SKIN)


def test_a_bearded_man_with_curly_hair_in_a_black_leather_jacket_is_one_of_them():
    wanted = {"facial_hair": "beard", "hair_style": "curly", "clothing": "leather jacket",
              "clothing_colour": "black", "presentation": "man"}  # fmt: skip
    people = (avatars.attributes(avatars.sample_spec(0, i)) for i in range(4000))
    assert any(wanted.items() <= person.items() for person in people)


def test_the_old_are_grey_and_children_wear_no_beards():
    people = [avatars.sample_spec(1, i) for i in range(800)]
    grey = {"grey", "white"}
    share = {
        age: np.mean([p.hair_colour in grey for p in people if p.age == age]) for age in words.AGE
    }
    assert share["old"] > 0.3 > share["adult"] > share["child"] == 0
    assert all(p.facial_hair == "none" for p in people if p.age == "child")


def test_every_avatar_fits_the_fixed_counts_and_the_box():
    low, high = np.array(distance.LOW) - 0.01, np.array(distance.HIGH) + 0.01
    for i in range(60):
        rods = np.asarray(avatars.sculpt(avatars.sample_spec(7, i)).rod)
        rods = rods[rods[:, 2] < 5]
        ends = np.concatenate([rods[:, :3], rods[:, :3] + rods[:, 3:6]])
        # What is below the floor is cut away.
        ends = ends[ends[:, 2] > -0.96]
        assert (ends > low).all() and (ends < high).all()


def test_the_primitives_near_a_point_are_all_that_matter_there():
    points = jnp.asarray(np.random.default_rng(0).uniform(-0.7, 0.9, (4000, 3)), jnp.float32)
    for i in (3, 8, 21):
        sculpture = avatars.sculpt(avatars.sample_spec(0, i))
        grid = jax.jit(distance.tabulate)(sculpture)
        exact = avatars.signed_distance(avatars.sample_spec(0, i))(points)
        near = jnp.abs(exact) < 0.02
        some = distance.nearby(sculpture, points, distance.primitives_near(grid, points))
        quick = distance.union(sculpture, some, points)
        assert near.sum() > 50
        np.testing.assert_allclose(quick[near], exact[near], atol=1e-4)
        assert jnp.abs(distance.look_up(grid, points) - exact)[near].mean() < 1e-3


def test_no_step_as_long_as_the_distance_crosses_the_surface():
    """What sphere tracing needs: distances may be too short, never too long."""
    rng = np.random.default_rng(1)
    for index in (4, 14):
        measure = avatars.signed_distance(avatars.sample_spec(0, index))
        points = rng.uniform(-0.9, 0.9, (5000, 3)).astype(np.float32)
        distance_there = np.asarray(measure(points))
        outside = distance_there > 0
        points, reach = points[outside], 0.9 * distance_there[outside]
        directions = rng.standard_normal(points.shape)
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        for share in (0.5, 1.0):
            there = measure((points + share * reach[:, None] * directions).astype(np.float32))
            assert np.asarray(there).min() > -0.003


def test_normals_are_the_gradient_of_the_distance():
    spec = avatars.sample_spec(0, 6)
    layers = avatars.render_layers(spec, avatars.front_camera(48), 48)
    rays = cameras.image_rays(avatars.front_camera(48), 48, 48)
    seen = np.asarray(layers.parts[0] >= 0) & (np.asarray(layers.rgba[0, ..., 3]) == 255)
    points = rays.origins[0] + layers.depth[0][..., None] * rays.directions[0]
    points, normals = points[seen], np.asarray(layers.normals[0])[seen]
    measure = avatars.signed_distance(spec)
    assert np.quantile(np.abs(measure(points)), 0.95) < 0.01
    slope = jax.grad(lambda p: measure(p).sum())(points)
    agreement = (normals * np.asarray(slope)).sum(-1) / np.linalg.norm(slope, axis=-1)
    assert np.median(agreement) > 0.999 and (agreement > 0.9).mean() > 0.85
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=1e-4)


def test_part_labels_name_what_is_there():
    plain = next(
        s
        for s in (avatars.sample_spec(0, i) for i in range(500))
        if s.glasses == "square" and s.headwear == "cap"
    )
    parts = np.asarray(avatars.render_layers(plain, avatars.front_camera(48), 48).parts)
    seen = {avatars.PART_NAMES[i] for i in np.unique(parts[parts >= 0])}
    assert {"skin", "eye", "glasses", "hat"} <= seen
    bare = dataclasses.replace(plain, glasses="none", headwear="none", earrings="none")
    parts = np.asarray(avatars.render_layers(bare, avatars.front_camera(48), 48).parts)
    seen = {avatars.PART_NAMES[i] for i in np.unique(parts[parts >= 0])}
    assert not {"glasses", "hat", "jewel"} & seen


def test_pictures_are_deterministic_and_have_a_subject_with_clean_borders():
    spec = avatars.sample_spec(0, 1)
    first, second = (avatars.render(spec, avatars.front_camera(48), 48) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    alpha = first[0, ..., 3]
    assert 0.1 < (alpha == 255).mean() < 0.7
    assert (alpha[0] == 0).all() and (alpha[:, 0] == 0).all() and (alpha[:, -1] == 0).all()


def test_a_view_does_not_depend_on_the_views_beside_it():
    spec, together = avatars.sample_spec(0, 2), avatars.training_cameras(0, 2, 3, 48)
    alone = jax.tree.map(lambda x: x[1:2], together)
    np.testing.assert_array_equal(
        avatars.render(spec, together, 48)[1], avatars.render(spec, alone, 48)[0]
    )


def test_alpha_agrees_with_a_dense_reference():
    """Sphere tracing of the exact distance with tiny steps, through the middle of each pixel."""
    size, spec = 80, avatars.sample_spec(0, 14)
    camera = cameras.orbit(np.array([25.0]), np.array([10.0]), size, radius=3.0, fov=40.0)
    alpha = avatars.render(spec, camera, size)[0, ..., 3].reshape(-1) > 127
    sculpture = avatars.sculpt(spec)
    rays = jax.tree.map(lambda x: x.reshape(-1, 3), cameras.image_rays(camera, size, size))

    def march(origin, direction):
        def body(_, state):
            t, least = state
            d = distance.solid(sculpture, origin + t[:, None] * direction)
            return jnp.minimum(t + jnp.maximum(0.8 * d, 0.006), 4.3), jnp.minimum(least, d)

        start = jnp.full(len(origin), 2.0)
        return jax.lax.fori_loop(0, 60, body, (start, jnp.full(len(origin), jnp.inf)))[1]

    chunks = [
        jax.jit(march)(rays.origins[i : i + 1600], rays.directions[i : i + 1600]) < 0
        for i in range(0, size * size, 1600)
    ]
    assert (alpha == np.concatenate(chunks)).mean() >= 0.995
