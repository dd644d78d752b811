"""Do the pictures of made-up people show what their attributes say?

A small classifier is trained on fronts and asked for every attribute of people it has never seen.
If it can name them, so can a person, and so can a model that learns from the same pictures.

    rodin data --preset nano --subjects 2400 --views 1 --out DIR
    python benchmarks/attributes.py --data DIR --report attributes.json

Attributes that a picture cannot show (the eyes behind sunglasses) are neither learned nor asked.
Exits with 1 if a target is missed. It takes about 17 minutes on 2 free CPU cores.
"""

import argparse
import functools
import json
import pathlib
import sys
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, UInt8

from rodin_jax.data import avatars, builder
from rodin_jax.data.avatars.spec import SKIN_GROUP
from rodin_jax.data.images import over_white

SIZE = 128
SHIFT = 4  # pixels
# Eyes and mouth are a few pixels each: rows and columns of the face in the picture.
FACE = (slice(32, 80), slice(40, 88))
TARGETS = {
    "hair_colour": 0.95,
    "skin_group": 0.95,
    "glasses": 0.95,
    "headwear": 0.95,
    "facial_hair_present": 0.95,
    "hair_style": 0.85,
    "expression": 0.85,
}
MINOR = 0.2  # weight, in training, of the attributes without a target
UNSEEN = 300  # fewer people would make the accuracies too uncertain


class Tower(nn.Module):
    """Four levels, each half the size and twice the channels of the one before."""

    width: int
    first_stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b f"]:
        """Features that keep their place: heads are where the camera looks."""
        for level in range(4):
            channels, stride = self.width * 2**level, 2 if level else self.first_stride
            x = nn.Conv(channels, (3, 3), (stride, stride))(x)
            x = x + nn.Conv(channels, (3, 3))(nn.gelu(nn.LayerNorm()(x)))
            x = nn.gelu(nn.LayerNorm()(x))
        return x.reshape(len(x), -1)


class Palette(nn.Module):
    """How much of which colours is where: pixel by pixel, then averaged over cells."""

    colours: int
    cell: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b f"]:
        for _ in range(2):
            x = nn.gelu(nn.Dense(self.colours)(x))
        x = nn.avg_pool(x, (self.cell, self.cell), (self.cell, self.cell))
        return nn.LayerNorm()(x).reshape(len(x), -1)


class Classifier(nn.Module):
    """Three looks, at the person, the colours and the face, and one softmax for each attribute."""

    classes: tuple[int, ...]

    @nn.compact
    def __call__(self, images: Float[Array, "b s s 3"], train: bool) -> list[Float[Array, "b _"]]:
        """Logits of every attribute, from pictures in [0, 1]."""
        x = (images - 0.5) / 0.3
        whole = Tower(24, 2)(nn.avg_pool(x, (2, 2), (2, 2)))
        colours = Palette(32, 8)(nn.avg_pool(x, (2, 2), (2, 2)))
        face = Tower(24, 1)(x[:, *FACE])
        seen = jnp.concatenate([whole, colours, face], axis=-1)
        seen = nn.Dropout(0.3, deterministic=not train)(seen)
        seen = nn.gelu(nn.LayerNorm()(nn.Dense(256)(seen)))
        return [nn.Dense(count)(seen) for count in self.classes]


def read(directory: str) -> tuple[UInt8[np.ndarray, "n s s 3"], list[dict[str, str]]]:
    """Fronts over white and visible attributes of all splits, in one order."""
    images, known = [], []
    for split in ("train", "validation", "test"):
        subjects = builder.load_subjects(directory, split, views=False)
        for i in range(len(subjects)):
            subject = subjects[i]
            images.append(over_white(subject.front))
            known.append(derived(avatars.visible(subject.attributes)))
    images = np.stack(images)
    if images.shape[1] != SIZE:
        raise ValueError(f"{directory}: fronts of {images.shape[1]} px, expected {SIZE}")
    return images, known


