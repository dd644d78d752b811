"""The fit stage (paper 3.1, supplement B.2): many subjects to planes that share one decoder.

Joint stage over the first subjects, then the decoder is frozen and every subject is fitted to it,
several at once. A stopped run continues: the joint stage from ``workdir/joint``, which gives way to
the decoder in ``workdir/joint.safetensors``, and then after the subjects in ``workdir/planes``.
"""

import functools
import hashlib
import logging
import os
import shutil
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from tqdm import tqdm

from rodin_jax import metrics
from rodin_jax.cameras import Camera
from rodin_jax.data.builder import Subject, load_subjects
from rodin_jax.data.planes import FittedSubject, PlanesStore, PlanesWriter, compute_statistics
from rodin_jax.nn import decoder as decoders
from rodin_jax.nn import weights
from rodin_jax.occupancy import render_view
from rodin_jax.rendering import over
from rodin_jax.train import export, fitting
from rodin_jax.train.joint import fit_jointly, spread

PART = "decoder"
_MEMORY_BYTES = 4 << 30  # of pictures kept in memory during the joint stage
_SAMPLES = 16  # field evaluations a ray when a held-out view is drawn


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> None:
    """Fits the training subjects of ``config.data_dir``; exports the decoder and the planes."""
    workdir = Path(workdir)
    begin = time.perf_counter()
    if not config.data_dir:
        raise ValueError("config.data_dir is empty, expected a folder written by `rodin data`")
    subjects = load_subjects(config.data_dir, "train")
    total = min(len(subjects), config.subjects or len(subjects))
    decoder = decoders.Decoder(**config.model.to_dict())
    options = fitting.FitOptions(**config.options.to_dict())
    params, mean = _shared_decoder(config, subjects, total, decoder, options, workdir)
    digest = _digest(params)
    with PlanesWriter(workdir / "planes", config.shard_size, digest) as writer:
        _fit_all(config, subjects, total, decoder, params, mean, options, writer)
    store = PlanesStore(workdir / "planes")
    compute_statistics(store, sorted({config.base_size, config.size}))
    quality = [store[i].psnr for i in range(len(store))]
    logging.info(
        "%d subjects; held-out view: mean %.2f dB, worst %.2f; the joint stage's own %.2f",
        len(store), np.mean(quality), np.min(quality), np.mean(quality[: config.joint.subjects]),
    )  # fmt: skip
    export.write_export(
        workdir,
        PART,
        config.model.to_dict(),
        params,
        arrays={"mean_planes": mean},
        trained={
            "steps": config.joint.steps,
            "seconds": round(time.perf_counter() - begin, 1),
            "subjects": len(store),
            "joint_subjects": min(config.joint.subjects, total),
            "steps_a_subject": config.steps,
            "held_out_psnr": round(float(np.mean(quality)), 3),
        },
    )


def _shared_decoder(config, subjects, total, decoder, options, workdir):
    """The decoder's parameters and the mean planes: read if there, else learned jointly."""
    kept = workdir / "joint.safetensors"
    if not kept.exists():
        count = min(config.joint.subjects, total)
        size = subjects[0].views.shape
        fits = max(_MEMORY_BYTES // (2 * int(np.prod(size))), 1)

        @functools.lru_cache(maxsize=fits)
        def scene_of(i):
            return _scene(_training_views(subjects[i]), options)

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


def _fit_all(config, subjects, total, decoder, params, mean, options, writer):
    """Fits every subject that the store lacks, several at once on each device."""

    def fit_one(mean, params, images, camera, last_camera, key):
        scene = fitting.prepare(images, camera, grid=options.grid)
        planes, _ = fitting.fit_planes(
            mean, params, scene, key, decoder=decoder, options=options, steps=config.steps,
            rate=config.rate,
        )  # fmt: skip
        # What is stored is measured: half precision, and the hull forgotten.
        planes = planes.astype(jnp.float16)
        whole = planes.astype(jnp.float32)
        grid = fitting.look_again(
            whole, params, fitting.whole_cube(options.grid), decoder=decoder, grid=options.grid
        )
        size = images.shape[-2]
        field = decoders.field(decoder, params, whole)
        view = render_view(field, grid, last_camera, size, size, samples=_SAMPLES)
        return planes, over(view, 1.0)

    fit_many = spread(fit_one, (False, False, True, True, True, True))
    finished = set(writer.ids)
    # Their names alone: decoding every view to read them would take longer than a fit.
    names = load_subjects(config.data_dir, "train", views=False)
    todo = [i for i in range(total) if names[i].id not in finished]
    many = jax.device_count() * config.at_once
    bar = tqdm(total=total, initial=total - len(todo), unit="subject", desc="fitting", disable=None)
    begin = time.perf_counter()
    for start in range(0, len(todo), many):
        rows = todo[start : start + many]
        group = [subjects[i] for i in rows]
        # The last group is filled up with its last subject, so that one program serves all.
        padded = group + [group[-1]] * (many - len(group))
        views = [_training_views(s) for s in padded]
        images = np.stack([v[0] for v in views])
        camera = jax.tree.map(lambda *x: jnp.stack(x), *[v[1] for v in views])
        last = jax.tree.map(lambda *x: jnp.stack([y[-1] for y in x]), *[s.cameras for s in padded])
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(config.seed + 1), i))(
            jnp.asarray(rows + [rows[-1]] * (many - len(rows)))
        )
        planes, pictures = jax.device_get(fit_many(mean, params, images, camera, last, keys))
        for subject, one, picture in zip(group, planes, pictures, strict=False):
            psnr = metrics.psnr(np.clip(picture, 0, 1), _on_white(subject.views[-1]))
            writer.write(
                FittedSubject(
                    subject.id, one, subject.captions, subject.attributes, subject.front,
                    float(psnr),
                )
            )  # fmt: skip
            bar.set_postfix(psnr=f"{float(psnr):.1f}")
        bar.update(len(rows))
        if (start // many) % 20 == 0:
            each = (time.perf_counter() - begin) / (start + len(rows))
            logging.info("fitted %d / %d   %.2f s a subject   last %.2f dB",
                         total - len(todo) + start + len(rows), total, each, psnr)  # fmt: skip
    bar.close()


def _training_views(subject: Subject) -> tuple[np.ndarray, Camera]:
    """All views but the last, which is held out to measure the fit."""
    return subject.views[:-1], jax.tree.map(lambda x: x[:-1], subject.cameras)


def _scene(views, options) -> fitting.Scene:
    images, camera = views
    return fitting.prepare(jnp.asarray(images), camera, grid=options.grid)


def _on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return rgba[..., :3].astype(np.float32) / 255 * alpha + 1 - alpha


def _digest(params) -> str:
    """Names a decoder: SHA-256 of its parameters in a fixed order."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    content = b"".join(str(p).encode() + np.asarray(x, np.float32).tobytes() for p, x in leaves)
    return hashlib.sha256(content).hexdigest()[:16]
