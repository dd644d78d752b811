"""Meshes of made-up people lie on the surface that they are drawn from."""

import jax
import numpy as np

from rodin_jax import meshing
from rodin_jax.data import avatars

SHARP = 0.004  # world units within which matter becomes dense


def test_a_person_s_mesh_is_their_surface():
    measure = avatars.signed_distance(avatars.sample_spec(7, 0))

    def density(points):
        return 400 * jax.nn.sigmoid(-measure(points) / SHARP)

    def colour(points, _):
        return np.full(points.shape, 0.5, np.float32)

    mesh = meshing.extract(density, colour, resolution=64, level=200.0)
    # What closes the torso at the cube's faces is not the person's.
    own = (np.abs(mesh.vertices) < 0.97).all(1)
    points = mesh.vertices[own][::7]
    away = np.abs(np.asarray(measure(points)))
    assert away.mean() < 0.01 * 2 and np.quantile(away, 0.99) < 2 / 63
    slope = np.asarray(jax.grad(lambda p: measure(p).sum())(points))
    assert ((slope * mesh.normals[own][::7]).sum(-1) > 0).mean() > 0.97
    assert mesh.volume > 0
