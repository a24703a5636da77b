"""Which process writes a run, and whether it is still there.

The answer has to hold from another process, another container and after a reboot, so a
process id alone is not enough: ids are used again.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

STALE_S = 30.0
"""A heartbeat older than this, on the same boot, means that the process is lost."""
STALE_ELSEWHERE_S = 180.0
"""The same for another machine, whose file may arrive here only once a minute."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, never mistaken for another that got its id later."""

    host: str
    """Name of the machine or container."""
    boot_id: str
    """Changes when the machine starts anew."""
    pid: int
    """Process id."""
    started: str
    """When the process started, as the operating system counts; compared, never shown."""
    pid_namespace: str
    """Where the process id is valid; empty where there are no namespaces."""

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This process.

        >>> ProcessIdentity.current().pid == os.getpid()
        True
        """
        pid = os.getpid()
        return cls(platform.node(), boot_id(), pid, process_started(pid) or "", _pid_namespace())

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ProcessIdentity:
        """The identity that :meth:`to_json` wrote."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)

    def same_boot(self) -> bool:
        """Whether it runs, or ran, since this machine started."""
        return self.boot_id == boot_id()

    def gone(self) -> bool:
        """Whether this process certainly does not run any more; False where one cannot see it."""
        visible = self.host == platform.node() and self.pid_namespace == _pid_namespace()
        return self.same_boot() and visible and process_started(self.pid) != self.started


def lost(process: ProcessIdentity, heartbeat_wall_ns: int, heartbeat_monotonic_ns: int) -> bool:
    """Whether a run that never ended has no living process any more.

    Args:
        process: Who wrote the run.
        heartbeat_wall_ns: ``time.time_ns()`` of its last sign of life.
        heartbeat_monotonic_ns: ``time.monotonic_ns()`` of it, in its own clock.
    """
    if process.gone():
        return True
    if process.same_boot():  # one clock for both, which stands still while the machine sleeps
        return time.monotonic_ns() - heartbeat_monotonic_ns > STALE_S * 1e9
    return time.time_ns() - heartbeat_wall_ns > STALE_ELSEWHERE_S * 1e9


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Something that changes when the machine starts anew."""
    if sys.platform != "linux":
        import psutil

        return str(round(psutil.boot_time() / 60))  # to the minute: the clock may be corrected later
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def process_started(pid: int) -> str | None:
    """When this process started; None when there is no such process, or only its corpse."""
    if sys.platform != "linux":
        import psutil

        try:
            return str(round(psutil.Process(pid).create_time()))
        except psutil.Error:
            return None
    return _started_linux(pid)


def _started_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold blanks and brackets
    state, ticks_since_boot = fields[0], fields[19]
    return None if state in {"Z", "X"} else ticks_since_boot


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
