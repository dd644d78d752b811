"""One run at a time in a folder."""

import json
import os
import subprocess
import sys

import pytest

from rodin_jax.train import claim


def elsewhere(folder):
    """A process that holds the folder's lock until its input ends."""
    script = (
        "import fcntl, sys\n"
        f"file = open({str(folder / claim.FILE)!r}, 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path):
    (tmp_path / claim.FILE).write_text('{"pid": 4, "host": "there"}\n')
    process = elsewhere(tmp_path)
    refused = pytest.raises(claim.WorkdirInUse, match=r"another process.*\"pid\": 4.*there")
    with refused, claim.workdir(tmp_path):
        pytest.fail("two in one folder")
    process.kill()  # the lock ends with its holder, whatever ends it
    process.wait()
    with claim.workdir(tmp_path):
        assert json.loads((tmp_path / claim.FILE).read_text())["pid"] == os.getpid()


def test_a_process_may_claim_again_what_it_holds(tmp_path):
    with claim.workdir(tmp_path / "new"):
        with claim.workdir(tmp_path / "new" / ".." / "new"):
            pass
        process = subprocess.run(
            [sys.executable, "-S", "-c",
             "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)",
             tmp_path / "new" / claim.FILE],
            capture_output=True, check=False,
        )  # fmt: skip
        assert b"BlockingIOError" in process.stderr  # still held after the inner claim
    elsewhere(tmp_path / "new").kill()


def test_without_locks_there_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with claim.workdir(tmp_path):
        assert "cannot be locked" in caplog.text
