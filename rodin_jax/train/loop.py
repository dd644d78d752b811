"""The training loop. It knows states, batches and steps; what is trained is none of its business.

In ``workdir`` it keeps ``checkpoints/``, ``metrics.jsonl`` (one object a log step: the mean of
every metric since the last one), TensorBoard events, ``samples/`` with the pictures that the
stage's callback returns, and ``not_finite/`` with the batch that ended a run. Several processes
that train together share the folder; the first one writes all but its checkpoints.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from rodin_jax.train import claim, post_mortem
from rodin_jax.train.checkpoints import Checkpoints
from rodin_jax.train.journal import Journal, Pictures
from rodin_jax.train.post_mortem import NotFinite
from rodin_jax.train.signals import Signals


class Interrupted(Exception):
    """A signal ended the run early, after its state was saved.

    Attributes:
      step: the step that was saved.
      signum: the signal's number; shells expect the exit code 128 + signum.
    """

    def __init__(self, step: int, signum: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}, state saved")
        self.step, self.signum = step, signum


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      state: after the last step.
      steps: updates in all, including those before a restart.
      seconds: time spent training, all restarts together, without compilation.
      examples: training examples seen.
    """

    state: Any
    steps: int
    seconds: float
    examples: int

    def trained(self) -> dict[str, Any]:
        """The figures an export carries."""
        return {"steps": self.steps, "seconds": round(self.seconds, 1), "examples": self.examples}


def run(
    step_fn: Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]],
    state: Any,
    batches_from: Callable[[int], Iterator[dict[str, Any]]],
    *,
    steps: int,
    workdir: str | os.PathLike,
    log_every: int = 50,
    checkpoint_every: int = 500,
    on_checkpoint: Callable[[Any, int], Pictures | None] | None = None,
    keep: int = 2,
) -> Run:
    """Trains up to ``steps`` updates, continuing from the newest checkpoint in ``workdir``.

    Args:
      step_fn: ``(state, batch) -> (state, metrics)``; may donate the state; metrics are scalars
        and hold ``loss``. Its attributes ``flops`` and ``devices``, if it has them, are of a step.
      state: the state of a fresh run, with an integer array ``step`` and a random ``key``, from
        which step n draws ``fold_in(key, n)``; replaced by a checkpoint.
      batches_from: gives the batches from a step on, the same ones whenever it is asked.
      steps: total, so a larger number continues a finished run.
      workdir: created when absent.
      log_every: steps between log lines. The losses of all steps are checked then.
      checkpoint_every: steps between checkpoints; there is always one at the end.
      on_checkpoint: called with the state and its step after each checkpoint; the pictures
        (uint8 ``[h, w, 3]`` by name) that it returns are saved.
      keep: checkpoints kept.

    Raises:
      NotFinite: the loss or the gradient is NaN or infinite. The step's batch is kept; no state is
        saved, so the last checkpoint is sound.
      Interrupted: SIGTERM or Ctrl-C; the state was saved.
      CheckpointError: a checkpoint cannot be read or written.
      WorkdirInUse: another process is training there.
    """
    workdir = Path(workdir)
    with claim.workdir(workdir), Checkpoints(workdir / "checkpoints", keep=keep) as checkpoints:
        restored = checkpoints.restore(state)
        start = 0
        if restored is not None:
            state, start = restored
            logging.info("continuing after step %d of %d", start, steps)
        journal = Journal(workdir, start, steps)
        if start >= steps:
            return Run(state, start, journal.seconds, journal.examples)
        with journal, Signals() as signals:
            batches = batches_from(start)
            journal.begin()
            try:
                for step in range(start + 1, steps + 1):
                    batch = next(batches)
                    state, metrics = step_fn(state, batch)
                    journal.add(step, metrics, _examples(batch))
                    if step == start + 1:
                        journal.compiled(metrics, *_cost(step_fn))
                    # Read once: a signal that comes later in this round waits for the next step,
                    # or the round would end without the save that it promises.
                    stop = signals.stop_after(step)
                    last = step == steps or stop is not None
                    if step % log_every == 0 or last:
                        journal.flush()
                    if step % checkpoint_every == 0 or last:
                        journal.flush()  # never save what a NaN has reached
                        checkpoints.save(state, step)
                        if on_checkpoint is not None and stop is None:
                            with journal.paused():
                                journal.pictures(on_checkpoint(state, step) or {}, step)
                    if stop is not None and step < steps:
                        checkpoints.wait()
                        raise Interrupted(step, stop)
            except NotFinite as error:
                # Found some steps later, without a look at the device at every step; but batches
                # and keys can be had again.
                batch = next(batches_from(error.step - 1))
                key = jax.random.fold_in(state.key, error.step - 1)
                raise post_mortem.keep(workdir, error, batch, key, checkpoints.newest()) from None
        return Run(state, steps, journal.seconds, journal.examples)


def _cost(step_fn) -> tuple[float | None, int]:
    """Operations of a step, if they are counted, and the devices that share it."""
    return getattr(step_fn, "flops", None), getattr(step_fn, "devices", 1)


def _examples(batch) -> int:
    """In the batches of all processes."""
    return len(next(iter(batch.values()))) * jax.process_count()
