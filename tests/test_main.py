"""The training entry: its exit codes, and that a failure is one line and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def start(*arguments, cache):
    """Runs ``launch/main.py``; returns (exit code, standard error)."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch" / "main.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr


def test_help_names_the_flags(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "rodin_jax.main", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "--config" in done.stdout and "--workdir" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config={configs}/base.py:smoke"], "--workdir"),
        (["--config={configs}/base.py:smoke", "--workdir={tmp}", "--config.stpes=3"], "stpes"),
        (["--config={configs}/base.py:smoke", "--workdir={tmp}", "--config.stage=bake"], "bake"),
        (["--config={configs}/nope.py:smoke", "--workdir={tmp}"], "nope.py"),
        (["--config={configs}/base.py:huge", "--workdir={tmp}"], "huge"),
    ],
)
def test_bad_usage_is_exit_code_2(tmp_path, arguments, expected):
    places = {"configs": ROOT / "configs", "tmp": tmp_path / "run"}
    code, errors = start(*(a.format(**places) for a in arguments), cache=tmp_path)
    assert code == 2
    assert expected in errors and "Traceback" not in errors


def test_a_missing_input_is_named_in_one_line(tmp_path):
    config = f"--config={ROOT}/configs/upsampler.py:smoke"
    code, errors = start(
        config, f"--workdir={tmp_path}/run", "--config.planes_dir=/nowhere", cache=tmp_path
    )
    assert code == 1 and "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("upsampler: /nowhere")
    assert (tmp_path / "run" / "config.json").is_file()
