"""One space for pictures and sentences: two towers trained contrastively (the paper's CLIP).

The latent ``z`` that conditions the diffusion models is decided here, once: with ``e`` the image
tower's output, ``d`` its width and mean, std taken per dimension over the training set,

    z = (e / |e| * sqrt(d) - mean) / std.

So z has zero mean and unit variance, and the null latent is zero. A sentence moves a latent by
``(normalise(target) - normalise(source)) / std`` (suppl. B.3).
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8

from rodin_jax.nn.transformer import TransformerBlock

PAD = 0  # the token that only fills a sentence up to its length
MAX_LOG_SCALE = math.log(100.0)


class ImageTower(nn.Module):
    """A small residual convolutional network with attention pooling.

    Attributes:
      dim: of the embedding.
      width: channels after the stem; they double at each later stage, which halves the resolution.
      blocks: residual blocks of each stage.
      patch: the stem looks at patches of this size, without overlap.
      heads: places of the picture that pooling may look at.
    """

    dim: int
    width: int = 48
    blocks: tuple[int, ...] = (1, 1, 1)
    patch: int = 4
    heads: int = 8

    @nn.compact
    def __call__(self, images: Float[Array, "b s s 3"]) -> Float[Array, "b dim"]:
        """Embeddings, not normalised, of pictures in [0, 1] over white."""
        patch = (self.patch, self.patch)
        x = nn.Conv(self.width, patch, strides=patch, name="stem")(2 * images - 1)
        for stage, blocks in enumerate(self.blocks):
            width = self.width * 2**stage
            if stage:
                x = nn.Conv(width, (2, 2), strides=(2, 2), name=f"down_{stage}")(_norm(x))
            for _ in range(blocks):
                hidden = nn.silu(_norm(nn.Conv(width, (3, 3))(nn.silu(_norm(x)))))
                x = x + nn.Conv(width, (3, 3))(hidden)
            self.sow("levels", "stages", x)
        x = nn.LayerNorm(name="norm")(x.reshape(x.shape[0], -1, x.shape[-1]))
        # Each head is a learned map of the picture, bent by its content.
        place = self.param("place", nn.initializers.normal(1.0), (x.shape[1], self.heads))
        focus = jax.nn.softmax(nn.Dense(self.heads, name="focus")(x) + place, axis=1)
        pooled = jnp.einsum("bnc,bnk->bkc", x, focus)
        return nn.Dense(self.dim, name="embedding")(pooled.reshape(x.shape[0], -1))


class TextTower(nn.Module):
    """A transformer over word tokens; the first token's place gathers the sentence.

    Attributes:
      vocabulary: number of tokens.
      dim: of the embedding.
      width: of the features.
      layers: transformer blocks.
      heads: attention heads.
      length: tokens of a sentence, filled up with `PAD`.
    """

    vocabulary: int
    dim: int
    width: int = 96
    layers: int = 2
    heads: int = 4
    length: int = 48

    @nn.compact
    def __call__(
        self, tokens: Int[Array, "b l"]
    ) -> tuple[Float[Array, "b l width"], Float[Array, "b dim"]]:
        """(features of each token, embedding of the sentence, not normalised)."""
        if tokens.shape[1] > self.length:
            raise ValueError(f"sentences have {self.length} tokens at most, got {tokens.shape[1]}")
        places = self.param("places", nn.initializers.normal(0.02), (self.length, self.width))
        words = nn.Embed(self.vocabulary, self.width, name="words")(tokens)
        x = words + places[: tokens.shape[1]]
        mask = (tokens != PAD)[:, None, :]
        for layer in range(self.layers):
            x = TransformerBlock(self.heads, name=f"block_{layer}")(x, mask)
        x = nn.LayerNorm(name="norm")(x)
        return x, nn.Dense(self.dim, name="embedding")(x[:, 0])


class Clip(nn.Module):
    """Both towers and the temperature they are trained with.

    Attributes:
      vocabulary: number of word tokens.
      dim: of the shared space, and so of the latent z.
      image_size: edge in pixels of the pictures the image tower sees.
      image_width: see `ImageTower`; likewise the other ``image_...``.
      image_blocks: residual blocks of each stage.
      image_patch: edge of a patch of the stem.
      text_width: see `TextTower`; likewise the other ``text_...``.
      text_layers: transformer blocks.
      text_heads: attention heads.
      text_length: tokens of a sentence.
    """

    vocabulary: int
    dim: int = 128
    image_size: int = 64
    image_width: int = 48
    image_blocks: tuple[int, ...] = (1, 1, 1)
    image_patch: int = 4
    text_width: int = 96
    text_layers: int = 2
    text_heads: int = 4
    text_length: int = 48

    def setup(self):
        """Names the two towers ``image`` and ``text``."""
        self.image = ImageTower(self.dim, self.image_width, self.image_blocks, self.image_patch)
        self.text = TextTower(
            self.vocabulary,
            self.dim,
            self.text_width,
            self.text_layers,
            self.text_heads,
            self.text_length,
        )
        start = nn.initializers.constant(math.log(1 / 0.07))
        self.log_scale = self.param("log_scale", start, ())

    def __call__(
        self, images: Float[Array, "b s s 3"], tokens: Int[Array, "b l"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"], Float[Array, ""]]:
        """(image embeddings, sentence embeddings, logarithm of the inverse temperature)."""
        return self.image(images), self.text(tokens)[1], self.log_scale

    def encode_image(self, images: Float[Array, "b s s 3"]) -> Float[Array, "b d"]:
        """See `ImageTower`."""
        return self.image(images)

    def encode_text(
        self, tokens: Int[Array, "b l"]
    ) -> tuple[Float[Array, "b l width"], Float[Array, "b d"]]:
        """See `TextTower`."""
        return self.text(tokens)


def contrastive_loss(
    image_embedding: Float[Array, "b d"],
    text_embedding: Float[Array, "b d"],
    log_scale: Float[Array, ""],
    same: Bool[Array, "b b"] | None = None,
) -> Float[Array, ""]:
    """Symmetric cross-entropy of picking the right sentence for a picture and the reverse.

    Args:
      image_embedding: need not be normalised.
      text_embedding: row i belongs to row i of ``image_embedding``.
      log_scale: log inverse temperature, held below log 100 as in CLIP.
      same: which sentences say the same; they share the target. By default each is its own.
    """
    logits = similarity(image_embedding, text_embedding) * jnp.exp(
        jnp.minimum(log_scale, MAX_LOG_SCALE)
    )
    same = jnp.eye(logits.shape[0]) if same is None else same.astype(jnp.float32)
    by_image = _share(same) * jax.nn.log_softmax(logits, axis=1)
    by_text = _share(same.T) * jax.nn.log_softmax(logits.T, axis=1)
    return -(by_image.sum(1).mean() + by_text.sum(1).mean()) / 2


def _share(same: Float[Array, "b b"]) -> Float[Array, "b b"]:
    """Each row's target: evenly among its matches."""
    return same / same.sum(axis=1, keepdims=True)


