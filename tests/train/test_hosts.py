"""Processes that train together: what they compute, how they stop, how they find one another."""

import inspect
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pair
import pytest

from rodin_jax.train import export, hosts

ROOT = Path(__file__).parents[2]
STEPS = 30


def together(workdir, **environment):
    """Two processes with two devices each, their state divided; exit code and standard error."""
    arguments = [
        f"--config={ROOT}/configs/latent.py:smoke", f"--workdir={workdir}",
        f"--config.steps={STEPS}", "--config.checkpoint_every=20", "--config.fsdp=True",
    ]  # fmt: skip
    launcher = [sys.executable, ROOT / "launch" / "local.py", "--processes=2", "--devices=2", "--"]
    path = os.pathsep.join([str(ROOT), str(Path(pair.__file__).parent)])
    done = subprocess.run(
        [*map(str, launcher), sys.executable, pair.__file__, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": path,
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
            "JAX_COMPILATION_CACHE_DIR": "",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stderr


def lines(workdir):
    """The losses by step."""
    text = (workdir / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, text)}


def test_two_processes_of_two_devices_stop_go_on_and_end_as_one_of_one(tmp_path, get_config):
    code, errors = together(tmp_path / "pair", STOP_AT="7")
    assert code == 143, errors
    stopped = max(lines(tmp_path / "pair"))
    assert 7 <= stopped < STEPS and f"after step {stopped}, state saved" in errors
    assert [p.name for p in (tmp_path / "pair" / "checkpoints").glob("[0-9]*")] == [str(stopped)]
    assert "2 processes" in errors and "on each of 4 devices" in errors

    code, errors = together(tmp_path / "pair")
    assert code == 0, errors
    assert f"continuing after step {stopped}" in errors

    config = get_config("latent", "smoke")
    with config.unlocked():
        config.devices = 1
    config.steps = STEPS
    pair.run(config, tmp_path / "alone")
    alone, both = lines(tmp_path / "alone"), lines(tmp_path / "pair")
    assert list(alone) == list(both) == list(range(1, STEPS + 1))
    np.testing.assert_allclose(list(both.values()), list(alone.values()), rtol=1e-5)
    alone, both = (export.read_export(tmp_path / name) for name in ("alone", "pair"))
    for name in alone.params:
        np.testing.assert_allclose(both.params[name], alone.params[name], atol=1e-6)
    assert alone.trained["examples"] == both.trained["examples"]


@pytest.mark.parametrize(
    ("environment", "detect", "arguments"),
    [
        ({}, False, None),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False, None),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False, None),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "0"},
            False,
            ("a:1", 4, 0, "deactivate"),
        ),
        ({"JAX_COORDINATOR_ADDRESS": "a:1"}, False, ("a:1", None, None, None)),
        ({"SLURM_STEP_NUM_TASKS": "16"}, False, (None, None, None, None)),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, False, (None, None, None, None)),
        ({}, True, (None, None, None, None)),
    ],
)
def test_who_trains_together(monkeypatch, environment, detect, arguments):
    def initialize(address, count, index, *, cluster_detection_method):
        joined.append((address, count, index, cluster_detection_method))

    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    assert hosts.join(environment, detect=detect) == (arguments is not None)
    assert joined == ([arguments] if arguments else [])


def test_a_number_that_is_none_is_named():
    with pytest.raises(ValueError, match="JAX_PROCESS_ID is 'two'"):
        hosts.join({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_PROCESS_ID": "two"})


def test_the_installed_jax_has_what_join_relies_on():
    parameters = list(inspect.signature(jax.distributed.initialize).parameters)
    assert parameters[:3] == ["coordinator_address", "num_processes", "process_id"]
    assert "cluster_detection_method" in parameters


FAKE = '#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n'


def words(tmp_path, fake, *command, **environment):
    """What a cluster's own command is called with by one of the scripts."""
    (tmp_path / fake).write_text(FAKE)
    (tmp_path / fake).chmod(0o755)
    done = subprocess.run(
        command,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_the_slurm_script_runs_the_same_main(tmp_path):
    flags = ["--config=c.py:nano", "--workdir=a folder"]
    said = words(tmp_path, "srun", ROOT / "launch" / "slurm.sh", *flags, PYTHON="python9")
    assert said == ["--kill-on-bad-exit=1", "python9", "launch/main.py", *flags]


def test_the_tpu_script_runs_it_on_all_machines(tmp_path):
    script = ROOT / "launch" / "tpu_vm.sh"
    said = words(tmp_path, "gcloud", script, "name", "zone", "--workdir=a folder")
    assert said[:7] == ["compute", "tpus", "tpu-vm", "ssh", "name", "--zone=zone", "--worker=all"]
    command = said[7].removeprefix("--command=").split(" && exec ")[1]
    assert shlex.split(command) == [
        "python3", "launch/main.py", "--distributed", "--workdir=a folder",
    ]  # fmt: skip


def test_the_kubernetes_job_runs_it_in_every_pod():
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all((ROOT / "launch" / "gke.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 4
    assert pod["containers"][0]["command"] == ["python", "launch/main.py"]
