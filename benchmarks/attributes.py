"""Do the pictures of made-up people show what their attributes say?

The probe (`rodin_jax.train.probe`) is trained on fronts and asked for every attribute of people it
has never seen. If it can name them, so can a person, and so can a model that learns from the same
pictures.

    rodin data --preset nano --subjects 2400 --views 1 --out DIR
    python benchmarks/attributes.py --data DIR --report attributes.json

Attributes that a picture cannot show (the eyes behind sunglasses) are neither learned nor asked.
Exits with 1 if a target is missed. It takes about 17 minutes on 2 free CPU cores.
"""

import argparse
import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8
from networks import get_config

from rodin_jax import compile_cache
from rodin_jax.data import loading
from rodin_jax.nn.probe import Probe
from rodin_jax.train import portraits, probe
from rodin_jax.train import state as train_state

TARGETS = {
    "hair_colour": 0.95,
    "skin_group": 0.95,
    "glasses": 0.95,
    "headwear": 0.95,
    "facial_hair_present": 0.95,
    "hair_style": 0.85,
    "expression": 0.85,
}
UNSEEN = 300  # fewer people would make the accuracies too uncertain


def read(directory: str, size: int) -> tuple[UInt8[np.ndarray, "n s s 3"], list[dict[str, str]]]:
    """Fronts over white and visible attributes of all splits, in one order."""
    images, known = [], []
    for split in ("train", "validation", "test"):
        subjects = portraits.open_subjects(directory, split)
        images.append(probe.pictures(subjects, size))
        known += [probe.answers(subjects[i].attributes) for i in range(len(subjects))]
    return np.concatenate(images), known


def train(
    images: UInt8[np.ndarray, "n s s 3"],
    labels: Int[np.ndarray, "n q"],
    questions: probe.Questions,
    config,
) -> tuple[Probe, dict]:
    """The probe stage's network after ``config.steps``; prints the loss now and then."""
    net = Probe(**config.model.to_dict(), questions=questions)
    init_key, key = jax.random.split(jax.random.key(config.seed))
    size = config.model.image_size
    params = jax.jit(net.init)(init_key, jnp.zeros((1, size, size, 3)))["params"]
    count = train_state.parameter_count(params)
    print(f"{len(images)} pictures, {count / 1e6:.2f} M parameters", flush=True)
    weights = [1.0 if name in config.major else config.minor_weight for name, _ in questions]
    loss_fn = probe.make_loss(net, weights, smoothing=config.smoothing, **config.augment.to_dict())
    step, state = train_state.from_config(config, loss_fn, params, key)
    examples = portraits.Rows(image=images, labels=labels)
    batches, begin = loading.batches(examples, config.batch_size, config.seed), time.perf_counter()
    for i in range(config.steps):
        state, found = step(state, next(batches))
        if i % config.log_every == 0 or i == config.steps - 1:
            seconds = time.perf_counter() - begin
            print(f"step {i:5d}  loss {float(found['loss']):.3f}  {seconds:5.0f} s", flush=True)
    return net, state.ema


def judge(
    questions: probe.Questions,
    learned: Int[np.ndarray, "n q"],
    truth: Int[np.ndarray, "m q"],
    guesses: Int[np.ndarray, "m q"],
) -> dict[str, dict]:
    """Accuracy, chance (the commonest value of the learned people), target and confusions."""
    report = {}
    for k, (name, words) in enumerate(questions):
        seen = truth[:, k] != probe.UNSEEN
        right, said = truth[seen, k], guesses[seen, k]
        shown = learned[learned[:, k] != probe.UNSEEN, k]
        commonest = np.bincount(shown, minlength=len(words)).argmax()
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
    compile_cache.enable()
    config = get_config("probe", "nano")
    config.steps, config.seed, config.warmup = a.steps, a.seed, min(config.warmup, a.steps // 5)
    try:
        images, known = read(a.data, config.model.image_size)
    except ValueError as error:
        parser.error(str(error))
    if len(images) < 2 * a.unseen:
        parser.error(f"{a.data}: {len(images)} people, expected {2 * a.unseen} at least")
    begin = time.perf_counter()
    questions = probe.ask(known)
    labels = probe.label(known, questions)
    net, params = train(images[: -a.unseen], labels[: -a.unseen], questions, config)
    guesses = probe.predict(net, params, images[-a.unseen :])
    report = judge(questions, labels[: -a.unseen], labels[-a.unseen :], guesses)
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
