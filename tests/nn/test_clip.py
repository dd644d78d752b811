import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn.clip import PAD, Clip, TextTower, contrastive_loss

SMALL = Clip(
    vocabulary=10,
    dim=8,
    image_size=16,
    image_width=8,
    image_blocks=(1, 1),
    text_width=8,
    text_layers=1,
    text_heads=2,
    text_length=6,
)


@functools.cache
def params():
    shapes = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 6), jnp.int32)
    return jax.jit(SMALL.init)(jax.random.key(0), *shapes)["params"]


def test_contrastive_loss_closed_form():
    """Orthogonal pairs: each row is a softmax of one logit s among zeros."""
    basis, s = 3.0 * jnp.eye(4), jnp.log(5.0)
    expected = np.log(1 + 3 * np.exp(-5.0))
    np.testing.assert_allclose(contrastive_loss(basis, 7 * basis, s), expected, rtol=1e-5)
    # The temperature is clamped at 100.
    np.testing.assert_allclose(
        contrastive_loss(basis, basis[::-1], jnp.asarray(20.0)), 100.0, rtol=1e-5
    )


def test_equal_sentences_share_the_target():
    image, text = jax.random.normal(jax.random.key(0), (2, 2, 5))
    text = jnp.broadcast_to(text[:1], text.shape)
    loss = contrastive_loss(image, text, jnp.zeros(()), jnp.ones((2, 2), bool))
    # A picture cannot tell the two sentences apart: half the loss is log 2 exactly.
    cosine = clip_lib.similarity(image, text)[:, 0]
    by_text = -jax.nn.log_softmax(cosine).mean()
    np.testing.assert_allclose(loss, (np.log(2) + by_text) / 2, rtol=1e-5)


def test_padding_does_not_matter_but_word_order_does():
    tower = TextTower(vocabulary=10, dim=4, width=8, layers=1, heads=2, length=6)
    tokens = jnp.array([[2, 5, 6, 7, 3], [2, 7, 6, 5, 3]])
    variables = jax.jit(tower.init)(jax.random.key(0), jnp.zeros((1, 6), jnp.int32))
    run = jax.jit(tower.apply)
    features, embedding = run(variables, tokens)
    padded = jnp.pad(tokens, ((0, 0), (0, 1)), constant_values=PAD)
    longer, same = run(variables, padded)
    np.testing.assert_allclose(embedding, same, atol=1e-5)
    np.testing.assert_allclose(features, longer[:, :5], atol=1e-5)
    assert jnp.abs(embedding[0] - embedding[1]).max() > 1e-4
    with pytest.raises(ValueError, match="6 tokens"):
        tower.apply(variables, jnp.zeros((1, 7), jnp.int32))


def test_preprocess_composes_pads_and_keeps_the_mean():
    picture = np.zeros((1, 4, 8, 4), np.uint8)
    picture[..., 0], picture[..., 3] = 255, 51  # red at a fifth over white
    small = np.asarray(clip_lib.preprocess(picture, 8))
    np.testing.assert_allclose(small[0, 3, 3], [1, 0.8, 0.8], atol=1e-6)
    np.testing.assert_allclose(small[0, 0], 1, atol=1e-6)  # white above the landscape picture
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    shrunk = clip_lib.preprocess(noise, 16)
    np.testing.assert_allclose(shrunk.mean(), noise.mean() / 255, atol=2e-3)
    assert float(shrunk.std()) < 0.35 * noise.std() / 255  # antialiased
    with pytest.raises(ValueError, match="channels"):
        clip_lib.preprocess(noise[..., :2], 16)


def test_batched_encoding_equals_one_by_one():
    pictures = np.random.default_rng(1).integers(0, 256, (5, 20, 20, 4), dtype=np.uint8)
    together = clip_lib.encode_images(SMALL, params(), pictures, batch_size=2)
    whole = clip_lib.encode_images(SMALL, params(), pictures)
    np.testing.assert_allclose(together, whole, atol=1e-5)
    tokens = np.array([[2, 4, 3, 0, 0, 0], [2, 5, 4, 3, 0, 0], [2, 3, 0, 0, 0, 0]], np.int32)
    features, embedding = clip_lib.encode_texts(SMALL, params(), tokens, batch_size=2)
    assert features.shape == (3, 6, 8) and embedding.shape == (3, 8)
    with pytest.raises(ValueError, match="nothing"):
        clip_lib.encode_images(SMALL, params(), pictures[:0])


def test_latents_have_unit_variance_and_edits_their_scale():
    embeddings = jax.random.normal(jax.random.key(2), (64, 8)) * jnp.arange(1, 9) + 0.5
    mean, std = clip_lib.latent_statistics(embeddings)
    z = clip_lib.standardise(embeddings, mean, std)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-4)
    back = clip_lib.unstandardise(z, mean, std)
    np.testing.assert_allclose(back, clip_lib.normalise(embeddings), atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(back, axis=1), np.sqrt(8), rtol=1e-5)
    # Were texts exactly where pictures are, an edit would lead from one to the other.
    step = clip_lib.edit_direction(embeddings[1], embeddings[0], std)
    np.testing.assert_allclose(z[0] + step, z[1], atol=1e-4)


def test_towers_learn_which_word_is_which_colour():
    colours = np.random.default_rng(3).uniform(size=(6, 1, 1, 3)).astype(np.float32)
    images = jnp.asarray(np.broadcast_to(colours, (6, 16, 16, 3)))
    tokens = jnp.stack([jnp.array([2, 4 + i, 3]) for i in range(6)])
    optimizer = optax.adam(1e-2)

    def loss_fn(weights):
        return contrastive_loss(*SMALL.apply({"params": weights}, images, tokens))

    @jax.jit
    def train(weights):
        def step(carry, _):
            weights, state = carry
            loss, gradient = jax.value_and_grad(loss_fn)(weights)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(weights, updates), state), loss

        return jax.lax.scan(step, (weights, optimizer.init(weights)), length=60)

    (weights, _), losses = train(params())
    assert losses[-1] < 0.1 * losses[0]
    seen, said, _ = jax.jit(SMALL.apply)({"params": weights}, images, tokens)
    assert (clip_lib.similarity(seen, said).argmax(1) == jnp.arange(6)).all()
