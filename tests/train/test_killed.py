"""`kill -9` at random moments costs time and nothing else."""

import json
import multiprocessing
import os
import random
import signal
import sys

import mortal


def log(workdir):
    """What the log says, but for the times."""
    times = {"seconds", "samples_per_s", "flops_per_s", "mfu"}
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in times} for line in lines]


def test_a_run_killed_five_times_is_bit_for_bit_the_undisturbed_one(tmp_path, monkeypatch):
    # A fork server imports JAX once for all; no child inherits a running one.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mortal"])

    def start(folder, **death):
        process = context.Process(target=mortal.train, args=(tmp_path / folder,), kwargs=death)
        process.start()
        process.join(300)
        return process.exitcode

    assert start("whole") == 0
    moments = random.Random(7)
    for i in range(5):
        step = 2 + 5 * i + moments.randrange(4)
        assert start("killed", step=step, delay=moments.uniform(0, 0.5)) == -signal.SIGKILL
    assert start("killed") == 0

    whole, killed = ((tmp_path / name / "bits.json") for name in ("whole", "killed"))
    assert whole.read_text() == killed.read_text()
    assert log(tmp_path / "whole") == log(tmp_path / "killed")
    assert [line["step"] for line in log(tmp_path / "whole")][-3:] == [33, 34, 36]
