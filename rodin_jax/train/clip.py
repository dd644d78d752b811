"""The shared space of pictures and sentences, trained on front views and their captions.

It exports both towers, the scale of the latent z (``latent_mean``, ``latent_std``) and the
``tokenizer.json`` of the captions' words.
"""

import itertools
import logging
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from rodin_jax.data import loading
from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn import tokenizer as tokenizer_lib
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.tokenizer import SPECIAL
from rodin_jax.train import export, latents, loop, portraits, sharding
from rodin_jax.train import state as train_state
from rodin_jax.train.augment import Augmentation, augment

PART = "clip"
JUDGED = 256  # held-out subjects that retrieval is measured on, at most


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on the fronts and captions of ``config.data_dir``; exports."""
    subjects = portraits.open_subjects(config.data_dir)
    captions = [list(subjects[i].captions) for i in range(len(subjects))]
    tokenizer = tokenizer_lib.train(itertools.chain(portraits.GENERIC, *captions))
    length = config.model.text_length
    tokens = portraits.token_table([tokenizer.encode(rows, length) for rows in captions])
    logging.info(
        "%d subjects, %d captions each, %d words", len(subjects), tokens.shape[1], len(tokenizer)
    )

    model_options = {**config.model.to_dict(), "vocabulary": len(tokenizer)}
    clip = Clip(**model_options)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    picture = jnp.zeros((1, clip.image_size, clip.image_size, 3))
    params = jax.jit(clip.init)(init_key, picture, jnp.zeros((1, length), jnp.int32))["params"]
    logging.info("both towers: %.2f M parameters", train_state.parameter_count(params) / 1e6)
    loss_fn = make_loss(
        clip,
        jnp.asarray(tokenizer.encode(list(portraits.GENERIC), length)),
        Augmentation(**config.augment.to_dict()),
        generic_share=config.generic_share,
        word_dropout=config.word_dropout,
    )
    step, state = train_state.from_config(config, loss_fn, params, train_key)
    source = portraits.Portraits(subjects, tokens, config.source_size)

    def batches_from(start):
        return loading.batches(source, config.batch_size, config.seed, start_step=start)

    done = loop.run(
        step,
        state,
        batches_from,
        steps=config.steps,
        workdir=workdir,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
    )
    params = jax.tree.map(jnp.asarray, sharding.to_host(done.state.ema))
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
        trained={
            **done.trained(),
            **score,
            "subjects": len(subjects),
            "batch_size": config.batch_size,
        },
    )
    if jax.process_index() == 0:
        tokenizer.save(folder / latents.TOKENIZER)


def make_loss(
    clip: Clip,
    generic: Int[Array, "g l"],
    options: Augmentation,
    *,
    generic_share: float,
    word_dropout: float,
) -> train_state.LossFn:
    """The contrastive loss on augmented pictures and one random caption each.

    Its batch holds ``image``, premultiplied RGBA ``[b, h, h, 4]``, and ``tokens [b, k, l]``.
    Captions that happen to be equal share their pictures.
    """

    def loss_fn(params, batch, key):
        picture_key, caption_key, drop_key = jax.random.split(key, 3)
        images = augment(batch["image"], clip.image_size, picture_key, options)
        tokens = portraits.pick_captions(batch["tokens"], generic, caption_key, generic_share)
        same = (tokens[:, None] == tokens[None]).all(-1)
        read = drop_words(tokens, drop_key, word_dropout)
        seen, said, log_scale = clip.apply({"params": params}, images, read)
        loss = clip_lib.contrastive_loss(seen, said, log_scale, same)
        best = clip_lib.similarity(seen, said).argmax(axis=1)
        hit = jnp.take_along_axis(same, best[:, None], axis=1)
        return loss, {"accuracy": hit.mean(), "scale": jnp.exp(log_scale)}

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
