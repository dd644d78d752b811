"""Faces foretold of latents: the formula, and what comes with them."""

import jax
import jax.numpy as jnp
import numpy as np

from rodin_jax.nn.visage import Visage

NET = Visage(
    dim=3, size=16, top=2, left=4, height=5, width=6, rank=2, bumps=4, coordinates=2
)  # fmt: skip


def test_faces_are_those_of_the_formula():
    z = jax.random.normal(jax.random.key(0), (2, 3))
    shapes = jax.eval_shape(NET.init, jax.random.key(0), z)["params"]
    rng = np.random.default_rng(0)
    p = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape, np.float32)), shapes)
    faces, doubt = NET.apply({"params": p}, z)
    for one, face in zip(z, faces, strict=True):
        there = one @ p["measure"]
        alike = [np.exp(-np.square(there - centre).sum() / 2) for centre in p["centres"]]
        c = one @ p["slope"] + np.asarray(alike) @ p["heights"]
        np.testing.assert_allclose(face, p["mean"] + p["basis"] @ c, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(doubt, p["doubt"])


def test_untrained_ones_foretell_nothing():
    z = jnp.ones((1, 3))
    faces, doubt = NET.apply(NET.init(jax.random.key(0), z), z)
    assert faces.shape == (1, 5, 6, 4) and doubt.shape == (5, 6)
    assert not jnp.any(faces) and not jnp.any(doubt)