def derived(known: dict[str, str]) -> dict[str, str]:
    """Adds the coarser questions that some targets are about."""
    group = {skin: group for group, skins in SKIN_GROUP.items() for skin in skins}
    beard = "no" if known["facial_hair"] == "none" else "yes"
    return known | {"skin_group": group[known["skin"]], "facial_hair_present": beard}


def label(known: list[dict[str, str]]) -> tuple[dict[str, list[str]], Int[np.ndarray, "n a"]]:
    """Attribute -> its values, and their numbers for each subject; -1 where it cannot be seen."""
    names = dict.fromkeys(name for attributes in known for name in attributes)
    values = {name: sorted({a[name] for a in known if name in a}) for name in names}
    numbers = [[v.index(a[name]) if name in a else -1 for name, v in values.items()] for a in known]
    return values, np.array(numbers, np.int32)


def augment(images: UInt8[Array, "b s s 3"], key: Array) -> Float[Array, "b s s 3"]:
    """Shifts, mirrors and changes the brightness. The key is consumed."""
    shift_key, mirror_key, light_key = jax.random.split(key, 3)
    batch = len(images)
    padded = jnp.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), constant_values=255)
    corner = jax.random.randint(shift_key, (batch, 2), 0, 2 * SHIFT + 1)
    x = jax.vmap(lambda p, c: jax.lax.dynamic_slice(p, (*c, 0), (SIZE, SIZE, 3)))(padded, corner)
    mirror = jax.random.bernoulli(mirror_key, shape=(batch, 1, 1, 1))
    light = 1 + 0.06 * jax.random.uniform(light_key, (batch, 1, 1, 1), minval=-1)
    return jnp.clip(jnp.where(mirror, x[:, :, ::-1], x) / 255 * light, 0, 1)


def train(
    images: UInt8[np.ndarray, "n s s 3"],
    labels: Int[np.ndarray, "n a"],
    values: dict[str, list[str]],
    *,
    steps: int,
    batch: int = 64,
    seed: int = 0,
):
    """The classifier's parameters after ``steps``; prints the loss now and then."""
    model = Classifier(tuple(map(len, values.values())))
    init_key, key = jax.random.split(jax.random.key(seed))
    params = model.init(init_key, jnp.zeros((1, SIZE, SIZE, 3)), train=False)
    count = sum(x.size for x in jax.tree.leaves(params))
    print(f"{len(images)} pictures, {count / 1e6:.2f} M parameters", flush=True)
    warm = min(100, steps // 5)
    rate = optax.warmup_cosine_decay_schedule(0.0, 1.5e-3, warm, max(steps, warm + 1))
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.05))

    def loss_fn(params, images, labels, key):
        picture_key, drop_key = jax.random.split(key)
        logits = model.apply(
            params, augment(images, picture_key), train=True, rngs={"dropout": drop_key}
        )
        total = 0.0
        for name, each, target in zip(values, logits, labels.T, strict=True):
            smooth = optax.smooth_labels(jax.nn.one_hot(target, each.shape[-1]), 0.05)
            seen = target >= 0
            error = jnp.where(seen, optax.softmax_cross_entropy(each, smooth), 0).mean()
            total += error * (1.0 if name in TARGETS else MINOR)
        return total / len(TARGETS)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, images, labels, key):
        loss, gradient = jax.value_and_grad(loss_fn)(params, images, labels, key)
        update, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, update), state, loss

    state, rng, begin = optimiser.init(params), np.random.default_rng(seed), time.perf_counter()
    queue = np.zeros(0, np.int64)
    for i in range(steps):
        if len(queue) < batch:
            queue = np.concatenate([queue, rng.permutation(len(images))])
        chosen, queue = queue[:batch], queue[batch:]
        params, state, loss = step(
            params, state, images[chosen], labels[chosen], jax.random.fold_in(key, i)
        )
        if i % 50 == 0 or i == steps - 1:
            print(f"step {i:5d}  loss {loss:.3f}  {time.perf_counter() - begin:5.0f} s", flush=True)
    return params


