"""What the paper ablates is one word after a preset: each network trains, at nano each is built."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes
from rodin_jax.data.planes import PlanesStore
from rodin_jax.diffusion import schedules
from rodin_jax.nn.unet import UNet
from rodin_jax.train import base, fitted, upsampler
from rodin_jax.train import state as train_state

NETWORKS = ["A", "B", "C"]  # D is what the stage's own smoke run trains


def network(config):
    return UNet(out_channels=8, **config.model.to_dict())


def inputs(config, channels):
    size = config.base_size
    return jnp.zeros((1, 3, size, size, channels)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 6))


def random(shapes):
    """Parameters of these shapes, sooner than an initialisation compiles."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: rng.normal(0, 0.1, p.shape).astype(np.float32), shapes)


@pytest.mark.parametrize("word", NETWORKS)
def test_base_networks_train_at_smoke(word, get_config, fit_run):
    config = get_config("base", f"smoke,{word}")
    store = PlanesStore(fit_run / "planes")
    subjects = fitted.Subjects(store, config.base_size)
    batch = {
        "planes": np.stack([subjects[i]["planes"] for i in range(4)]),
        "z": np.random.default_rng(0).normal(size=(4, 2, 6)).astype(np.float32),
    }
    model = network(config)
    params = random(jax.eval_shape(model.init, jax.random.key(0), *inputs(config, 4))["params"])
    # Deaf to the latent, there is nothing that would read it.
    assert ("latent_in" in params["conditioning"]) == (word != "A")
    loss_fn = base.make_loss(
        model.apply, schedules.linear(config.process.steps), store.statistics(config.base_size)
    )
    optimizer = train_state.adamw(config.learning_rate)
    step = train_state.make_step(loss_fn, optimizer, ema_decay=config.ema_decay)
    state = train_state.create(jax.tree.map(jnp.asarray, params), optimizer, jax.random.key(0))
    for _ in range(3):
        state, metrics = step(state, batch)
        assert np.isfinite(metrics["loss"])
    for path, (old, new) in jax.tree.leaves_with_path(
        jax.tree.map(lambda *pair: pair, params, state.params),
        is_leaf=lambda x: isinstance(x, tuple),
    ):
        assert np.isfinite(new).all() and (old != new).any(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("words", [*NETWORKS, "D", "D,joint", "plane"])
def test_base_networks_build_at_nano(words, get_config):
    config = get_config("base", f"nano,{words}")
    convs = {"A": "concat", "B": "concat", "C": "rolled", "D": "aware", "p": "aware"}
    assert config.model.conv == convs[words[0]]
    assert config.model.norm == ("joint" if "joint" in words else "plane")
    assert config.model.latent == (words != "A") and config.preset == f"nano,{words}"
    x, t, z = inputs(config, 4)
    out, _ = jax.eval_shape(network(config).init_with_output, jax.random.key(0), x, t, z)
    assert out.shape == (*x.shape[:-1], 8)


@pytest.mark.parametrize(
    ("word", "metrics", "degraded"),
    [
        ("planes", {"planes"}, False),
        ("images", {"planes", "image"}, False),
        ("augmented", {"planes", "image"}, True),
    ],
)
def test_upsamplers_are_trained_by_what_the_word_says(word, metrics, degraded, get_config, fit_run):
    """The network is the same; what it is shown and asked for is not."""
    config = get_config("upsampler", f"smoke,{word}")
    assert bool(config.image_loss.perceptual) == ("image" in metrics)
    config.image_loss.perceptual = 0.0  # needs an encoder
    store = PlanesStore(fit_run / "planes")
    low_scale, high_scale = store.statistics(8), store.statistics(16)
    seen = {}

    def apply(variables, y_t, low, t, **_):
        seen["low"] = low
        return variables["params"] * triplanes.resize(low, 16)

    loss_fn = upsampler.make_loss(
        apply,
        schedules.linear(config.process.steps),
        low_scale,
        high_scale,
        fitted.Decoded(fit_run),
        prediction=config.process.prediction,
        low_size=8,
        degradation=config.degrade.to_dict(),
        image_loss=config.image_loss.to_dict(),
        mirror=False,
    )
    planes = jnp.asarray(store.planes_array()[:4], jnp.float32)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(gain):
        loss, found = loss_fn(gain, {"planes": planes}, jax.random.key(0))
        return loss, (found, seen["low"])

    (loss, (found, low)), gradient = run(jnp.float32(0.5))
    assert set(found) == metrics and np.isfinite(loss) and gradient != 0
    clean = low_scale.normalise(triplanes.resize(planes, 8))
    assert (jnp.abs(low - clean).max() > 1e-3) == degraded


@pytest.mark.parametrize("stage", ["base", "upsampler"])
def test_unknown_words_are_named(stage, get_config):
    with pytest.raises(ValueError, match="after the preset expected one of"):
        get_config(stage, "nano,E")
