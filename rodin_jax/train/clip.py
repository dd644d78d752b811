"""The shared space of pictures and sentences, trained on front views and their captions.

The loss is the contrastive one; the error of a small picture drawn from the embedding, so that z
tells the looks too (`rodin_jax.nn.appearance`); and that of the captions' phrases read off both
embeddings (`rodin_jax.train.phrases`). It exports both towers, the scale of the
latent z (``latent_mean``, ``latent_std``) and the ``tokenizer.json`` of the captions' words.
"""

import dataclasses
import itertools
import logging
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt8

from rodin_jax import triplanes
from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn import tokenizer as tokenizer_lib
from rodin_jax.nn.appearance import AppearanceHead
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.tokenizer import SPECIAL, WordTokenizer
from rodin_jax.train import export, latents, phrases, portraits, stage
from rodin_jax.train import state as train_state
from rodin_jax.train.augment import Augmentation, augment, mirror_some

PART = "clip"
JUDGED = 256  # held-out subjects that retrieval is measured on, at most


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on the fronts and captions of ``config.data_dir``; exports."""
    subjects = portraits.open_subjects(config.data_dir)
    captions = [list(subjects[i].captions) for i in range(len(subjects))]
    tokenizer = _tokenizer(config.start, captions)
    length = config.model.text_length
    tokens = portraits.token_table([tokenizer.encode(rows, length) for rows in captions])
    logging.info(
        "%d subjects, %d captions each, %d words", len(subjects), tokens.shape[1], len(tokenizer)
    )

    model_options = {**config.model.to_dict(), "vocabulary": len(tokenizer)}
    clip = Clip(**model_options)
    appearance = Appearance(**config.appearance.to_dict())
    _, labels = phrases.label(
        tokens, rarest=config.phrases.rarest, commonest=config.phrases.commonest
    )
    logging.info("%d phrases, %.0f said of a subject", labels.shape[1], labels.sum(1).mean())
    init_key, head_key, train_key = jax.random.split(jax.random.key(config.seed), 3)
    picture = jnp.zeros((1, clip.image_size, clip.image_size, 3))
    towers = stage.initial(clip, init_key, picture, jnp.zeros((1, length), jnp.int32))
    params = {
        "towers": stage.continued(towers, config.start, PART),
        "head": stage.initial(appearance.head, head_key, jnp.zeros((1, clip.dim))),
        "phrases": phrases.reader(labels, clip.dim),
    }
    loss_fn = make_loss(
        clip,
        appearance,
        jnp.asarray(tokenizer.encode(list(portraits.GENERIC), length)),
        Augmentation(**config.augment.to_dict()),
        generic_share=config.generic_share,
        word_dropout=config.word_dropout,
        phrases_weight=config.phrases.weight,
    )
    source = portraits.Portraits(subjects, config.source_size, tokens=tokens, phrases=labels)
    done = stage.train(config, workdir, loss_fn, params, train_key, source)
    params = done.weights["towers"]
    embeddings = latents.encode_fronts(clip, params, portraits.fronts(subjects))
    mean, std = clip_lib.latent_statistics(embeddings)
    score = retrieval(clip, params, tokenizer, config.data_dir)
    logging.info("retrieval of held-out captions by pictures: %s", score)
    folder = export.write_export(
        workdir,
        PART,
        model_options,
        params,
        arrays={"latent_mean": mean, "latent_std": std},
        trained={**done.figures, **score, "subjects": len(subjects)},
    )
    if jax.process_index() == 0:
        tokenizer.save(folder / latents.TOKENIZER)


def _tokenizer(start, captions) -> WordTokenizer:
    """That of the run to go on from, whose text tower knows its numbers; or one of the captions."""
    if str(start):
        return latents.Encoder(start).tokenizer
    return tokenizer_lib.train(itertools.chain(portraits.GENERIC, *captions))


@dataclasses.dataclass(frozen=True)
class Appearance:
    """How much of the looks an embedding must tell.

    Attributes:
      size: edge of the picture that is drawn from it.
      width: of the network that draws.
      weight: of the squared error, in [0, 1], of premultiplied RGBA.
      noise: added to normalised embeddings, whose entries are about one: what is said in smaller
        differences is not heard.
    """

    size: int
    width: int
    weight: float
    noise: float

    @property
    def head(self) -> AppearanceHead:
        """The network that draws."""
        return AppearanceHead(self.size, self.width)

    def error(
        self,
        params: PyTree,
        embedding: Float[Array, "b d"],
        fronts: UInt8[Array, "b h h 4"],
        key: Array,
    ) -> Float[Array, ""]:
        """Mean squared error of what is drawn from image embeddings. The key is consumed."""
        shrink = triplanes.resize_matrix(fronts.shape[1], self.size)
        wanted = jnp.einsum("ih,jw,bhwc->bijc", shrink, shrink, fronts / 255.0)
        heard = clip_lib.normalise(embedding)
        heard = heard + self.noise * jax.random.normal(key, heard.shape)
        return jnp.mean((self.head.apply({"params": params}, heard) - wanted) ** 2)


def make_loss(
    clip: Clip,
    appearance: Appearance,
    generic: Int[Array, "g l"],
    options: Augmentation,
    *,
    generic_share: float,
    word_dropout: float,
    phrases_weight: float,
) -> train_state.LossFn:
    """The contrastive loss on augmented pictures and one random caption each, looks and phrases.

    The picture to draw is the front as it was, however the one that the tower saw was changed.

    Its batch holds ``image``, premultiplied RGBA ``[b, h, h, 4]``, ``tokens [b, k, l]`` and
    ``phrases [b, p]``, which of them are said of each subject.
    Captions that happen to be equal share their pictures.
    """

    def loss_fn(params, batch, key):
        picture_key, caption_key, drop_key, mirror_key, noise_key = jax.random.split(key, 5)
        fronts = mirror_some(batch["image"], mirror_key)
        images = augment(fronts, clip.image_size, picture_key, options)
        tokens = portraits.pick_captions(batch["tokens"], generic, caption_key, generic_share)
        same = (tokens[:, None] == tokens[None]).all(-1)
        read = drop_words(tokens, drop_key, word_dropout)
        seen, said, log_scale = clip.apply({"params": params["towers"]}, images, read)
        looks = appearance.error(params["head"], seen, fronts, noise_key)
        loss = clip_lib.contrastive_loss(seen, said, log_scale, same)
        best = clip_lib.similarity(seen, said).argmax(axis=1)
        hit = jnp.take_along_axis(same, best[:, None], axis=1)
        told = [phrases.unsaid(params["phrases"], e, batch["phrases"]) for e in (seen, said)]
        shown = {
            "accuracy": hit.mean(),
            "scale": jnp.exp(log_scale),
            "looks": -10 * jnp.log10(looks),
            "phrases_seen": told[0],
            "phrases_said": told[1],
        }
        return loss + appearance.weight * looks + phrases_weight * sum(told), shown

    return loss_fn


def drop_words(tokens: Int[Array, "b l"], key: Array, probability: float) -> Int[Array, "b l"]:
    """Makes some words unknown, so that unknown words do not surprise. The key is consumed."""
    dropped = jax.random.bernoulli(key, probability, tokens.shape)
    return jnp.where(dropped & (tokens >= len(SPECIAL)), SPECIAL.index("[UNK]"), tokens)


def retrieval(clip: Clip, params: PyTree, tokenizer, data_dir) -> dict[str, float | int]:
    """How often a held-out picture's own full caption is its nearest; empty without such."""
    try:
        subjects = portraits.open_subjects(data_dir, "validation")
    except ValueError:
        return {}
    count = min(len(subjects), JUDGED)
    chosen = [subjects[i] for i in range(count)]
    seen = latents.encode_fronts(clip, params, (s.front for s in chosen))
    tokens = tokenizer.encode([s.captions[0] for s in chosen], clip.text_length)
    said = clip_lib.encode_texts(clip, params, tokens)[1]
    return {"retrieval": top_one(seen, said), "retrieval_among": count}


def top_one(seen: Float[Array, "n d"], said: Float[Array, "n d"]) -> float:
    """Share of rows of ``seen`` whose nearest row of ``said`` is their own."""
    nearest = np.asarray(clip_lib.similarity(seen, said).argmax(axis=1))
    return round(float((nearest == np.arange(len(nearest))).mean()), 4)
