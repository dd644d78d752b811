"""Fitting: a known subject comes back, resizing matrices are exact, the joint stage learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import backdrop, cameras, rendering, triplanes
from rodin_jax.data.capture import Capture
from rodin_jax.nn import decoder
from rodin_jax.nn.decoder import Decoder
from rodin_jax.train import capture_fit, fitting, shelf
from rodin_jax.train.capture_fit import fit_capture
from rodin_jax.train.joint import fit_jointly, levels
from rodin_jax.train.scene import draw_rays, prepare

KEY = jax.random.key(0)
DECODER = Decoder(width=16, octaves=1)
QUICK = dataclasses.replace(capture_fit.OPTIONS, grid=24, rays=256, empty_points=64)
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
    np.testing.assert_array_equal(fitting.rescale(planes, None, KEY), planes)
    assert fitting.rescaling(16, 16) is None


def test_half_of_the_steps_are_rescaled():
    planes = jax.random.normal(KEY, (3, 16, 16, 2))
    matrices = fitting.rescaling(16, 8, choices=1)

    def scaled(key, turn=None):
        return fitting.rescale(planes, matrices, key, turn)

    small = triplanes.resize(triplanes.resize(planes, 8), 16)
    np.testing.assert_allclose(scaled(KEY, jnp.array(True)), small, atol=1e-5)
    np.testing.assert_array_equal(scaled(KEY, jnp.array(False)), planes)
    drawn = jax.vmap(scaled)(jax.random.split(KEY, 32))
    assert 4 < int((drawn == planes).all((1, 2, 3, 4)).sum()) < 28


@pytest.fixture(scope="module")
def scene(capture):
    train = capture.splits["train"]
    camera = jax.tree.map(lambda x: x[train], capture.cameras)
    return prepare(jnp.asarray(capture.images[train]), camera, grid=16)


@pytest.mark.parametrize(("edges", "split"), [(0.0, 1), (0.75, 1), (0.75, 4)])
def test_drawn_rays_carry_the_colours_of_their_pixels(scene, edges, split):
    drawn = draw_rays(scene, 256, KEY, edges, split)
    assert drawn.rays.origins.shape == (256, 3)
    seen = rendering.render_rays(two_tone_ball, drawn.rays, samples=96)
    alpha, colour = np.asarray(drawn.colour[:, 3]), np.asarray(drawn.colour[:, :3])
    if split == 1:
        np.testing.assert_allclose(seen.alpha, alpha, atol=0.02)
        np.testing.assert_allclose(seen.rgb, colour * alpha[:, None], atol=0.03)
        return
    # Pictures were drawn by rays through pixels' middles: areas agree but for what edges cut.
    is_area = np.bincount(drawn.of) == split**2
    assert is_area.sum() == 12 and (~is_area).sum() == 64
    away = np.abs(drawn.per_pixel(seen.alpha) - alpha)
    assert away[~is_area].max() < 0.02
    assert away[is_area].max() > 0.02 and away[is_area].mean() < 0.3


def test_the_rays_of_an_area_are_spread_over_its_pixel(scene):
    drawn = draw_rays(scene, 104, KEY, 0.5, 2)
    plain = draw_rays(scene, 65, KEY, 0.2)  # the same 13 on edges and 52 others
    np.testing.assert_array_equal(drawn.colour, plain.colour)
    np.testing.assert_allclose(drawn.weight, plain.weight)
    # Rays that come last may be left out, which must not be the fate of one kind.
    is_area = np.bincount(drawn.of) == 4
    assert 0 < is_area[:32].sum() < 13
    middles = drawn.per_pixel(drawn.rays.directions)
    np.testing.assert_allclose(middles, plain.rays.directions, atol=1e-4)
    (some, *_) = np.flatnonzero(np.bincount(drawn.of) == 4)
    corners = drawn.rays.directions[drawn.of == some]
    angles = np.degrees(np.arccos(np.clip(corners @ corners.T, -1, 1)))
    pixel = np.degrees(1 / float(scene.camera.focal[0, 0]))
    np.testing.assert_allclose(np.sort(angles, axis=1)[:, 1:3], pixel / 2, rtol=0.1)


def test_edges_are_where_pictures_change(scene):
    shown = np.asarray(scene.images, np.float32) / 255
    alpha = shown[..., 3:]
    shown = np.concatenate([shown[..., :3] * alpha + 1 - alpha, alpha], -1)
    found = np.zeros(shown.shape[:3], bool)
    found.reshape(-1)[np.asarray(scene.active[: scene.edges])] = True
    wanted = np.zeros_like(found)
    for i, y, x in np.ndindex(found.shape):
        patch = shown[i, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        wanted[i, y, x] = np.ptp(patch, axis=(0, 1)).max() > 0.25
    np.testing.assert_array_equal(found, wanted)
    assert 0 < int(scene.edges) < int(scene.count)


@pytest.mark.parametrize("split", [1, 2])
def test_weighted_means_are_those_of_all_pixels(scene, split):
    colours = np.asarray(scene.images, np.float32).reshape(-1, 4)[scene.active[: scene.count]] / 255
    for edges in (0.0, 0.75):
        drawn = draw_rays(scene, 40_000, KEY, edges, split)
        pixels = len(drawn.weight)
        assert float(drawn.weight.sum()) == pytest.approx(pixels, rel=1e-4)
        np.testing.assert_allclose(drawn.weight @ drawn.colour / pixels, colours.mean(0), atol=0.01)
    assert len(np.unique(drawn.weight)) == 2
    # Where nothing changes, or all does, pixels are drawn alike.
    for flat in (dataclasses.replace(scene, edges=x) for x in (scene.edges * 0, scene.count)):
        drawn = draw_rays(flat, 40_000, KEY, 0.75, split)
        assert (drawn.weight == 1).all()
        np.testing.assert_allclose(drawn.colour.mean(0), colours.mean(0), atol=0.01)


def test_a_capture_is_fitted_and_unseen_views_are_right(capture):
    fitted = fit_capture(capture, steps=100, options=QUICK)
    assert fitted.test_psnr > 22
    assert fitted.planes.shape == (3, 32, 32, 32)
    assert fitted.steps == 100 and fitted.split == 1


def test_a_fit_compiles_one_program_a_level_and_runs_no_other(capture):
    before = capture_fit._block._cache_size()
    fit_capture(capture, steps=240, size=20, options=QUICK)
    assert capture_fit._block._cache_size() - before == len(capture_fit._LEVELS)


def test_what_is_kept_outlives_a_change_of_levels(capture):
    def stopped_after(steps):
        def stop(share, _):
            if share >= steps / 800:
                raise KeyboardInterrupt

        fitted = fit_capture(capture, steps=800, options=QUICK, progress=stop)
        assert fitted.steps == steps
        return fitted.planes

    before, soon, later = (stopped_after(steps) for steps in (240, 240 + 20, 240 + 60))
    np.testing.assert_array_equal(soon, before)
    assert np.abs(later - before).max() > 0.1


def disc(fine):
    """Coverage of a disc by 16 x 16 pixels, each of ``fine`` x ``fine`` points."""
    y, x = np.mgrid[: 16 * fine, : 16 * fine] / fine + 0.5 / fine - 7.7
    inside = (x**2 + y**2 < 36).astype(np.float32)
    return np.round(255 * inside.reshape(16, fine, 16, fine).mean((1, 3))).astype(np.uint8)


@pytest.mark.parametrize(("fine", "soft"), [(1, False), (2, True), (4, True)])
def test_soft_silhouettes_tell_areas_from_points(fine, soft):
    assert capture_fit._are_soft(disc(fine)[None]) == soft
    # Neither what is inside nor what lies around it matters.
    assert capture_fit._are_soft(np.pad(disc(fine), 20)[None]) == soft


def test_pictures_of_areas_are_fitted_as_such(capture, monkeypatch):
    monkeypatch.setattr(capture_fit, "_MANY", 20)
    fine = cameras.orbit(np.arange(0, 360, 24.0), np.tile([-15.0, 10.0, 35.0], 5), 48, radius=3.0)
    draw = jax.jit(lambda c: rendering.render_image(two_tone_ball, c, 48, 48, samples=48))
    pictures = [draw(jax.tree.map(lambda x, i=i: x[i], fine)) for i in range(15)]
    shown = np.stack([np.concatenate([p.rgb, p.alpha[..., None]], -1) for p in pictures])
    shown = shown.reshape(15, 24, 2, 24, 2, 4).mean((2, 4))
    shown[..., :3] /= np.maximum(shown[..., 3:], 1e-3)
    images = np.round(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    fitted = fit_capture(dataclasses.replace(capture, images=images), steps=100, options=QUICK)
    assert fitted.split == 2 and fitted.test_psnr > 24


def sky(directions):
    """A far room: warm below, cool above, bright to one side."""
    x, _, z = np.moveaxis(np.asarray(directions), -1, 0)
    return np.stack([0.5 - 0.3 * z, 0.5 + 0.2 * x, 0.5 + 0.3 * z], -1)


def test_photographs_without_silhouettes_leave_the_room_behind(capture):
    rgba = capture.images.astype(np.float32) / 255
    behind = sky(jax.vmap(lambda c: cameras.image_rays(c, 24, 24).directions)(capture.cameras))
    seen = rgba[..., :3] * rgba[..., 3:] + behind * (1 - rgba[..., 3:])
    photographs = np.concatenate([seen, np.ones_like(seen[..., :1])], -1)
    opaque = dataclasses.replace(capture, images=np.round(photographs * 255).astype(np.uint8))
    fitted = fit_capture(opaque, steps=500, size=16, options=QUICK)
    assert fitted.train_psnr > 27
    field = decoder.field(fitted.decoder, fitted.params, fitted.planes)
    one = jax.tree.map(lambda x: x[4], capture.cameras)
    alpha = np.asarray(rendering.render_image(field, one, 24, 24, samples=96).alpha)
    empty = rgba[4, ..., 3] == 0
    assert alpha[empty].mean() < 0.25 < 0.9 < alpha[rgba[4, ..., 3] == 1].mean()
    far = backdrop.look(fitted.behind, cameras.image_rays(one, 24, 24).directions)
    assert np.abs(far - behind[4])[empty].mean() < 0.05


@pytest.mark.parametrize("kind", ["black", "contradictory", "one view"])
def test_captures_that_show_nothing_end_with_an_honest_figure(capture, kind):
    images, splits = capture.images, capture.splits
    if kind == "black":
        images = np.zeros_like(images)
        images[..., 3] = 255
    elif kind == "contradictory":
        images = np.random.default_rng(0).permutation(images)
    else:
        splits = splits | {"train": splits["train"][:1]}
    shown = Capture(images, capture.cameras, splits)
    fitted = fit_capture(shown, steps=40, size=16, options=QUICK)
    assert np.isfinite(fitted.planes).all()
    assert (fitted.test_psnr > 20) == (kind == "black")


def test_a_transparent_capture_is_refused(capture):
    empty = Capture(np.zeros_like(capture.images), capture.cameras, capture.splits)
    with pytest.raises(ValueError, match="transparent"):
        fit_capture(empty, steps=20)


@pytest.fixture(scope="module")
def scenes(capture):
    """The ball and the same ball in other colours."""
    train = capture.splits["train"]
    camera = jax.tree.map(lambda x: x[train], capture.cameras)
    images = capture.images[train]
    return [prepare(jnp.asarray(x), camera, grid=16)
            for x in (images, images[..., [2, 1, 0, 3]])]  # fmt: skip


def learn_jointly(scenes, folder, report=lambda step, mse: None, decoder=DECODER):
    return fit_jointly(
        scenes.__getitem__, len(scenes), decoder, KEY, folder=folder, options=OPTIONS, size=16,
        channels=4, steps=60, group=2, visit=5, report=report,
    )  # fmt: skip


def test_joint_stage_then_frozen_decoder(scenes, tmp_path):
    errors = []
    params, mean = learn_jointly(scenes, tmp_path, lambda step, mse: errors.append(mse))
    assert mean.shape == (3, 16, 16, 4)
    assert np.mean(errors[-2:]) < 0.6 * np.mean(errors[:2])
    fitted, mse = jax.jit(
        lambda p, s, k: fitting.fit_planes(
            p, params, s, k, decoder=DECODER, options=OPTIONS, steps=40
        )
    )(mean, scenes[0], KEY)
    assert jnp.isfinite(fitted).all() and float(mse) < 0.6 * errors[0]

    # Stopped at the end of a level or inside of one, it goes on as if nothing had happened.
    def stop_at(when):
        def report(step, mse):
            if step == when:
                raise KeyboardInterrupt

        return report

    halting = tmp_path / "halting"
    for when in (15, 50):
        with pytest.raises(KeyboardInterrupt):
            learn_jointly(scenes, halting, stop_at(when))
    again = learn_jointly(scenes, halting)
    jax.tree.map(np.testing.assert_array_equal, (params, mean), again)


def test_subjects_may_share_a_linear_decoder_of_products(scenes, tmp_path):
    errors = []
    decoder = Decoder(octaves=0, form="products")
    learn_jointly(scenes, tmp_path, lambda step, mse: errors.append(mse), decoder)
    assert np.mean(errors[-2:]) < 0.6 * np.mean(errors[:2])


def test_levels_are_whole_visits():
    assert [(x.resolution, x.begin, x.end) for x in levels(64, 1000, 25)] == [
        (16, 0, 250), (32, 250, 500), (64, 500, 1000)]  # fmt: skip
    assert all((x.end - x.begin) % 7 == 0 and x.end > x.begin for x in levels(16, 10, 7))


def test_a_shelf_keeps_what_was_put_on_it(tmp_path):
    tree_of = lambda i: {"a": np.full((2, 3), i, np.float32), "b": np.array(i > 1)}  # noqa: E731
    shelf.make(tmp_path / "shelf", 4, tree_of)
    one = shelf.Shelf(tmp_path / "shelf", tree_of(0))
    assert len(one) == 4
    one.write(np.array([2, 0]), {"a": np.ones((2, 2, 3)) * [[[7]], [[8]]], "b": np.zeros(2, bool)})
    read = shelf.Shelf(tmp_path / "shelf", tree_of(0)).read(np.arange(4))
    np.testing.assert_array_equal(read["a"][:, 0, 0], [8, 1, 7, 3])
    np.testing.assert_array_equal(read["b"], [False, False, False, True])
