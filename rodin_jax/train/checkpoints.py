"""Checkpoints of a run: exact, atomic, the newest readable one wins.

A checkpoint numbered n was taken after n updates; the run that restores it goes on with update
n + 1 and with the data from position n.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

# Set aside under this prefix, which orbax does not take for a step.
UNREADABLE = "unreadable-"
_SYSTEM_ERROR = re.compile(r"os_error_code=\W*(\d+)")


class CheckpointError(Exception):
    """A run's checkpoints cannot be used or written; the message says which folder and why."""


class Checkpoints:
    """The checkpoints of one run, in ``directory``; a context manager.

    Args:
      directory: created when absent.
      keep: how many of the newest to keep.
    """

    def __init__(self, directory: str | os.PathLike, *, keep: int = 2):
        self.directory = Path(directory).absolute()
        logging.getLogger("absl").addFilter(_quiet)
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, cleanup_tmp_directories=True
            ),
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:  # what ended the run is worth more than what may now be wrong with the last save
            with contextlib.suppress(CheckpointError):
                self.close()

    def close(self) -> None:
        """Waits for the last save to reach the disk; raises CheckpointError if it did not."""
        with self._saving():
            self._manager.close()

    def save(self, state: Any, step: int) -> None:
        """Saves in the background; a step that is there already is left as it is.

        Raises:
          CheckpointError: this save, or the one before it, failed, e.g. for want of space. It
            leaves the checkpoints that were there as they are.
        """
        if step not in self._manager.all_steps():
            with self._saving():
                self._manager.save(step, args=ocp.args.StandardSave(_named(state)), force=True)

    def wait(self) -> None:
        """Blocks until every save has reached the disk; raises CheckpointError if one did not."""
        with self._saving():
            self._manager.wait_until_finished()

    def newest(self) -> int | None:
        """The newest step on the disk, after waiting for the last save."""
        with contextlib.suppress(Exception):
            self._manager.wait_until_finished()
        steps = [int(p.name) for p in self.directory.iterdir() if p.name.isdecimal()]
        return max(steps, default=None)

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # orbax and tensorstore raise many kinds for a full disk
            newest = self.newest()
            raise CheckpointError(
                f"{self.directory}: a checkpoint could not be saved ({_reason(error)}); "
                + (f"that of step {newest} is sound" if newest else "there is none")
            ) from error

    def restore(self, like: Any) -> tuple[Any, int] | None:
        """The newest readable checkpoint, placed like ``like``, and its step; None without any.

        A checkpoint that cannot be read (half written, truncated) is renamed ``unreadable-<step>``,
        with an error in the log, and the one before it is used.

        Raises:
          CheckpointError: none is readable, or they are of a different model or optimiser.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        template = {name: _abstract(x) for name, x in _named(like).items()}
        for step in steps:
            leaves, error = None, None
            try:
                self._check(step, template)
                leaves = self._manager.restore(step, args=ocp.args.StandardRestore(template))
                jax.block_until_ready(leaves)
            except CheckpointError:
                raise
            except Exception as damage:  # orbax and tensorstore raise many kinds
                error = damage
            if _all_say(error is None):
                return _unnamed(leaves, like), step
            self._set_aside(step, error)
        if steps:
            raise CheckpointError(
                f"{self.directory}: none of the checkpoints {steps} can be read; "
                "remove the folder to start over"
            )
        return None

    def _check(self, step, template):
        """Raises CheckpointError when the checkpoint is sound but holds another structure."""
        metadata = self._manager.item_metadata(step).tree
        stored = {name: tuple(x.shape) for name, x in metadata.items()}
        wanted = {name: tuple(x.shape) for name, x in template.items()}
        for name in [*wanted, *stored]:
            if stored.get(name) != wanted.get(name):
                raise CheckpointError(
                    f"{self.directory / str(step)}: {name} is {stored.get(name, 'absent')} there "
                    f"but {wanted.get(name, 'absent')} in this configuration; use the run's own "
                    "configuration or another workdir"
                )

    def _set_aside(self, step, error):
        path = self.directory / str(step)
        reason = _reason(error) if error else "by another process"
        logging.error("checkpoint %s cannot be read (%s); falling back to the one before it",
                      path, reason)  # fmt: skip
        if jax.process_index() == 0 and path.exists():
            target = self.directory / f"{UNREADABLE}{step}"
            count = 1
            while target.exists():
                target = self.directory / f"{UNREADABLE}{step}.{(count := count + 1)}"
            path.rename(target)
        _all_say(True)  # the others look again when it is gone
        self._manager.reload()


def _all_say(yes: bool) -> bool:
    """Whether ``yes`` in every process; all of them wait for one another."""
    return yes if jax.process_count() == 1 else bool(multihost_utils.process_allgather(yes).all())


def _reason(error: BaseException) -> str:
    """An error's kind and text in one short line: the system's words where it was the system's."""
    text = " ".join(str(error).split())
    if found := _SYSTEM_ERROR.search(text):  # tensorstore wraps them in pages of its own
        return os.strerror(int(found[1]))
    if len(text) > 200:
        text = f"{text[:60]} ... {text[-135:]}"  # what matters is at its ends
    return f"{type(error).__name__}: {text}"


def _abstract(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _named(tree):
    """{leaf's path: leaf}, in the tree's order: a layout that outlives the classes in the tree.

    Random keys are stored as the integers that they are.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): (
            jax.random.key_data(x) if _is_key(x) else x
        )
        for path, x in leaves
    }


def _unnamed(named, like):
    """Inverse of `_named`, for a tree like ``like``."""
    leaves, structure = jax.tree.flatten(like)
    restored = [
        jax.random.wrap_key_data(named[name], impl=jax.random.key_impl(leaf))
        if _is_key(leaf)
        else named[name]
        for name, leaf in zip(_named(like), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, restored)


def _is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _quiet(record):
    """Orbax reports every phase of every save, and every error that it then raises in each thread
    that it passes through; only its warnings are news."""
    ours = "orbax" not in record.pathname
    return ours or (record.levelno >= logging.WARNING and not record.exc_info)
