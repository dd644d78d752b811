"""The base stage: its loss against its parts, and the smoke run end to end."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes
from rodin_jax.data.planes import PlanesStore
from rodin_jax.diffusion import process, schedules
from rodin_jax.nn.unet import UNet
from rodin_jax.train import base, export, fitted, latents, stage


class Echo:
    """Stands for the network: its output depends on the inputs in a known way."""

    def __init__(self):
        """Nothing seen yet."""
        self.seen = {}

    def apply(self, variables, x_t, t, z, **_):
        """Notes the inputs and answers with zeros."""
        self.seen = {"x_t": x_t, "t": t, "z": z}
        return jnp.concatenate([variables["params"] + jnp.zeros_like(x_t), jnp.zeros_like(x_t)], -1)


def test_mirrored_planes_come_with_the_mirrored_latent(fit_run):
    store = PlanesStore(fit_run / "planes")
    statistics = store.statistics(8)
    planes = jnp.asarray(np.stack([fitted.Subjects(store, 8)[i % 6]["planes"] for i in range(16)]))
    z = jnp.stack([jnp.full((16, 2), 1.0), jnp.full((16, 2), 2.0)], axis=1)
    schedule, network = schedules.linear(10), Echo()
    loss_fn = base.make_loss(network.apply, schedule, statistics, latent_dropout=0.25)
    key = jax.random.key(0)

    @jax.jit
    def run(batch):
        loss, metrics = loss_fn(jnp.zeros(()), batch, key)
        return loss, metrics, network.seen

    loss, metrics, seen = run({"planes": planes, "z": z})

    latent = np.asarray(seen["z"])[:, 0]
    assert set(latent.tolist()) == {0.0, 1.0, 2.0}  # dropped, plain, mirrored
    x0 = statistics.normalise(planes.astype(jnp.float32))
    noise = jax.random.normal(jax.random.split(key, 5)[2], x0.shape)
    plain = process.q_sample(schedule, x0, seen["t"], noise)
    mirrored = process.q_sample(schedule, triplanes.mirror(x0), seen["t"], noise)
    for i in np.flatnonzero(latent):
        expected = mirrored if latent[i] == 2 else plain
        np.testing.assert_allclose(np.asarray(seen["x_t"])[i], np.asarray(expected)[i], atol=1e-5)
    # A network that says "no noise" is wrong by the noise's own variance.
    np.testing.assert_allclose(metrics["simple"], jnp.mean(noise**2), rtol=1e-5)
    assert float(loss) > float(metrics["simple"])  # T / 1000 times a positive bound


def test_latents_are_dropped_per_example_at_the_given_rate():
    z = jnp.ones((4000, 3))
    dropped = np.asarray(latents.drop_latents(z, jax.random.key(0), 0.2))
    assert set(map(tuple, dropped.tolist())) == {(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)}
    assert 1 - dropped.mean() == pytest.approx(0.2, abs=0.02)


def test_mirror_twins_have_the_latents_of_mirrored_fronts(fit_run, clip_run):
    store = PlanesStore(fit_run / "planes")
    z = latents.subject_latents(store, clip_run, mirrored=True)
    assert z.shape == (6, 2, 6)
    assert np.abs(z[:, 0] - z[:, 1]).max() > 1e-3
    np.testing.assert_array_equal(
        z[:, :1], latents.subject_latents(store, clip_run, mirrored=False)
    )


def test_smoke_run_exports_a_usable_part_and_is_then_finished(
    tmp_path, fit_run, clip_run, get_config, monkeypatch
):
    config = get_config("base", "smoke")
    config.planes_dir, config.clip_dir = str(fit_run), str(clip_run)
    config.devices = 1
    config.steps, config.log_every, config.checkpoint_every = 6, 2, 4
    base.run(config, tmp_path)
    got = export.read_export(tmp_path)
    assert got.part == "base" and got.trained["steps"] == 6
    assert got.process == config.process.to_dict()
    statistics = PlanesStore(fit_run / "planes").statistics(8)
    np.testing.assert_allclose(got.arrays["statistics/8/std"], statistics.std)
    model = UNet(**got.model)
    x = jnp.zeros((1, 3, 8, 8, 4))
    out = jax.eval_shape(model.apply, {"params": got.params}, x, jnp.zeros(1), jnp.zeros((1, 6)))
    assert out.shape == (1, 3, 8, 8, 8)
    assert len(list((tmp_path / "samples").iterdir())) == 2

    def no_data(*_, **__):
        raise AssertionError("a finished run reads no data")

    monkeypatch.setattr(stage.loading, "batches", no_data)
    base.run(config, tmp_path)
    again = export.read_export(tmp_path).trained
    assert again | {"seconds": 0} == got.trained | {"seconds": 0}
    steps = [json.loads(s)["step"] for s in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6]


@pytest.mark.parametrize("preset", ["smoke", "nano", "small", "paper"])
def test_every_preset_describes_a_network_that_fits_its_planes(get_config, preset):
    config = get_config("base", preset)
    model = UNet(out_channels=8, **config.model.to_dict())
    size = config.base_size
    x, t, z = jnp.zeros((1, 3, size, size, 4)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 16))
    params = jax.eval_shape(model.init, jax.random.key(0), x, t, z)
    count = sum(np.prod(p.shape) for p in jax.tree.leaves(params))
    low, high = {"smoke": (0, 1), "nano": (1, 15), "small": (15, 150), "paper": (250, 500)}[preset]
    assert low <= count / 1e6 <= high


def test_paper_preset_is_the_supplement(get_config):
    config = get_config("base", "paper")
    assert (config.base_size, config.model.channels, config.process.steps) == (64, 192, 1000)
    assert (config.learning_rate, config.batch_size, config.ema_decay) == (5e-5, 48, 0.9999)
    assert config.process.schedule == "linear" and config.latent_dropout == 0.2
    assert config.process.prediction == "eps" and config.process.learned_variance
    assert config.model.attention == (8, 16, 32)
    with pytest.raises(ValueError, match="preset must be"):
        get_config("base", "huge")
