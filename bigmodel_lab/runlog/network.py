"""A run whose folder lies on a network file system: written locally, carried over now and then.

SQLite's locks and shared memory cannot be trusted there, so the live file lies on a local
disk and complete copies arrive in the folder, each replacing the last at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

from bigmodel_lab.errors import RunFileError
from bigmodel_lab.runlog.database import copy_file

EVERY_S = 60.0
"""Seconds between two copies."""


class NetworkCopy:
    """Carries the live file to its folder, in a thread of its own: a slow network delays no commit."""

    def __init__(self, live: Path, target: Path) -> None:
        self.trouble: str | None = None
        """Why the last copy failed, in words; None when it arrived."""
        self._live = live
        self._target = target
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def start_when_due(self) -> None:
        """Start a copy, unless the last is less than a minute old or still under way."""
        if time.monotonic() < self._next or (self._thread and self._thread.is_alive()):
            return
        self._next = time.monotonic() + EVERY_S
        self._thread = threading.Thread(target=self._carry, name="bigmodel_lab run copy", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Make the last copy; the local file goes only when the copy has arrived."""
        self._carry()
        if self.trouble is None:
            for ending in ("", "-wal", "-shm"):  # the latter stay when somebody read until the end
                with contextlib.suppress(OSError):
                    self._live.with_name(self._live.name + ending).unlink()

    def wait(self) -> None:
        """Wait for a copy that is under way: as long as it reads, the live file cannot leave WAL mode."""
        if self._thread:
            self._thread.join()

    def _carry(self) -> None:
        try:
            copy_file(self._live, self._target)
            self.trouble = None
        except RunFileError as error:
            self.trouble = str(error)