def similarity(a: Float[Array, "n d"], b: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Cosines between all rows of ``a`` and all rows of ``b``."""
    return _unit(a) @ _unit(b).T


def normalise(embedding: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """``e / |e| * sqrt(d)``: entries of about unit size."""
    return _unit(embedding) * math.sqrt(embedding.shape[-1])


def latent_statistics(
    embeddings: Float[Array, "n d"],
) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
    """Mean and standard deviation per dimension of normalised image embeddings."""
    rows = normalise(embeddings)
    return rows.mean(axis=0), jnp.maximum(rows.std(axis=0), 1e-4)


def standardise(
    embedding: Float[Array, "*b d"], mean: Float[Array, "d"], std: Float[Array, "d"]
) -> Float[Array, "*b d"]:
    """The latent z of image embeddings, see the module's equation."""
    return (normalise(embedding) - mean) / std


def unstandardise(
    z: Float[Array, "*b d"], mean: Float[Array, "d"], std: Float[Array, "d"]
) -> Float[Array, "*b d"]:
    """The image embedding that a latent stands for, to compare with sentences."""
    return z * std + mean


def edit_direction(
    target: Float[Array, "*b d"], source: Float[Array, "*b d"], std: Float[Array, "d"]
) -> Float[Array, "*b d"]:
    """The step in z from what ``source`` says to what ``target`` says (suppl. B.3)."""
    return (normalise(target) - normalise(source)) / std


def preprocess(
    images: UInt8[Array, "b h w c"] | UInt8[np.ndarray, "b h w c"], size: int
) -> Float[Array, "b size size 3"]:
    """RGB or straight RGBA pictures -> [0, 1] over white, made square with white, resized."""
    *_, height, width, channels = images.shape
    if channels not in (3, 4):
        raise ValueError(f"pictures need 3 or 4 channels, got {channels}")
    x = jnp.asarray(images).astype(jnp.float32) / 255
    if channels == 4:
        x = x[..., :3] * x[..., 3:] + 1 - x[..., 3:]
    edge = max(height, width)
    top, left = (edge - height) // 2, (edge - width) // 2
    border = ((0, 0), (top, edge - height - top), (left, edge - width - left), (0, 0))
    x = jnp.pad(x, border, constant_values=1.0)
    shape = (x.shape[0], size, size, 3)
    return jnp.clip(jax.image.resize(x, shape, "linear", antialias=True), 0, 1)


def encode_images(
    clip: Clip,
    params: PyTree,
    images: UInt8[Array, "n h w c"] | UInt8[np.ndarray, "n h w c"],
    *,
    batch_size: int = 128,
) -> Float[Array, "n d"]:
    """Image embeddings, not normalised, of any number of RGB or RGBA pictures of one size."""
    return _in_batches(functools.partial(_encode_image, clip, params), images, batch_size)


def encode_texts(
    clip: Clip,
    params: PyTree,
    tokens: Int[Array, "n l"] | Int[np.ndarray, "n l"],
    *,
    batch_size: int = 128,
) -> tuple[Float[Array, "n l width"], Float[Array, "n d"]]:
    """(features, embeddings), not normalised, of any number of sentences."""
    return _in_batches(functools.partial(_encode_text, clip, params), tokens, batch_size)


def image_levels(
    clip: Clip, params: PyTree, images: Float[Array, "n h w 3"]
) -> tuple[Float[Array, "n _h _w _c"], ...]:
    """What each stage of the image tower sees in pictures in [0, 1], finest first.

    They are resized to the tower's own size.
    """
    shape = (len(images), clip.image_size, clip.image_size, 3)
    images = jax.image.resize(images, shape, "linear")
    _, seen = clip.apply({"params": params}, images, method="encode_image", mutable=["levels"])
    return seen["levels"]["image"]["stages"]


@functools.partial(jax.jit, static_argnums=0)
def _encode_image(clip, params, images):
    x = preprocess(images, clip.image_size)
    return clip.apply({"params": params}, x, method="encode_image")


@functools.partial(jax.jit, static_argnums=0)
def _encode_text(clip, params, tokens):
    return clip.apply({"params": params}, tokens, method="encode_text")


def _in_batches(encode, rows, batch_size):
    """``encode`` over blocks of rows; the last is filled up, so that it compiles once."""
    if not len(rows):
        raise ValueError("nothing to encode")
    rows = np.asarray(rows)
    batch_size = min(batch_size, len(rows))
    parts = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        short = batch_size - len(part)
        part = np.concatenate([part, np.repeat(part[-1:], short, axis=0)]) if short else part
        parts.append(jax.tree.map(lambda x, n=batch_size - short: x[:n], encode(part)))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def _norm(x):
    return nn.LayerNorm()(x)


def _unit(x):
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
