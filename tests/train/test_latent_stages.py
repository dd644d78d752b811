"""The clip, latent and text stages, one after the other, on a handful of flat-coloured people."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import cameras
from rodin_jax.data.builder import Subject
from rodin_jax.diffusion import schedules
from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.latent import LatentNet
from rodin_jax.nn.line import Line
from rodin_jax.nn.text import SentenceLine, TextPrior
from rodin_jax.nn.tokenizer import SPECIAL
from rodin_jax.train import clip, latent, latents, phrases, portraits, text
from rodin_jax.train.export import read_export

COLOURS = ("red", "green", "blue", "grey", "black", "yellow", "white", "pink", "brown", "olive")


def people():
    rng, camera = (
        np.random.default_rng(0),
        cameras.Camera(
            pose=jnp.zeros((0, 4, 4)), focal=jnp.zeros((0, 2)), centre=jnp.zeros((0, 2))
        ),
    )
    for i, colour in enumerate(COLOURS):
        front = np.full((20, 20, 4), 255, np.uint8)
        front[..., :3] = rng.integers(0, 256, 3)
        front[:4, ..., 3] = 0
        captions = (f"a {colour} person", f"someone {colour}")[: 1 + i % 2]
        views = np.zeros((0, 20, 20, 4), np.uint8)
        yield Subject(f"s{i}", views, camera, front, captions, {"colour": colour})


@pytest.fixture(scope="module")
def stages(tmp_path_factory, get_config):
    """Workdirs of the three stages after their smoke presets."""
    folder, subjects = tmp_path_factory.mktemp("stages"), list(people())
    splits = {"train": subjects, "validation": subjects[:3]}
    patch = pytest.MonkeyPatch()
    patch.setattr(portraits, "open_subjects", lambda _, split="train": splits[split])
    for stage in (clip, latent, text):
        config = get_config(stage.PART, "smoke")
        config.data_dir = "data"
        if stage is not clip:
            config.clip_dir = str(folder / "clip")
        config.steps = 6
        stage.run(config, folder / stage.PART)
    patch.undo()
    return folder


def test_clip_export_gives_unit_latents(stages):
    encoder = latents.Encoder(stages / "clip")
    assert set(COLOURS) <= set(encoder.tokenizer._known)
    z = encoder.fronts(person.front for person in people())
    assert z.shape == (10, 16)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-2)
    features, embedding, mask = encoder.texts(["a red person", "purple"])
    assert features.shape == (2, 56, 16) and mask.sum(1).tolist() == [5, 3]
    np.testing.assert_allclose(jnp.linalg.norm(embedding, axis=1), 4, rtol=1e-5)
    # Of many people's sentences at once the embeddings are those of each.
    tokens = np.stack([encoder.tokens(["a red person", "purple"])] * 3)
    found = encoder.captions(tokens, at_once=2)
    np.testing.assert_allclose(found, np.stack([embedding] * 3), atol=1e-5)
    trained = read_export(stages / "clip").trained
    assert trained["retrieval_among"] == 3 and trained["steps"] == 6


def test_towers_go_on_from_an_earlier_run(stages, tmp_path, monkeypatch, get_config):
    fewer = [person for person in people() if "grey" not in person.captions[0]]
    monkeypatch.setattr(portraits, "open_subjects", lambda *_: fewer)
    config = get_config("clip", "smoke")
    config.data_dir, config.start = "data", str(stages / "clip")
    config.steps, config.learning_rate = 1, 0.0
    clip.run(config, tmp_path)
    before, after = (latents.Encoder(folder) for folder in (stages / "clip", tmp_path))
    # Its words keep their numbers, also those that nobody is called any more.
    assert after.tokenizer._known == before.tokenizer._known
    jax.tree.map(np.testing.assert_array_equal, after.params, before.params)


@pytest.mark.parametrize("network", [LatentNet, TextPrior])
def test_diffusion_exports_build_their_networks(stages, network):
    part = "latent" if network is LatentNet else "text"
    export = read_export(stages / part)
    schedule = schedules.make(export.process["schedule"], export.process["steps"])
    inputs = jnp.zeros((2, 16)), jnp.full(2, schedule.steps - 1)
    if network is TextPrior:
        inputs += latents.Encoder(stages / "clip").texts(["a red person", "someone"])
    out = network(**export.model).apply({"params": export.params}, *inputs)
    assert out.shape == (2, 16) and jnp.isfinite(out).all()
    assert export.trained["examples"] == 48 and export.part == part


def test_another_stages_export_is_refused(stages):
    with pytest.raises(ValueError, match="'latent', expected 'clip'"):
        latents.Encoder(stages / "latent")
    with pytest.raises(ValueError, match="clip_dir is empty"):
        latents.Encoder("")
    with pytest.raises(ValueError, match="data_dir is empty"):
        portraits.open_subjects("")


HEARD = []


class _Answers:
    """Stands for a network: says its parameters, notes what it was asked."""

    def apply(self, variables, *inputs):
        """The parameters, for each example."""
        HEARD[:] = inputs
        return jnp.broadcast_to(variables["params"], inputs[0].shape)


class Latent(_Answers, LatentNet):
    """In place of the latent network."""


class Prior(_Answers, TextPrior):
    """In place of the text prior."""


def test_latent_loss_is_the_mean_error():
    schedule, z = schedules.linear(20), jnp.full((512, 3), 2.0)
    for kind, expected in (("l1", np.sqrt(2 / np.pi)), ("l2", 1.0)):
        loss_fn = latent.make_loss(Latent(3), schedule, "eps", kind)
        loss, _ = loss_fn(jnp.zeros(3), {"z": z}, jax.random.key(0))
        assert float(loss) == pytest.approx(expected, rel=0.1)  # moments of a unit normal
        loss_fn = latent.make_loss(Latent(3), schedule, "x0", kind)
        assert float(loss_fn(jnp.full(3, 2.0), {"z": z}, jax.random.key(0))[0]) == 0
    with pytest.raises(ValueError, match="l1"):
        latent.make_loss(Latent(3), schedule, loss="huber")
    # Coordinates count as they are told to.
    loss_fn = latent.make_loss(Latent(3), schedule, "x0", "l1", jnp.array([3.0, 0.0, 0.0]))
    said = jnp.array([1.0, 7.0, 9.0])
    assert float(loss_fn(said, {"z": z}, jax.random.key(0))[0]) == pytest.approx(1.0)


def test_latents_have_unit_variance_along_each_axis():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((500, 2)) @ rng.standard_normal((2, 5))  # in a plane
    u, spread = latent.whitened(z.astype(np.float32))
    np.testing.assert_allclose(u @ spread, z, atol=1e-3)
    variance = u.var(0)
    assert (np.isclose(variance, 1, atol=1e-2) | (variance < 1e-3)).all()
    assert np.isclose(variance, 1, atol=1e-2).sum() == 2
    between = u[:, variance > 0.5]
    np.testing.assert_allclose(np.cov(between.T), np.eye(2), atol=1e-2)


def test_text_loss_drops_sentences_and_picks_either_side(stages):
    encoder = latents.Encoder(stages / "clip")
    tokens = np.stack([encoder.tokens(["a red person", "someone red"])] * 256)
    z = np.stack([np.full((256, 16), 1.0), np.full((256, 16), -1.0)], 1).astype(np.float32)
    generic = jnp.asarray(encoder.tokens(["a person"]))
    schedule = schedules.linear(20)
    # A line that knows nothing, of latents in their own axes.
    ones = jnp.ones(16)
    line = SentenceLine(jnp.eye(16), jnp.zeros(16), Line(0 * ones, ones, jnp.zeros((16, 16)), ones))
    loss_fn = text.make_loss(Prior(16), line, encoder, schedule, generic, null_share=0.25)
    batch = {"tokens": jnp.asarray(tokens), "z": jnp.asarray(z)}
    loss, _ = loss_fn(jnp.zeros(16), batch, jax.random.key(0))
    assert float(loss) == pytest.approx(1.0, abs=0.05)
    seen, t, features, embedding, mask = HEARD
    lost = np.asarray(~mask.any(axis=1))
    assert 0.15 < lost.mean() < 0.35
    assert (np.asarray(jnp.abs(features).max((1, 2)) == 0) == lost).all()
    assert (np.asarray(jnp.abs(embedding).max(1) == 0) == lost).all()
    # Either side is noised: the least noisy examples are near +1 and near -1.
    near = seen[t == 0]
    assert (near.mean(1) > 0.5).any() and (near.mean(1) < -0.5).any()


def test_a_line_from_sentences_is_found():
    rng = np.random.default_rng(0)
    said = 2 + rng.standard_normal((400, 3, 4)).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    # Of three sentences about somebody only what they agree on tells anything.
    z = said.mean(1, keepdims=True) @ rng.standard_normal((4, 6)) @ turn
    z = (z - z.mean(0)).repeat(2, axis=1).astype(np.float32)
    z += 0.1 * rng.standard_normal(z.shape).astype(np.float32)
    line = text.straight(z, said)
    assert line["slope"].shape == (4, 6)
    axes = line["axes"].astype(np.float32)
    np.testing.assert_allclose(axes.T @ axes, np.eye(6), atol=2e-3)
    np.testing.assert_allclose(line["spectrum"], (z.reshape(-1, 6) @ axes).var(0), rtol=0.02)
    # Regression on one of three equal voices: a third of the way, a third of the variance.
    truth = z.mean(1) @ axes
    guess = (said[:, 0] - line["centre"]) @ line["slope"].astype(np.float32)
    slope = (guess * truth).sum() / (truth**2).sum()
    assert slope == pytest.approx(1 / 3, abs=0.05)
    left = line["told"].sum() / line["spectrum"].sum()
    assert left == pytest.approx(2 / 3, abs=0.05)


def test_clip_loss_counts_equal_captions_as_hits():
    model = Clip(8, dim=4, image_size=8, image_width=4, image_blocks=(1,), text_width=4,
                 text_layers=1, text_heads=1, text_length=4)  # fmt: skip
    tokens = jnp.broadcast_to(jnp.array([2, 4, 3, 0]), (4, 2, 4))
    image = jnp.full((4, 10, 10, 4), 255, jnp.uint8)
    init = jax.jit(model.init)
    towers = init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), tokens[:1, 0])["params"]
    looks = clip.Appearance(size=5, width=4, weight=0.0, noise=0.1)
    head = looks.head.init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
    loss_fn = clip.make_loss(
        model,
        looks,
        jnp.array([[2, 5, 3, 0]]),
        clip.Augmentation(),
        generic_share=0.0,
        word_dropout=0.0,
        phrases_weight=0.0,
    )
    reader = {"kernel": jnp.zeros((4, 3)), "bias": jnp.zeros(3)}
    batch = {"image": image, "tokens": tokens, "phrases": jnp.zeros((4, 3), bool)}
    params = {"towers": towers, "head": head, "phrases": reader}
    loss, metrics = jax.jit(loss_fn)(params, batch, jax.random.key(1))
    assert metrics["accuracy"] == 1.0
    # By picture the four equal sentences are one: log 4. By sentence about as much.
    assert float(loss) == pytest.approx(np.log(4), abs=0.5)


def test_looks_are_drawn_from_the_embedding():
    """White people of four sizes: the head learns them from embeddings that differ."""
    looks = clip.Appearance(size=6, width=16, weight=1.0, noise=0.0)
    blank = jnp.zeros((12, 12, 4), jnp.uint8)
    fronts = jnp.stack([blank.at[: 3 * n].set(255) for n in range(1, 5)])
    embedding = jax.random.normal(jax.random.key(0), (4, 8))
    params = looks.head.init(jax.random.key(1), embedding)["params"]

    @jax.jit
    def descend(params):
        error, grads = jax.value_and_grad(looks.error)(params, embedding, fronts, jax.random.key(2))
        return jax.tree.map(lambda p, g: p - 5.0 * g, params, grads), error

    for _ in range(300):
        params, error = descend(params)
    assert error < 1e-3
    drawn = looks.head.apply({"params": params}, clip_lib.normalise(embedding))
    np.testing.assert_allclose(drawn[1, :, 3, 3], [1, 1, 0.88, 0.12, 0, 0], atol=0.1)
    heard = clip.Appearance(size=6, width=16, weight=1.0, noise=0.5)
    assert heard.error(params, embedding, fronts, jax.random.key(2)) > 5 * error


def test_phrases_are_words_and_neighbours_that_some_are_described_with():
    start, end, pad = SPECIAL.index("[BOS]"), SPECIAL.index("[EOS]"), 0
    red, hair, hat = range(len(SPECIAL), len(SPECIAL) + 3)
    tokens = np.array(
        [
            [[start, red, hair, end, pad], [start, hair, end, pad, pad]],
            [[start, red, hat, end, pad], [start, hat, end, pad, pad]],
            [[start, red, hat, end, pad], [start, red, hair, hat, end]],
            [[start, hair, hat, end, pad], [start, hair, end, pad, pad]],
        ]
    )
    found, labels = phrases.label(tokens, rarest=0.3, commonest=0.9)
    want = [(0, red), (0, hair), (0, hat), (red, hair), (red, hat), (hair, hat)]
    assert list(map(tuple, found)) == want
    # red, hair, hat, "red hair", "red hat", "hair hat"; no pair crosses a special token.
    want = [[1, 1, 0, 1, 0, 0], [1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 0, 1]]
    np.testing.assert_array_equal(labels, np.array(want, bool))
    assert len(phrases.label(tokens, rarest=0.6, commonest=0.9)[0]) == 3
    assert len(phrases.label(tokens, rarest=0.3, commonest=0.6)[0]) == 3


def test_phrases_are_read_off_embeddings():
    labels = jnp.array([[True, False], [False, False], [True, True]])
    embedding = jax.random.normal(jax.random.key(0), (3, 6))
    params = phrases.reader(np.asarray(labels), 6)
    # At first all are thought to be as most are: 2 of 3 and 1 of 3.
    usual = -2 * (np.log(2 / 3) * 2 + np.log(1 / 3)) / 3
    assert float(phrases.unsaid(params, embedding, labels)) == pytest.approx(usual)
    slope = jax.jit(jax.value_and_grad(phrases.unsaid))
    for _ in range(200):
        error, grads = slope(params, embedding, labels)
        params = jax.tree.map(lambda p, g: p - 0.5 * g, params, grads)
    assert error < 0.1
    # Not the length of an embedding says it, but its direction.
    np.testing.assert_allclose(phrases.unsaid(params, 7 * embedding, labels), error, rtol=0.1)


def test_captions_that_are_all_alike_have_no_phrases():
    found, labels = phrases.label(np.full((3, 2, 4), len(SPECIAL)))
    assert found.shape == (0, 2) and labels.shape == (3, 0)
    embedding = jnp.ones((3, 6))
    params = phrases.reader(labels, 6)
    error, slope = jax.value_and_grad(phrases.unsaid, 1)(params, embedding, jnp.asarray(labels))
    assert error == 0 and not slope.any()


def test_words_are_dropped_but_never_special_tokens():
    tokens = jnp.broadcast_to(jnp.array([2, 5, 6, 3, 0]), (2000, 5))
    out = np.asarray(clip.drop_words(tokens, jax.random.key(0), 0.1))
    np.testing.assert_array_equal(out[:, [0, 3, 4]], np.asarray(tokens)[:, [0, 3, 4]])
    assert (out[:, 1:3] == 1).mean() == pytest.approx(0.1, abs=0.02)


def test_captions_are_picked_evenly_and_sometimes_generic():
    table = portraits.token_table([np.full((2, 3), 7), np.array([[8] * 3, [9] * 3, [10] * 3])])
    assert table[:, :, 0].tolist() == [[7, 7, 7], [8, 9, 10]]
    many = jnp.asarray(np.repeat(table[1:], 3000, axis=0))
    picked = portraits.pick_captions(many, jnp.full((1, 3), 4), jax.random.key(0), 0.1)[:, 0]
    shares = [(np.asarray(picked) == word).mean() for word in (8, 9, 10, 4)]
    np.testing.assert_allclose(shares, [0.3, 0.3, 0.3, 0.1], atol=0.03)


def test_portraits_are_premultiplied_and_the_same_from_disk():
    subjects = list(people())
    tokens = np.zeros((10, 1, 4), np.int32)
    kept = portraits.Portraits(subjects, 10, tokens=tokens)
    read = portraits.Portraits(subjects, 10, memory_bytes=0, tokens=tokens)
    example = read[3]
    np.testing.assert_array_equal(example["image"], kept[3]["image"])
    assert example["image"].shape == (10, 10, 4) and len(read) == 10
    assert example["image"][0].max() == 0  # nothing shines through where nothing is
    front = clip_lib.preprocess(subjects[3].front[None], 10)[0]
    image = example["image"] / 255
    np.testing.assert_allclose(image[..., :3] + 1 - image[..., 3:], front, atol=0.01)


def test_rows_must_agree():
    with pytest.raises(ValueError, match="lengths"):
        portraits.Rows(a=np.zeros(2), b=np.zeros(3))
