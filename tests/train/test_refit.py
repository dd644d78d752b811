"""Fitting again: from what is foretold of a subject, as far as its pictures ask."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import occupancy
from rodin_jax.data import builder
from rodin_jax.data.planes import PlanesStore
from rodin_jax.nn import weights
from rodin_jax.nn.eigenplanes import unpack
from rodin_jax.train import eigenplanes, fit, fitted, fitting, foretold, latents, refit
from rodin_jax.train.components import components
from rodin_jax.train.fitter import training_views
from rodin_jax.train.refitting import refit_planes
from rodin_jax.train.scene import draw_rays, prepare

KEY = jax.random.key(0)
GRID = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten people, eight of whom train."""
    out = tmp_path_factory.mktemp("people")
    builder.generate("smoke", 10, out, views=8, processes=1, progress=False)
    return str(out)


@pytest.fixture(scope="module")
def first(get_config, data, tmp_path_factory):
    """The work folder of their first fits."""
    config = get_config("fit", "smoke")
    config.data_dir = data
    config.joint.update(subjects=2, group=1, steps=60, visit=15)
    folder = tmp_path_factory.mktemp("first")
    fit.run(config, folder)
    return folder


@pytest.fixture(scope="module")
def scenes(data):
    """Two of them, prepared."""
    people = builder.load_subjects(data, "train")
    views = (training_views(people[i]) for i in (0, 1))
    return [prepare(jnp.asarray(images), camera, grid=GRID) for images, camera in views]


def refitted(first, scene, start, **options):
    decoded = fitted.Decoded(first)
    options = fitting.FitOptions(
        rays=128, samples=8, empty_points=0, distortion=0.0, lowest=16, grid=GRID, **options
    )
    planes, _ = refit_planes(
        start, decoded.params, scene, KEY, decoder=decoded.decoder, options=options, steps=80
    )
    return planes, error(decoded, scene, start), error(decoded, scene, planes)


def error(decoded, scene, planes):
    """Mean squared error of coverage at random pixels."""
    drawn = draw_rays(scene, 1024, KEY)
    everywhere = fitting.whole_cube(GRID)
    picture, *_ = occupancy.render_guided(decoded.field(planes), everywhere, drawn.rays, samples=48)
    return float(jnp.mean((picture.alpha - drawn.colour[:, 3]) ** 2))


def test_a_refit_goes_as_far_as_pictures_ask(first, scenes):
    planes = PlanesStore(first / "planes").planes_array().astype(np.float32)
    # From somebody else's planes: what is there too much goes, what is missing comes.
    moved, before, after = refitted(first, scenes[0], jnp.asarray(planes[1]), decay=0.0)
    assert after < 0.6 * before
    near, *_ = refitted(first, scenes[0], jnp.asarray(planes[1]), decay=1e3)
    assert np.abs(near - planes[1]).mean() < 0.1 * np.abs(moved - planes[1]).mean()
    assert np.abs(near - planes[1]).mean() < 0.01


def test_variation_and_decay_are_those_of_the_way(first, scenes):
    decoded = fitted.Decoded(first)
    planes = jnp.asarray(PlanesStore(first / "planes").planes(0), jnp.float32)
    options = fitting.FitOptions(rays=64, empty_points=0, lowest=16, variation=2.0, decay=3.0)

    def loss(planes, options, origin=0.0):
        return fitting.loss(
            planes, decoded.params, scenes[0], KEY, decoder=decoded.decoder, options=options,
            matrices=None, origin=origin,
        )[0]  # fmt: skip

    free = loss(planes, dataclasses.replace(options, variation=0.0, decay=0.0))
    np.testing.assert_allclose(loss(planes, options, planes), free, rtol=1e-6)
    rough = sum(np.mean(np.diff(planes, axis=axis) ** 2) for axis in (1, 2))
    wanted = free + 2 * rough + 3 * np.mean(np.square(planes))
    np.testing.assert_allclose(loss(planes, options), wanted, rtol=1e-5)
    shifted = loss(planes, options, planes - 0.5)
    np.testing.assert_allclose(shifted, free + 3 * 0.25, rtol=1e-5)


@pytest.fixture(scope="module")
def second(first, clip_run, get_config, tmp_path_factory):
    """The work folder of their eigenplanes."""
    config = get_config("eigenplanes", "smoke")
    config.planes_dir, config.clip_dir = str(first), str(clip_run)
    folder = tmp_path_factory.mktemp("second")
    eigenplanes.run(config, folder)
    return folder


def test_planes_have_the_coefficients_that_are_foretold(first, second, clip_run):
    store = fitted.open_store(first, [8])
    known = foretold.read(store, second, size=8)
    eigen, scale = eigenplanes.load(second).eigenplanes, store.statistics(8)
    told = jnp.asarray(known.coefficients)
    fine = scale.denormalise(eigen.fine(eigen.low(told, 4)))
    for name, wanted in zip(store.ids(), fine, strict=True):
        np.testing.assert_allclose(known(name), wanted, atol=1e-5)
    # Of those that the line has not seen, simply what it says.
    z = latents.subject_latents(store, clip_run, mirrored=False)[-2:, 0]
    np.testing.assert_allclose(told[-2:], eigen.line.prior(jnp.asarray(z))[0], rtol=2e-3, atol=1e-3)
    with pytest.raises(ValueError, match="'nobody' was not among those"):
        known("nobody")
    weights.save_params(second / eigenplanes.FORETOLD, {"coefficients": told[1:]})
    with pytest.raises(ValueError, match=r"foretold.safetensors/coefficients' .* is missing"):
        foretold.read(store, second, size=8)
    weights.save_params(second / eigenplanes.FORETOLD, {"coefficients": told})


def test_low_planes_of_coefficients():
    rng = np.random.default_rng(0)
    planes = rng.standard_normal((6, 3, 4, 4, 2)).astype(np.float32)
    eigen = unpack(components(planes, 5), planes[0].size, 5)
    c = eigen.coefficients(jnp.asarray(planes))
    np.testing.assert_allclose(eigen.low(c, 2), planes, atol=0.05)  # bytes


def test_people_are_fitted_again(first, second, data, get_config, tmp_path):
    config = get_config("refit", "smoke")
    with pytest.raises(ValueError, match="data_dir is empty"):
        refit.run(config, tmp_path / "again")
    config.data_dir, config.planes_dir = data, str(first)
    config.eigenplanes_dir, config.steps = str(second), 80
    refit.run(config, tmp_path / "again")
    before, after = PlanesStore(first / "planes"), PlanesStore(tmp_path / "again" / "planes")
    assert after.ids() == before.ids() and after.shape == before.shape
    quality = [np.mean([store[i].psnr for i in range(8)]) for store in (before, after)]
    assert quality[1] > quality[0] + 0.3
    decoders = (fitted.Decoded(folder).params for folder in (first, tmp_path / "again"))
    jax.tree.map(np.testing.assert_array_equal, *decoders)
    after.statistics(config.base_size)
