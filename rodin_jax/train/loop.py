"""The training loop. It knows states, batches and steps; what is trained is none of its business.

In ``workdir`` it keeps ``checkpoints/``, ``metrics.jsonl`` (one object a log step: the mean of
every metric since the last one), TensorBoard events, and ``samples/`` with the pictures that the
stage's callback returns.
"""

import contextlib
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rodin_jax.train.checkpoints import Checkpoints

Pictures = dict[str, np.ndarray]


class Interrupted(Exception):
    """A signal ended the run early, after its state was saved.

    Attributes:
      step: the step that was saved.
      signum: the signal's number; shells expect the exit code 128 + signum.
    """

    def __init__(self, step: int, signum: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}, state saved")
        self.step, self.signum = step, signum


class NotFinite(FloatingPointError):
    """The loss became NaN or infinite; the message names the step."""


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
        and hold ``loss``.
      state: the state of a fresh run, with an integer array ``step``; replaced by a checkpoint.
      batches_from: gives the batches from a step on, the same ones whenever it is asked.
      steps: total, so a larger number continues a finished run.
      workdir: created when absent.
      log_every: steps between log lines. The losses of all steps are checked then.
      checkpoint_every: steps between checkpoints; there is always one at the end.
      on_checkpoint: called with the state and its step after each checkpoint; the pictures
        (uint8 ``[h, w, 3]`` by name) that it returns are saved.
      keep: checkpoints kept.

    Raises:
      NotFinite: the loss is NaN or infinite; nothing is saved, so the last checkpoint is sound.
      Interrupted: SIGTERM or Ctrl-C; the state was saved.
    """
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    with Checkpoints(workdir / "checkpoints", keep=keep) as checkpoints:
        restored = checkpoints.restore(state)
        start = 0
        if restored is not None:
            state, start = restored
            logging.info("continuing after step %d of %d", start, steps)
        journal = Journal(workdir, start, steps)
        if start >= steps:
            return Run(state, start, journal.seconds, journal.examples)
        with journal, _Signals() as signals:
            batches = batches_from(start)
            journal.begin()
            for step in range(start + 1, steps + 1):
                batch = next(batches)
                state, metrics = step_fn(state, batch)
                journal.add(step, metrics, len(next(iter(batch.values()))))
                # Read once: a signal that comes later in this round waits for the next step,
                # or the round would end without the save that it promises.
                stop = signals.received
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
        return Run(state, steps, journal.seconds, journal.examples)


class Journal:
    """Averages the metrics, checks them, and writes them to the log, to JSON and to TensorBoard.

    Args:
      workdir: where ``metrics.jsonl`` lives; lines after step ``start``, from a run that died
        before its next checkpoint, are dropped.
      start: the step the run continues from.
      steps: the step it will end at.
    """

    def __init__(self, workdir: Path, start: int, steps: int):
        self.workdir, self.steps, self._step = workdir, steps, start
        self._path = workdir / "metrics.jsonl"
        past = [line for line in _read_lines(self._path) if line["step"] <= start]
        self.seconds = past[-1]["seconds"] if past else 0.0
        self.examples = past[-1]["examples"] if past else 0
        self._past = past
        self._pending: list[tuple[int, dict[str, Any]]] = []
        self._writer = None

    def __enter__(self):
        if jax.process_index() == 0:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(self.workdir), flush_secs=30)
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self._past))
            temporary.replace(self._path)
        return self

    def __exit__(self, *_):
        if self._writer is not None:
            self._writer.close()

    def begin(self) -> None:
        """Starts the clock and says that the first step will take long."""
        self._first, self._timed_steps, self._timed_examples = True, 0, 0
        self._clock = time.perf_counter()
        logging.info("compiling the training step ...")

    @contextlib.contextmanager
    def paused(self):
        """Keeps sample pictures out of the training time."""
        before = time.perf_counter()
        yield
        self._clock += time.perf_counter() - before

    def add(self, step: int, metrics: dict[str, Any], examples: int) -> None:
        """Takes the metrics of one step without waiting for them, except for the first."""
        examples *= jax.process_count()
        self._pending.append((step, metrics))
        self.examples += examples
        if self._first:  # its time is compilation
            jax.block_until_ready(metrics)
            now = time.perf_counter()
            logging.info("compiled, first step done after %.1f s", now - self._clock)
            self._clock, self._first = now, False
        else:
            self._timed_steps += 1
            self._timed_examples += examples

    def flush(self) -> None:
        """Writes the mean of the metrics since the last flush.

        Raises:
          NotFinite: a loss among them is not finite; names the first such step.
        """
        if not self._pending:
            return
        values = [(step, {k: float(v) for k, v in m.items()}) for step, m in self._pending]
        self._pending = []
        for step, metrics in values:
            if not math.isfinite(metrics["loss"]):
                raise NotFinite(f"the loss is {metrics['loss']} at step {step}; metrics {metrics}")
        now = time.perf_counter()
        spent, self._clock = now - self._clock, now
        self.seconds += spent
        speed = self._timed_examples / max(spent, 1e-9)
        pace = spent / max(self._timed_steps, 1)
        self._timed_steps = self._timed_examples = 0
        step = values[-1][0]
        mean = {k: sum(m[k] for _, m in values) / len(values) for k in values[-1][1]}
        logging.info(_line(step, self.steps, mean, speed, (self.steps - step) * pace))
        if self._writer is None:
            return
        record = {"step": step, "seconds": round(self.seconds, 2), "examples": self.examples}
        record |= {k: float(f"{v:.6g}") for k, v in mean.items()} | {
            "samples_per_s": round(speed, 2)
        }
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in mean.items():
            self._writer.add_scalar(name, value, step)
        self._writer.add_scalar("samples_per_s", speed, step)

    def pictures(self, pictures: Pictures, step: int) -> None:
        """Saves pictures as ``samples/<name>_<step>.png`` and for TensorBoard."""
        if self._writer is None:
            return
        from PIL import Image

        folder = self.workdir / "samples"
        for name, picture in pictures.items():
            folder.mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / f"{name}_{step:07d}.png")
            self._writer.add_image(name, picture, step, dataformats="HWC")


class _Signals:
    """Remembers SIGTERM and SIGINT, so that a step is never cut in two.

    A second signal acts as it would have without this. Only the main thread may install handlers;
    elsewhere this does nothing.
    """

    def __init__(self):
        self.received: int | None = None
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _remember(self, number, _):
        self.received = number
        print("saving, then stopping; once more to stop at once", file=sys.stderr, flush=True)
        self.__exit__()


def _line(step, steps, metrics, speed, left):
    """``step  1200/20000  loss 0.0312  ...  812.4/s  0:12:31 left``, aligned from line to line."""
    rest = "  ".join(f"{name} {value:<9.4g}" for name, value in metrics.items() if name != "loss")
    minutes, seconds = divmod(int(left), 60)
    width = len(str(steps))
    return (
        f"step {step:>{width}}/{steps}  loss {metrics['loss']:<9.4g}  {rest}  "
        f"{speed:>8.1f}/s  {minutes // 60:d}:{minutes % 60:02d}:{seconds:02d} left"
    )


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; a crash may have cut the last one."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if isinstance(line, dict) and {"step", "seconds", "examples"} <= line.keys():
                lines.append(line)
    return lines
