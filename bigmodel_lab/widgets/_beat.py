"""A thread that calls one job again and again, and sooner when woken."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Beat:
    """Calls ``job()`` every ``seconds`` until it says that it is done."""

    def __init__(self, job: Callable[[], bool], seconds: float) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            job: Returns False when it need not be called again.
            seconds: Time from the end of one call to the begin of the next.
        """
        self._job = job
        self._seconds = seconds
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bigmodel-lab-display", daemon=True)

    @property
    def alive(self) -> bool:
        """The job will be called again."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin calling the job, in a thread that does not keep the process alive."""
        self._thread.start()

    def wake(self) -> None:
        """Call the job now."""
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until the job is done, at most ``timeout_s`` seconds; True if it is."""
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while self._job():
            self._wake.wait(self._seconds)
            self._wake.clear()
