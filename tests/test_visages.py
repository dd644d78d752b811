"""Faces that latents foretell, in avatars: they appear, and edits change them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_bundle

from rodin_jax import assembly, likeness, visages
from rodin_jax.pipeline import RodinPipeline
from rodin_jax.portrait import Portrait

KEYS = jax.random.key(1)[None]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    runs = tiny_bundle.exports(folder / "runs")
    runs.append(tiny_bundle.eigenplanes_export(folder / "eigenplanes"))
    runs.append(tiny_bundle.visage_export(folder / "visage"))
    options = tiny_bundle.SAMPLING | {"face_steps": 40, "touch_steps": 120}
    return RodinPipeline(
        assembly.assemble(runs, folder / "bundle", preset="smoke", sampling=options)
    )


@pytest.fixture(scope="module")
def visage(pipeline):
    part = pipeline.bundle.parts["visage"]
    return part.module, part.params


def off(pipeline, planes, face: Portrait) -> float:
    """Weighted mean squared error of colour and coverage."""
    rays = jax.tree.map(lambda x: x[face.places[0]], likeness.front_rays(face.size))
    looks = pipeline.looks
    seen = looks.draw(planes, looks.survey(planes), rays, jax.random.key(5), 48)
    colour = (seen.rgb + 1 - seen.alpha[:, None] - face.rgb[0]) ** 2
    errors = colour.mean(-1) + (seen.alpha - face.alpha[0]) ** 2
    return float((errors * face.weight[0]).mean())


def test_portraits_are_windows_of_the_front_and_count_by_their_certainty(visage):
    net, params = visage
    z = jnp.linspace(-1, 1, 2 * tiny_bundle.DIM).reshape(2, -1)
    face = visages.expected(net, params, z)
    told, doubt = net.apply({"params": params}, z)
    whole = np.zeros((2, net.size, net.size, 4), np.float32)
    whole[:, 6:22, 8:24] = np.clip(told, 0, 1)
    flat = whole.reshape(2, -1, 4)
    for i in range(2):
        np.testing.assert_array_equal(flat[i][face.places[i]], jnp.c_[face.rgb[i], face.alpha[i]])
    np.testing.assert_allclose(face.weight.mean(-1), 1, rtol=1e-5)
    order = np.argsort(doubt.ravel())
    assert (np.diff(face.weight[0][order]) <= 0).all() and face.weight.max() < 5


def test_avatars_have_the_faces_that_their_latents_foretell(pipeline, visage):
    z = pipeline.latent(seed=3)
    blind = pipeline.planes(z, [((3, 1.0),)], look=False)[0]
    face = visages.expected(*visage, z)
    seen = pipeline.generate(seed=3)[0].planes
    assert off(pipeline, seen, face) < 0.8 * off(pipeline, blind, face)


def test_edits_change_the_face_that_there_is(pipeline, visage):
    planes = pipeline.generate(seed=4)[0].planes
    z, none = jnp.ones((1, tiny_bundle.DIM)), jnp.zeros((1, tiny_bundle.DIM))
    same = visages.altered(*visage, pipeline.looks, planes[None], z, none, KEYS)
    assert off(pipeline, planes, same) < 1e-3
    delta = 0.5 * jax.random.normal(KEYS[0], z.shape)
    other = visages.altered(*visage, pipeline.looks, planes[None], z, delta, KEYS)
    told = [visages.expected(*visage, x).rgb for x in (z, z + delta)]
    inside = (other.rgb > 0.01) & (other.rgb < 0.99)  # the rest is clipped
    for x in told:
        inside &= (x > 0.01) & (x < 0.99)
    change = (other.rgb - same.rgb)[inside]
    np.testing.assert_allclose(change, (told[1] - told[0])[inside], atol=1e-4)


def test_bundles_need_not_correct_faces(pipeline):
    quiet = dataclasses.replace(pipeline.bundle.sampling, face_steps=0, touch_steps=0)
    silent = RodinPipeline(dataclasses.replace(pipeline.bundle, sampling=quiet))
    assert silent.looks is None
    z, noise = silent.latent(seed=1), [((1, 1.0),)]
    np.testing.assert_array_equal(silent.planes(z, noise), silent.planes(z, noise, look=False))
