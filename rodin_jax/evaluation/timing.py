"""Seconds of each stage from a sentence to a mesh, once everything is compiled."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rodin_jax.avatar import Avatar, Recipe
from rodin_jax.data.images import over_white
from rodin_jax.evaluation.bench import Bench, alone
from rodin_jax.evaluation.page import Section, Table

_SENTENCE = "a smiling woman with curly red hair and round glasses"
_REPEAT = 3
_COLUMNS = {"stage": "stage", "seconds": "seconds", "first": "the first time, compiling"}


def measure(bench: Bench) -> Section:
    """The median of three of each stage, and the first time."""
    pipeline, (seed,) = bench.pipeline, bench.seeds("timing", 1)
    bundle = pipeline.bundle
    decoder, noise = bundle.parts["decoder"], alone([seed])
    photo = over_white(bench.crowd.people[0].front)
    z = pipeline.latent(seed=seed)
    planes = pipeline.planes(z, noise)

    def avatar():
        return Avatar(planes[0], decoder.module, decoder.params, Recipe("generate"))

    ready = avatar()
    stages = {
        "sentence to latent": lambda: pipeline.latent(_SENTENCE, seed=seed),
        "photo to latent": lambda: pipeline.latent(image=photo),
        "nothing to latent": lambda: pipeline.latent(seed=seed),
        "latent to planes, one avatar": lambda: pipeline.planes(z, noise),
        f"latent to planes, each of {bench.batch}": lambda: pipeline.planes(
            jnp.repeat(z, bench.batch, axis=0), noise * bench.batch
        ),
        "planes to occupancy": lambda: avatar().grid,
        f"a view of {bench.size} pixels": lambda: ready.render(20.0, 5.0, bench.size),
        "a mesh of 128 cells": lambda: ready.mesh(128),
    }
    rows = []
    for name, stage in bench.track(list(stages.items()), "seconds"):
        first, usual = clock(stage)
        share = bench.batch if name.endswith(f"each of {bench.batch}") else 1
        rows.append({"stage": name, "seconds": usual / share, "first": first})
    about = (
        f"One avatar at a time on {device()}; the median of {_REPEAT} runs after one that compiles "
        "or finds the program in the cache. Other programs on the machine slow these down."
    )
    return Section("Time", about, {"rows": rows}, [Table("Stages", _COLUMNS, rows)])


def clock(stage: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the first call, and the median of the next three."""
    seconds = []
    for _ in range(_REPEAT + 1):
        begin = time.perf_counter()
        jax.block_until_ready(stage())
        seconds.append(time.perf_counter() - begin)
    first, *usual = seconds
    return first, sorted(usual)[_REPEAT // 2]


def device() -> str:
    """What JAX computes on."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"
