"""A run's ``config.json``, and whether a run may go on with another configuration.

What decides the result must stay: network, process, optimiser, seed, data options. What does not,
or only says how far and where to go, may change; it is mentioned in the log.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections

from rodin_jax.train.checkpoints import CheckpointError

FILE = "config.json"

# May change, and so may everything below them (``preview.size``), and folders, which move between
# machines. ``accumulate`` and ``remat`` trade memory for time, ``devices`` and ``fsdp`` divide the
# work.
FREE = (
    "preset", "steps", "log_every", "checkpoint_every", "preview", "devices", "fsdp", "accumulate",
    "model.remat", "vgg",
)  # fmt: skip
# Where people are fitted one by one more of them are no other task.
FREE_IN_FIT = ("subjects", "at_once", "shard_size", "device_per_core")

# What a run leaves that the next one would go on with.
_PROGRESS = ("checkpoints/[0-9]*", "joint*", "planes")


def adopt(workdir: Path, config: ml_collections.ConfigDict) -> None:
    """Checks ``config`` against that of the run in ``workdir``, if there is one, and stores it.

    A run has not begun before there is something to go on with, so the configuration of a start
    that failed binds nobody. Keys that only one of the two has are of another version of the
    program, and mentioned. Of several processes all check and the first one writes.

    Raises:
      CheckpointError: they differ in a key that must stay; the message names every such key.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / FILE
    text = config.to_json_best_effort(indent=2) + "\n"
    if any(any(workdir.glob(pattern)) for pattern in _PROGRESS):
        free = FREE + FREE_IN_FIT if config.stage in ("fit", "refit") else FREE
        _check(path, _flat(json.loads(text)), free)
    if jax.process_index() == 0:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(path)


def _check(path: Path, new: dict[str, Any], may_change: Sequence[str]) -> None:
    try:
        old = _flat(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        logging.warning("%s cannot be read (%s); the run goes on unchecked", path, error)
        return
    changed = {k: (old.get(k, "absent"), new.get(k, "absent")) for k in [*new, *old]}
    changed = {k: (a, b) for k, (a, b) in changed.items() if a != b}
    free = {k for k in changed if _is_free(k, may_change) or k not in old or k not in new}
    for key in sorted(free):
        logging.info("config.%s was %s and is now %s", key, *map(json.dumps, changed[key]))
    bound = [
        f"{key} is {json.dumps(a)} there but {json.dumps(b)} now"
        for key, (a, b) in changed.items()
        if key not in free
    ]
    if bound:
        raise CheckpointError(
            f"{path.parent}: its checkpoints are of another configuration: {'; '.join(bound)}; use "
            f"the run's own or another workdir, or delete {path.name} to go on all the same"
        )


def _is_free(key: str, may_change: Sequence[str]) -> bool:
    return key.endswith("_dir") or any(f"{key}.".startswith(f"{free}.") for free in may_change)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a.b": value}`` of a nested dict; lists are values."""
    flat = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat
