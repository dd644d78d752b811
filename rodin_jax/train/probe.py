"""The attribute probe: a classifier of front views, trained on pictures whose answers are known.

It exports the network and, for each question, its accuracy on people it has not seen: no figure
that the probe gives means anything without it.
"""

import functools
import logging
import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from jaxtyping import Array, Float, Int, UInt8

from rodin_jax.data import avatars
from rodin_jax.data.avatars.spec import SKIN_GROUP
from rodin_jax.data.images import over_white
from rodin_jax.nn.probe import Probe, log_probabilities
from rodin_jax.train import export, portraits, stage
from rodin_jax.train import state as train_state
from rodin_jax.train.augment import gaussians, look
from rodin_jax.triplanes import resize_matrix

PART = "probe"
UNSEEN = -1  # the answer to a question that the picture leaves open
# A few pixels to the sides, above and below: one look is less sure than five.
SHIFTS = ((0, 0), (0, 3), (0, -3), (3, 0), (-3, 0))

Questions = tuple[tuple[str, tuple[str, ...]], ...]


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Trains on the fronts of ``config.data_dir`` and judges itself on the other splits."""
    learned = portraits.open_subjects(config.data_dir)
    known = [answers(learned[i].attributes) for i in range(len(learned))]
    questions = ask(known)
    size = config.model.image_size
    logging.info("%d people, %d questions", len(learned), len(questions))

    model_options = {**config.model.to_dict(), "questions": questions}
    probe = Probe(**model_options)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    params = stage.initial(probe, init_key, jnp.zeros((1, size, size, 3)))
    weights = [1.0 if name in config.major else config.minor_weight for name, _ in questions]
    loss_fn = make_loss(probe, weights, smoothing=config.smoothing, **config.augment.to_dict())
    examples = portraits.Rows(image=pictures(learned, size), labels=label(known, questions))
    done = stage.train(config, workdir, loss_fn, params, train_key, examples)
    judged = accuracy(probe, done.weights, config.data_dir)
    for name, row in judged.items():
        logging.info("%-20s %5.1f %% of %d", name, 100 * row["accuracy"], row["people"])
    export.write_export(
        workdir,
        PART,
        model_options,
        done.weights,
        trained={
            **done.figures,
            "subjects": len(learned),
            "unseen": judged,
        },
    )


def answers(attributes: Mapping[str, str]) -> dict[str, str]:
    """What a front view shows of a person, with coarser questions beside the finer ones."""
    seen = avatars.visible(attributes)
    group = {skin: group for group, skins in SKIN_GROUP.items() for skin in skins}
    beard = "no" if seen["facial_hair"] == "none" else "yes"
    return seen | {"skin_group": group[seen["skin"]], "facial_hair_present": beard}


def ask(known: Sequence[Mapping[str, str]]) -> Questions:
    """Every attribute of some people, with all values that it has among them."""
    names = dict.fromkeys(name for person in known for name in person)
    return tuple((name, tuple(sorted({p[name] for p in known if name in p}))) for name in names)


def label(known: Sequence[Mapping[str, str]], questions: Questions) -> Int[np.ndarray, "n q"]:
    """Numbers of the answers; `UNSEEN` where there is none, or none that the probe knows."""
    numbers = [
        [values.index(p[name]) if p.get(name) in values else UNSEEN for name, values in questions]
        for p in known
    ]
    return np.array(numbers, np.int32)


def pictures(subjects: Sequence, size: int) -> UInt8[np.ndarray, "n s s 3"]:
    """Front views over white."""

    def read(front):
        if len(front) == size:
            return over_white(front)
        image = over_white(front).astype(np.float32)
        return portraits.shrink(image, resize_matrix(len(front), size))

    return np.stack([read(front) for front in portraits.fronts(subjects)])


def make_loss(
    probe: Probe, weights: Sequence[float], *, smoothing: float, **changes: float
) -> train_state.LossFn:
    """Cross-entropies of all questions that a picture answers, weighted.

    Its batch holds ``image``, uint8 ``[b, s, s, 3]``, and ``labels [b, q]``.

    Args:
      probe: the network.
      weights: of the questions.
      smoothing: of the labels.
      changes: of the pictures, as `augment` takes them.
    """

    def loss_fn(params, batch, key):
        picture_key, drop_key = jax.random.split(key)
        images = augment(batch["image"], picture_key, **changes)
        logits = probe.apply(
            {"params": params}, images, deterministic=False, rngs={"dropout": drop_key}
        )
        total, right = 0.0, []
        for weight, each, truth in zip(weights, logits, batch["labels"].T, strict=True):
            wanted = optax.smooth_labels(jax.nn.one_hot(truth, each.shape[-1]), smoothing)
            open_ = truth == UNSEEN
            error = optax.softmax_cross_entropy(each, wanted)
            total += weight * jnp.where(open_, 0.0, error).mean()
            right.append(jnp.where(open_, jnp.nan, each.argmax(-1) == truth))
        return total / sum(weights), {"accuracy": jnp.nanmean(jnp.stack(right))}

    return loss_fn


def augment(
    images: UInt8[Array, "b s s 3"],
    key: Array,
    *,
    shift: float,
    brightness: float,
    blur: float,
    widest: float,
) -> Float[Array, "b s s 3"]:
    """Shifts, mirrors, blurs and changes the brightness.

    A probe that has seen sharp pictures only calls soft ones by their softness: glasses that
    anybody sees are "none" to it.

    Args:
      images: to change.
      key: consumed.
      shift: largest shift, as a share of the edge.
      brightness: largest relative change.
      blur: share of the pictures that lose detail.
      widest: standard deviation of the widest blur, as a share of the edge.
    """
    shift_key, mirror_key, light_key, blur_key = jax.random.split(key, 4)
    batch, size = images.shape[:2]
    most = round(shift * size)
    edges = ((0, 0), (most, most), (most, most), (0, 0))
    padded = jnp.pad(images, edges, constant_values=255)
    corner = jax.random.randint(shift_key, (batch, 2), 0, 2 * most + 1)
    x = jax.vmap(lambda p, c: jax.lax.dynamic_slice(p, (*c, 0), (size, size, 3)))(padded, corner)
    mirror = jax.random.bernoulli(mirror_key, shape=(batch, 1, 1, 1))
    light = 1 + brightness * jax.random.uniform(light_key, (batch, 1, 1, 1), minval=-1)
    x = jnp.where(mirror, x[:, :, ::-1], x) / 255 * light
    return jnp.clip(_blurred(x, blur_key, blur, widest), 0, 1)


def _blurred(images, key, share, widest):
    """Some of the pictures, each by a Gaussian of a width of its own."""
    chosen_key, width_key = jax.random.split(key)
    batch, size = images.shape[:2]
    chosen = jax.random.bernoulli(chosen_key, share, (batch, 1, 1))
    width = widest * size * jax.random.uniform(width_key, (batch, 1, 1))
    place = jnp.arange(size, dtype=jnp.float32)
    away = place[:, None] - place
    # A width this small leaves a picture as it is.
    weight = gaussians(away, jnp.where(chosen, width + 0.1, 0.1))
    return look(images, weight, weight)


def predict(
    probe: Probe, params, images: UInt8[np.ndarray, "n s s 3"], *, batch_size: int = 32
) -> Int[np.ndarray, "n q"]:
    """The likeliest answer to every question, by shifted pictures and their mirror images."""
    parts = []
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        # The last part is filled up, so that one program does for all.
        full = np.concatenate([part, np.repeat(part[-1:], batch_size - len(part), axis=0)])
        parts.append(np.asarray(_likeliest(probe, params, full))[: len(part)])
    return np.concatenate(parts)


@functools.partial(jax.jit, static_argnums=0)
def _likeliest(probe: Probe, params, images):
    sums = log_probabilities(probe, params, images / 255.0, SHIFTS)
    return jnp.stack([answer.argmax(-1) for answer in sums], axis=-1)


def accuracy(
    probe: Probe, params, data_dir: str | os.PathLike
) -> dict[str, dict[str, float | int]]:
    """Share of right answers about the people of the validation and test splits, by question."""
    seen, truth = [], []
    for split in ("validation", "test"):
        try:
            subjects = portraits.open_subjects(data_dir, split)
        except ValueError:
            continue
        seen.append(pictures(subjects, probe.image_size))
        truth.append(label([answers(s.attributes) for s in subjects], probe.questions))
    if not seen:
        return {}
    said, truth = predict(probe, params, np.concatenate(seen)), np.concatenate(truth)
    result = {}
    for k, (name, _) in enumerate(probe.questions):
        asked = truth[:, k] != UNSEEN
        if asked.any():
            share = float((said[asked, k] == truth[asked, k]).mean())
            result[name] = {"accuracy": round(share, 4), "people": int(asked.sum())}
    return result
