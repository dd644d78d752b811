"""The eigenplanes stage: components, their storage, their diffusion, and what the base is left."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.diffusion import schedules
from rodin_jax.nn.eigenplanes import CoefficientNet, unpack
from rodin_jax.train import base, eigenplanes
from rodin_jax.train import state as train_state
from rodin_jax.train.components import components
from rodin_jax.train.export import read_export

SHAPE = (3, 8, 8, 4)


def planes_of_rank(rank, count=40, seed=0):
    """A mean and random sums of some orthogonal planes of falling strength."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((int(np.prod(SHAPE)), rank)))
    c = rng.standard_normal((count, rank)) * 8.0 / 2 ** np.arange(rank)
    x = rng.standard_normal(len(basis)) + c @ basis.T
    return x.reshape(count, *SHAPE).astype(np.float32), basis, c


def test_components_are_found_and_stored_in_bytes():
    planes, basis, c = planes_of_rank(3)
    stored = components(planes, 3)
    assert stored["basis"].dtype == np.int8 and stored["basis"].shape == (768, 3)
    eigen = unpack(stored, 768, 3)
    # The same directions, but for the sample's own correlations: compare spans.
    angles = np.linalg.svd(basis.T @ np.asarray(eigen.basis).T, compute_uv=False)
    np.testing.assert_allclose(angles, 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(eigen.basis, axis=1), 1, atol=1e-5)
    sample = np.linalg.eigvalsh(np.cov(c.T, bias=True))[::-1]
    np.testing.assert_allclose(eigen.line.spectrum, sample, rtol=0.01)
    held = np.square(eigen.coefficients(jnp.asarray(planes)) - eigen.line.mean).sum()
    away = np.square(planes.reshape(len(planes), -1) - np.asarray(eigen.mean)).sum()
    assert held / away == pytest.approx(1, abs=0.002)
    back = eigen.with_coefficients(
        jnp.broadcast_to(planes.mean(0), planes.shape), eigen.coefficients(jnp.asarray(planes))
    )
    error = np.square(np.asarray(back) - planes).mean() / planes.var(0).mean()
    assert error < 2e-3
    with pytest.raises(ValueError, match="fewer than 40"):
        components(planes, 40)


def test_the_network_learns_what_is_not_gaussian():
    # Coefficients of +1 or -1: knowing the Gaussian posterior alone leaves a loss of 1.
    planes, *_ = planes_of_rank(2)
    eigen = unpack(components(planes, 2), 768, 2)
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], (512, 2)).astype(np.float32)
    c, z = eigen.line.mean + jnp.sqrt(eigen.line.spectrum) * signs, jnp.zeros((512, 1))
    net, schedule = CoefficientNet(2, width=16, depth=1, dropout=0.0), schedules.linear(50)
    loss_fn = eigenplanes.make_loss(
        net, eigen.line, schedule, latent_dropout=0.0, latent_noise=0.0, emphasis=0.5
    )
    params = net.init(jax.random.key(0), c[:1], jnp.zeros(1, jnp.int32), z[:1])["params"]
    optimizer = train_state.adamw(1e-2)
    update = train_state.update_fn(loss_fn, optimizer, ema_decay=0.9)
    batch = {"coefficients": c, "z": z}

    def loss(params):
        return eigenplanes.unseen_loss(net, params, eigen.line, schedule, c, z)

    assert loss(params) == pytest.approx(1, abs=0.05)
    state = train_state.create(params, optimizer, jax.random.key(1))
    state, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: update(s, batch), s, length=150))(state)
    assert loss(state.ema) < 0.8  # much noise hides the signs from everybody


def test_smoke_run_and_the_base_model_beside_it(fit_run, clip_run, tmp_path, get_config):
    config = get_config("eigenplanes", "smoke")
    config.planes_dir, config.clip_dir, config.steps = str(fit_run), str(clip_run), 6
    eigenplanes.run(config, tmp_path)
    export = read_export(tmp_path)
    assert export.part == "eigenplanes" and export.trained["subjects"] == 4
    assert 0 < export.trained["variance_held_unseen"] < export.trained["variance_held"] <= 1
    inside = eigenplanes.load(tmp_path)
    assert inside.net.rank == 4 and inside.eigenplanes.basis.shape == (4, 768)
    low = jax.random.normal(jax.random.key(1), (2, *SHAPE))
    assert inside.eigenplanes.fine(low).shape == (2, 3, 16, 16, 4)
    with pytest.raises(ValueError, match="expected 'eigenplanes'"):
        eigenplanes.load(clip_run)

    def network(variables, x_t, t, z):
        return jnp.concatenate([variables["gain"] * x_t, x_t], -1)

    options = {"prediction": "v", "learned_variance": True}
    schedule = schedules.linear(50)
    assert base.with_inside(network, None, schedule, **options) is network
    composed = base.with_inside(network, inside, schedule, **options)
    x_t, t, z = (
        jax.random.normal(jax.random.key(0), (2, *SHAPE)),
        jnp.array([3, 40]),
        jnp.ones((2, 6)),
    )
    got = composed({"gain": 1.5}, x_t, t, z)
    want = inside.speak(network({"gain": 1.5}, x_t, t, z), x_t, t, z, schedule, **options)
    np.testing.assert_array_equal(got, want)
