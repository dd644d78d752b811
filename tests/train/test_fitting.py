"""Fitting: a known subject comes back, resizing matrices are exact, the joint stage learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import cameras, rendering, triplanes
from rodin_jax.data.capture import Capture
from rodin_jax.nn.decoder import Decoder
from rodin_jax.train import fitting
from rodin_jax.train.capture_fit import fit_capture
from rodin_jax.train.joint import fit_jointly

KEY = jax.random.key(0)
OPTIONS = fitting.FitOptions(rays=128, samples=8, empty_points=64, lowest=8, grid=16)


def two_tone_ball(points, directions):
    """Red to the subject's left, blue to its right."""
    inside = (points**2).sum(-1) < 0.5
    colour = jnp.where(points[..., :1] > 0, jnp.array([0.9, 0.2, 0.1]), jnp.array([0.1, 0.3, 0.9]))
    return 100.0 * inside, colour


@pytest.fixture(scope="module")
def capture():
    azimuth = np.arange(0, 360, 24.0)
    elevation = np.tile([-15.0, 10.0, 35.0], 5)
    camera = cameras.orbit(azimuth, elevation, 24, radius=3.0)
    draw = jax.jit(lambda c: rendering.render_image(two_tone_ball, c, 24, 24, samples=96))
    pictures = [draw(jax.tree.map(lambda x, i=i: x[i], camera)) for i in range(15)]
    images = np.stack([
        np.concatenate([np.asarray(p.rgb) / np.maximum(np.asarray(p.alpha)[..., None], 1e-3),
                        np.asarray(p.alpha)[..., None]], -1)
        for p in pictures
    ])  # fmt: skip
    images = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    splits = {"train": np.arange(12), "test": np.arange(12, 15)}
    return Capture(images, camera, splits)


def test_rescaling_matrices_do_what_resizing_does():
    planes = jax.random.normal(KEY, (3, 16, 16, 2))
    matrix = jnp.asarray(fitting.rescaling(16, 8, choices=1)[-1])
    by_matrix = jnp.einsum("ij,pjwc->piwc", matrix, planes)
    by_matrix = jnp.einsum("ij,phjc->phic", matrix, by_matrix)
    by_resize = triplanes.resize(triplanes.resize(planes, 8), 16)
    np.testing.assert_allclose(by_matrix, by_resize, atol=1e-5)
    np.testing.assert_array_equal(fitting.rescaling(16, 8)[0], np.eye(16))


def test_drawn_rays_carry_the_colours_of_their_pixels(capture):
    train = capture.splits["train"]
    scene = fitting.prepare(
        jnp.asarray(capture.images[train]),
        jax.tree.map(lambda x: x[train], capture.cameras),
        grid=16,
    )
    rays, rgba = fitting.draw_rays(scene, 64, KEY)
    seen = rendering.render_rays(two_tone_ball, rays, samples=96)
    np.testing.assert_allclose(seen.alpha, rgba[:, 3], atol=0.02)
    np.testing.assert_allclose(seen.rgb, np.asarray(rgba[:, :3] * rgba[:, 3:]), atol=0.03)


def test_a_capture_is_fitted_and_unseen_views_are_right(capture):
    fitted = fit_capture(capture, steps=100, seed=0)
    assert fitted.test_psnr > 22
    assert fitted.planes.shape == (3, 64, 64, 16)
    assert fitted.steps == 100


def test_a_transparent_capture_is_refused(capture):
    empty = Capture(np.zeros_like(capture.images), capture.cameras, capture.splits)
    with pytest.raises(ValueError, match="transparent"):
        fit_capture(empty, steps=20)


def test_joint_stage_then_frozen_decoder(capture):
    train = capture.splits["train"]
    camera = jax.tree.map(lambda x: x[train], capture.cameras)
    mirrored = capture.images[train][..., [2, 1, 0, 3]]  # the same ball in other colours
    scenes = [fitting.prepare(jnp.asarray(x), camera, grid=16)
              for x in (capture.images[train], mirrored)]  # fmt: skip
    decoder = Decoder(width=16, octaves=1)
    errors = []
    params, planes = fit_jointly(
        jax.tree.map(lambda *x: jnp.stack(x), *scenes), decoder, KEY, options=OPTIONS, size=16,
        channels=4, steps=60, group=2, report=lambda step, mse: errors.append(mse),
    )  # fmt: skip
    assert planes.shape == (2, 3, 16, 16, 4)
    assert np.mean(errors[-5:]) < 0.6 * np.mean(errors[:2])
    fitted, mse = jax.jit(
        lambda p, s, k: fitting.fit_planes(
            p, params, s, k, decoder=decoder, options=OPTIONS, steps=40
        )
    )(planes.mean(0), scenes[0], KEY)
    assert jnp.isfinite(fitted).all() and float(mse) < 0.5 * np.mean(errors[:2])
