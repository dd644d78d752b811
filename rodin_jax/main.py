"""Trains one stage.

    python -m rodin_jax.main --config=configs/<stage>.py:<preset> --workdir=DIR

Any value of the configuration can be set, e.g. ``--config.steps=20000``. The same command continues
a run that was stopped, and a larger ``steps`` one that had finished. What decides the result may
not change on the way.

Several processes train together when $JAX_COORDINATOR_ADDRESS, $JAX_NUM_PROCESSES and
$JAX_PROCESS_ID say so (launch/local.py), in a SLURM step of several tasks, on a GKE slice of
several TPU hosts, and with --distributed wherever else JAX finds the others. They share a workdir.

Exit codes: 0 done, 1 failed, 2 bad usage, 128 + n stopped by signal n with the state saved; --v=1
shows where a failure came from.
"""

import functools
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import ml_collections
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from rodin_jax import compile_cache

Run = Callable[[ml_collections.ConfigDict, Path], None]
STAGES = (
    "clip", "visage", "fit", "eigenplanes", "refit", "base", "upsampler", "refiner", "latent",
    "text", "probe",
)  # fmt: skip

_CONFIG = config_flags.DEFINE_config_file("config", None, "configs/<stage>.py:<preset>")
_WORKDIR = flags.DEFINE_string("workdir", None, "where the run keeps everything")
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "JAX finds the other processes")


def main(argv: Sequence[str], run: Run | None = None) -> None:
    """Runs the stage that the configuration names, or ``run`` in its place."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options start with --", 2)
    config, workdir = _CONFIG.value, Path(_WORKDIR.value)
    stage = config.get("stage")
    if stage not in STAGES:
        raise app.UsageError(f"config.stage is {stage!r}, expected one of {STAGES}", 2)
    absl_logging.get_absl_handler().setFormatter(
        logging.Formatter(f"%(asctime)s {stage:9s} %(message)s", "%H:%M:%S")
    )
    logging.getLogger("jax").setLevel(logging.WARNING)
    compile_cache.enable()
    try:
        _join(config)
        _train(config, workdir, run or importlib.import_module(f"rodin_jax.train.{stage}").run)
    except KeyboardInterrupt:
        _fail(f"{stage}: stopped", 130)
    except Exception as error:
        if absl_logging.level_debug() or not isinstance(error, _expected()):
            traceback.print_exc()
        _fail(f"{stage}: {error}", 1)
    logging.info("%s done: %s", stage, workdir)


def _join(config) -> None:
    """Finds the processes and devices that train together."""
    import jax

    from rodin_jax.train import hosts

    if config.get("device_per_core"):
        # Many small independent problems fill the cores better than one divided among them.
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    hosts.join(detect=_DISTRIBUTED.value)
    if jax.process_index() > 0:  # the first process speaks for all; the others of their failures
        logging.getLogger().setLevel(logging.WARNING)
    devices = f"{len(jax.devices())} x {jax.devices()[0].device_kind}"
    processes = f", {jax.process_count()} processes" if jax.process_count() > 1 else ""
    logging.info("%s %s on %s%s", config.stage, config.get("preset", ""), devices, processes)


def _train(config, workdir: Path, run: Run) -> None:
    """Runs the stage in its workdir, alone there."""
    from rodin_jax.train import claim, configuration, loop

    with claim.workdir(workdir):
        configuration.adopt(workdir, config)
        try:
            run(config, workdir)
        except loop.Interrupted as stopped:
            logging.info("%s; the same command continues", stopped)
            sys.exit(128 + stopped.signum)


def _expected() -> tuple[type[Exception], ...]:
    """What can go wrong without a mistake in the program; one line says it."""
    from rodin_jax.train import checkpoints, loop

    return loop.NotFinite, checkpoints.CheckpointError, OSError, ValueError


def _fail(message: str, code: int) -> None:
    import jax

    print(message, file=sys.stderr, flush=True)
    if jax.distributed.is_initialized():
        # A process that leaves in the usual way waits for the others, who may wait for it.
        os._exit(code)
    sys.exit(code)


def entry(run: Run | None = None, help: str = __doc__) -> None:
    """Parses the flags and runs; the scripts of ``launch`` are made of it."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help)
        return
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(functools.partial(main, run=run), flags_parser=_parse)


def _parse(argv):
    """As absl does it, but a wrong flag is one line and exit code 2."""
    try:
        rest = flags.FLAGS(argv)
        _CONFIG.value.get("stage")  # a file that cannot be loaded says so when first used
    except (flags.Error, OSError, AttributeError, TypeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # A config file's own error arrives as a traceback in text; its last line says what.
        message = lines[-1] if "Traceback" in str(error) else " ".join(lines)
        print(f"{message}\nsee: python -m rodin_jax.main --help", file=sys.stderr)
        sys.exit(2)
    return rest


if __name__ == "__main__":
    entry()
