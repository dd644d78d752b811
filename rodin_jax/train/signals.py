"""Stopping on request, between two steps and in all processes after the same one."""

import signal
import sys
import threading

import jax
from jax.experimental import multihost_utils


class Signals:
    """Remembers SIGTERM and SIGINT, so that a step is never cut in two; a context manager.

    A second signal acts as it would have without this. Only the main thread may install handlers;
    elsewhere this does nothing.

    Where several processes train together, SIGTERM to any of them stops all: `jax.distributed`
    catches it, and agrees with the others on a step that none has passed.
    """

    def __init__(self):
        self._received: int | None = None
        self._previous = {}
        self._alone = jax.process_count() == 1

    def __enter__(self):
        if self._alone and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def stop_after(self, step: int) -> int | None:
        """The signal that wants the run to stop after ``step``, if any; ask once at every step."""
        if self._alone:
            return self._received
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None

    def _remember(self, number, _):
        self._received = number
        print("saving, then stopping; once more to stop at once", file=sys.stderr, flush=True)
        self.__exit__()