def predict(
    params, images: UInt8[np.ndarray, "n s s 3"], classes: tuple[int, ...]
) -> Int[np.ndarray, "n a"]:
    """The likeliest value of each attribute, by shifted pictures and their mirror images."""

    @jax.jit
    def likeliest(images):
        x = images / 255.0
        moved = [jnp.roll(x, shift, (1, 2)) for shift in ((0, 0), (0, 3), (0, -3), (3, 0), (-3, 0))]
        ways = [
            [jax.nn.log_softmax(each) for each in Classifier(classes).apply(params, y, train=False)]
            for m in moved
            for y in (m, m[:, :, ::-1])
        ]
        return jnp.stack([sum(way).argmax(-1) for way in zip(*ways, strict=True)], axis=-1)

    return np.concatenate([likeliest(images[i : i + 100]) for i in range(0, len(images), 100)])


def judge(
    values: dict[str, list[str]],
    learned: Int[np.ndarray, "n a"],
    truth: Int[np.ndarray, "m a"],
    guesses: Int[np.ndarray, "m a"],
) -> dict[str, dict]:
    """Accuracy, chance (the commonest value of the learned people), target and confusions."""
    report = {}
    for k, (name, words) in enumerate(values.items()):
        seen = truth[:, k] >= 0
        right, said = truth[seen, k], guesses[seen, k]
        commonest = np.bincount(learned[learned[:, k] >= 0, k], minlength=len(words)).argmax()
        wrong = [f"{words[a]} -> {words[b]}" for a, b in zip(right, said, strict=True) if a != b]
        report[name] = {
            "accuracy": round(float((right == said).mean()), 4),
            "chance": round(float((right == commonest).mean()), 4),
            "target": TARGETS.get(name),
            "people": int(seen.sum()),
            "mistakes": {m: wrong.count(m) for m in sorted(set(wrong), key=wrong.count)[::-1]},
        }
    return report


def main() -> int:
    """Reads, trains, asks, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder written by `rodin data`")
    parser.add_argument("--steps", type=int, default=1000, help="of 64 pictures (%(default)s)")
    parser.add_argument("--unseen", type=int, default=400, help="people to ask about (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=pathlib.Path, help="JSON file to write")
    a = parser.parse_args()
    if a.unseen < UNSEEN or a.steps < 1:
        parser.error(f"--unseen must be {UNSEEN} at least and --steps positive")
    try:
        images, known = read(a.data)
    except ValueError as error:
        parser.error(str(error))
    if len(images) < 2 * a.unseen:
        parser.error(f"{a.data}: {len(images)} people, expected {2 * a.unseen} at least")
    begin = time.perf_counter()
    values, labels = label(known)
    classes = tuple(map(len, values.values()))
    params = train(images[: -a.unseen], labels[: -a.unseen], values, steps=a.steps, seed=a.seed)
    guesses = predict(params, images[-a.unseen :], classes)
    report = judge(values, labels[: -a.unseen], labels[-a.unseen :], guesses)
    print(f"\n{'attribute':20} {'accuracy':>9} {'chance':>8} {'target':>8}")
    missed = []
    for name, row in sorted(report.items(), key=lambda item: item[0] not in TARGETS):
        short = row["target"] is not None and row["accuracy"] < row["target"]
        missed += [name] * short
        target = f"{row['target']:8.0%}" if row["target"] else " " * 8
        print(f"{name:20} {row['accuracy']:9.1%} {row['chance']:8.1%} {target}{' !' * short}")
    if a.report:
        seconds = round(time.perf_counter() - begin, 1)
        record = {"attributes": report, "missed": missed, "unseen": a.unseen, "seconds": seconds}
        a.report.write_text(json.dumps(record, indent=1) + "\n")
    print(f"targets missed: {', '.join(missed)}" if missed else "all targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
