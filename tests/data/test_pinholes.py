"""Pinholes in NumPy see what `rodin_jax.cameras` says they see."""

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax import cameras
from rodin_jax.data.captures import pinholes

CAMERAS = cameras.orbit(jnp.array([10.0, 130.0, 250.0]), jnp.array([0.0, 40.0, -25.0]), 64)


def test_projection_and_rays_agree_with_those_in_jax():
    arrays = pinholes.as_arrays(CAMERAS)
    places, depth = pinholes.project(*arrays, pinholes.CORNERS)
    directions = pinholes.rays(*arrays, places[1])
    for i in range(3):
        one = jax.tree.map(lambda x, i=i: x[i], CAMERAS)
        wanted = cameras.project(one, jnp.asarray(pinholes.CORNERS, jnp.float32))
        np.testing.assert_allclose(places[i], wanted, atol=1e-3)
        wanted = cameras.pixel_rays(one, jnp.asarray(places[1], jnp.float32)).directions
        unit = directions[i] / np.linalg.norm(directions[i], axis=-1, keepdims=True)
        np.testing.assert_allclose(unit, wanted, atol=1e-5)
    # One camera at a time gives the same, and rays lead back to the points.
    alone, _ = pinholes.project(*(x[1] for x in arrays), pinholes.CORNERS)
    np.testing.assert_allclose(alone, places[1], atol=1e-9)
    back = arrays[0][1, :3, 3] + directions[1] * depth[1][:, None]
    np.testing.assert_allclose(back, pinholes.CORNERS, atol=1e-5)


def test_points_behind_a_camera_have_no_place():
    arrays = pinholes.as_arrays(CAMERAS)
    behind = 2 * arrays[0][:1, :3, 3]
    places, depth = pinholes.project(*(x[0] for x in arrays), behind)
    assert np.isnan(places).all() and (depth < 0).all()
