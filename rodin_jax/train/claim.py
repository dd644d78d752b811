"""One run at a time in a workdir.

Two runs in one folder ruin each other's checkpoints: each takes the half-written ones of the other
for a dead run's remains and deletes them under its hands, and both die of that.
"""

import contextlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

FILE = ".lock"
_held: set[Path] = set()


class WorkdirInUse(OSError):
    """Another process trains in the folder; the message is one line and names both."""


@contextlib.contextmanager
def workdir(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other processes out of ``folder``; within this one it may be claimed again.

    The file ``.lock`` in it is locked with `flock`, which ends with the process however it ends, so
    nothing is left to clean up; the file itself stays. Of several processes that train together the
    first one claims. A file system without locks gives a warning and no protection.

    Raises:
      WorkdirInUse: another process is there.
    """
    folder = Path(folder).resolve()
    if folder in _held or _process_index() > 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(file, folder)
        _held.add(folder)
        yield
    finally:
        _held.discard(folder)
        os.close(file)


def _lock(file: int, folder: Path) -> None:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 1000, 0).decode(errors="replace").strip()
        raise WorkdirInUse(f"{folder}: another process is training here ({holder})") from None
    except (ImportError, OSError) as error:
        logging.warning("%s cannot be locked (%s); start no second run in it", folder, error)
        return
    os.truncate(file, 0)
    who = {"pid": os.getpid(), "host": socket.gethostname()}
    os.pwrite(file, (json.dumps(who) + "\n").encode(), 0)


def _process_index() -> int:
    import jax

    return jax.process_index()
