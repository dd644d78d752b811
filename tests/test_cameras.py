"""Cameras: rays and projection are inverse; the orbit stands where the convention says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import cameras


def test_rays_through_a_pixel_project_back_to_it():
    camera = cameras.orbit(37.0, -12.0, 33, radius=2.7, fov=50.0)
    rays = cameras.image_rays(camera, 33, 33)
    points = rays.origins + 2.2 * rays.directions
    xy = cameras.project(camera, points)
    y, x = np.meshgrid(np.arange(33) + 0.5, np.arange(33) + 0.5, indexing="ij")
    np.testing.assert_allclose(xy, np.stack([x, y], -1), atol=2e-3)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [(0, 0, (0, -3, 0)), (90, 0, (3, 0, 0)), (180, 0, (0, 3, 0)), (0, 90 - 1e-3, (0, 0, 3))],
)
def test_orbit_positions(azimuth, elevation, expected):
    camera = cameras.orbit(azimuth, elevation, 16, radius=3.0)
    np.testing.assert_allclose(camera.pose[:3, 3], expected, atol=1e-3)


def test_the_front_camera_sees_the_subjects_left_on_its_right_and_up_above():
    camera = cameras.orbit(0.0, 0.0, 100)
    left, top = cameras.project(camera, jnp.array([[0.5, 0, 0], [0, 0, 0.5]]))
    assert left[0] > 50 + 10 and abs(left[1] - 50) < 1e-3
    assert top[1] < 50 - 10 and abs(top[0] - 50) < 1e-3


def test_poses_are_rotations_and_batches_broadcast():
    camera = cameras.orbit(np.array([10.0, 200.0]), 20.0, 8)
    rotation = np.asarray(camera.pose[:, :3, :3])
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-5
    )
    assert np.linalg.det(rotation).min() > 0.99
    rays = cameras.image_rays(camera, 8, 6)
    assert rays.directions.shape == (2, 8, 6, 3)
    first = cameras.image_rays(jax.tree.map(lambda x: x[0], camera), 8, 6)
    np.testing.assert_allclose(rays.directions[0], first.directions, atol=1e-6)
