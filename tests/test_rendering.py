"""Volume rendering against closed forms, slow loops, and itself with an occupancy grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import cameras, occupancy, rendering
from rodin_jax.types import Rays

KEY = jax.random.key(0)


def ball(radius=0.6, density=3.0, colour=(0.8, 0.4, 0.1)):
    def field(points, directions):
        inside = (points**2).sum(-1) < radius**2
        return density * inside, jnp.broadcast_to(jnp.array(colour), points.shape)

    return field


def toward_centre(count):
    origins = jax.random.normal(KEY, (count, 3))
    origins = 3 * origins / jnp.linalg.norm(origins, axis=-1, keepdims=True)
    return Rays(origins, -origins / 3)


def test_a_homogeneous_ball_absorbs_as_beer_and_lambert_say():
    field, rays = ball(), cameras.image_rays(cameras.orbit(20.0, 10.0, 9), 9, 9)
    picture = rendering.render_rays(field, rays, samples=2000)
    b = jnp.linalg.norm(jnp.cross(rays.origins, rays.directions), axis=-1)
    chord = 2 * jnp.sqrt(jnp.maximum(0.36 - b**2, 0))
    alpha = 1 - jnp.exp(-3.0 * chord)
    np.testing.assert_allclose(picture.alpha, alpha, atol=5e-3)
    np.testing.assert_allclose(picture.rgb, alpha[..., None] * np.array([0.8, 0.4, 0.1]), atol=5e-3)


def test_depth_of_an_opaque_ball():
    picture = rendering.render_rays(ball(density=500.0), toward_centre(8), samples=1500)
    np.testing.assert_allclose(picture.depth / picture.alpha, 2.4, atol=5e-3)


@pytest.mark.parametrize("direction", [(0, 1, 0), (0, -1, 0), (1, 0, 0)])
def test_rays_parallel_to_faces_have_finite_intervals(direction):
    direction = jnp.array([direction], jnp.float32)
    inside = Rays(-3 * direction + jnp.array([[0, 0, 0.5]]) * 1.0, direction)
    near, far = rendering.cube_interval(inside)
    np.testing.assert_allclose([near[0], far[0]], [2, 4], atol=1e-6)
    outside = Rays(-3 * direction + jnp.array([[0, 0, 1.5]]), direction)
    near, far = rendering.cube_interval(outside)
    assert near[0] == far[0]


def test_distortion_equals_the_double_sum():
    weights = np.asarray(jax.random.uniform(KEY, (3, 7)))
    t = np.sort(np.asarray(jax.random.uniform(jax.random.key(1), (3, 7))), -1)
    delta = np.asarray(jax.random.uniform(jax.random.key(2), (3, 7)))
    slow = (weights[:, :, None] * weights[:, None] * np.abs(t[:, :, None] - t[:, None])).sum((1, 2))
    slow += (weights**2 * delta).sum(-1) / 3
    np.testing.assert_allclose(
        rendering.distortion(*map(jnp.asarray, (weights, t, delta))), slow, rtol=1e-5
    )


def test_an_occupancy_grid_changes_nothing_but_the_work():
    field = ball(density=40.0)
    grid = occupancy.survey(lambda p: field(p, p)[0], 32)
    camera = cameras.orbit(30.0, 15.0, 24)
    dense = rendering.render_image(field, camera, 24, 24, samples=512)
    guided = occupancy.render_view(field, grid, camera, 24, 24, samples=48, chunk=100)
    assert grid.occupied.mean() < 0.25
    np.testing.assert_allclose(guided.alpha, dense.alpha, atol=0.12)
    assert jnp.abs(guided.rgb - dense.rgb).mean() < 4e-3


def test_a_split_pixel_shows_the_mean_of_its_parts():
    field = ball(density=40.0)
    grid = occupancy.survey(lambda p: field(p, p)[0], 32)
    fine = occupancy.render_view(field, grid, cameras.orbit(30.0, 15.0, 36), 36, 36, samples=24)
    found = occupancy.render_view(
        field, grid, cameras.orbit(30.0, 15.0, 12), 12, 12, samples=24, split=3
    )
    for name in ("rgb", "alpha", "depth"):
        wanted = getattr(fine, name).reshape(12, 3, 12, 3, -1).mean((1, 3))
        np.testing.assert_allclose(getattr(found, name).reshape(12, 12, -1), wanted, atol=1e-4)


def test_placed_samples_stand_for_the_occupied_length():
    grid = occupancy.occupancy_of(occupancy.cell_centres(20)[..., 0] > 0)
    np.testing.assert_array_equal(grid.box, [[0, -1, -1], [1, 1, 1]])
    rays = Rays(
        jnp.array([[-3.0, 0.1, 0.1], [0.5, 0.1, -3.0]]), jnp.array([[1.0, 0, 0], [0, 0, 1]])
    )
    t, delta = occupancy.place_samples(grid, rays, samples=10, candidates=100, key=KEY)
    np.testing.assert_allclose(delta.sum(-1), [1.0, 2.0], atol=0.03)
    assert (t[0] >= 3.0 - 1e-3).all() and (jnp.diff(t) > 0).all()


def test_a_survey_within_some_cells_is_the_whole_one_there():
    def density(points):
        return 9.0 * ((points - 0.2) ** 2).sum(-1)

    within = jax.random.bernoulli(KEY, 0.3, (12, 12, 12))
    whole = occupancy.survey(density, 12, chunk=500)
    part = occupancy.survey(density, 12, within=within, chunk=100)
    np.testing.assert_array_equal(part.occupied, whole.occupied & within)
    inner = np.asarray(within) & (np.asarray(whole.density) == np.asarray(part.density))
    # A cell's density is the least around it: without a neighbour nothing is known, so nothing
    # stops rays there.
    assert (part.density <= whole.density).all() and inner.sum() < within.sum()
    values = density(occupancy.cell_centres(12))
    padded = np.pad(values, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3))
    np.testing.assert_allclose(whole.density, windows.min((3, 4, 5)), rtol=1e-5)


def test_a_close_survey_is_that_of_all_cells():
    """For matter that the larger cells do not miss."""
    solid = ball(density=40.0)
    close, whole = (
        survey(lambda p: solid(p, p)[0], 32)
        for survey in (occupancy.survey_closely, occupancy.survey)
    )
    np.testing.assert_array_equal(close.density, whole.density)
    np.testing.assert_array_equal(close.box, whole.box)


def test_dilation_reaches_all_26_neighbours():
    one = jnp.zeros((6, 6, 6), bool).at[0, 3, 5].set(True)
    grown = np.zeros((6, 6, 6), bool)
    grown[0:2, 2:5, 4:6] = True
    np.testing.assert_array_equal(occupancy.dilate(one), grown)


def test_a_hull_never_cuts_the_subject():
    camera = cameras.orbit(np.arange(0, 360, 30.0), np.tile([-20.0, 25.0], 6), 32, radius=3.0)
    alpha = jnp.stack([
        rendering.render_image(ball(density=200.0), jax.tree.map(lambda x, i=i: x[i], camera),
                               32, 32, samples=128).alpha
        for i in range(12)
    ])  # fmt: skip
    hull = occupancy.visual_hull(camera, jnp.where(alpha > 0.5, alpha, 0), 24)
    inside = (occupancy.cell_centres(24) ** 2).sum(-1) < 0.36
    assert (hull | ~inside).all()
    assert hull.mean() < 0.45
