"""The fit stage (paper 3.1, supplement B.2): many subjects to planes that share one decoder.

Joint stage over the first subjects, then the decoder is frozen and every subject is fitted to it,
several at once. With ``config.completion`` the first subjects are fitted twice: all that can be
learned from their planes about others' (`rodin_jax.train.completion`) then helps every fit.

A stopped run continues: the joint stage from ``workdir/joint``, which gives way to the decoder in
``workdir/joint.safetensors``; then after the subjects in ``workdir/first``, which give way to
``workdir/completion.safetensors``, and in ``workdir/planes``.
"""

import dataclasses
import functools
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from tqdm import tqdm

from rodin_jax import metrics
from rodin_jax.data.builder import load_subjects
from rodin_jax.data.planes import FittedSubject, PlanesStore, PlanesWriter, compute_statistics
from rodin_jax.nn import decoder as decoders
from rodin_jax.nn import weights
from rodin_jax.train import completion, export, fitting
from rodin_jax.train.fitter import Fitter, in_this_process, training_views
from rodin_jax.train.joint import fit_jointly
from rodin_jax.train.scene import prepare

PART = "decoder"
_MEMORY_BYTES = 4 << 30  # of pictures kept in memory during the joint stage

FitIn = Callable[[Fitter, Sequence[int]], Iterable[FittedSubject]]


def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    fit_in: FitIn = in_this_process,
) -> None:
    """Fits the training subjects of ``config.data_dir``; exports the decoder and the planes.

    ``fit_in`` calls the fitter on subjects' numbers and yields them fitted, in the same order.
    """
    workdir = Path(workdir)
    begin = time.perf_counter()
    if jax.process_count() > 1:
        raise ValueError("fit runs in one process; launch/fit_ray.py takes several machines")
    if not config.data_dir:
        raise ValueError("config.data_dir is empty, expected a folder written by `rodin data`")
    subjects = load_subjects(config.data_dir, "train")
    total = min(len(subjects), config.subjects or len(subjects))
    decoder = decoders.Decoder(**config.model.to_dict())
    options = fitting.FitOptions(**config.options.to_dict())
    params, mean = _shared_decoder(config, subjects, total, decoder, options, workdir)
    digest = _digest(params)
    fitter = Fitter(
        config.data_dir, decoder, params, mean, options, config.steps, config.rate,
        config.at_once, config.seed + 1,
    )  # fmt: skip
    if config.completion.rank:
        learned = _completion(config, fitter, total, digest, workdir, fit_in)
        fitter = dataclasses.replace(
            fitter, learned=learned, steps=config.completion.steps, fine_rate=config.completion.rate
        )
    quality = fit_all(fitter, total, config, workdir, fit_in)
    joint = min(config.joint.subjects, total)
    logging.info("the joint stage's own: %.2f dB", np.mean(quality[:joint]))
    trained = {"steps": config.joint.steps, "joint_subjects": joint}
    export_decoder(workdir, config.model.to_dict(), fitter, quality, begin, trained)


def fit_all(
    fitter: Fitter,
    total: int,
    config: ml_collections.ConfigDict,
    workdir: Path,
    fit_in: FitIn = in_this_process,
) -> list[float]:
    """Fits the first ``total`` subjects into ``workdir/planes``, those that are there stay.

    Statistics are those of ``config.base_size`` and of all texels. Gives each fit's PSNR on its
    held-out view.
    """
    with PlanesWriter(workdir / "planes", config.shard_size, _digest(fitter.params)) as writer:
        _fit_missing(fitter, total, writer, fit_in)
    store = PlanesStore(workdir / "planes")
    compute_statistics(store, sorted({config.base_size, store.shape[1]}))
    quality = [store[i].psnr for i in range(len(store))]
    logging.info(
        "%d subjects; held-out view: mean %.2f dB, worst %.2f",
        len(store), np.mean(quality), np.min(quality),
    )  # fmt: skip
    return quality


