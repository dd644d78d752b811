"""Trains one stage.

    python -m rodin_jax.main --config=configs/<stage>.py:<preset> --workdir=DIR

Any value of the configuration can be set, e.g. ``--config.steps=20000``. The same command continues
a run that was stopped, and a larger ``steps`` one that had finished. Several hosts work together
when ``$JAX_COORDINATOR_ADDRESS`` and its kin are set. Exit codes: 0 done, 1 failed, 2 bad usage,
128 + n stopped by signal n with the state saved; ``--v=1`` shows where a failure came from.
"""

import functools
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import ml_collections
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from rodin_jax import compile_cache

Run = Callable[[ml_collections.ConfigDict, Path], None]
STAGES = (
    "clip", "fit", "eigenplanes", "base", "upsampler", "refiner", "latent", "text", "probe",
)  # fmt: skip

_CONFIG = config_flags.DEFINE_config_file("config", None, "configs/<stage>.py:<preset>")
_WORKDIR = flags.DEFINE_string("workdir", None, "where the run keeps everything")


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
    import jax

    if config.get("device_per_core"):
        # Many small independent problems fill the cores better than one divided among them.
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        jax.distributed.initialize()
    logging.info("%s %s on %s", stage, config.get("preset", ""), _devices(jax.devices()))
    workdir.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
        (workdir / "config.json").write_text(config.to_json_best_effort(indent=2) + "\n")

    from rodin_jax.train import checkpoints, loop

    try:
        run = run or importlib.import_module(f"rodin_jax.train.{stage}").run
        run(config, workdir)
    except loop.Interrupted as stopped:
        logging.info("%s; the same command continues", stopped)
        sys.exit(128 + stopped.signum)
    except KeyboardInterrupt:
        print(f"{stage}: stopped", file=sys.stderr)
        sys.exit(130)
    except (loop.NotFinite, checkpoints.CheckpointError, OSError, ValueError) as error:
        if absl_logging.level_debug():
            raise
        print(f"{stage}: {error}", file=sys.stderr)
        sys.exit(1)
    logging.info("%s done: %s", stage, workdir)


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


def _devices(devices) -> str:
    return f"{len(devices)} x {devices[0].device_kind}"


if __name__ == "__main__":
    entry()
