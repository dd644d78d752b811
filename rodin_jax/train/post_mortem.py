"""What is kept of a step whose loss or gradient was not finite.

``workdir/not_finite/step_<n>.safetensors`` holds the step's batch under ``batch/...`` and
``key_data`` of the key that it drew from. With the newest checkpoint, which is sound, everything is
there to take the steps up to it again and to look inside. Each of several processes writes its own
part of the batch, ``step_<n>.process_<i>.safetensors``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key
from safetensors.numpy import save_file

FOLDER = "not_finite"


class NotFinite(FloatingPointError):
    """The loss or the gradient became NaN or infinite.

    Attributes:
      step: the first such step.
      metrics: what it reported.
    """

    def __init__(self, step: int, metrics: Mapping[str, float], kept: str = ""):
        name = next(name for name in ("loss", "grad_norm") if not _finite(metrics, name))
        values = ", ".join(f"{k} {v:.6g}" for k, v in metrics.items())
        super().__init__(f"{name} is {metrics[name]} at step {step} ({values}){kept}")
        self.step, self.metrics = step, dict(metrics)


def check(step: int, metrics: Mapping[str, float]) -> None:
    """Raises `NotFinite` unless the loss and, if it is there, the gradient's norm are finite.

    A gradient that is not ruins the parameters even where the loss still is: the next step's would
    not be, and its batch would be blamed.
    """
    if not (_finite(metrics, "loss") and _finite(metrics, "grad_norm")):
        raise NotFinite(step, metrics)


def keep(
    workdir: Path,
    error: NotFinite,
    batch: Mapping[str, np.ndarray],
    key: Key[Array, ""],
    checkpoint: int | None,
) -> NotFinite:
    """Writes the files; returns the error with a word on where they are.

    Args:
      workdir: of the run.
      error: names the step.
      batch: this process' part of the step's batch.
      key: that the step drew from.
      checkpoint: the newest saved step, if any.
    """
    folder = workdir / FOLDER
    folder.mkdir(exist_ok=True)
    process = f".process_{jax.process_index()}" if jax.process_count() > 1 else ""
    path = folder / f"step_{error.step:07d}{process}.safetensors"
    arrays = {f"batch/{name}": np.ascontiguousarray(x) for name, x in batch.items()}
    arrays["key_data"] = np.asarray(jax.random.key_data(key))
    notes = {name: repr(value) for name, value in error.metrics.items()}
    before = f"step {checkpoint}" if checkpoint else "the start"
    save_file(arrays, path, {"step": str(error.step), "checkpoint": str(checkpoint or 0), **notes})
    where = f"; its batch is kept in {path}, the newest sound state is of {before}"
    return NotFinite(error.step, error.metrics, where)


def _finite(metrics: Mapping[str, Any], name: str) -> bool:
    return bool(np.isfinite(metrics.get(name, 0.0)))
