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
    mean = params["mean"].at[..., 3].set(1.0).at[:4, ..., 3].set(0.0).at[4:6, ..., 3].set(0.5)
    known = params | {"mean": mean, "basis": params["basis"].at[..., 3, :].set(0.0)}
    face = visages.expected(net, known, z)
    told, doubt = net.apply({"params": known}, z)
    whole = np.ones((2, net.size, net.size, 3), np.float32)
    whole[:, 12:22, 8:24] = np.clip(told[:, 6:, ..., :3], 0, 1)
    rgb, alpha, weight = (x.reshape(2, 16, 16, -1) for x in (face.rgb, face.alpha, face.weight))
    for i in range(2):
        np.testing.assert_array_equal(whole[i].reshape(-1, 3)[face.places[i]], face.rgb[i])
    # White where nobody is; where that is open nothing is asked.
    assert (rgb[:, :4] == 1).all() and not alpha[:, :4].any() and alpha[:, 6:].all()
    assert not weight[:, 4:6].any()
    np.testing.assert_allclose(face.weight.mean(-1), 1, rtol=1e-5)
    asked = np.r_[0:4, 6:16]
    order = np.argsort(doubt[asked].ravel())
    assert (np.diff(weight[0, asked].ravel()[order]) <= 0).all()


def test_avatars_have_the_faces_that_their_latents_foretell(pipeline, visage):
    z = pipeline.latent(seed=3)
    blind = pipeline.planes(z, [((3, 1.0),)], look=False)[0]
    face = visages.expected(*visage, z)
    seen = pipeline.generate(seed=3)[0].planes
    assert off(pipeline, seen, face) < 0.8 * off(pipeline, blind, face)


def test_faces_turn_by_shares_and_never_beyond_black_or_white():
    for now in (0.0, 0.2, 0.4, 0.9):
        for after in (0.1, 0.4, 0.7):
            turned = visages.turned(jnp.float32(now), jnp.float32(0.4), jnp.float32(after))
            wanted = now * after / 0.4 if after < 0.4 else 1 - (1 - now) * (1 - after) / 0.6
            np.testing.assert_allclose(turned, wanted, atol=1e-6)
            assert 0 <= turned <= 1


def test_edits_change_the_face_that_there_is(pipeline, visage):
    net, params = visage
    planes = pipeline.generate(seed=4)[0].planes
    z, none = jnp.full((1, tiny_bundle.DIM), 0.1), jnp.zeros((1, tiny_bundle.DIM))
    same = visages.altered(*visage, pipeline.looks, planes[None], z, none, KEYS)
    assert off(pipeline, planes, same) < 0.01
    delta = 0.4 * jax.random.normal(KEYS[0], z.shape)
    other = visages.altered(*visage, pipeline.looks, planes[None], z, delta, KEYS)
    told = [net.apply({"params": params}, x)[0].reshape(-1, 4) for x in (z, z + delta)]
    asked = (same.weight[0] > 0) & (other.weight[0] > 0) & (same.alpha[0] == 1)
    assert asked.sum() > 20
    wanted = visages.turned(same.rgb[0], *(x[:, :3] for x in told))
    np.testing.assert_allclose(other.rgb[0][asked], wanted[asked], atol=1e-4)
    assert jnp.abs(other.rgb[0] - same.rgb[0])[asked].max() > 0.05


def test_bundles_need_not_correct_faces(pipeline):
    quiet = dataclasses.replace(pipeline.bundle.sampling, face_steps=0, touch_steps=0)
    silent = RodinPipeline(dataclasses.replace(pipeline.bundle, sampling=quiet))
    assert silent.looks is None
    z, noise = silent.latent(seed=1), [((1, 1.0),)]
    np.testing.assert_array_equal(silent.planes(z, noise), silent.planes(z, noise, look=False))
