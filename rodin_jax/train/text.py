"""The text prior: diffusion of the latent z given a sentence (suppl. B.5)."""

import logging
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Int

from rodin_jax.diffusion import process, samplers, schedules
from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn.text import TextPrior, null_text
from rodin_jax.train import export, latents, portraits, stage
from rodin_jax.train import state as train_state
from rodin_jax.train.clip import JUDGED, top_one

PART = "text"
JUDGE_STEPS = 25


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on captions and latents of ``config.data_dir``; exports."""
    encoder = latents.Encoder(config.clip_dir)
    subjects = portraits.open_subjects(config.data_dir)
    z = np.stack(
        [
            np.asarray(encoder.fronts(portraits.fronts(subjects, mirrored=mirrored)))
            for mirrored in (False, True)
        ],
        axis=1,
    )
    captions = [encoder.tokens(list(subjects[i].captions)) for i in range(len(subjects))]
    source = portraits.Rows(z=z, tokens=portraits.token_table(captions))
    logging.info("%d subjects, latents of %d dimensions", len(source), z.shape[-1])

    model_options = {**config.model.to_dict(), "dim": z.shape[-1]}
    model = TextPrior(**model_options)
    schedule = schedules.make(config.process.schedule, config.process.steps)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    text = encoder.texts([portraits.GENERIC[0]])
    start = jnp.asarray(z[:1, 0]), jnp.zeros(1, jnp.int32)
    params = stage.initial(model, init_key, *start, *text)
    loss_fn = make_loss(
        model,
        encoder,
        schedule,
        jnp.asarray(encoder.tokens(list(portraits.GENERIC))),
        prediction=config.process.prediction,
        null_share=config.null_share,
        generic_share=config.generic_share,
    )
    done = stage.train(config, workdir, loss_fn, params, train_key, source)
    score = retrieval(config, model, done.weights, encoder, schedule)
    logging.info("retrieval of held-out captions by sampled latents: %s", score)
    export.write_export(
        workdir,
        PART,
        model_options,
        done.weights,
        process=config.process.to_dict(),
        trained={**done.figures, **score, "subjects": len(subjects)},
    )


def make_loss(
    model: TextPrior,
    encoder: latents.Encoder,
    schedule: schedules.Schedule,
    generic: Int[Array, "g l"],
    *,
    prediction: str = "x0",
    null_share: float = 0.2,
    generic_share: float = 0.03,
) -> train_state.LossFn:
    """Mean squared error at a uniform t; the sentence is absent with probability ``null_share``.

    Its batch holds ``tokens [b, k, l]`` and ``z [b, 2, d]``: of the front view and its mirror
    image, of which either may be the one to predict.
    """

    def loss_fn(params, batch, key):
        caption_key, side_key, t_key, noise_key, null_key = jax.random.split(key, 5)
        count = batch["z"].shape[0]
        mirrored = jax.random.bernoulli(side_key, shape=(count, 1))
        z = jnp.where(mirrored, batch["z"][:, 1], batch["z"][:, 0])
        tokens = portraits.pick_captions(batch["tokens"], generic, caption_key, generic_share)
        features, embedding = encoder.clip.apply(
            {"params": encoder.params}, tokens, method="encode_text"
        )
        text = null_text(
            features,
            clip_lib.normalise(embedding),
            tokens != clip_lib.PAD,
            jax.random.bernoulli(null_key, null_share, (count,)),
        )
        t = jax.random.randint(t_key, (count,), 0, schedule.steps)
        noise = jax.random.normal(noise_key, z.shape)
        z_t = process.q_sample(schedule, z, t, noise)
        output = model.apply({"params": params}, z_t, t, *text)
        losses = process.hybrid_loss(
            schedule, output, z, z_t, t, noise, prediction=prediction, learned_variance=False
        )
        return losses.total.mean(), {}

    return loss_fn


def retrieval(config, model, params, encoder, schedule) -> dict[str, float | int]:
    """How often the latent sampled for a held-out full caption is nearest to that caption.

    Sampled without guidance; empty if the data set holds no subjects out.
    """
    try:
        subjects = portraits.open_subjects(config.data_dir, "validation")
    except ValueError:
        return {}
    count = min(len(subjects), JUDGED)
    text = encoder.texts([subjects[i].captions[0] for i in range(count)])

    @jax.jit
    def sample(params, key):
        return samplers.dpm_solver(
            lambda z_t, t: model.apply({"params": params}, z_t, t, *text),
            jax.random.normal(key, (count, model.dim)),
            schedule,
            steps=min(JUDGE_STEPS, schedule.steps),
            prediction=config.process.prediction,
        )

    z = sample(params, jax.random.key(config.seed))
    seen = clip_lib.unstandardise(z, encoder.mean, encoder.std)
    return {"retrieval": top_one(seen, text[1]), "retrieval_among": count}
