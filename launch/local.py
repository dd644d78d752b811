"""Starts processes on this machine that train together, as machines of a cluster would.

    python launch/local.py --processes=2 [--devices=1] -- \
        python launch/main.py --config=configs/base.py:small --workdir=DIR ...

Each process has ``--devices`` GPUs of its own or, without GPUs, as many CPU devices. Ctrl-C and
SIGTERM stop all of them with their state saved; twice, at once. If one fails the others are ended.
The exit code is that of the first process that did not end well.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes, the state saved
_LEAVE_SECONDS = 60  # for the others, after the first stopped process has ended


def environment(index: int, processes: int, devices: int, port: int) -> dict[str, str]:
    """What the process of this index finds in its environment; see `rodin_jax.train.hosts`."""
    address = f"localhost:{port}"
    own = range(index * devices, (index + 1) * devices)
    return {
        **os.environ,
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_COORDINATOR_BIND_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(processes),
        "JAX_PROCESS_ID": str(index),
        "JAX_LOCAL_DEVICE_IDS": ",".join(map(str, own)),
        "JAX_NUM_CPU_DEVICES": str(devices),
    }


def run(command: Sequence[str], processes: int, devices: int) -> int:
    """Runs ``command`` in all processes and waits for them; returns the exit code."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    running: list[subprocess.Popen] = []
    asked = 0

    def stop(*_):
        nonlocal asked
        asked += 1
        for process in running:
            process.send_signal(signal.SIGTERM if asked == 1 else signal.SIGKILL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    for i in range(processes):
        # In sessions of their own: a terminal's Ctrl-C reaches them through this process only.
        running.append(
            subprocess.Popen(
                command, env=environment(i, processes, devices, port), start_new_session=True
            )
        )
        if asked:
            running[-1].terminate()
    ended = None  # when the first one did
    while None in (codes := [process.poll() for process in running]):
        if failed := [code for code in codes if code]:
            ended = ended or time.monotonic()
            # Alone the others can neither go on nor save. But if one was stopped they all were:
            # they have saved together and end one after another.
            in_order = all(code in _STOPPED for code in failed)
            if not in_order or time.monotonic() - ended > _LEAVE_SECONDS:
                for process in running:
                    process.kill()
        time.sleep(0.1)
    failed = next(filter(None, codes), 0)
    return 128 - failed if failed < 0 else failed


def main() -> int:
    """Parses the flags and runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--devices", type=int, default=1, help="of each process")
    parser.add_argument("command", nargs="+", help="after --")
    options = parser.parse_args()
    if min(options.processes, options.devices) < 1:
        parser.error("--processes and --devices must be at least 1")
    return run(options.command, options.processes, options.devices)


if __name__ == "__main__":
    sys.exit(main())
