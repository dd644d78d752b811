"""Rendering many avatars on many processes, restartable, with the same bytes in any case.

Subject ``index`` of a plan depends on (seed, index) alone. Subjects are rendered in chunks; each
chunk becomes one ArrayRecord shard that appears under its name only when it is complete, so a
killed run continues with the chunks that are missing.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from rodin_jax.data import images, records

_CHUNK = 8
SOURCES = ("jax", "blender")
# Many processes with one thread each beat one process with many; accelerators cannot be shared.
_WORKER_ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
_WORKER_XLA_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@dataclasses.dataclass(frozen=True)
class RenderPlan:
    """What to render: ``subjects`` people, ``views`` pictures of ``size`` pixels each.

    ``source`` draws them: jax (`data.avatars`) or blender (`data.blender`).
    """

    seed: int
    subjects: int
    views: int
    size: int
    captions: int = 8
    source: str = "jax"

    def __post_init__(self):
        """Refuses numbers that cannot be rendered."""
        for name in ("subjects", "views", "size", "captions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.source not in SOURCES:
            raise ValueError(f"source: got {self.source!r}, expected one of {', '.join(SOURCES)}")


def render_subject(plan: RenderPlan, index: int) -> bytes:
    """One subject as a record: PNG views, front view, cameras, captions, attributes."""
    # JAX starts here, in the process that renders.
    import jax
    import jax.numpy as jnp

    from rodin_jax.data import avatars

    spec = avatars.sample_spec(plan.seed, index)
    cameras = avatars.training_cameras(plan.seed, index, plan.views, plan.size)
    front = avatars.front_camera(plan.size)
    front = jax.tree.map(lambda x, like: x.reshape((1, *like.shape[1:])), front, cameras)
    # The front view rides along, so one compiled renderer serves both.
    together = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), cameras, front)
    pictures = _draw(plan.source)(spec, together, plan.size)
    pngs = [np.frombuffer(images.encode_png(picture), np.uint8) for picture in pictures]
    arrays = {
        "png": np.concatenate(pngs),
        "png_sizes": np.array([len(png) for png in pngs], np.int64),
        "pose": np.asarray(cameras.pose, np.float32),
        "focal": np.asarray(cameras.focal, np.float32),
        "centre": np.asarray(cameras.centre, np.float32),
    }
    metadata = {
        "id": f"{plan.seed}-{index:06d}",
        "captions": list(avatars.captions(spec, plan.seed, plan.captions)),
        "attributes": avatars.attributes(spec),
    }
    return records.encode(arrays, metadata)


def _draw(source: str) -> Callable:
    """``(spec, cameras, size) -> RGBA pictures`` of a source."""
    if source == "jax":
        from rodin_jax.data import avatars

        return avatars.render
    from rodin_jax.data.blender.render import render

    # Alone, Blender takes every core; one of many processes takes one.
    return functools.partial(render, threads=0 if multiprocessing.parent_process() is None else 1)


def render_all(
    plan: RenderPlan,
    directory: pathlib.Path,
    *,
    processes: int | None = None,
    progress: bool = True,
) -> int:
    """Renders the subjects of ``plan`` that ``directory`` does not hold yet.

    Args:
      plan: what to render; chunks of another plan found in ``directory`` are thrown away.
      directory: where the chunks go; created.
      processes: how many render at once; 1 renders in this process, on JAX's default device. By
        default one process a CPU core, or this process if JAX draws on an accelerator. Each
        process starts a Blender of its own.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      How many subjects were rendered now.
    """
    _claim(plan, directory)
    starts = [s for s in range(0, plan.subjects, _CHUNK) if not _chunk(directory, s).exists()]
    missing = sum(min(_CHUNK, plan.subjects - start) for start in starts)
    if not starts:
        return 0
    workers = min(processes or _default_processes(plan.source), len(starts))
    bar = tqdm(
        total=plan.subjects,
        initial=plan.subjects - missing,
        unit="subject",
        desc="rendering",
        disable=None if progress else True,  # None: only on a terminal
    )
    with bar, _workers(workers) as submit:
        jobs = {submit(_render_chunk, plan, directory, start) for start in starts}
        try:
            for job in concurrent.futures.as_completed(jobs):
                bar.update(job.result())
        except BaseException:
            for job in jobs:
                job.cancel()
            raise
    return missing


def rendered(plan: RenderPlan, directory: pathlib.Path) -> "Rendered":
    """Random access to what `render_all` has finished for ``plan``."""
    return Rendered(plan, directory)


class Rendered:
    """The rendered subjects: ``self[index]`` gives the fields of one, PNG bytes still encoded."""

    def __init__(self, plan: RenderPlan, directory: pathlib.Path):
        """Opens the chunks; all of them must be there."""
        starts = range(0, plan.subjects, _CHUNK)
        self._source = records.open_shards(_chunk(directory, start) for start in starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Fields id, captions, attributes, views, front, pose, focal, centre."""
        arrays, metadata = records.decode(self._source[index])
        ends = np.cumsum(arrays.pop("png_sizes"))[:-1]
        *views, front = (png.tobytes() for png in np.split(arrays.pop("png"), ends))
        return {**metadata, **arrays, "views": views, "front": front}


def _render_chunk(plan: RenderPlan, directory: pathlib.Path, start: int) -> int:
    stop = min(start + _CHUNK, plan.subjects)
    made = [render_subject(plan, index) for index in range(start, stop)]
    records.write_shard(_chunk(directory, start), made)
    return len(made)


def _chunk(directory: pathlib.Path, start: int) -> pathlib.Path:
    return directory / f"subjects-{start:07d}.arecord"


def _claim(plan: RenderPlan, directory: pathlib.Path) -> None:
    """Makes ``directory`` this plan's, dropping the chunks of any other."""
    path, wanted = directory / "plan.json", dataclasses.asdict(plan)
    if path.exists() and with_source(json.loads(path.read_text())) == wanted:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    records.write_json(path, wanted)


def with_source(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan as stored; those written before there was a choice were drawn by jax."""
    return {"source": "jax", **plan}


def _default_processes(source: str) -> int:
    import jax

    alone = source == "jax" and jax.default_backend() != "cpu"
    return 1 if alone else len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _workers(count: int) -> Iterator:
    """Gives ``submit(function, *args) -> Future``; a single worker is this process."""
    if count == 1:
        yield _here
        return
    # Workers compile as this process would, so that their pictures have the same bytes.
    flags = f"{os.environ.get('XLA_FLAGS', '')} {_WORKER_XLA_FLAGS}".strip()
    environment = _WORKER_ENVIRONMENT | {"XLA_FLAGS": flags}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    # JAX's threads do not survive a fork, so workers start afresh.
    context = multiprocessing.get_context("spawn")
    cores = context.SimpleQueue()
    for core in itertools.islice(itertools.cycle(_cores()), count):
        cores.put(core)
    try:
        with concurrent.futures.ProcessPoolExecutor(
            count, context, _start_worker, (cores,)
        ) as pool:
            yield pool.submit
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _cores() -> list[int | None]:
    """The cores that this process may use; where the system does not tell, no one in particular."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]


def _start_worker(cores) -> None:
    """Gives a worker a core of its own, and an end when the run is killed."""
    # JAX starts a thread for each core it sees; those of several workers would crowd the cores.
    if (core := cores.get()) is not None:
        os.sched_setaffinity(0, {core})

    def watch():
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _here(function, *args) -> concurrent.futures.Future:
    future = concurrent.futures.Future()
    future.set_result(function(*args))
    return future