def export_decoder(
    workdir: Path,
    model: Mapping[str, Any],
    fitter: Fitter,
    quality: Sequence[float],
    begin: float,
    trained: Mapping[str, Any] | None = None,
) -> None:
    """Exports the decoder, with how good fits are and how they were made since ``begin``."""
    figures = {
        **(trained or {}),
        "seconds": round(time.perf_counter() - begin, 1),
        "subjects": len(quality),
        "steps_a_subject": fitter.steps,
        "held_out_psnr": round(float(np.mean(quality)), 3),
    }
    export.write_export(workdir, PART, dict(model), fitter.params, trained=figures)


def _shared_decoder(config, subjects, total, decoder, options, workdir):
    """The decoder's parameters and the mean planes: read if there, else learned jointly."""
    kept = workdir / "joint.safetensors"
    if not kept.exists():
        count = min(config.joint.subjects, total)
        size = subjects[0].views.shape
        fits = max(_MEMORY_BYTES // (2 * int(np.prod(size))), 1)

        @functools.lru_cache(maxsize=fits)
        def scene_of(i):
            images, camera = training_views(subjects[i])
            return prepare(jnp.asarray(images), camera, grid=options.grid)

        def report(step, mse):
            decibels = metrics.decibels(mse)
            logging.info("joint %5d / %d   %.2f dB", step, config.joint.steps, decibels)

        params, mean = fit_jointly(
            scene_of, count, decoder, jax.random.key(config.seed), folder=workdir / "joint",
            options=options, size=config.size, channels=config.channels,
            steps=config.joint.steps, group=config.joint.group, visit=config.joint.visit,
            rate=config.rate, decoder_rate=config.joint.rate, report=report,
        )  # fmt: skip
        tree = {"params": params, "mean_planes": mean}
        weights.save_params(kept, jax.tree.map(np.asarray, tree))
    shutil.rmtree(workdir / "joint", ignore_errors=True)
    found = weights.load_params(kept)
    return found["params"], jnp.asarray(found["mean_planes"])


def _completion(config, fitter, total, digest, workdir, fit_in):
    """What the first subjects' planes say of others': read if there, else fitted and learned."""
    kept = workdir / "completion.safetensors"
    if not kept.exists():
        first = workdir / "first"
        with PlanesWriter(first, config.shard_size, digest) as writer:
            _fit_missing(fitter, min(config.completion.subjects, total), writer, fit_in)
        planes = PlanesStore(first).planes_array()
        weights.save_params(kept, completion.learn(planes, config.completion.rank))
    shutil.rmtree(workdir / "first", ignore_errors=True)
    return weights.load_params(kept)


def _fit_missing(fitter: Fitter, total: int, writer: PlanesWriter, fit_in: FitIn) -> None:
    """Fits the first ``total`` subjects but those that the store holds already."""
    finished = set(writer.ids)
    # Their names alone: decoding every view to read them would take longer than a fit.
    known = load_subjects(fitter.data_dir, "train", views=False)
    names = [known[i].id for i in range(total)]
    if len(set(names)) < total:
        raise ValueError(f"{fitter.data_dir}: subjects of the same name in two data sets")
    todo = [i for i in range(total) if names[i] not in finished]
    left = total - len(todo)
    bar = tqdm(total=total, initial=left, unit="subject", desc="fitting", disable=None)
    begin = time.perf_counter()
    for count, fitted in enumerate(fit_in(fitter, todo), start=1):
        writer.write(fitted)
        bar.set_postfix(psnr=f"{fitted.psnr:.1f}", refresh=False)
        bar.update()
        if count % 40 == 0:
            each = (time.perf_counter() - begin) / count
            logging.info("fitted %d / %d   %.2f s a subject   last %.2f dB",
                         left + count, total, each, fitted.psnr)  # fmt: skip
    bar.close()


def _digest(params) -> str:
    """Names a decoder: SHA-256 of its parameters in a fixed order."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    content = b"".join(str(p).encode() + np.asarray(x, np.float32).tobytes() for p, x in leaves)
    return hashlib.sha256(content).hexdigest()[:16]
