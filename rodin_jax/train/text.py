"""The text prior: diffusion of the latent z given a sentence (suppl. B.5).

A line from the sentence's embedding to the latent is found first; the network learns what is left
(`rodin_jax.nn.line`). Beside it a phrasebook is made, by which latents are changed
(`rodin_jax.nn.phrasebook`).
"""

import logging
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, Int

from rodin_jax.diffusion import samplers, schedules
from rodin_jax.nn import clip as clip_lib
from rodin_jax.nn import weights
from rodin_jax.nn.text import SentenceLine, TextPrior, null_text, unpack
from rodin_jax.train import export, latents, phrases, portraits, stage
from rodin_jax.train import state as train_state
from rodin_jax.train.clip import JUDGED, top_one
from rodin_jax.train.regression import follow

PART = "text"
JUDGE_STEPS = 25


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on captions and latents of ``config.data_dir``; exports."""
    encoder = latents.Encoder(config.clip_dir)
    subjects = portraits.open_subjects(config.data_dir)
    z = latents.portrait_latents(encoder, subjects)
    tokens = portraits.token_table(
        [encoder.tokens(list(subjects[i].captions)) for i in range(len(subjects))]
    )
    source = portraits.Rows(z=z, tokens=tokens)
    logging.info("%d subjects, latents of %d dimensions", len(source), z.shape[-1])

    packed = straight(z, encoder.captions(tokens))
    line = unpack(packed, z.shape[-1])
    left = round(float(line.line.told.sum() / line.line.spectrum.sum()), 4)
    logging.info("a line from a sentence leaves %.1f %% of the latent", 100 * left)

    options = config.phrases
    book = phrases.learn(
        *phrases.label(tokens, rarest=options.rarest, commonest=options.commonest),
        z,
        least=options.least,
    )
    logging.info("%d phrases can be read off latents", len(book["usual"]))

    model_options = {**config.model.to_dict(), "dim": z.shape[-1]}
    model = TextPrior(**model_options)
    schedule = schedules.make(config.process.schedule, config.process.steps)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    text = encoder.texts([portraits.GENERIC[0]])
    start = jnp.asarray(z[:1, 0]), jnp.zeros(1, jnp.int32)
    params = stage.initial(model, init_key, *start, *text)
    loss_fn = make_loss(
        model,
        line,
        encoder,
        schedule,
        jnp.asarray(encoder.tokens(list(portraits.GENERIC))),
        null_share=config.null_share,
        generic_share=config.generic_share,
        emphasis=config.emphasis,
    )
    done = stage.train(config, workdir, loss_fn, params, train_key, source)
    score = retrieval(config, model, done.weights, line, encoder, schedule)
    logging.info("retrieval of held-out captions by sampled latents: %s", score)
    export.write_export(
        workdir,
        PART,
        model_options,
        done.weights,
        process=config.process.to_dict(),
        arrays=weights.flatten({"line": packed, "phrases": book}),
        trained={
            **done.figures,
            **score,
            "subjects": len(subjects),
            "left_by_line": left,
            "phrases": len(book["usual"]),
        },
    )


def straight(
    z: Float[np.ndarray, "n v d"], embeddings: Float[np.ndarray, "n k e"]
) -> dict[str, np.ndarray]:
    """The arrays of a `SentenceLine` from people's latents in v views and k captions of each."""
    rows = z.reshape(-1, z.shape[-1])
    spectrum, axes = np.linalg.eigh(np.cov(rows, rowvar=False))
    centre = embeddings.mean((0, 1))
    mean = np.zeros(len(spectrum), np.float32)
    # Each caption is true of each view.
    views, captions = z.shape[1], embeddings.shape[1]
    seen = np.repeat(z @ axes, captions, axis=1)
    said = np.tile(embeddings - centre, (1, views, 1))
    return {
        "axes": axes.astype(np.float16),
        "centre": centre.astype(np.float32),
        "mean": mean,
        "spectrum": np.maximum(spectrum, 1e-6).astype(np.float32),
        **follow(seen, said, mean).arrays,
    }


def make_loss(
    model: TextPrior,
    line: SentenceLine,
    encoder: latents.Encoder,
    schedule: schedules.Schedule,
    generic: Int[Array, "g l"],
    *,
    null_share: float = 0.2,
    generic_share: float = 0.03,
    emphasis: float = 0.5,
) -> train_state.LossFn:
    """Mean squared error of what the line leaves, at a uniform t.

    The sentence is absent with probability ``null_share``. Coordinates weigh as `Line.weights`
    says. Its batch holds ``tokens [b, k, l]`` and ``z [b, 2, d]``: of the front view and its mirror
    image, of which either may be the one to predict.
    """
    weights = line.line.weights(emphasis)

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
        seen, wanted = line.line.lesson(schedule, z @ line.axes, t, line.heard(text[1]), noise)
        said = model.apply({"params": params}, seen, t, *text)
        return jnp.mean(weights * (said - wanted) ** 2), {}

    return loss_fn


def retrieval(config, model, params, line, encoder, schedule) -> dict[str, float | int]:
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
        def say(seen, t, *text):
            return model.apply({"params": params}, seen, t, *text)

        return samplers.dpm_solver(
            lambda z_t, t: line.denoise(say, z_t, t, text, schedule),
            jax.random.normal(key, (count, model.dim)),
            schedule,
            steps=min(JUDGE_STEPS, schedule.steps),
            prediction="x0",
        )

    z = sample(params, jax.random.key(config.seed))
    seen = clip_lib.unstandardise(z, encoder.mean, encoder.std)
    return {"retrieval": top_one(seen, text[1]), "retrieval_among": count}
