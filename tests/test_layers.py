"""Depth and normals of solids against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax import cameras, layers, occupancy, rendering
from rodin_jax.types import Rays

RADIUS = 0.6


def fog(density):
    """A homogeneous ball."""

    def field(points, directions):
        inside = (points**2).sum(-1) < RADIUS**2
        return density * inside, jnp.broadcast_to(jnp.array([0.8, 0.4, 0.1]), points.shape)

    return field


def soft(points):
    """A ball that is e times as dense every 1/30 further in; 10 at the surface."""
    return 10.0 * jnp.exp(30.0 * (RADIUS - jnp.linalg.norm(points, axis=-1)))


def through(offset):
    """Rays along y that pass the centre at these distances."""
    count = len(offset)
    origins = jnp.stack([jnp.asarray(offset), jnp.full(count, -3.0), jnp.zeros(count)], axis=-1)
    return Rays(origins, jnp.tile(jnp.array([0.0, 1.0, 0.0]), (count, 1)))


def test_half_of_the_light_is_gone_after_log_two_over_density():
    rays = through([0.0, 0.2, 0.4, 0.59, 0.7])
    near, far = rendering.cube_interval(rays)
    t = near[:, None] + (jnp.arange(400) + 0.5) / 400 * (far - near)[:, None]
    delta = jnp.broadcast_to(((far - near) / 400)[:, None], t.shape)
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    weights = rendering.sample_weights(fog(2.0)(points, points)[0], delta)
    half_chord = np.sqrt(np.maximum(RADIUS**2 - np.array([0.0, 0.2, 0.4, 0.59, 0.7]) ** 2, 0))
    expected = np.where(2 * half_chord * 2.0 > np.log(2), 3 - half_chord + np.log(2) / 2, np.inf)
    assert np.isinf(expected[-2:]).all() and np.isfinite(expected[:-2]).all()
    np.testing.assert_allclose(layers.median_depth(weights, t, delta), expected, atol=0.006)


def test_depth_is_exact_inside_a_sample():
    """Optical depths 0.5 and 1 in lengths of 1: the half is log(2) - 0.5 into the second."""
    weights = rendering.sample_weights(jnp.array([[0.5, 1.0]]), jnp.ones((1, 2)))
    found = layers.median_depth(weights, jnp.array([[0.5, 1.5]]), jnp.ones((1, 2)))
    np.testing.assert_allclose(found, 1.0 + (np.log(2) - 0.5), rtol=1e-5)


def test_walls_are_met_at_their_front():
    weights = rendering.sample_weights(jnp.array([[0.0, 1e6, 1e6]]), jnp.ones((1, 3)))
    found = layers.median_depth(weights, jnp.array([[0.5, 1.5, 2.5]]), jnp.ones((1, 3)))
    np.testing.assert_allclose(found, 1.0, atol=0.06)


def test_normals_of_a_ball_are_its_radii():
    outward = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    toward = np.float32([0, 1, 0])
    directions = np.broadcast_to(toward, outward.shape)
    points, directions = jnp.asarray(RADIUS * outward), jnp.asarray(directions)
    found = layers.surface_normals(soft, points, directions, step=1 / 64)
    front = outward @ toward < 0
    np.testing.assert_allclose(found[front], outward[front], atol=0.01)
    # Those of the far side are mirrored, so that they face the camera as well.
    mirrored = outward - 2 * (outward @ toward)[:, None] * toward
    np.testing.assert_allclose(found[~front], mirrored[~front], atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_where_nothing_changes_normals_face_the_camera():
    found = layers.surface_normals(
        lambda p: jnp.ones(p.shape[:-1]), jnp.zeros((1, 3)), jnp.array([[0.0, 0, 1]]), step=0.1
    )
    np.testing.assert_array_equal(found, [[0, 0, -1]])


def test_a_whole_view_is_that_of_render_view_with_its_surface():
    def field(points, directions):
        return soft(points), (points + 1) / 2

    grid = occupancy.survey(soft, 32)
    camera = cameras.orbit(30.0, 15.0, 24)
    make = jax.jit(
        lambda camera: layers.render_layers(
            field, soft, grid, camera, 24, 24, step=1 / 64, samples=24, chunk=100
        )
    )
    picture, depth, normals = make(camera)
    plain = occupancy.render_view(field, grid, camera, 24, 24, samples=24, chunk=100)
    for a, b in zip(jax.tree.leaves(picture), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    rays = cameras.image_rays(camera, 24, 24)
    along = (rays.origins * rays.directions).sum(-1)
    across = (rays.origins**2).sum(-1) - along**2
    middle = across < 0.7 * RADIUS**2
    # A ray that falls on the sphere under this cosine has met an optical depth of
    # 10 / 30 e^(30 x) / cosine when it is x below the surface; log 2 takes half of the light.
    cosine = jnp.sqrt(jnp.maximum(1 - across / RADIUS**2, 0.3))
    radius = RADIUS - jnp.log(3 * jnp.log(2) * cosine) / 30
    expected = -along - jnp.sqrt(jnp.maximum(radius**2 - across, 0))
    assert jnp.abs(depth - expected)[middle].max() < 0.004
    points = rays.origins + expected[..., None] * rays.directions
    cosine = (normals * points).sum(-1) / radius
    assert np.degrees(np.arccos(np.clip(cosine[middle], -1, 1))).max() < 2
    assert (jnp.isinf(depth) == (normals == 0).all(-1)).all() and jnp.isinf(depth[0, 0])
