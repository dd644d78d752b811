"""What a training stage leaves behind: ``workdir/export/``.

``config.json`` says which part it is, how to build its network, which diffusion process it was
trained for and how; ``params.safetensors`` holds the averaged weights under ``params/...`` and the
stage's other arrays (statistics, latent mean) under their own names.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from rodin_jax.nn import weights
from rodin_jax.train import sharding

FOLDER = "export"


@dataclass(frozen=True)
class Export:
    """One trained part.

    Attributes:
      part: "decoder", "base", "upsampler", "refiner", "latent", "text", "clip", "eigenplanes",
        "visage" or "probe".
      model: keyword arguments of the network's constructor.
      process: schedule, steps, prediction, learned_variance; None without diffusion.
      params: the network's weights, nested as Flax wants them.
      arrays: everything else, by flat name such as "statistics/16/mean".
      trained: steps, seconds, examples and whatever the stage reports.
    """

    part: str
    model: dict[str, Any]
    process: dict[str, Any] | None
    params: PyTree
    arrays: dict[str, np.ndarray]
    trained: dict[str, Any]


def write_export(
    workdir: str | os.PathLike,
    part: str,
    model: Mapping[str, Any],
    params: PyTree,
    process: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Any] | None = None,
    trained: Mapping[str, Any] | None = None,
) -> Path:
    """Writes ``workdir/export/`` in one move, replacing an older one; returns its path.

    Of several processes that train together all must call this, and the first one writes.
    """
    final = Path(workdir) / FOLDER
    params = sharding.to_host(params)
    if jax.process_index() > 0:
        return final
    partial = final.with_name(f"{FOLDER}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tree = {"params": params} | weights.unflatten(arrays or {})
    weights.save_params(partial / "params.safetensors", tree)
    config = {
        "part": part,
        "model": dict(model),
        "process": dict(process) if process is not None else None,
        "trained": dict(trained or {}),
    }
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    return final


def read_export(directory: str | os.PathLike, part: str | None = None) -> Export:
    """Reads an export folder, or the one inside a stage's workdir.

    Args:
      directory: either of them.
      part: what it must hold; None for anything.

    Raises:
      FileNotFoundError: nothing was exported there (the stage has not finished).
      ValueError: the folder is of another layout, or it is the export of another stage.
    """
    folder = Path(directory)
    if not (folder / "config.json").is_file() or (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no export here; has the stage finished?")
    config = json.loads(path.read_text())
    missing = [k for k in ("part", "model", "process", "trained") if k not in config]
    if missing:
        raise ValueError(f"{path}: field {missing[0]!r} is missing; this is not an export")
    if part is not None and config["part"] != part:
        raise ValueError(f"{folder}: holds the part {config['part']!r}, expected {part!r}")
    tree = weights.load_params(folder / "params.safetensors")
    if "params" not in tree:
        raise ValueError(f"{folder / 'params.safetensors'}: no tensor under 'params/'")
    params = tree.pop("params")
    return Export(
        part=config["part"],
        model=_tuples(config["model"]),
        process=config["process"],
        params=params,
        arrays={k: np.asarray(v) for k, v in weights.flatten(tree).items()},
        trained=config["trained"],
    )


def _tuples(value):
    """JSON has no tuples, and Flax modules want hashable attributes."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
