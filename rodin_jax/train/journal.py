"""What a run tells: log lines, ``metrics.jsonl``, TensorBoard events and pictures.

Every process averages and checks the metrics; only the first one writes.
"""

import contextlib
import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rodin_jax.train import flops, post_mortem

Pictures = dict[str, np.ndarray]


class Journal:
    """Averages the metrics, checks them, and writes them down; a context manager.

    Args:
      workdir: where ``metrics.jsonl`` lives; lines after step ``start``, from a run that died
        before its next checkpoint, are dropped.
      start: the step the run continues from.
      steps: the step it will end at.
    """

    def __init__(self, workdir: Path, start: int, steps: int):
        self.workdir, self.steps, self._start = workdir, steps, start
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

            # TensorBoard, too, forgets what came after the step that the run continues from.
            purge = self._start + 1 if self._start else None
            self._writer = SummaryWriter(str(self.workdir), flush_secs=30, purge_step=purge)
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self._past))
            temporary.replace(self._path)
        return self

    def __exit__(self, *_):
        if self._writer is not None:
            self._writer.close()

    def begin(self) -> None:
        """Starts the clock and says that the first step will take long."""
        self._timed_steps = self._timed_examples = 0
        self._clock = time.perf_counter()
        logging.info("compiling the training step ...")

    def compiled(self, metrics: dict[str, Any], operations: float | None, devices: int) -> None:
        """Waits for the first step, whose time is compilation, and says what a step costs.

        Args:
          metrics: of the first step.
          operations: of a step over all devices, if they are counted.
          devices: how many share a step.
        """
        jax.block_until_ready(metrics)
        now = time.perf_counter()
        cost = f"; {_operations(operations)} a step" if operations else ""
        logging.info("compiled, first step done after %.1f s%s", now - self._clock, cost)
        self._clock, self._timed_steps, self._timed_examples = now, 0, 0
        self._operations = operations
        peak = flops.peak(jax.devices()[0].device_kind)
        self._peak = peak and peak * devices

    @contextlib.contextmanager
    def paused(self):
        """Keeps sample pictures out of the training time."""
        before = time.perf_counter()
        yield
        self._clock += time.perf_counter() - before

    def add(self, step: int, metrics: dict[str, Any], examples: int) -> None:
        """Takes the metrics of a step, of ``examples`` over all hosts, without waiting for them."""
        self._pending.append((step, metrics))
        self.examples += examples
        self._timed_steps += 1
        self._timed_examples += examples

    def flush(self) -> None:
        """Writes the mean of the metrics since the last flush.

        Raises:
          NotFinite: a loss or gradient among them is not finite; names the first such step.
        """
        if not self._pending:
            return
        values = [(step, {k: float(v) for k, v in m.items()}) for step, m in self._pending]
        self._pending = []
        for step, metrics in values:
            post_mortem.check(step, metrics)
        now = time.perf_counter()
        spent, self._clock = now - self._clock, now
        self.seconds += spent
        pace = spent / max(self._timed_steps, 1)
        rates = self._rates(max(spent, 1e-9))
        self._timed_steps = self._timed_examples = 0
        step = values[-1][0]
        mean = {k: sum(m[k] for _, m in values) / len(values) for k in values[-1][1]}
        logging.info(_line(step, self.steps, mean, rates, (self.steps - step) * pace))
        if self._writer is None:
            return
        record = {"step": step, "seconds": round(self.seconds, 2), "examples": self.examples}
        record |= {k: float(f"{v:.6g}") for k, v in mean.items()}
        record |= {k: float(f"{v:.4g}") for k, v in rates.items()}
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in (mean | rates).items():
            self._writer.add_scalar(name, value, step)

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

    def _rates(self, spent: float) -> dict[str, float]:
        """Examples a second, and the arithmetic: as a share of the devices' peak if it is known."""
        rates = {"samples_per_s": self._timed_examples / spent}
        if self._operations:
            achieved = self._operations * self._timed_steps / spent
            rates |= {"mfu": achieved / self._peak} if self._peak else {"flops_per_s": achieved}
        return rates


def _line(step, steps, metrics, rates, left):
    """``step 120/2000  loss 0.0312  ...  812.4 samples/s  41.0 % MFU  0:12:31 left``, aligned."""
    rest = "  ".join(f"{name} {value:<9.4g}" for name, value in metrics.items() if name != "loss")
    minutes, seconds = divmod(int(left), 60)
    width = len(str(steps))
    work = ""
    if "mfu" in rates:
        work = f"{100 * rates['mfu']:>5.1f} % MFU  "
    elif "flops_per_s" in rates:
        work = f"{_operations(rates['flops_per_s']):>11}/s  "
    return (
        f"step {step:>{width}}/{steps}  loss {metrics['loss']:<9.4g}  {rest}  "
        f"{rates['samples_per_s']:>8.1f} samples/s  {work}"
        f"{minutes // 60:d}:{minutes % 60:02d}:{seconds:02d} left"
    )


def _operations(number: float) -> str:
    """``12.3 GFLOP``."""
    thousands = min(max(int(math.log10(max(number, 1)) // 3), 0), 5)
    return f"{number / 1000**thousands:.3g} {' KMGTP'[thousands].strip()}FLOP"


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
