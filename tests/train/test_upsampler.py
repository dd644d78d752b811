"""The upsampler stage: degradation, image loss, and the smoke run end to end."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes
from rodin_jax.data.planes import PlanesStore
from rodin_jax.diffusion import schedules
from rodin_jax.nn import eigenplanes
from rodin_jax.nn.detail import Detail
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.train import export, fitted, image_loss, upsampler
from rodin_jax.train.components import components
from rodin_jax.train.degrade import degrade, gaussian_matrix

degraded = jax.jit(degrade, static_argnames=("sizes", "blur", "noise", "probability"))
resized = jax.jit(triplanes.resize, static_argnums=1)
PATCH = {"subjects": 2, "patch": 4, "view": 16, "samples": 8}


def random_planes(seed=0, batch=5, size=8):
    """Signed features far from [0, 1]."""
    return 3 * jax.random.normal(jax.random.key(seed), (batch, 3, size, size, 2)) - 1


def test_no_degradation_is_the_identity():
    low = random_planes()
    np.testing.assert_allclose(degraded(low, jax.random.key(0)), low, atol=1e-6)
    same = degraded(low, jax.random.key(0), sizes=(4,), blur=1.0, noise=1.0, probability=0.0)
    np.testing.assert_allclose(same, low, atol=1e-6)


def test_down_scaling_is_a_resize_there_and_back():
    low = random_planes()
    got = degraded(low, jax.random.key(0), sizes=(4, 6), probability=1.0)
    kept = [np.asarray(resized(resized(low, s), 8)) for s in (4, 6)]
    errors = np.array([np.abs(got - k).max(axis=(1, 2, 3, 4)) for k in kept])
    assert (errors.min(axis=0) < 1e-5).all()
    assert set(errors.argmin(axis=0)) == {0, 1}


def test_blur_is_a_normalised_gaussian_of_each_plane_alone():
    matrix = np.asarray(gaussian_matrix(21, jnp.array([0.0, 2.0])))
    np.testing.assert_allclose(matrix[0], np.eye(21), atol=1e-6)
    np.testing.assert_allclose(matrix.sum(-1), 1, atol=1e-6)
    offset = np.arange(21) - 10
    assert matrix[1, 10] @ offset**2 == pytest.approx(4.0, rel=1e-3)
    only_first = random_planes().at[:, 1:].set(0.0)
    got = degraded(only_first, jax.random.key(1), sizes=(4,), blur=2.0, probability=1.0)
    np.testing.assert_array_equal(got[:, 1:], 0)
    assert float(got.min()) < 0 and float(got.max()) > 1  # never clipped


def test_noise_has_a_random_strength_per_subject():
    got = degraded(jnp.zeros((400, 3, 8, 8, 1)), jax.random.key(0), noise=0.5, probability=0.5)
    deviation = np.asarray(got).std(axis=(1, 2, 3, 4))
    assert (deviation == 0).mean() == pytest.approx(0.5, abs=0.1)
    assert deviation[deviation > 0].mean() == pytest.approx(0.25, abs=0.05)
    assert deviation.max() < 0.6


def test_resize_matrix_is_resize():
    low = random_planes(size=12)
    m = triplanes.resize_matrix(12, 5)
    got = np.einsum("ih,bphwc,jw->bpijc", m, low, m)
    np.testing.assert_allclose(got, resized(low, 5), atol=1e-5)


def test_patches_are_parts_of_whole_views_and_faces_are_seen_from_the_front():
    @functools.partial(jax.jit, static_argnames="focus")
    @functools.partial(jax.vmap, in_axes=(0, None))
    def rays_of(key, focus):
        rays = image_loss.patch_rays(key, 4, 16, focus=focus, radius=3.0, fov=40.0)
        return rays.origins, rays.directions

    keys = jax.random.split(jax.random.key(0), 64)
    for focus in (0.0, 1.0):
        origins, directions = map(np.asarray, rays_of(keys, focus))
        assert origins.shape == (64, 4, 4, 3)
        np.testing.assert_allclose(np.linalg.norm(origins, axis=-1), 3.0, rtol=1e-5)
        # No ray leaves the view: its angle to the axis is at most that of the corners.
        cosine = (directions * -origins / 3).sum(-1)
        corner = np.cos(np.arctan(np.tan(np.radians(20.0)) * np.sqrt(2)))
        assert cosine.min() >= corner - 1e-6
        behind = (origins[:, 0, 0, 1] > 0).mean()
        assert behind == 0 if focus else 0.3 < behind < 0.7


def test_image_loss_is_zero_for_equal_planes_and_pulls_towards_the_truth(fit_run):
    decoded = fitted.Decoded(fit_run)
    truth = jax.random.normal(jax.random.key(0), (3, 3, 16, 16, 4))

    @jax.jit
    @jax.value_and_grad
    def error(planes):
        seen, wanted = image_loss.rendered_patches(
            decoded, planes, truth, jax.random.key(1), **PATCH
        )
        return jnp.mean((seen - wanted) ** 2)

    assert float(error(truth)[0]) == 0.0
    off = truth + 0.3
    value, gradient = error(off)
    assert float(value) > 0 and np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[2], 0)  # only the first two subjects are rendered
    assert float(error(off - 0.1 * gradient / jnp.abs(gradient).max())[0]) < float(value)


def test_the_image_tower_stands_in_for_vgg(clip_run):
    features, name = image_loss.load_features("", clip_run)
    assert "image tower" in name
    truth = jax.random.uniform(jax.random.key(0), (2, 12, 12, 3))
    assert [level.shape[1:3] for level in features(truth)] == [(4, 4)]

    @jax.jit
    @jax.value_and_grad
    def error(pictures):
        return image_loss.perceptual_error(features, pictures, truth)

    assert float(error(truth)[0]) == 0.0
    off = 0.8 * truth + 0.1
    value, gradient = error(off)
    by_hand = sum(
        jnp.mean((a - b) ** 2) for a, b in zip(features(off), features(truth), strict=True)
    )
    assert float(value) == pytest.approx(float(by_hand), rel=1e-5)
    step = 0.002 * gradient / jnp.abs(gradient).max()
    assert float(error(off - step)[0]) < float(value)
    with pytest.raises(ValueError, match="needs one of them"):
        image_loss.load_features("", "")


def test_loss_sees_each_size_in_its_own_scale(fit_run):
    store = PlanesStore(fit_run / "planes")
    planes = jnp.asarray(store.planes_array()[:4])
    noted = {}

    class Spy:
        def apply(self, variables, y_t, low, t, **_):
            noted.update(y_t=y_t, low=low, t=t)
            return variables["params"] + jnp.zeros_like(y_t)

    low_scale, high_scale = store.statistics(8), store.statistics(16)
    options = {"prediction": "x0", "low_size": 8, "degradation": {}, "mirror": False}
    loss_fn = upsampler.make_loss(
        Spy().apply,
        schedules.linear(10),
        low_scale,
        high_scale,
        fitted.Decoded(fit_run),
        image_loss={"weight": 2.0, **PATCH},
        **options,
    )

    @jax.jit
    def run(planes):
        loss, parts = loss_fn(jnp.zeros(()), {"planes": planes}, jax.random.key(0))
        return loss, parts, dict(noted)

    loss, parts, seen = run(planes)
    y = high_scale.normalise(planes.astype(jnp.float32))
    low = low_scale.normalise(triplanes.resize(planes.astype(jnp.float32), 8))
    np.testing.assert_allclose(seen["low"], low, atol=1e-5)
    np.testing.assert_allclose(parts["planes"], jnp.mean(y**2), rtol=1e-5)
    np.testing.assert_allclose(loss, parts["planes"] + 2 * parts["image"], rtol=1e-6)


def test_the_network_starts_from_the_detail_that_low_planes_foretell(fit_run):
    store = PlanesStore(fit_run / "planes")
    low_scale, high_scale = store.statistics(8), store.statistics(16)
    planes = jnp.asarray(store.planes_array()[:4]).astype(jnp.float32)
    low = low_scale.normalise(triplanes.resize(planes, 8))
    eigen = eigenplanes.unpack(components(np.asarray(low), 2), low[0].size, 2)
    ones = jnp.ones((1, 16 * 16 * 3 * 4))
    detail = Detail(jnp.full((3, 16, 16, 4), 0.5), jnp.arange(ones.size), ones, jnp.ones((2, 1)))
    eigen = dataclasses.replace(eigen, detail=detail)
    noted = {}

    def spy(variables, y_t, low, t, *, fine, **_):
        noted["fine"] = fine
        return variables["params"] + jnp.zeros_like(y_t)

    options = {"prediction": "x0", "low_size": 8, "degradation": {}, "mirror": False}
    loss_fn = upsampler.make_loss(
        spy, schedules.linear(10), low_scale, high_scale, fitted.Decoded(fit_run),
        image_loss={"weight": 0.0}, eigen=eigen, **options,
    )  # fmt: skip
    loss_fn(jnp.zeros(()), {"planes": planes}, jax.random.key(0))
    c = (eigen.coefficients(low) - eigen.line.mean).sum(-1)
    want = triplanes.resize(low, 16) + 0.5 + c[:, None, None, None, None]
    np.testing.assert_allclose(noted["fine"], want, atol=1e-4)
    # And an untrained network returns it.
    net = Upsampler(4, channels=8, blocks=1, factor=2)
    params = net.init(jax.random.key(0), want, low, jnp.zeros(4))
    np.testing.assert_allclose(net.apply(params, want, low, jnp.zeros(4), want), want, atol=1e-5)


def test_smoke_run_exports_both_scales(tmp_path, fit_run, clip_run, get_config):
    config = get_config("upsampler", "smoke")
    config.planes_dir, config.clip_dir = str(fit_run), str(clip_run)
    config.devices = 1
    config.steps = config.checkpoint_every = 4
    config.log_every = 2
    upsampler.run(config, tmp_path)
    got = export.read_export(tmp_path)
    assert got.part == "upsampler" and got.trained["steps"] == 4
    assert "image tower" in got.trained["perceptual"]
    assert got.process["steps"] == 20 and got.process["prediction"] == "x0"
    names = {f"statistics/{s}/{n}" for s in (8, 16) for n in ("mean", "std", "low", "high")}
    assert set(got.arrays) == names
    model = Upsampler(**got.model)
    high, low = jnp.zeros((1, 3, 16, 16, 4)), jnp.zeros((1, 3, 8, 8, 4))
    out = jax.eval_shape(model.apply, {"params": got.params}, high, low, jnp.zeros(1))
    assert out.shape == high.shape


@pytest.mark.parametrize("preset", ["smoke", "nano", "small", "paper"])
def test_every_preset_describes_a_network(get_config, preset):
    config = get_config("upsampler", preset)
    size, factor = config.base_size, config.model.factor
    model = Upsampler(out_channels=4, **config.model.to_dict())
    high = jnp.zeros((1, 3, factor * size, factor * size, 4))
    low = jnp.zeros((1, 3, size, size, 4))
    jax.eval_shape(model.init, jax.random.key(0), high, low, jnp.zeros(1))
    assert all(0 < s < size for s in config.degrade.sizes)


def test_paper_preset_is_the_supplement(get_config):
    config = get_config("upsampler", "paper")
    assert (config.base_size, config.model.factor, config.process.steps) == (64, 4, 100)
    assert (config.learning_rate, config.batch_size, config.ema_decay) == (5e-5, 16, 0.9999)
    assert config.process.schedule == "linear" and config.process.prediction == "x0"
    assert (config.image_loss.patch, config.image_loss.view) == (112, 256)
    assert (config.image_loss.weight, config.image_loss.perceptual) == (0.0, 1.0)
