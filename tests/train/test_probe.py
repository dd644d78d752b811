"""The attribute probe on pictures whose colour is the answer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.data import avatars
from rodin_jax.nn.probe import Probe, log_probabilities
from rodin_jax.train import portraits, probe
from rodin_jax.train.export import read_export

COLOURS = {"none": (250, 20, 20), "round": (20, 250, 20), "square": (20, 20, 250)}


@dataclasses.dataclass(frozen=True)
class Person:
    """As much of a subject as the stage reads."""

    front: np.ndarray
    attributes: dict[str, str]


def people(count, start=0):
    """People whose picture has the colour of their glasses."""
    rng, found = np.random.default_rng(start), []
    for i in range(start, start + 8 * count):
        known = avatars.attributes(avatars.sample_spec(0, i))
        if known["glasses"] in COLOURS and len(found) < count:
            front = np.full((32, 32, 4), 255, np.uint8)
            front[8:24, 8:24, :3] = COLOURS[known["glasses"]] + rng.integers(-15, 5, 3)
            found.append(Person(front, known))
    return found


def test_smoke_run_learns_what_can_be_seen(tmp_path, get_config, monkeypatch):
    splits = {"train": people(48), "validation": people(12, 1000), "test": people(12, 2000)}
    monkeypatch.setattr(portraits, "open_subjects", lambda _, split="train": splits[split])
    config = get_config("probe", "smoke")
    config.data_dir = "data"
    probe.run(config, tmp_path)
    export = read_export(tmp_path)
    assert export.part == "probe"
    judged = export.trained["unseen"]
    assert judged["glasses"] == {"accuracy": 1.0, "people": 24}
    # Nothing in these pictures shows the expression: its figure must say so.
    assert judged["expression"]["accuracy"] < 0.7

    rebuilt = Probe(**export.model)
    seen = probe.pictures(splits["test"], 32)
    said = probe.predict(rebuilt, export.params, seen, batch_size=5)
    names = [name for name, _ in rebuilt.questions]
    values = dict(rebuilt.questions)["glasses"]
    assert [values[k] for k in said[:, names.index("glasses")]] == [
        person.attributes["glasses"] for person in splits["test"]
    ]


def test_what_cannot_be_seen_is_neither_asked_nor_learned():
    known = [{"hair": "red", "hat": "cap"}, {"hair": "blond"}]
    questions = probe.ask(known)
    assert questions == (("hair", ("blond", "red")), ("hat", ("cap",)))
    strange = [*known, {"hair": "green", "hat": "cap"}]
    labels = probe.label(strange, questions)
    np.testing.assert_array_equal(labels, [[1, 0], [0, -1], [-1, 0]])

    net = Probe(questions, image_size=32, width=4, colours=4, dropout=0.0)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))
    params = net.init(jax.random.key(0), images / 255)["params"]
    still = {"shift": 0.0, "brightness": 0.0, "blur": 0.0, "widest": 0.0}
    loss_fn = probe.make_loss(net, [1.0, 1.0], smoothing=0.0, **still)

    def slope(labels):
        batch = {"image": images, "labels": jnp.asarray(labels)}
        return jax.grad(lambda p: loss_fn(p, batch, jax.random.key(1))[0])(params)

    # An open question pulls at nothing: not at its own answers, and not at the others.
    assert not np.any(slope(np.full((3, 2), probe.UNSEEN))["hair"]["kernel"])
    one = slope(np.array([[1, -1], [-1, -1], [-1, -1]]))
    assert np.any(one["hair"]["kernel"]) and not np.any(one["hat"]["kernel"])


def test_augmentation_moves_mirrors_and_lights():
    image = np.zeros((1, 20, 20, 3), np.uint8)
    image[:, 10, 4] = 200
    keys = jax.random.split(jax.random.key(0), 64)
    changes = {"shift": 0.1, "brightness": 0.05, "blur": 0.0, "widest": 0.0}
    out = np.stack([probe.augment(jnp.asarray(image), key, **changes)[0] for key in keys])
    # The spot is at 0.784, changed by the light; what came in from outside is white.
    spots = np.where(out[..., 0] < 0.9, out[..., 0], 0)
    found = [np.unravel_index(one.argmax(), one.shape) for one in spots]
    rows, columns = np.array(found).T
    assert set(rows) == {8, 9, 10, 11, 12}
    assert set(columns) == {2, 3, 4, 5, 6} | {13, 14, 15, 16, 17}
    light = spots.max((1, 2)) * 255 / 200
    assert 0.95 <= light.min() < 0.98 and 1.02 < light.max() <= 1.05


def test_blur_takes_detail_away_and_nothing_else():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (64, 24, 24, 3), np.uint8))
    images = jnp.concatenate([images, images[:, :, ::-1]])  # mirroring changes no statistics
    changes = {"shift": 0.0, "brightness": 0.0, "blur": 0.5, "widest": 0.1}
    out = np.asarray(probe.augment(images, jax.random.key(0), **changes))
    rough = np.diff(out, axis=1).std((1, 2, 3))
    sharp = np.isclose(rough, np.diff(images / 255.0, axis=1).std((1, 2, 3)), atol=1e-3)
    assert 0.3 < sharp.mean() < 0.75
    # All widths down to none: the softest have lost nearly all of it.
    assert rough.min() < 0.1 * rough.max()
    np.testing.assert_allclose(out.mean((1, 2)), np.asarray(images).mean((1, 2)) / 255, atol=0.03)
    flat = jnp.full((8, 24, 24, 3), 77, np.uint8)
    np.testing.assert_allclose(probe.augment(flat, jax.random.key(1), **changes), 77 / 255, 1e-5)


def test_many_looks_are_the_sum_of_their_logarithms():
    net = Probe((("a", ("x", "y")),), image_size=16, width=4, colours=4)
    image = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3))
    params = net.init(jax.random.key(1), image)["params"]
    got = log_probabilities(net, params, image, [(0, 0), (0, 3)])[0]
    want = 0
    for moved in (image, jnp.roll(image, 3, 2)):
        for view in (moved, moved[:, :, ::-1]):
            want += jax.nn.log_softmax(net.apply({"params": params}, view)[0])
    np.testing.assert_allclose(got, want, atol=1e-5)
    with pytest.raises(ValueError, match="expected 16"):
        net.apply({"params": params}, image[:, :8, :8])
