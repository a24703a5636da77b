"""Tests of several processes take turns at one machine: many at a time, or one that has it for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait for one's turn, and have it until the block ends.

    Args:
        folder: Where the locks lie; the same for all who share the machine.
        alone: Nobody else has a turn meanwhile. Who waits for that keeps newcomers out, so that it comes.
    """
    import fcntl  # not on Windows, where tests still run in one process

    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        try:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if not alone:
                fcntl.flock(door, fcntl.LOCK_UN)
            yield
        finally:  # not left to the closing: a process that the test forked may hold the files, too
            fcntl.flock(room, fcntl.LOCK_UN)
            fcntl.flock(door, fcntl.LOCK_UN)
